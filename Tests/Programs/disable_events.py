"""disable_events.py PID: takes copies of the cpu-clock events of process PID (pidfd_getfd(2)) and disables them, behind
the process's back. Prints how many there were. Needs root.
"""

import ctypes
import fcntl
import os
import sys

PIDFD_GETFD = 438  # x86-64
PERF_EVENT_IOC_DISABLE = 0x2401
# What is read from a clock event: value, time enabled, time running, lost. Other events of caduceus have three words.
CLOCK_EVENT_BYTES = 32

if __name__ == "__main__":
    pid = int(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    disabled = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{name}") != "anon_inode:[perf_event]":
            continue
        event = libc.syscall(PIDFD_GETFD, process, int(name), 0)
        if event < 0:
            raise OSError(ctypes.get_errno(), f"pidfd_getfd {name}")
        if len(os.read(event, 64)) == CLOCK_EVENT_BYTES:
            fcntl.ioctl(event, PERF_EVENT_IOC_DISABLE, 0)
            disabled += 1
        os.close(event)
    print(disabled)
