"""terminal.py [--type WORD TEXT]... [--signal WORD NAME]... [--size COLUMNS] COMMAND ARGUMENTS...

Runs a command on a terminal of its own, 100 columns wide where nothing else is asked for. When the command has
said WORD, TEXT is typed (`^C` for Ctrl-C) or the signal sent to the command, each once and in the order given.
Prints everything the command said and its exit status as JSON.
"""

import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios

arguments = sys.argv[1:]
actions, columns = [], 100
while arguments and arguments[0] in ("--type", "--signal", "--size"):
    if arguments[0] == "--size":
        columns, arguments = int(arguments[1]), arguments[2:]
    else:
        actions.append(arguments[:3])
        arguments = arguments[3:]

reader, writer = os.pipe()
pid, terminal = pty.fork()
if pid == 0:
    os.read(reader, 1)  # the terminal has its size
    os.execvp(arguments[0], arguments)
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
os.write(writer, b"x")
said, seen = b"", 0
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    said += data
    while actions:
        kind, word, value = actions[0]
        place = said.find(word.encode(), seen)
        if place < 0:
            break
        seen = place + len(word.encode())
        actions.pop(0)
        if kind == "--type":
            os.write(terminal, value.replace("^C", "\x03").encode())
        else:
            os.kill(pid, getattr(signal, value))
_, status = os.waitpid(pid, 0)
print(json.dumps({"said": said.decode(), "status": os.waitstatus_to_exitcode(status)}))
