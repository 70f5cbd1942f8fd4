"""What the programs of this folder share: a gate, so that a test knows where the program is, and a result.

A program does its set-up, prints `ready PID` and waits for a line on its standard input; at the end it
prints one line of JSON. Nothing waits for time to pass. With --no-gate it runs through. The compiled
extension is found in the folder after --extension, else by PYTHONPATH.
"""

import json
import os
import sys


def _option(name):
    if name not in sys.argv:
        return None
    place = sys.argv.index(name)
    del sys.argv[place]
    return sys.argv.pop(place)


_no_gate = "--no-gate" in sys.argv
if _no_gate:
    sys.argv.remove("--no-gate")
_folder = _option("--extension")
if _folder is not None:
    sys.path.insert(0, _folder)


def argument(position, default):
    """The argument at `position`, counted from 1, with the type of `default`."""
    return type(default)(sys.argv[position]) if len(sys.argv) > position else default


def line():
    """The next line of standard input; not one byte more is read, an exec'd program may want it."""
    text = b""
    while not text.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        text += byte
    return text.decode()


def say(text):
    """Prints `text` as one line, at once."""
    os.write(1, text.encode() + b"\n")


def wait():
    """Says that the program is ready and waits for a line; the end of standard input ends the program."""
    if _no_gate:
        return
    say("ready %d" % os.getpid())
    if not line():
        sys.exit("the test ended before the program did")


def report(**values):
    """Prints what the program knows about itself."""
    say(json.dumps(values))
