"""Prints with CPython's own sampling profiler, from stacks that are written down instead of sampled.

Usage: cpython_sampling.py CASES FOLDER. Runs under CPython 3.15 or later. CASES is a JSON object of "profiles" and
"cases". A profile has a name and is a list of [count, thread id, [frame, ...]], leaf first, where a frame is
["python", file, line, function], ["native", module, symbol] or ["marker", "[text]"]. A case has "name", "profile" and,
where wanted, "format": "table" (the default), "collapsed", "pstats", "summary" or "jsonl". All but "collapsed" have
"interval" in microseconds; a table may have "sort" (a number as CPython has it), "limit", "summary", "colors" and
"mode" ("cpu" or "wall"); a summary, the closing words of a run, has "samples", "errors" among them, and "seconds".
What comes out goes to FOLDER/name.txt, a pstats file to FOLDER/name.pstats, JSON lines to FOLDER/name.jsonl.
"""

import collections
import contextlib
import io
import itertools
import json
import os
import pathlib
import sys
import unittest.mock

from profiling.sampling import constants, sample
from profiling.sampling.jsonl_collector import JsonlCollector
from profiling.sampling.pstats_collector import PstatsCollector
from profiling.sampling.stack_collector import CollapsedStackCollector

Interpreter = collections.namedtuple("Interpreter", "threads")
Thread = collections.namedtuple("Thread", "thread_id status frame_info")
Frame = collections.namedtuple("Frame", "filename location funcname opcode")

MODES = {"cpu": constants.PROFILING_MODE_CPU, "wall": constants.PROFILING_MODE_WALL}


def frame(kind, *fields):
    if kind == "python":
        file, line, function = fields
        return Frame(file, line, function, None)
    if kind == "native":
        module, symbol = fields
        return Frame(module, 0, symbol, None)
    (text,) = fields
    return Frame("~", 0, "<" + text[1:-1] + ">", None)


def collect(collector, profile, location=lambda line: line):
    for count, thread, frames in profile:
        made = [frame(*fields) for fields in frames]
        stack = Thread(thread, 0, [one._replace(location=location(one.location)) for one in made])
        collector.collect([Interpreter([stack])], timestamps_us=[0] * count)
    return collector


def table(case, profile):
    os.environ["PYTHON_COLORS"] = "1" if case.get("colors") else "0"
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        collect(PstatsCollector(case["interval"]), profile).print_stats(
            case.get("sort", 2), case.get("limit"), case.get("summary", True), MODES[case.get("mode", "cpu")])
    return output.getvalue()


def export(collector, path):
    with contextlib.redirect_stdout(io.StringIO()):
        collector.export(path)


class Clock:
    """Stands at the start once, then at the end, from which it goes on by nanoseconds: no interval may be empty."""

    def __init__(self, end):
        self.readings = itertools.chain([0.0], itertools.count(end, 1e-9))

    def perf_counter(self):
        return next(self.readings)


class Target:
    """A process that ends after so many samples, the first of which fail."""

    def __init__(self, samples, errors):
        self.calls = itertools.count()
        self.samples, self.errors = samples, errors

    def get_stack_trace(self):
        call = next(self.calls)
        if call >= self.samples:
            raise ProcessLookupError
        if call < self.errors:
            raise OSError
        return []


def summary(case):
    profiler = object.__new__(sample.SampleProfiler)
    vars(profiler).update(
        sample_interval_usec=case["interval"], unwinder=Target(case["samples"], case["errors"]), blocking=False,
        sample_intervals=[], total_samples=0, realtime_stats=False, collect_stats=False)
    output = io.StringIO()
    with contextlib.redirect_stdout(output), unittest.mock.patch.object(sample, "time", Clock(case["seconds"])):
        profiler.sample(PstatsCollector(case["interval"]))
    return output.getvalue()


def main(cases, folder):
    written = json.loads(pathlib.Path(cases).read_text("utf-8"))
    for case in written["cases"]:
        path = pathlib.Path(folder) / (case["name"] + ".txt")
        profile = written["profiles"][case["profile"]]
        match case.get("format", "table"):
            case "table":
                path.write_bytes(table(case, profile).encode("utf-8"))
            case "collapsed":
                export(collect(CollapsedStackCollector(1000), profile), path)
            case "summary":
                path.write_text(summary(case), "utf-8")
            case "pstats":
                export(collect(PstatsCollector(case["interval"]), profile), path.with_suffix(".pstats"))
            case "jsonl":
                collector = JsonlCollector(case["interval"], mode=MODES[case["mode"]])
                # To this format a number alone is a line and the end of the code at once; here only the line is known.
                export(collect(collector, profile, lambda line: (line, 0, -1, -1)), path.with_suffix(".jsonl"))


if __name__ == "__main__":
    main(*sys.argv[1:])
