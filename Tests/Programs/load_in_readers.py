"""Opens a profile file in the programs people use and prints what each made of it, as JSON.

Usage: load_in_readers.py FILE
"""

import io
import json
import pstats
import re
import subprocess
import sys
import xml.etree.ElementTree

import gprof2dot
from pyprof2calltree import CalltreeConverter
from snakeviz.stats import json_stats, table_rows
from tuna.main import read


def main(path):
    stats = pstats.Stats(path)
    rows = table_rows(stats)
    graph = json_stats(stats)
    profile = gprof2dot.PstatsParser(path).parse()
    dot = run("gprof2dot", "-f", "pstats", "-n", "0", "-e", "0", path)
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
        "flameprofStacks": flameprof_stacks(path),
        "flameprofBlocks": flameprof_blocks(path),
        "calltree": calltree(path),
    }
    print(json.dumps(result))


def run(module, *arguments):
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode("utf-8")


def leaf_time(node):
    if "children" not in node:
        return node.get("value", 0)
    return sum(leaf_time(child) for child in node["children"])


def flameprof_stacks(path):
    """Microseconds by stack, root first."""
    lines = run("flameprof", "--format", "log", "--threshold", "0", path).splitlines()
    return {stack: int(time) for stack, _, time in (line.rpartition(" ") for line in lines)}


def flameprof_blocks(path):
    picture = xml.etree.ElementTree.fromstring(run("flameprof", path).encode("utf-8"))
    return len(picture.findall("{*}svg"))


def calltree(path):
    """Nanoseconds in each function, and calls and nanoseconds of each call, from Callgrind's format."""
    output = io.StringIO()
    CalltreeConverter(path).output(output)
    result = {}
    for block in output.getvalue().split("\n\n"):
        found = re.search(r"^fl=(.*)\nfn=(.*)\n\d+ (\d+)$", block, re.MULTILINE)
        if found:
            file, name, own = found.groups()
            result[file + ":" + name] = [int(own)]
            for call in re.finditer(r"^cfl=(.*)\ncfn=(.*)\ncalls=(\d+) \d+\n\d+ (\d+)$", block, re.MULTILINE):
                result["%s:%s -> %s:%s" % (file, name, call[1], call[2])] = [int(call[3]), int(call[4])]
    return result


main(sys.argv[1])
