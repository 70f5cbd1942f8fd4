"""result.py [ROUNDS]: a computation whose result is known: 78,498 primes are below one million, the last one is
999,983, their sum is 37,550,402,023, and their CRC-32 as little-endian 32-bit words is the same in every round.

Works in Python, in C that calls Python (a sort with a key) and in C alone. Whatever happens to a profiler that
watches it, it ends with status 0 and prints `"right": true`.
"""

import array
import sys
import zlib

import gate


def sieve(limit):
    marks = bytearray(b"\1") * limit
    marks[0:2] = b"\0\0"
    for number in range(2, int(limit**0.5) + 1):
        if marks[number]:
            marks[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(limit) if marks[number]]


def backwards(number):
    return -number


def one_round():
    primes = sorted(sieve(1_000_000), key=backwards)
    primes.reverse()
    words = array.array("I", primes)
    if sys.byteorder != "little":
        words.byteswap()
    return len(primes), primes[-1], sum(primes), zlib.crc32(words.tobytes())


if __name__ == "__main__":
    rounds = gate.argument(1, 3)
    gate.wait()
    results = {one_round() for _ in range(rounds)}
    count, last, total, checksum = results.pop()
    right = not results and (count, last, total) == (78_498, 999_983, 37_550_402_023)
    gate.report(right=right, rounds=rounds, crc32=checksum)
    sys.exit(0 if right else 1)
