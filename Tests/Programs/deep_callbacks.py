"""deep_callbacks.py [SECONDS]: 900 Python frames, rec_0 to rec_899, below main; 17 of their calls go through
a C function (sit_hop), the others are direct. The last one spins in C (sit_spin) for SECONDS of CPU time.

Reports the names of all Python frames from the root to the leaf, and after which of them a callback stands.
"""

import sys

import gate
import situations

DEPTH = 900
CALLBACKS = list(range(49, DEPTH - 1, 50))
assert len(CALLBACKS) == 17


def source(n):
    if n == DEPTH - 1:
        return "def rec_%d(ns):\n    return situations.spin(ns)\n" % n
    call = "situations.hop(rec_%d, ns)" if n in CALLBACKS else "rec_%d(ns)"
    return "def rec_%d(ns):\n    return %s\n" % (n, call % (n + 1))


def main(ns):
    return functions["rec_0"](ns)


if __name__ == "__main__":
    sys.setrecursionlimit(2 * DEPTH)
    nanoseconds = int(gate.argument(1, 2.0) * 1e9)
    functions = {"situations": situations}
    exec(compile("".join(map(source, range(DEPTH))), "<recursion>", "exec"), functions)
    gate.wait()
    used = main(nanoseconds)
    gate.report(
        cpu_ns=used,
        frames=["<module>", "main"] + ["rec_%d" % n for n in range(DEPTH)],
        callbacks_after=["rec_%d" % n for n in CALLBACKS],
    )
