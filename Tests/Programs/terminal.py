"""terminal.py COMMAND ARGUMENTS...: runs a command on a terminal of its own, types Ctrl-C when it says `ready`,
then sends it SIGTERM when it says `got SIGINT`; prints everything it said and its exit status as JSON."""

import json
import os
import pty
import signal
import sys

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
said, typed, sent = b"", False, False
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:
        break
    if not data:
        break
    said += data
    if b"ready" in said and not typed:
        typed = True
        os.write(terminal, b"\x03")
    if b"got SIGINT" in said and not sent:
        sent = True
        os.kill(pid, signal.SIGTERM)
_, status = os.waitpid(pid, 0)
print(json.dumps({"said": said.decode(), "status": os.waitstatus_to_exitcode(status)}))
