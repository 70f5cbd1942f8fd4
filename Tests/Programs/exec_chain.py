"""exec_chain.py SECONDS PYTHON [EXTENSION_FOLDER]: burns CPU time in functions named before_*, then replaces
itself (exec, same process id) by PYTHON running exec_after.py, whose functions are named after_*.

PYTHON may be another version; EXTENSION_FOLDER has `situations` for it. There is a second gate after the exec.
Prints one line of JSON before the exec and one at the end: a name of the one kind in a sample that was taken in
the other's time is wrong.
"""

import os
import sys
import time

import gate
import situations


def before_spin(nanoseconds):
    situations.spin(nanoseconds)


def before_main(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        before_spin(1_000_000)


if __name__ == "__main__":
    seconds, python = gate.argument(1, 1.0), gate.argument(2, sys.executable)
    folder = gate.argument(3, os.path.dirname(situations.__file__))
    gate.wait()
    start = time.process_time_ns()
    before_main(seconds)
    gate.report(part="before", version=sys.version.split()[0], cpu_ns=time.process_time_ns() - start)
    after = os.path.join(os.path.dirname(os.path.abspath(__file__)), "exec_after.py")
    os.execv(python, [python, after, "--extension", folder, str(seconds)])
