"""kernel_objects.py PID...: what of the kernel's sampling objects exists now, as JSON.

programs: [id, name, [PIDs that hold a descriptor of it]] for each eBPF program; maps: the same for each map;
events: {PID: number of perf event descriptors} for the given processes.
"""

import ctypes
import json
import os
import struct
import sys

SYS_BPF = 321  # x86-64
PROG_GET_NEXT_ID, MAP_GET_NEXT_ID, PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID, GET_INFO = 11, 12, 13, 14, 15
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    return libc.syscall(SYS_BPF, command, buffer, 128), buffer.raw


def ids(command):
    number = 0
    while True:
        result, buffer = bpf(command, struct.pack("II", number, 0))
        if result != 0:
            return
        number = struct.unpack_from("I", buffer, 4)[0]
        yield number


def name(command, number, offset):
    descriptor, _ = bpf(command, struct.pack("III", number, 0, 0))
    if descriptor < 0:
        return None  # It has gone meanwhile.
    info = ctypes.create_string_buffer(256)
    bpf(GET_INFO, struct.pack("IIQ", descriptor, 256, ctypes.addressof(info)))
    os.close(descriptor)
    return info.raw[offset : offset + 16].split(b"\0")[0].decode()


def descriptors():
    """(PID, link, fdinfo path) of every descriptor that is no file."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            for number in os.listdir("/proc/%s/fd" % pid):
                link = os.readlink("/proc/%s/fd/%s" % (pid, number))
                if link.startswith("anon_inode:"):
                    yield int(pid), link, "/proc/%s/fdinfo/%s" % (pid, number)
        except OSError:
            continue


def holders():
    programs, maps, events = {}, {}, {}
    for pid, link, path in descriptors():
        if link == "anon_inode:[perf_event]":
            events[pid] = events.get(pid, 0) + 1
            continue
        if not link.startswith("anon_inode:bpf"):
            continue
        try:
            with open(path) as file:
                fields = dict(line.split(":", 1) for line in file if ":" in line)
        except OSError:
            continue
        for key, table in (("prog_id", programs), ("map_id", maps)):
            if key in fields:
                table.setdefault(int(fields[key]), set()).add(pid)
    return programs, maps, events


# bpf_prog_info.name is at 64, bpf_map_info.name at 24 (include/uapi/linux/bpf.h).
found = [
    [(number, name(by_id, number, offset)) for number in ids(command)]
    for command, by_id, offset in ((PROG_GET_NEXT_ID, PROG_GET_FD_BY_ID, 64), (MAP_GET_NEXT_ID, MAP_GET_FD_BY_ID, 24))
]
programs, maps, events = holders()
print(
    json.dumps(
        {
            "programs": [[n, text, sorted(programs.get(n, ()))] for n, text in found[0] if text is not None],
            "maps": [[n, text, sorted(maps.get(n, ()))] for n, text in found[1] if text is not None],
            "events": {pid: events.get(int(pid), 0) for pid in sys.argv[1:]},
        }
    )
)
