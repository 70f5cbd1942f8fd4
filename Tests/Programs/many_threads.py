"""many_threads.py [COUNT] [SECONDS] [--churn]: COUNT threads that are all alive before the gate opens.

Thread k runs worker_k, which spins in C without the GIL (sit_spin_released) for SECONDS times its share of CPU
time; the shares are 1, 2, 3, 1, 2, 3, ... With --churn a further thread starts and ends threads (short_lived,
1 ms of CPU time each) until the others are done.

Reports per thread: native id, name, share, and CPU time from the gate to its end, measured by itself. And every path
that may be in a stack of the threads and of the main thread, as far as this program decides it.
"""

import sys
import threading
import time

import gate
import situations

WORKER = """\
def worker_{k}(nanoseconds):
    return situations.spin_released(nanoseconds)
"""


def run(worker, share, nanoseconds, results):
    ready.release()
    opened.wait()
    start = time.thread_time_ns()
    worker(int(share * nanoseconds))
    used = time.thread_time_ns() - start
    results.append(
        {"id": threading.get_native_id(), "name": worker.__name__, "share": share, "cpu_ns": used}
    )


def short_lived(used):
    start = time.thread_time_ns()
    situations.spin_released(1_000_000)
    used.append(time.thread_time_ns() - start)


def keep_creating(used):
    ready.release()
    opened.wait()
    while not done.is_set():
        thread = threading.Thread(target=short_lived, args=(used,))
        thread.start()
        thread.join()


if __name__ == "__main__":
    churn = "--churn" in sys.argv
    if churn:
        sys.argv.remove("--churn")
    count, nanoseconds = gate.argument(1, 24), gate.argument(2, 0.5) * 1e9
    ready, opened, done = threading.Semaphore(0), threading.Event(), threading.Event()
    results, short_used, workers = [], [], {"situations": situations}
    exec(compile("".join(WORKER.format(k=k) for k in range(count)), "<workers>", "exec"), workers)
    threads = [
        threading.Thread(target=run, args=(workers["worker_%d" % k], 1 + k % 3, nanoseconds, results))
        for k in range(count)
    ]
    creator = threading.Thread(target=keep_creating, args=(short_used,))
    started = threads + [creator] * churn
    for thread in started:
        thread.start()
    for _ in started:
        ready.acquire()
    gate.wait()
    start = time.process_time_ns()
    opened.set()
    for thread in threads:
        thread.join()
    done.set()
    if churn:
        creator.join()
    gate.report(
        threads=sorted(results, key=lambda result: result["id"]),
        short_threads=len(short_used),
        short_cpu_ns=sum(short_used),
        process_cpu_ns=time.process_time_ns() - start,
        paths=[["run", name, "sit_spin_released"] for name in sorted(workers) if name.startswith("worker_")]
        + [["<module>"]],
    )
