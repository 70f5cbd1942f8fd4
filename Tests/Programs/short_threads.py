"""short_threads.py [native|python] [COUNT] [MICROSECONDS]: COUNT threads of MICROSECONDS of CPU time each, one
after another. `native` threads come from C and never touch Python; `python` ones are threading.Thread.

Reports the CPU time that the threads measured in themselves and that of the whole process since the gate.
"""

import threading
import time

import gate
import situations


def short_thread(nanoseconds, used):
    start = time.thread_time_ns()
    situations.spin(nanoseconds)
    used.append(time.thread_time_ns() - start)


def python_threads(count, nanoseconds):
    used = []
    for _ in range(count):
        thread = threading.Thread(target=short_thread, args=(nanoseconds, used))
        thread.start()
        thread.join()
    return sum(used)


if __name__ == "__main__":
    kind = gate.argument(1, "native")
    count, nanoseconds = gate.argument(2, 1500), gate.argument(3, 800) * 1000
    run = {"native": situations.native_threads, "python": python_threads}[kind]
    gate.wait()
    start = time.process_time_ns()
    used = run(count, nanoseconds)
    gate.report(threads=count, threads_cpu_ns=used, process_cpu_ns=time.process_time_ns() - start)
