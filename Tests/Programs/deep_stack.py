"""deep_stack.py [SECONDS]: C functions (acc_deep) 90 deep with a kibibyte of stack each, more than a sample can copy.

Reports the one whole path, from the root to the leaf.
"""

import time

import gate
import accuracy


def main(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        accuracy.stack(90, 2_000_000)


if __name__ == "__main__":
    seconds = gate.argument(1, 2.0)
    gate.wait()
    start = time.process_time_ns()
    main(seconds)
    gate.report(cpu_ns=time.process_time_ns() - start, paths=[["<module>", "main"] + ["acc_deep"] * 90])
