"""exit_status.py STATUS: ends with that status. exit_status.py NAME: is killed by that signal (SIGKILL, ...)."""

import os
import signal
import sys

what = sys.argv[1]
if what.startswith("SIG"):
    # A core file would be left where the test runs.
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.Signals[what], signal.SIG_DFL) if what not in ("SIGKILL", "SIGSTOP") else None
    os.kill(os.getpid(), signal.Signals[what])
sys.exit(int(what))
