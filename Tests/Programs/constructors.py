"""constructors.py [SECONDS]: objects whose __init__ spins in C (sit_spin). The call of the class is made often
enough before the gate that the interpreter specialises it; the gate itself stands in an __init__.

From 3.13 on such a call puts a frame between caller and __init__ that is nobody's function (_Py_InitCleanup,
Python/specialize.c): no stack may show it. The one legal stack: <module>, main, Item.__init__, sit_spin.
"""

import gate
import situations


class Item:
    def __init__(self, nanoseconds):
        if nanoseconds < 0:
            gate.wait()
        situations.spin(nanoseconds if nanoseconds > 0 else 1)


def main(nanoseconds):
    for n in [0] * 200 + [-1] + [1_000_000] * (nanoseconds // 1_000_000):
        Item(n)


if __name__ == "__main__":
    nanoseconds = int(gate.argument(1, 1.0) * 1e9)
    main(nanoseconds)
    gate.report(cpu_ns=nanoseconds)
