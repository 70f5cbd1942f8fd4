"""numpy_calls.py [SECONDS]: Python that calls numpy, and numpy that calls Python, with known stacks.

    elements -> a ufunc's inner loop over Python objects -> element -> sit_spin
    rows     -> numpy.apply_along_axis (Python of numpy's own) -> row -> sit_lane_1
    sort, transform, product -> numpy's and OpenBLAS's own code

Needs numpy. Reports every path that may be in a stack, from the root to the leaf, as far as this program decides it:
the names of its own Python functions and of the functions of `situations`.
"""

import time

import gate
import numpy
import situations


def element(value):
    situations.spin(5000)
    return value


def elements():
    ufunc(few)


def row(values):
    situations.lane_1(3000)
    return values[0]


def rows():
    numpy.apply_along_axis(row, 1, table)


def sort():
    numpy.sort(many)


def transform():
    numpy.fft.fft(many)


def product():
    table @ table.T


def main(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        for work in (elements, rows, sort, transform, product):
            work()


if __name__ == "__main__":
    seconds = gate.argument(1, 2.0)
    ufunc = numpy.frompyfunc(element, 1, 1)
    few, many = numpy.arange(20), numpy.random.default_rng(1).random(2000)
    table = numpy.ones((40, 40))
    gate.wait()
    start = time.process_time_ns()
    main(seconds)
    top = ["<module>", "main"]
    gate.report(
        cpu_ns=time.process_time_ns() - start,
        paths=[
            top + ["elements", "element", "sit_spin"],
            top + ["rows", "row", "sit_lane_1"],
            top + ["sort"],
            top + ["transform"],
            top + ["product"],
        ],
    )
