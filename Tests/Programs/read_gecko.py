"""Reads Firefox Profiler files, field by field as version 57 of the processed profile format has them: what
src/types/profile and docs-developer/CHANGELOG-formats.md of github.com/firefox-devtools/profiler say."""

import collections
import json

COLORS = {
    "transparent", "purple", "green", "orange", "yellow", "lightblue", "blue", "brown", "magenta", "red", "lightred",
    "darkgrey", "grey"}
MARKER_FORMATS = {"string", "integer"}
MARKER_PLACES = {"marker-chart", "marker-table", "timeline-overview"}


def is_integer(value):
    return type(value) is int


def is_number(value):
    return type(value) in (int, float)


def column(table, name, check, null=False):
    """A column of a table that has `length` rows."""
    values = table[name]
    assert type(values) is list and len(values) == table["length"], name
    for value in values:
        assert (null and value is None) or check(value), (name, value)
    return values


def index_into(rows):
    return lambda value: is_integer(value) and 0 <= value < rows


def fields(record, required, optional=()):
    """Neither less nor more than the format has."""
    assert set(required) <= set(record), set(required) - set(record)
    assert set(record) <= set(required) | set(optional), set(record) - set(required) - set(optional)


def read_thread(thread, strings, libs, categories, meta):
    fields(
        thread,
        ["processType", "processStartupTime", "processShutdownTime", "registerTime", "unregisterTime", "pausedRanges",
         "name", "isMainThread", "pid", "tid", "samples", "markers", "stackTable", "frameTable", "funcTable",
         "resourceTable", "nativeSymbols"],
        ["showMarkersInTimeline", "processName"])
    # Pids are text since version 47; the others are what they were.
    assert type(thread["pid"]) is str and is_integer(thread["tid"])
    assert type(thread["isMainThread"]) is bool and type(thread["name"]) is str
    assert thread["processType"] == "default" and thread["pausedRanges"] == []
    text = index_into(len(strings))

    resources = thread["resourceTable"]
    fields(resources, ["length", "lib", "name", "host", "type"])
    column(resources, "lib", index_into(len(libs)), null=True)
    column(resources, "name", text)
    column(resources, "host", text, null=True)
    assert all(kind == 1 for kind in column(resources, "type", is_integer)), "every resource is a library"

    funcs = thread["funcTable"]
    fields(
        funcs,
        ["length", "name", "isJS", "relevantForJS", "resource", "fileName", "lineNumber", "columnNumber"])
    column(funcs, "name", text)
    column(funcs, "isJS", lambda value: value is False)
    column(funcs, "relevantForJS", lambda value: value is False)
    column(funcs, "resource", lambda value: value == -1 or index_into(resources["length"])(value))
    column(funcs, "fileName", text, null=True)
    column(funcs, "lineNumber", is_integer, null=True)
    column(funcs, "columnNumber", is_integer, null=True)

    frames = thread["frameTable"]
    # Version 54 took `implementation` away.
    fields(
        frames,
        ["length", "address", "inlineDepth", "category", "subcategory", "func", "nativeSymbol", "innerWindowID", "line",
         "column"])
    column(frames, "address", lambda value: value == -1)
    column(frames, "inlineDepth", lambda value: value == 0)
    column(frames, "category", index_into(len(categories)))
    for category, subcategory in zip(frames["category"], column(frames, "subcategory", is_integer)):
        assert 0 <= subcategory < len(categories[category]["subcategories"])
    column(frames, "func", index_into(funcs["length"]))
    column(frames, "nativeSymbol", is_integer, null=True)
    column(frames, "innerWindowID", lambda value: value == 0)
    column(frames, "line", lambda value: is_integer(value) and value > 0, null=True)
    column(frames, "column", is_integer, null=True)
    assert len(set(funcs["name"][func] for func in frames["func"])) <= funcs["length"]

    stacks = thread["stackTable"]
    # Version 53 took the categories away.
    fields(stacks, ["length", "frame", "prefix"])
    column(stacks, "frame", index_into(frames["length"]))
    for row, prefix in enumerate(column(stacks, "prefix", is_integer, null=True)):
        assert prefix is None or 0 <= prefix < row, "a caller stands before its callees"
    assert len(set(zip(stacks["frame"], stacks["prefix"]))) == stacks["length"], "every stack stands once"

    symbols = thread["nativeSymbols"]
    fields(symbols, ["length", "libIndex", "address", "name", "functionSize"])
    assert symbols["length"] == 0 and all(symbols[name] == [] for name in symbols if name != "length")

    samples = thread["samples"]
    fields(samples, ["length", "stack", "time", "weight", "weightType"], ["threadCPUDelta"])
    assert samples["weightType"] == "samples"
    column(samples, "stack", index_into(stacks["length"]))
    times = column(samples, "time", is_number)
    assert times == sorted(times)
    if samples["weight"] is None:
        weights = [1] * samples["length"]
        column(samples, "threadCPUDelta", is_integer)
    else:
        weights = column(samples, "weight", is_integer)
        assert "threadCPUDelta" not in samples

    markers = thread["markers"]
    fields(markers, ["length", "data", "name", "startTime", "endTime", "phase", "category"])
    column(markers, "name", text)
    column(markers, "category", index_into(len(categories)))
    assert all(phase == 1 for phase in column(markers, "phase", is_integer)), "every marker is an interval"
    schemas = {schema["name"]: schema for schema in meta["markerSchema"]}
    ends = column(markers, "endTime", is_number)
    shown = []
    for start, end, data in zip(column(markers, "startTime", is_number), ends, column(markers, "data", lambda value: type(value) is dict)):
        assert start <= end
        # Since version 52 the schema is found by the type of the data alone.
        assert set(data) == {"type"} | {field["key"] for field in schemas[data["type"]]["fields"]}
        shown.append([data["type"], data["what"], data["count"], start, end])

    def path(stack):
        names = []
        while stack is not None:
            names.append(strings[funcs["name"][frames["func"][stacks["frame"][stack]]]])
            stack = stacks["prefix"][stack]
        return names[::-1]

    own = collections.Counter()
    colours = {}
    for stack, weight in zip(samples["stack"], weights):
        frame = stacks["frame"][stack]
        func = frames["func"][frame]
        name = strings[funcs["name"][func]]
        resource = funcs["resource"][func]
        if funcs["fileName"][func] is not None:
            file = strings[funcs["fileName"][func]]
        elif resource >= 0:
            file = libs[resources["lib"][resource]]["path"]
        else:
            file = ""
        own[file, name, frames["line"][frame] or 0] += weight
        colours[file + "\t" + name] = categories[frames["category"][frame]]["name"]
    return {
        "name": thread["name"], "tid": thread["tid"], "pid": thread["pid"], "isMainThread": thread["isMainThread"],
        "own": own, "total": sum(weights), "times": times, "markers": shown, "categories": colours,
        "first": [path(stack) for stack in samples["stack"][:20]],
        "cpu": samples.get("threadCPUDelta"),
    }


def read(path):
    with open(path, encoding="utf-8") as source:
        file = json.load(source)
    fields(file, ["meta", "libs", "threads", "shared"])
    fields(file["shared"], ["stringArray"])
    strings = file["shared"]["stringArray"]
    assert all(type(text) is str for text in strings) and len(set(strings)) == len(strings)

    meta = file["meta"]
    fields(
        meta,
        ["interval", "startTime", "processType", "categories", "product", "stackwalk", "version",
         "preprocessedProfileVersion", "markerSchema"],
        ["profilingStartTime", "profilingEndTime", "debug", "oscpu", "platform", "arguments", "symbolicated",
         "symbolicationNotSupported", "sampleUnits", "importedFrom", "usesOnlyOneStackType", "sourceCodeIsNotOnSearchfox",
         "extra"])
    assert meta["preprocessedProfileVersion"] == 57 and is_integer(meta["version"])
    assert is_number(meta["interval"]) and is_number(meta["startTime"]) and meta["stackwalk"] in (0, 1)
    fields(meta["sampleUnits"], ["time", "eventDelay", "threadCPUDelta"])
    assert meta["sampleUnits"]["time"] == meta["sampleUnits"]["eventDelay"] == "ms"
    assert meta["sampleUnits"]["threadCPUDelta"] in ("ns", "\u00b5s")

    categories = meta["categories"]
    for category in categories:
        fields(category, ["name", "color", "subcategories"])
        assert category["color"] in COLORS and category["subcategories"][0] == "Other"
    # The first grey one is the default category.
    assert [category["name"] for category in categories if category["color"] == "grey"] == ["Other"]
    assert len({category["color"] for category in categories}) == len(categories)

    for schema in meta["markerSchema"]:
        # Since version 55 `fields`, each with a key and a format, and a description.
        fields(schema, ["name", "display", "fields"], ["description", "tooltipLabel", "chartLabel", "tableLabel"])
        assert set(schema["display"]) <= MARKER_PLACES
        for field in schema["fields"]:
            fields(field, ["key", "format"], ["label"])
            assert field["format"] in MARKER_FORMATS

    libs = file["libs"]
    for lib in libs:
        fields(lib, ["arch", "name", "path", "debugName", "debugPath", "breakpadId", "codeId"])
        assert all(type(lib[key]) is str for key in lib if key != "codeId")
        assert lib["codeId"] is None or type(lib["codeId"]) is str

    ledger = {}
    sections = {section["label"]: section["entries"] for section in meta["extra"]}
    for entries in sections.values():
        for entry in entries:
            fields(entry, ["label", "format", "value"])
    for entry in sections["Ledger"]:
        assert entry["format"] == "integer" and is_integer(entry["value"])
        ledger[entry["label"]] = entry["value"]

    threads = [read_thread(thread, strings, libs, categories, meta) for thread in file["threads"]]
    own = sum((thread.pop("own") for thread in threads), collections.Counter())
    named = {}
    for thread in threads:
        named.update(thread.pop("categories"))
    return {
        "total": sum(thread["total"] for thread in threads),
        "self": [[*key, count] for key, count in own.items()],
        "threads": threads,
        "categories": named,
        "libs": [[lib["path"], lib["breakpadId"], lib["codeId"]] for lib in libs],
        "interval": meta["interval"],
        "startTime": meta["startTime"],
        "endTime": meta["profilingEndTime"],
        "cpuUnit": meta["sampleUnits"]["threadCPUDelta"],
        "ledger": ledger,
        "accounting": {entry["label"]: entry["value"] for entry in sections["Accounting"]},
    }
