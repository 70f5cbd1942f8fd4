"""causes.py KIND [MILLISECONDS]: one state that a sample cannot show whole, for a known CPU time, between the same
time of ordinary work before and after it.

KIND: hidden, swapped, unlinked, misplaced (faults.c, on the frame of `inner`, which `outer` calls through C),
crowded (more thread states than are searched), unknown (code without unwind
information), kernel (the same as a hand-written kernel does it), deep (1,500 Python frames), big (a C stack of 90 KiB).
Every path of an ordinary sample: <module>, main, ordinary, sit_spin.
"""

import sys

import gate
import accuracy
import faults
import situations


def ordinary(nanoseconds):
    situations.spin(nanoseconds)


def inner(call):
    call(sys._getframe())


def outer(call):
    situations.hop(inner, call)


def recursion(depth, nanoseconds):
    if depth > 1:
        recursion(depth - 1, nanoseconds)
    else:
        situations.spin(nanoseconds)


def main(kind, nanoseconds):
    ordinary(nanoseconds)
    if kind == "crowded":
        faults.crowded(5000, nanoseconds)
    elif kind == "unknown":
        faults.unknown(nanoseconds)
    elif kind == "kernel":
        faults.kernel(nanoseconds * 2)
    elif kind == "deep":
        recursion(1500, nanoseconds)
    elif kind == "big":
        accuracy.stack(90, nanoseconds // 3)
    else:
        outer(lambda frame: getattr(faults, kind)(frame, nanoseconds))
    ordinary(nanoseconds)


if __name__ == "__main__":
    sys.setrecursionlimit(5000)
    kind, nanoseconds = gate.argument(1, "hidden"), gate.argument(2, 200) * 1_000_000
    gate.wait()
    main(kind, nanoseconds)
    gate.report(kind=kind, cpu_ns=nanoseconds)
