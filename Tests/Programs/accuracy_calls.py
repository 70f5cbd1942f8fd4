"""accuracy_calls.py [SECONDS]: Python and C functions of known CPU time, each with exactly one legal stack.

Reports what a profile must show. `clocks`: nanoseconds of CPU time that each function used by itself, read from the
thread's clock, by the C functions in C. `paths`: per function the names of this program's functions from the root
down to it. `main_cpu_ns`: all that main used.
"""

import random
import time

import gate
import accuracy

# Long enough that reading the clocks does not count; never the same, so that no part keeps step with the sampling.
ROUNDS = range(20_000, 60_000)


def nest(rounds):
    accuracy.outer(rounds)


def call_1(rounds):
    accuracy.level_1(rounds, call_2)


def call_2(rounds):
    accuracy.level_2(rounds, call_3)


def call_3(rounds):
    accuracy.level_3(rounds, call_4)


def call_4(rounds):
    accuracy.level_4(rounds, None)


def count(n):
    x = 1
    for i in range(n):
        x = (x * 31 + i) & 0xFFFF
    return x


def python_work(n):
    global python_ns
    start = time.thread_time_ns()
    count(n)
    python_ns += time.thread_time_ns() - start


def main(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        nest(chance.choice(ROUNDS))
        call_1(2 * chance.choice(ROUNDS))
        python_work(chance.choice(ROUNDS) // 7)


if __name__ == "__main__":
    seconds, python_ns, chance = gate.argument(1, 2.0), 0, random.Random(1)
    gate.wait()
    start = time.thread_time_ns()
    main(seconds)
    main_cpu_ns = time.thread_time_ns() - start
    top = ["<module>", "main"]
    levels = [top + [f(i) for i in range(1, n + 1) for f in ("call_{}".format, "acc_level_{}".format)] for n in range(1, 5)]
    paths = {"acc_level_%d" % n: levels[n - 1] for n in range(1, 5)}
    for n, name in enumerate(["acc_outer", "acc_middle", "acc_inner"]):
        paths[name] = top + ["nest", "acc_outer", "acc_middle", "acc_inner"][: n + 2]
    paths["count"] = top + ["python_work", "count"]
    paths.update({"call_%d" % n: levels[n - 1][:-1] for n in range(1, 5)})
    paths.update({"main": top, "nest": top + ["nest"], "python_work": top + ["python_work"]})
    gate.report(clocks=dict(accuracy.clocks(), count=python_ns), paths=paths, main_cpu_ns=main_cpu_ns)
