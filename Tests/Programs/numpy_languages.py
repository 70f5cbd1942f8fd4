"""numpy_languages.py [SECONDS]: numpy's code in every language that it is written in, and the interpreter's own.

    callbacks  -> a ufunc of numpy's, C
    product    -> OpenBLAS by its C interface
    decompose  -> LAPACK, Fortran
    transform  -> pocketfft, C++
    draw       -> numpy.random, Cython
    order      -> list.sort, the interpreter

Needs numpy.
"""

import sys
import time

import numpy


def callbacks():
    ufunc(few)


def product():
    table @ table


def decompose():
    numpy.linalg.svd(table)


def transform():
    numpy.fft.fft(many)


def draw():
    generator.shuffle(words)


def order():
    sorted(words)


def main(seconds):
    for work in (callbacks, product, decompose, transform, draw, order):
        end = time.process_time() + seconds / 6
        while time.process_time() < end:
            work()


generator = numpy.random.default_rng(1)
ufunc = numpy.frompyfunc(lambda value: value, 1, 1)
few, many, table = numpy.arange(1000), generator.random(20000), generator.random((120, 120))
words = [str(number) for number in range(3000)]
main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)
