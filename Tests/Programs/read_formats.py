"""Reads files of every format and prints as JSON what was found in each.

Usage: read_formats.py FORMAT=FILE ... where FORMAT is pstats, collapsed, speedscope, gecko, pprof or jsonl. What does not
keep to its format ends in an error. Every result has "total", the sum of all weights, and "self", rows of [file,
function, line, weight of samples in which the function itself was executing].
"""

import collections
import json
import pstats
import re
import sys

import read_gecko
import read_jsonl
import read_pprof
import read_speedscope


def read_pstats(path):
    stats = pstats.Stats(path).stats
    own = [[file, name, line, entry[0]] for (file, line, name), entry in stats.items() if entry[0]]
    return {"total": sum(row[3] for row in own), "self": own}


def read_collapsed(path):
    own = collections.Counter()
    with open(path, encoding="utf-8") as source:
        for line in source:
            stack, count = line.rstrip("\n").rsplit(" ", 1)
            leaf = stack.split(";")[-1]
            if native := re.fullmatch(r"(.*) \((.+)\)", leaf):
                own[native[2], native[1], 0] += int(count)
            elif python := re.fullmatch(r"(.*?):(.*):(\d+)", leaf):
                own[python[1], python[2], int(python[3])] += int(count)
            else:
                own["", leaf, 0] += int(count)
    return {"total": sum(own.values()), "self": [[*key, count] for key, count in own.items()]}


READERS = {
    "pstats": read_pstats, "collapsed": read_collapsed, "speedscope": read_speedscope.read, "gecko": read_gecko.read,
    "pprof": read_pprof.read, "jsonl": read_jsonl.read}

if __name__ == "__main__":
    found = {}
    for argument in sys.argv[1:]:
        name, path = argument.split("=", 1)
        found[name] = READERS[name](path)
    json.dump(found, sys.stdout)
