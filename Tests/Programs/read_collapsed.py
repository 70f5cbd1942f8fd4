"""Reads a file of collapsed stacks by the rules of the programs that people open such files with.

Usage: read_collapsed.py FILE. Prints JSON: for each reader the list of [[frame, ...], count] that it would show, and
what it would find wrong. Written after the behaviour of flamegraph.pl, inferno and speedscope, not from their code.
"""

import json
import re
import sys


def flamegraph(data):
    """flamegraph.pl: bytes; lines in their order as text; the last white space before a number ends the stack. A
    second number before it makes the file a differential one. Trailing empty frames vanish."""
    stacks, problems = [], []
    count_at_end = re.compile(rb"(.*)[ \t\r\f\v\n](\d+(?:\.\d*)?)", re.DOTALL)
    for line in sorted(data.split(b"\n")[:-1]):
        found = count_at_end.fullmatch(line)
        if not found:
            problems.append("ignored: %r" % line)
            continue
        stack, count = found.groups()
        if count_at_end.fullmatch(stack):
            problems.append("two counts: %r" % line)
        frames = stack.decode("utf-8").split(";")
        while frames and not frames[-1]:
            frames.pop()
        stacks.append([frames, float(count)])
    return stacks, problems


SPACES = "\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
RUST_SPACE = re.compile("^[%s\x85]+|[%s\x85]+$" % (SPACES, SPACES))
JAVASCRIPT_SPACE = "[%s\ufeff]" % SPACES


def inferno(data):
    """inferno-flamegraph: UTF-8; white space around a line does not count; the last ASCII space ends the stack; a
    second number makes the file a differential one; an empty stack is ignored."""
    stacks, problems = [], []

    def take_count(line):
        stack, space, count = line.rpartition(" ")
        if not space or not re.fullmatch(r"[0-9]*\.?[0-9]*", count) or not re.match(r"[0-9]+", count):
            return line, None
        return RUST_SPACE.sub("", stack), int(count.partition(".")[0])

    for line in data.decode("utf-8").split("\n")[:-1]:
        stack, count = take_count(RUST_SPACE.sub("", line))
        if count is None or not stack:
            problems.append("ignored: %r" % line)
            continue
        if take_count(stack)[1] is not None:
            problems.append("two counts: %r" % line)
        stacks.append([stack.split(";"), count])
    return stacks, problems


def speedscope(data):
    """speedscope: guesses the format from the text when the name does not tell it, and asks other importers first;
    lines end at a line feed, with or without a carriage return; one space and digits end the stack. What JavaScript
    calls a line terminator cannot be in a stack."""
    text = data.decode("utf-8")
    stacks, problems = [], []
    try:
        json.loads(text)
        problems.append("taken for JSON")
    except ValueError:
        pass
    if text.startswith("# callgrind format") or re.search(r"^events:", text, re.M) and re.search(r"^fn=", text, re.M):
        problems.append("taken for callgrind")
    if re.match(r"[\w \t()]*\tSymbol Name", text):
        problems.append("taken for Instruments")
    # perf script: a first line of command, thread id and more begins a block that an empty line ends.
    for block in text.split("\n\n"):
        first = block.split("\n")[0]
        if re.match("[^%s].+?%s+[0-9]+(/?[0-9]+)?%s" % (SPACES, JAVASCRIPT_SPACE, JAVASCRIPT_SPACE), first):
            problems.append("taken for perf script: %r" % first)
    for line in re.split(r"\r?\n", text)[:-1]:
        found = re.fullmatch(r"([^\n\r\u2028\u2029]*) ([0-9]+)", line)
        if not found:
            problems.append("ignored: %r" % line)
            continue
        stacks.append([found[1].split(";"), int(found[2])])
    return stacks, problems


def main(path):
    with open(path, "rb") as file:
        data = file.read()
    result = {}
    for reader in (flamegraph, inferno, speedscope):
        stacks, problems = reader(data)
        result[reader.__name__] = {"stacks": [list(stack) for stack in stacks], "problems": problems}
    sys.stdout.write(json.dumps(result))


main(sys.argv[1])
