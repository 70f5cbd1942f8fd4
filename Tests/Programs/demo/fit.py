"""The demo: fits curves with a C extension, `curvefit`, that calls back into Python, and sorts them.

About two seconds of CPU time, the same work in every run. At the end it says how much CPU time its C functions
measured in themselves; a profile of the run should say the same.
"""

import curvefit


def objective(x):
    penalty = 0.0
    for power in range(200):
        penalty += x**2 / (power + 1)
    return curvefit.residual(x) + 1e-9 * penalty


def fit_curve(low):
    return curvefit.minimize(objective, low, low + 2.0, 20)


def closeness(curve):
    return curvefit.distance(curve)


def rank(curves):
    return sorted(curves, key=closeness)


def fit_all(count):
    curves = [fit_curve(-1.0 + number / count) for number in range(count)]
    for _ in range(5):
        curves = rank(curves)
    return curves


def main():
    curves = fit_all(240)
    times = curvefit.cpu_times()
    total = sum(times.values())
    print("fitted %d curves; the program's own clocks say:" % len(curves))
    for name, seconds in sorted(times.items(), key=lambda item: -item[1]):
        print("  %6.3f s  %4.1f %%  %s" % (seconds, 100 * seconds / total, name))


main()
