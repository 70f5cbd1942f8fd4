"""Reads JSON lines by the description in CPython 3.15's Lib/profiling/sampling/jsonl_collector.py."""

import json

CHUNK = 256


def read(path):
    with open(path, encoding="utf-8") as source:
        lines = source.read().split("\n")
    assert lines.pop() == "", "every record ends its line"
    records = [json.loads(line) for line in lines]
    assert all(record["v"] == 0 for record in records)
    run = records[0]["run_id"]
    assert all(record["run_id"] == run for record in records)
    # The form of uuid.uuid4().hex.
    assert len(run) == 32 and int(run, 16) and run[12] == "4" and run[16] in "89ab"
    order = ["meta", "string_table", "frame_table", "agg", "end"]
    types = [record["type"] for record in records]
    assert [order.index(kind) for kind in types] == sorted(order.index(kind) for kind in types)
    assert types.count("meta") == types.count("end") == 1
    meta, end = records[0], records[-1]
    assert isinstance(meta["sample_interval_usec"], int) and meta["mode"] == "cpu"

    def table(kind, field):
        chunks = [record[field] for record in records if record["type"] == kind]
        assert all(0 < len(chunk) <= CHUNK for chunk in chunks)
        assert all(len(chunk) == CHUNK for chunk in chunks[:-1])
        return [entry for chunk in chunks for entry in chunk]

    strings = table("string_table", "strings")
    assert [entry["str_id"] for entry in strings] == list(range(len(strings)))
    texts = [entry["value"] for entry in strings]
    assert len(set(texts)) == len(texts)
    frames = table("frame_table", "frames")
    assert [entry["frame_id"] for entry in frames] == list(range(len(frames)))
    for frame in frames:
        assert set(frame) == {"frame_id", "path_str_id", "func_str_id", "line"}
    keys = [(texts[frame["path_str_id"]], texts[frame["func_str_id"]], frame["line"]) for frame in frames]
    assert len(set(keys)) == len(keys)
    entries = table("agg", "entries")
    assert [entry["frame_id"] for entry in entries] == list(range(len(frames)))
    for record in records:
        if record["type"] == "agg":
            assert (record["kind"], record["scope"]) == ("frame", "final")
            assert record["samples_total"] == end["samples_total"]
    for entry in entries:
        assert entry["self"] <= entry["cumulative"] <= end["samples_total"]
    return {
        "total": end["samples_total"],
        "interval": meta["sample_interval_usec"],
        "self": [[*key, entry["self"]] for key, entry in zip(keys, entries) if entry["self"]],
        "cumulative": [[*key, entry["cumulative"]] for key, entry in zip(keys, entries)],
        "ledger": meta["caduceus"]["ledger"],
        "run_id": run,
    }
