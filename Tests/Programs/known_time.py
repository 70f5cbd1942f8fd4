"""known_time.py SITUATION [SECONDS]: uses CPU time in the way that SITUATION names, for about SECONDS of wall time, and
reports how much it was: `cpu_ns` of the process from the gate to its end, `total_ns` since it was started, by the
kernel's clock of the process. `known_time.py` prints the situations.
"""

import os
import sys
import threading
import time

import gate

SITUATIONS = {}


def situation(*arguments):
    """The decorated function, called with the arguments and the seconds, is a situation named after both."""

    def add(function):
        name = "-".join([function.__name__] + [str(argument) for argument in arguments]).replace("_", "-")
        SITUATIONS[name] = lambda seconds: function(*arguments, seconds)
        return function

    return add


def spin(milliseconds):
    """Uses CPU time of this thread."""
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


def threads(count, target, *arguments):
    """Starts as many threads and waits for them."""
    started = [threading.Thread(target=target, args=arguments) for _ in range(count)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def until(seconds):
    """Goes on for a time of the wall clock."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


@situation()
def steady(seconds):
    spin(seconds * 1000)


@situation(0.3, 0.7)
@situation(0.5, 0.5)
@situation(0.9, 0.1)
@situation(1, 1)
@situation(1.1, 0.9)
@situation(3, 7)
@situation(10, 90)
def burst(on, off, seconds):
    """So many milliseconds of work, then so many of sleep, over and over."""
    for _ in until(seconds):
        spin(on)
        time.sleep(off / 1000)


@situation(1)
@situation(10)
def ticks(milliseconds, seconds):
    """A fifth of each cycle is work; the cycles are those of the wall clock, without drift."""
    start = time.monotonic()
    for number, _ in enumerate(until(seconds)):
        spin(milliseconds / 5)
        time.sleep(max(0, start + (number + 1) * milliseconds / 1000 - time.monotonic()))


@situation(2)
@situation(8)
@situation(64)
def busy_threads(count, seconds):
    threads(count, lambda: spin(seconds * 1000 / count))


@situation(8)
def hand_over(count, seconds):
    """Threads that give the interpreter lock to each other all the time."""

    def work():
        for _ in until(seconds):
            spin(0.05)
            time.sleep(0)

    threads(count, work)


@situation(0.3)
@situation(0.8)
@situation(2.5)
def short_threads(milliseconds, seconds):
    """One short thread after the other."""
    for _ in until(seconds):
        threads(1, spin, milliseconds)


@situation()
def thread_each_millisecond(seconds):
    """A thread of 0.2 ms is started at each millisecond of the wall clock."""
    start = time.monotonic()
    for number, _ in enumerate(until(seconds)):
        threading.Thread(target=spin, args=(0.2,)).start()
        time.sleep(max(0, start + (number + 1) / 1000 - time.monotonic()))


@situation()
def short_threads_first(seconds):
    """Short threads for a while, then ordinary work."""
    for _ in range(400):
        threads(1, spin, 0.3)
    spin(seconds * 1000)


@situation(500)
@situation(2000)
def idle_threads(count, seconds):
    """Threads that wake now and then for a tenth of a millisecond."""
    end = time.monotonic() + seconds

    def work(number):
        time.sleep(seconds * number / count / 4)
        while time.monotonic() < end:
            spin(0.1)
            time.sleep(seconds / 4)

    started = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


@situation()
def children_beside(seconds):
    """Work, while another thread starts one program after the other."""
    done = threading.Event()

    def start():
        while not done.is_set():
            os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)

    starter = threading.Thread(target=start)
    starter.start()
    spin(seconds * 800)
    done.set()
    starter.join()


@situation()
def forks(seconds):
    """The process forks itself; the children end at once."""
    for _ in until(seconds):
        spin(2)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)


@situation()
def system_calls(seconds):
    """Half of the time in the kernel."""
    with open("/dev/zero", "rb", buffering=0) as zero:
        buffer = bytearray(1 << 16)
        for _ in until(seconds):
            zero.readinto(buffer)


@situation()
def sleeper(seconds):
    time.sleep(seconds)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print("\n".join(SITUATIONS))
        sys.exit()
    work, seconds = SITUATIONS[gate.argument(1, "")], gate.argument(2, 2.0)
    gate.wait()
    start = time.process_time_ns()
    work(seconds)
    end = time.process_time_ns()
    gate.report(cpu_ns=end - start, total_ns=end)
