"""situation_of_process.py: what a program finds when it is started, as one line of JSON: arguments, environment,
working directory, identity, signals, limits, descriptors. Who its parent is is left out."""

import json
import os
import resource
import sys

with open("/proc/self/status") as file:
    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
names = ["Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "SigBlk", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
# The interpreter itself ignores SIGPIPE and SIGXFSZ and handles SIGINT.
own = sum(1 << (number - 1) for number in (2, 13, 25))
umask = os.umask(0)
os.umask(umask)
limits = [name for name in dir(resource) if name.startswith("RLIMIT_")]
print(
    json.dumps(
        {
            "arguments": sys.argv[1:],
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "status": {name: status.get(name) for name in names},
            "ignored": "%x" % (int(status["SigIgn"], 16) & ~own),
            "session": os.getsid(0),
            "umask": umask,
            "priority": os.getpriority(os.PRIO_PROCESS, 0),
            "processors": sorted(os.sched_getaffinity(0)),
            "limits": {name: resource.getrlimit(getattr(resource, name)) for name in limits},
            "descriptors": sorted(os.listdir("/proc/self/fd")),
            "oom": open("/proc/self/oom_score_adj").read(),
        }
    )
)
