"""short_script.py [MILLISECONDS]: a whole run of Python, start-up included, of about 50 ms of CPU time.

It works in a few Python functions and in C code of the standard library. It has no gate: what is asked is what a
profiler sees of a program that is over before one looks. Reports its CPU time from its first instruction on.
"""

import sys
import time
import zlib


def in_python(rounds):
    total = 0
    for number in range(rounds):
        total += number * number % 7
    return total


def in_c(text):
    return zlib.crc32(zlib.compress(text, 9))


def work(until):
    rounds = 0
    while time.process_time() < until:
        in_python(500)
        in_c(b"caduceus" * 500)
        rounds += 1
    return rounds


rounds = work((float(sys.argv[1]) if len(sys.argv) > 1 else 50.0) / 1000)
print('{"rounds": %d, "cpu_ns": %d}' % (rounds, time.process_time_ns()))
