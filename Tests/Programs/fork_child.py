"""fork_child.py [SECONDS]: a process and a child that it forks, at work at the same time.

The parent burns SECONDS of CPU time in parent_work (sit_lane_3), the child in child_work (sit_lane_4): a sample of
the one with the other's names is wrong. Reports the CPU time and the process id of both.
"""

import os
import time

import gate
import situations


def burn(work, seconds):
    start = time.process_time_ns()
    while time.process_time_ns() - start < seconds * 1e9:
        work()
    return time.process_time_ns() - start


def parent_work():
    situations.lane_3(200_000)


def child_work():
    situations.lane_4(200_000)


if __name__ == "__main__":
    seconds = gate.argument(1, 1.0)
    gate.wait()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"%d" % burn(child_work, seconds))
        os._exit(0)
    parent_cpu = burn(parent_work, seconds)
    _, status = os.waitpid(child, 0)
    gate.report(
        parent=os.getpid(),
        parent_cpu_ns=parent_cpu,
        child=child,
        child_cpu_ns=int(os.read(reader, 32)),
        child_status=os.waitstatus_to_exitcode(status),
    )
