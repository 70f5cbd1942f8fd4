"""sandwich.py [SECONDS]: Python and C in turns, with known stacks.

    sort_them -> list.sort or sorted -> sort_key -> sit_hop -> under_key -> sit_spin
    map_them  -> list of map         -> map_item -> sit_hop -> under_map -> sit_lane_1
    fold_them -> functools.reduce    -> fold_two -> sit_lane_2

Reports every path that may be in a stack, from the root to the leaf, as far as this program decides it: the names
of its own Python functions and of the functions of `situations`. A stack without any other frame of these names
is one of the paths or the beginning of one.
"""

import functools
import time

import gate
import situations


def under_key(number):
    situations.spin(5000)
    return -number


def sort_key(number):
    return situations.hop(under_key, number)


def sort_them(numbers):
    copy = sorted(numbers, key=sort_key)
    copy.sort(key=sort_key)
    return copy


def under_map(number):
    situations.lane_1(3000)
    return number


def map_item(number):
    return situations.hop(under_map, number)


def map_them(numbers):
    return list(map(map_item, numbers))


def fold_two(left, right):
    situations.lane_2(3000)
    return left + right


def fold_them(numbers):
    return functools.reduce(fold_two, numbers)


def main(seconds):
    end = time.process_time() + seconds
    numbers = list(range(50))
    while time.process_time() < end:
        sort_them(numbers)
        map_them(numbers)
        fold_them(numbers)


if __name__ == "__main__":
    seconds = gate.argument(1, 2.0)
    gate.wait()
    start = time.process_time_ns()
    main(seconds)
    gate.report(
        cpu_ns=time.process_time_ns() - start,
        paths=[
            ["<module>", "main", "sort_them", "sort_key", "sit_hop", "under_key", "sit_spin"],
            ["<module>", "main", "map_them", "map_item", "sit_hop", "under_map", "sit_lane_1"],
            ["<module>", "main", "fold_them", "fold_two", "sit_lane_2"],
        ],
    )
