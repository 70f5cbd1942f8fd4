"""late_threads.py [SECONDS]: threads that are born, and get their names, only after the gate has opened.

One after the other, so that each has the GIL: late_python works in Python, late_native calls C from Python. Each gives
itself its own function's name (prctl(2), PR_SET_NAME) and then works for SECONDS of its CPU time.

Reports per thread: native id, name and CPU time, by itself.
"""

import ctypes
import threading
import time

import gate
import situations

PR_SET_NAME = 15


def step(n):
    x = 1
    for i in range(n):
        x = (x * 31 + i) & 0xFFFF
    return x


def late_python(end):
    while time.thread_time_ns() < end:
        step(300)


def late_native(end):
    while time.thread_time_ns() < end:
        situations.spin(200_000)


def run(function, nanoseconds, results):
    libc.prctl(PR_SET_NAME, function.__name__.encode(), 0, 0, 0)
    start = time.thread_time_ns()
    function(start + nanoseconds)
    results.append(
        {
            "id": threading.get_native_id(),
            "name": function.__name__,
            "cpu_ns": time.thread_time_ns() - start,
        }
    )


if __name__ == "__main__":
    nanoseconds = int(gate.argument(1, 0.5) * 1e9)
    libc = ctypes.CDLL(None)
    results = []
    gate.wait()
    for function in (late_python, late_native):
        thread = threading.Thread(target=run, args=(function, nanoseconds, results))
        thread.start()
        thread.join()
    gate.report(threads=results)
