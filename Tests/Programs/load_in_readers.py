"""Opens a profile file in snakeviz, gprof2dot and tuna and prints what each made of it, as JSON.

Usage: load_in_readers.py FILE
"""

import json
import pstats
import subprocess
import sys

import gprof2dot
from snakeviz.stats import json_stats, table_rows
from tuna.main import read


def main(path):
    stats = pstats.Stats(path)
    rows = table_rows(stats)
    graph = json_stats(stats)
    profile = gprof2dot.PstatsParser(path).parse()
    command = [sys.executable, "-m", "gprof2dot", "-f", "pstats", "-n", "0", "-e", "0", path]
    dot = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode("utf-8")
    tree = read(path)
    json.dumps([rows, graph, tree])
    result = {
        "snakevizRows": {row[6]: [row[0][0], row[1], row[3]] for row in rows},
        "snakevizChildren": {name: sorted(node["children"]) for name, node in graph.items()},
        "gprof2dotFunctions": sorted(f.name for f in profile.functions.values()),
        "gprof2dotCalls": sum(len(f.calls) for f in profile.functions.values()),
        "gprof2dotEdges": dot.count(" -> "),
        "tunaRoot": tree["text"][0],
        "tunaTime": leaf_time(tree),
    }
    print(json.dumps(result))


def leaf_time(node):
    if "children" not in node:
        return node.get("value", 0)
    return sum(leaf_time(child) for child in node["children"])


main(sys.argv[1])
