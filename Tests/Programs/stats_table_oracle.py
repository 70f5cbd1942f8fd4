"""Prints the statistics table of some stacks, written after the rules of the table alone.

Reads JSON from standard input: {"stacks": [[[[file, line, function], ...leaf first], count], ...],
"interval": seconds, "sort": id, "limit": number or null, "summary": bool}. Prints everything but the
sentences of the legend.
"""

import json
import os.path
import sys

COLUMNS = [15, 8, 12, 8, 12]


def tally(stacks):
    table = {}
    for frames, count in stacks:
        keys = [(f, l, n) for f, l, n in frames]
        for key in keys:
            table.setdefault(key, [0, 0])
        if keys:
            table[keys[0]][0] += count
        for key in set(keys):
            table[key][1] += count
    stripped = {}
    for (f, l, n), (direct, cumulative) in table.items():
        row = stripped.setdefault((os.path.basename(f), l, n), [0, 0])
        row[0] += direct
        row[1] += cumulative
    return stripped


def unit(values):
    top = max(values, default=0)
    for name, scale, least in (("s", 1, 1), ("ms", 1e3, 1e-3)):
        if top >= least:
            return name, scale
    return "\u03bcs", 1e6


def line(cells, place):
    return "  ".join(c.rjust(w) for c, w in zip(cells, COLUMNS)) + "  " + place


def main():
    request = json.load(sys.stdin)
    interval = request["interval"]
    rows = list(tally(request["stacks"]).items())
    total = sum(direct for _, (direct, _) in rows)
    orders = {
        0: lambda r: r[1][0],
        1: lambda r: r[1][0],
        2: lambda r: r[1][1],
        3: lambda r: r[1][0],
        4: lambda r: r[1][1],
        5: lambda r: r[1][1],
    }
    if request["sort"] == -1:
        rows.sort(key=lambda r: str(r[0]))
    else:
        rows.sort(key=orders[request["sort"]], reverse=True)
    if request["limit"] is not None:
        rows = rows[: request["limit"]]
    own_unit, own = unit([d * interval for _, (d, _) in rows])
    all_unit, everything = unit([c * interval for _, (_, c) in rows])
    print("Profile Stats:")
    titles = ["nsamples", "sample%", "tottime (%s)" % own_unit, "cumul%", "cumtime (%s)" % all_unit]
    print(line(titles, "filename:lineno(function)"))
    for (f, l, n), (direct, cumulative) in rows:
        cells = [
            "%d/%d" % (direct, cumulative),
            "%.1f" % (direct / total * 100),
            "%.3f" % (direct * interval * own),
            "%.1f" % (cumulative / total * 100),
            "%.3f" % (cumulative * interval * everything),
        ]
        print(line(cells, "%s:%d(%s)" % (f, l, n)))
    print("\nLegend:")
    if not request["summary"] or not rows:
        return
    functions = {}
    for (f, _, n), (direct, cumulative) in rows:
        both = functions.setdefault((f, n), [0, 0])
        both[0] += direct
        both[1] += cumulative
    print("\nSummary of Interesting Functions:")

    def best(title, key, words):
        print("\n%s:" % title)
        for (f, n), (d, c) in sorted(functions.items(), key=lambda r: key(*r[1]), reverse=True)[:3]:
            text = words(d, c)
            if text:
                print("  %s: %s:(%s)" % (text, f, n))

    best(
        "Functions with Highest Direct/Cumulative Ratio (Hot Spots)",
        lambda d, c: d / c if c else 0,
        lambda d, c: d and c and "%.3f direct/cumulative ratio, %.1f%% direct samples" % (d / c, d / total * 100),
    )
    best(
        "Functions with Highest Call Frequency (Indirect Calls)",
        lambda d, c: c - d,
        lambda d, c: c > d and "%d indirect calls, %.1f%% total stack presence" % (c - d, c / total * 100),
    )
    best(
        "Functions with Highest Call Magnification (Cumulative/Direct)",
        lambda d, c: c / d if d else 0,
        lambda d, c: d
        and c > d
        and "%.1fx call magnification, %d indirect calls from %d direct" % (c / d, c - d, d),
    )


if __name__ == "__main__":
    for stream in (sys.stdin, sys.stdout):
        stream.reconfigure(encoding="utf-8")
    main()
