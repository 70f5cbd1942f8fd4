"""rates.py CADUCEUS [-s SECONDS] [SITUATION...]: samples per CPU-second of known_time.py's situations, in every mode.
1000 are right. A mark follows a rate that is not within 2 % and 4.5 standard deviations; ! follows where caduceus itself
says that something is wrong. Needs the rights to sample; /bin/sh and this Python are all it uses.
"""

import json
import os
import re
import subprocess
import sys
import tempfile

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "known_time.py")
MODES = [
    (command, options)
    for command in ("run", "attach")
    for options in (["--all-threads"], ["--per-cpu"], ["--no-bpf"])
]


def python():
    finder = os.path.join(os.path.dirname(PROGRAM), "find_pythons.sh")
    return subprocess.run(["sh", finder], check=True, capture_output=True, text=True).stdout.strip()


def measure(caduceus, command, options, interpreter, name, seconds, folder):
    """(nanoseconds of CPU time, interrupts, what caduceus said)"""
    program = [interpreter, PROGRAM, name, str(seconds)]
    sampler = [caduceus, command, *options, "--ledger", "--collapsed", "-o", os.path.join(folder, "stacks")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    errors = os.path.join(folder, "errors")
    with open(errors, "w+") as said:
        if command == "run":
            target = subprocess.Popen(sampler + ["--"] + program, stderr=said, **pipes)
            target.stdout.readline()
        else:
            target = subprocess.Popen(program, **pipes)
            target.stdout.readline()
            attached = subprocess.Popen(sampler + [str(target.pid)], stderr=said)
            # It says what it samples before it waits for the first samples.
            while not open(errors).read().count("\n") or not waits(attached.pid):
                if attached.poll() is not None:
                    raise SystemExit(open(errors).read())
        output, _ = target.communicate("go\n")
        if command == "attach":
            attached.wait()
        said.seek(0)
        text = said.read()
    values = json.loads(output.splitlines()[-1])
    found = re.search(r"([\d,]+)  interrupts of the target", text)
    used = values["total_ns" if command == "run" else "cpu_ns"]
    return used, int(found[1].replace(",", "")) if found else 0, text


def waits(pid):
    """Whether a process waits in poll(2) (proc_pid_syscall(5))."""
    try:
        return open(f"/proc/{pid}/syscall").read().startswith("7 ")
    except OSError:
        return False


def cell(used, found, text):
    expected = used / 1e6
    if expected < 50:
        return f"{found} of {expected:.0f}" + "!" * ("ERROR" in text)
    # What the start of a program and the last period of a thread may take, and chance.
    bound = 0.02 * expected + 4.5 * expected**0.5
    return f"{1000 * found / expected:.0f}" + "*" * (abs(found - expected) > bound) + "!" * ("ERROR" in text)


def main():
    arguments = sys.argv[1:]
    seconds = 3.0
    if "-s" in arguments:
        place = arguments.index("-s")
        seconds = float(arguments[place + 1])
        del arguments[place : place + 2]
    caduceus, names = arguments[0], arguments[1:]
    interpreter = python()
    if not names:
        names = subprocess.run([interpreter, PROGRAM], capture_output=True, text=True).stdout.split()
    heads = [command + " " + options[0].lstrip("-") for command, options in MODES]
    print(" " * 26 + "".join(f"{head:>18}" for head in heads))
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            print(f"{name:26}", end="", flush=True)
            for command, options in MODES:
                print(f"{cell(*measure(caduceus, command, options, interpreter, name, seconds, folder)):>18}",
                      end="", flush=True)
            print(flush=True)


if __name__ == "__main__":
    main()
