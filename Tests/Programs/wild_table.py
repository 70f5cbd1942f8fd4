"""Runs the situations of in_the_wild.py under caduceus and judges every stack by the situation's own truth.

    wild_table.py --binary CADUCEUS --extension FOLDER [--seconds S] [--interval US] [--modes M,...] [SITUATION ...]

The interpreter that runs this also runs the programs. Modes: run, attach, and each with -nobpf. A row per situation and
mode: samples counted whole and how many of these are wrong, samples shown in part and how many of those contradict the
truth, and the share of the measured side. Exit status 1 where anything is wrong.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile

FRAME = re.compile(r"(?:(?P<file>.*):(?P<function>[^:]+):-?\d+|(?P<symbol>.*) \((?P<module>[^()]+)\))\Z")


# Helpers of the situations, and functions whose last call is a jump.
PASSED_OVER = {"in_a_thread", "call"}


def own_frames(stack):
    """The frames of in_the_wild.py and wild.c, and whether the stack has a marker."""
    names, marked = [], False
    for frame in stack.split(";"):
        if re.fullmatch(r"\[[a-zA-Z ]+\]", frame):
            marked = True
            names.append(None)
            continue
        match = FRAME.match(frame)
        if not match:
            continue
        if match["file"] is not None:
            name = re.sub(r"^.*\.", "", match["function"]) if "<" not in match["function"] else match["function"]
            if os.path.basename(match["file"]) == "in_the_wild.py":
                names.append(name)
            elif match["file"] == "<string>" and "<" not in name:
                names.append("sub:" + name)
        elif match["module"] == "wild.so":
            names.append(match["symbol"])
    def is_passed_over(name):
        return name in PASSED_OVER or name and ("<listcomp>" in name or name.endswith("@plt"))

    return [name for name in names if not is_passed_over(name)], marked


def begins(path, names):
    return path[: len(names)] == names


def is_legal(names, paths, anywhere):
    if any(begins(path, names) for path in paths):
        return True
    for count in range(1, len(anywhere) + 1):
        if names[-count:] == anywhere[:count] and any(begins(path, names[:-count]) for path in paths):
            return True
    return False


def may_be_part(names, paths, anywhere):
    """Whether what stands between markers occurs in that order in some path."""
    for path in paths:
        full, place = path + anywhere, 0
        for name in names:
            if name is None:
                continue
            try:
                place = full.index(name, place) + 1
            except ValueError:
                break
        else:
            return True
    return False


def profile(options, mode, name, folder):
    stacks, report = os.path.join(folder, "stacks.txt"), os.path.join(folder, "report.json")
    here = os.path.dirname(os.path.abspath(__file__))
    program = [sys.executable, "-B", os.path.join(here, "in_the_wild.py"), "--extension", options.extension, "--report", report]
    sampling = ["-i", str(options.interval), "--collapsed", "-o", stacks, "--ledger"]
    if mode.endswith("-nobpf"):
        sampling.append("--no-bpf")
    if mode.startswith("run"):
        command = [options.binary, "run", *sampling, "--", *program, "--no-gate", name, str(options.seconds)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        text = done.stdout + done.stderr
    else:
        child = subprocess.Popen([*program, name, str(options.seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        pid = child.stdout.readline().split()[1].decode()
        sampler = subprocess.Popen([options.binary, "attach", *sampling, pid], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        head = b""
        while b" of rings" not in head:
            line = sampler.stdout.readline()
            if not line:
                break
            head += line
        child.stdin.write(b"go\n")
        child.stdin.close()
        child.wait(timeout=300)
        text = (head + sampler.stdout.read()).decode()
        sampler.wait(timeout=60)
    if not os.path.exists(stacks):
        raise SystemExit(f"{name} {mode}: no stacks\n{text}")
    rows = [line.rsplit(" ", 1) for line in open(stacks).read().splitlines()]
    measured = json.load(open(report)) if os.path.exists(report) else {}
    whole = re.search(r"([\d,]+)  of these whole", text)
    return [(stack, int(count)) for stack, count in rows], measured, int(whole[1].replace(",", "")) if whole else 0, text


def judge(options, mode, name, situation):
    _, paths, anywhere = situation
    paths = [[step for step in path if step not in PASSED_OVER and step != "sub:<module>"] for path in paths]
    with tempfile.TemporaryDirectory() as folder:
        rows, measured, counted_whole, text = profile(options, mode, name, folder)
    whole = wrong = part = contradicting = unmarked = 0
    share, bound, off = math.nan, math.nan, False
    sides = {side: 0 for side in measured}
    examples = {}
    for stack, count in rows:
        names, marked = own_frames(stack)
        if not marked:
            unmarked += count
        for side in sides:
            if side in names or "sub:" + side in names:
                sides[side] += count
        if not names or names[0] == "<module>" and names[1:2] not in ([], ["main"]):
            continue  # before and after: the interpreter's own start and end, and the program's
        if marked:
            part += count
            if not may_be_part(names, paths, anywhere):
                contradicting += count
                examples[stack] = count
        else:
            whole += count
            if not is_legal(names, paths, anywhere):
                wrong += count
                examples[stack] = count
    # What is not whole must say so in the stack itself.
    if unmarked != counted_whole:
        off = True
        print(f"{name} {mode}: {unmarked} stacks without a marker, but {counted_whole} whole samples")
    total = sum(sides.values())
    # Where much is shown in part one side may have lost more than the other: its name is on no stack.
    if len(sides) == 2 and total and part * 20 < whole and not anywhere and not name.startswith(("sub", "handler", "lend", "forked_that")):
        truth = measured["compute"] / sum(measured.values())
        share = sides["compute"] / total - truth
        # Four standard deviations of as many independent draws; start and end of each step are on neither side.
        bound = 4 * math.sqrt(truth * (1 - truth) / total) + 0.01
        off |= abs(share) > bound
    print(f"{name:26} {mode:13} whole {whole:6} wrong {wrong:5}  in part {part:6} contradicting {contradicting:4}"
          f"  share off by {share:+.3f} of {bound:.3f}{'  OFF' if off else ''}", flush=True)
    for stack, count in sorted(examples.items(), key=lambda item: -item[1])[: options.examples]:
        print(f"      {count} {own_frames(stack)[0]}  {stack[-400:]}")
    return whole, wrong, part, contradicting, off, text


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--extension", required=True)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--interval", type=int, default=500)
    parser.add_argument("--modes", default="run,attach")
    parser.add_argument("--examples", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print what caduceus printed")
    parser.add_argument("situations", nargs="*")
    options = parser.parse_args()
    sys.argv[1:] = ["--extension", options.extension]
    import in_the_wild as wild

    names = options.situations or list(wild.SITUATIONS)
    try:
        import greenlet  # noqa: F401
    except ImportError:
        names = [name for name in names if not name.startswith("greenlet")]
    sums = [0] * 4
    bad = 0
    for name in names:
        for mode in options.modes.split(","):
            if mode.startswith("run") and name.startswith("forked"):
                continue  # the child is another process
            *counts, off, text = judge(options, mode, name, wild.SITUATIONS[name])
            if options.show:
                print(text)
            sums = [one + other for one, other in zip(sums, counts)]
            bad += counts[1] + counts[3] + off
    print("%d whole, %d of these wrong; %d in part, %d of these contradict the truth" % tuple(sums))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
