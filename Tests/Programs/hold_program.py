"""hold_program.py: reads a process id behind the gate, takes over a copy of the descriptor of the eBPF program that this
process has loaded (pidfd_getfd(2)), says `held`, waits for a line and reports how often the kernel ran the program.

The copy keeps the program's statistics alive after the process has ended. They are counted while kernel.bpf_stats_enabled
is 1, which is set here and put back at the end.
"""

import ctypes
import os
import sys

import gate

PIDFD_GETFD = 438
SETTING = "/proc/sys/kernel/bpf_stats_enabled"


def run_count(process, descriptor):
    with open("/proc/%s/fdinfo/%d" % (process, descriptor)) as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    return int(fields["run_cnt"]) if "run_cnt" in fields else None


def held(process):
    for descriptor in sorted(map(int, os.listdir("/proc/%d/fdinfo" % process))):
        if run_count(process, descriptor) is not None:
            copy = libc.syscall(PIDFD_GETFD, os.pidfd_open(process), descriptor, 0)
            if copy < 0:
                raise OSError(ctypes.get_errno(), "pidfd_getfd")
            return copy
    sys.exit("process %d has loaded no eBPF program" % process)


def set_statistics(value):
    with open(SETTING, "w") as file:
        file.write(value)


if __name__ == "__main__":
    libc = ctypes.CDLL(None, use_errno=True)
    with open(SETTING) as file:
        before = file.read()
    set_statistics("1")
    try:
        gate.wait()
        program = held(int(gate.line()))
        gate.say("held")
        gate.line()
        gate.report(runs=run_count("self", program))
    finally:
        set_statistics(before)
