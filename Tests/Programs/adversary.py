"""adversary.py KIND: breaks proofs that look at addresses only. Prints `ready`, then runs until its input ends.

callers     the same frames at the same addresses, called by others each time, through a C callback
generators  frames that live on the heap and are resumed by changing callers
recursion   the same function through the same boundary, at changing depths
chunks      recursion deep enough to leave and enter chunks of the data stack
calls       fast calls of pure Python
sleeper     sleeps and wakes thousands of times a second
threads     four threads that hand the GIL around
"""

import sys
import threading
import time


def leaf(n):
    total = 0
    for i in range(n):
        total += i
    return total


def key_a(x):
    return leaf(3) + x


def key_b(x):
    return leaf(4) + x


def callers_left(values):
    return sorted(values, key=key_a)


def callers_right(values):
    return sorted(values, key=key_b)


def callers():
    values = [3, 1, 2]
    callers_left(values)
    callers_right(values)


def produce(n):
    for i in range(n):
        yield leaf(2) + i


def consume_left(source):
    return next(source)


def consume_right(source):
    return next(source)


def generators():
    source = produce(20)
    for _ in range(10):
        consume_left(source)
        consume_right(source)


def descend(depth):
    if depth:
        return max([depth], key=lambda _: descend(depth - 1))
    return leaf(5)


def recursion():
    for depth in (1, 5, 2, 4, 3):
        descend(depth)


def plain(depth):
    return plain(depth - 1) + 1 if depth else leaf(2)


def chunks():
    for depth in (150, 20, 180, 60):
        plain(depth)


def f1():
    return 1


def f2():
    return f1() + 1


def f3():
    return f2() + f1()


def calls():
    for _ in range(20):
        f3()
        f2()


def sleeper():
    callers()
    time.sleep(0.0001)


def thread():
    while True:
        callers()


kind = sys.argv[1]
if kind == "threads":
    for _ in range(3):
        threading.Thread(target=thread, daemon=True).start()
work = callers if kind == "threads" else globals()[kind]
print("ready", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), __import__("os")._exit(0)), daemon=True).start()
while True:
    work()
