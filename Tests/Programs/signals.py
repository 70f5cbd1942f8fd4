"""signals.py [STATUS]: says `got NAME` for every SIGUSR1, SIGTERM and SIGINT that it is sent, one line each.

SIGUSR1 changes nothing else; SIGTERM and SIGINT end it with STATUS (default 7). With `default` as STATUS it
handles only SIGUSR1, so that the other two kill it. It waits in a system call and uses no CPU time.
"""

import os
import signal
import sys

import gate


def handle(number, frame):
    """The number arrives through the wake-up descriptor; a handler must exist for that."""


if __name__ == "__main__":
    status = gate.argument(1, "7")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    handled = [signal.SIGUSR1] + [signal.SIGTERM, signal.SIGINT] * (status != "default")
    for number in handled:
        signal.signal(number, handle)
    if status == "default":
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gate.say("ready %d" % os.getpid())
    while True:
        number = os.read(reader, 1)[0]
        gate.say("got " + signal.Signals(number).name)
        if number != signal.SIGUSR1:
            sys.exit(int(status))
