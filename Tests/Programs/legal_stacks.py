"""legal_stacks.py [SECONDS]: ways through the interpreter that are not plain calls, each with one legal stack.

A ctypes callback out of qsort, a Python and a C signal handler, a C handler on the alternate signal stack, a
generator, a coroutine, a finalizer, and C functions 20 deep. Reports `edges`, legal calls, and `paths`: per innermost
function the names of this program's functions and of those of its C extensions, from the root.
"""

import ctypes
import signal
import time

import gate
import accuracy
import situations

ROUNDS = 20_000
libc = ctypes.CDLL(None)


def compare(left, right):
    situations.lane_1(ROUNDS)
    return 0


COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(compare)


def sort_in_c():
    numbers = (ctypes.c_int * 2)(2, 1)
    libc.qsort(numbers, 2, 4, COMPARE)


def on_signal(number, frame):
    situations.lane_2(ROUNDS)


def raise_in_python():
    signal.raise_signal(signal.SIGUSR1)


def raise_in_c():
    accuracy.signalled(ROUNDS)


def fault_in_c():
    accuracy.interrupted(ROUNDS)


def produce():
    while True:
        situations.lane_3(ROUNDS)
        yield


def consume():
    next(generator)


async def inner_task():
    situations.lane_4(ROUNDS)


async def outer_task():
    await inner_task()


def drive():
    try:
        outer_task().send(None)
    except StopIteration:
        pass


class Dying:
    def __del__(self):
        situations.lane_5(ROUNDS)


def drop():
    Dying()


def deep():
    accuracy.stack(20, ROUNDS)


def main(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        for way in (sort_in_c, raise_in_python, raise_in_c, fault_in_c, consume, drive, drop, deep):
            way()


if __name__ == "__main__":
    seconds = gate.argument(1, 1.0)
    signal.signal(signal.SIGUSR1, on_signal)
    generator = produce()
    gate.wait()
    start = time.process_time_ns()
    main(seconds)
    top = ["<module>", "main"]
    paths = {
        "sit_lane_1": ["sort_in_c", "compare"],
        "sit_lane_2": ["raise_in_python", "on_signal"],
        "acc_handler": ["raise_in_c", "acc_signalled"],
        "sit_lane_3": ["consume", "produce"],
        "sit_lane_4": ["drive", "outer_task", "inner_task"],
        "sit_lane_5": ["drop", "Dying.__del__"],
    }
    edges = [["main", "deep"], ["deep", "acc_deep"], ["acc_deep", "acc_deep"], ["main", "fault_in_c"]]
    edges += [["fault_in_c", "acc_interrupted"], ["acc_interrupted", "acc_fault_handler"]]
    gate.report(
        clocks={},
        edges=edges,
        paths={leaf: top + path + [leaf] for leaf, path in paths.items()},
        main_cpu_ns=time.process_time_ns() - start,
    )
