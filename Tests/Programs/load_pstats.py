"""Loads a profile file with pstats and writes its entries as JSON, after every report of pstats has run.

Runs under CPython 2.7 and 3.x. A caller's one number stands for its first of four. Usage: load_pstats.py FILE RESULT
"""

from __future__ import print_function

import io
import json
import pstats
import sys


class Sink(object):
    """Takes any text; 2.7 writes both of its string types."""

    def __init__(self):
        self.parts = []

    def write(self, text):
        self.parts.append(text if not isinstance(text, bytes) else text.decode("utf-8"))

    def text(self):
        return u"".join(self.parts)


def main(path):
    sink = Sink()
    stats = pstats.Stats(path, stream=sink)
    stats.sort_stats("cumulative").print_stats()
    stats.print_callers()
    stats.print_callees()
    entries = []
    for key, (cc, nc, tt, ct, callers) in stats.stats.items():
        edges = [[list(k), list(v) if isinstance(v, tuple) else [v]] for k, v in callers.items()]
        entries.append([list(key), [cc, nc, tt, ct], sorted(edges)])
    pstats.Stats(path, stream=Sink()).strip_dirs().sort_stats("time").print_stats()
    pstats.Stats(path, path, stream=Sink()).print_stats()
    result = {"entries": sorted(entries), "report": sink.text(), "kind": stats.__class__.__name__}
    with io.open(sys.argv[2], "wb") as output:
        output.write(json.dumps(result).encode("ascii"))


main(sys.argv[1])
