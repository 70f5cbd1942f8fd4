"""signal_frames.py [SECONDS]: Python that runs inside of a signal handler, on top of the C code that was interrupted,
and Python that libc's qsort calls back, with known stacks.

    raise_it -> raise(3) -> (signal frame) -> handler -> sit_spin
    sort_it  -> qsort(3) -> compare -> under_compare -> sit_lane_1

Reports every path that may be in a stack, from the root to the leaf; see sandwich.py.
"""

import ctypes
import signal
import time

import gate
import situations

libc = ctypes.CDLL(None)


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def handler(number):
    situations.spin(100000)


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
def compare(left, right):
    return under_compare(left[0], right[0])


def under_compare(left, right):
    situations.lane_1(3000)
    return left - right


def raise_it():
    # "raise" is a keyword.
    getattr(libc, "raise")(signal.SIGUSR1)


def sort_it():
    numbers = (ctypes.c_int * 50)(*range(50, 0, -1))
    libc.qsort(numbers, 50, ctypes.sizeof(ctypes.c_int), compare)


def main(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        raise_it()
        sort_it()


if __name__ == "__main__":
    seconds = gate.argument(1, 2.0)
    libc.signal.restype = ctypes.c_void_p
    libc.signal(int(signal.SIGUSR1), handler)
    gate.wait()
    start = time.process_time_ns()
    main(seconds)
    gate.report(
        cpu_ns=time.process_time_ns() - start,
        paths=[
            ["<module>", "main", "raise_it", "handler", "sit_spin"],
            ["<module>", "main", "sort_it", "compare", "under_compare", "sit_lane_1"],
        ],
    )
