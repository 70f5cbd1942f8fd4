"""exec_after.py [SECONDS]: what exec_chain.py turns into. CPU time is burnt in functions named after_*."""

import sys
import time

import gate
import situations


def after_lane(rounds):
    situations.lane_7(rounds)


def after_main(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        after_lane(200_000)


if __name__ == "__main__":
    seconds = gate.argument(1, 1.0)
    gate.wait()
    start = time.process_time_ns()
    after_main(seconds)
    gate.report(part="after", version=sys.version.split()[0], cpu_ns=time.process_time_ns() - start)
