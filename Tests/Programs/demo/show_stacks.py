"""Prints the first stacks of a collapsed file, one frame per line. Usage: show_stacks.py FILE [COUNT]"""

import os
import re
import sys

PYTHON_FRAME = re.compile(r"^.+:[^:]+:\d+$")


def main(path, limit):
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    paint = (lambda code, text: "\033[%sm%s\033[0m" % (code, text)) if coloured else lambda code, text: text
    with open(path, encoding="utf-8") as file:
        stacks = [line.rstrip("\n").rpartition(" ") for line in file]
    total = sum(int(count) for _, _, count in stacks)
    for stack, _, count in stacks[:limit]:
        print(paint("1", "%s samples, %.1f %%" % (count, 100 * int(count) / total)))
        for depth, frame in enumerate(stack.split(";")):
            colour = "33" if PYTHON_FRAME.match(frame) else "35" if frame.endswith("([kernel])") else "36"
            print("  " + "  " * depth + paint(colour, frame))
        print()


main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5)
