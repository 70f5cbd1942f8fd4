"""accuracy_threads.py [SECONDS]: four threads at once for SECONDS of CPU time each (times their share): two that
compete for the GIL in Python, two that work in C without it.

Reports `clocks`, CPU time per thread function by the thread's own clock, and `edges`, the legal calls.
"""

import threading
import time

import gate
import accuracy


def count_1(n):
    x = 1
    for i in range(n):
        x = (x * 31 + i) & 0xFFFF
    return x


def count_2(n):
    x = 1
    for i in range(n):
        x = (x * 17 + i) & 0xFFFF
    return x


def bound_1(end):
    while time.thread_time_ns() < end:
        count_1(300)


def bound_2(end):
    while time.thread_time_ns() < end:
        count_2(300)


def free_1(end):
    while time.thread_time_ns() < end:
        accuracy.released(150_000)


def free_2(end):
    while time.thread_time_ns() < end:
        accuracy.released(90_000)


def thread(function, nanoseconds):
    ready.release()
    opened.wait()
    start = time.thread_time_ns()
    function(start + nanoseconds)
    clocks[function.__name__] = time.thread_time_ns() - start


if __name__ == "__main__":
    seconds = gate.argument(1, 1.0)
    ready, opened, clocks = threading.Semaphore(0), threading.Event(), {}
    shares = [(bound_1, 1.0), (bound_2, 0.5), (free_1, 1.0), (free_2, 1.5)]
    threads = [threading.Thread(target=thread, args=(f, int(share * seconds * 1e9))) for f, share in shares]
    for one in threads:
        one.start()
    for _ in threads:
        ready.acquire()
    gate.wait()
    opened.set()
    for one in threads:
        one.join()
    edges = [["thread", f.__name__] for f, _ in shares]
    edges += [["bound_1", "count_1"], ["bound_2", "count_2"], ["free_1", "acc_released"], ["free_2", "acc_released"]]
    gate.report(clocks=clocks, edges=edges, main_cpu_ns=sum(clocks.values()))
