"""Reads speedscope files by the rules of speedscope's published file-format-schema.json, written down here by hand."""

import collections
import json

import jsonschema

# The rules of https://www.speedscope.app/file-format-schema.json for files with "sampled" profiles.
RULES = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "definitions": {
        "frame": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "file": {"type": "string"},
                "line": {"type": "number"},
                "col": {"type": ["number", "null"]},
            },
        },
        "sampled": {
            "type": "object",
            "required": ["type", "name", "unit", "startValue", "endValue", "samples", "weights"],
            "properties": {
                "type": {"enum": ["sampled"]},
                "name": {"type": "string"},
                "unit": {"enum": ["bytes", "microseconds", "milliseconds", "nanoseconds", "none", "seconds"]},
                "startValue": {"type": "number"},
                "endValue": {"type": "number"},
                "samples": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
                "weights": {"type": "array", "items": {"type": "number"}},
            },
        },
    },
    "type": "object",
    "required": ["$schema", "profiles", "shared"],
    "properties": {
        "$schema": {"enum": ["https://www.speedscope.app/file-format-schema.json"]},
        "activeProfileIndex": {"type": ["number", "null"]},
        "exporter": {"type": "string"},
        "name": {"type": "string"},
        "profiles": {"type": "array", "items": {"$ref": "#/definitions/sampled"}},
        "shared": {
            "type": "object",
            "required": ["frames"],
            "properties": {"frames": {"type": "array", "items": {"$ref": "#/definitions/frame"}}},
        },
    },
}


def read(path):
    with open(path, encoding="utf-8") as source:
        file = json.load(source)
    jsonschema.validate(file, RULES)
    frames = file["shared"]["frames"]
    assert not file["profiles"] or 0 <= file["activeProfileIndex"] < len(file["profiles"])
    own = collections.Counter()
    threads = {}
    order = {}
    unit = None
    for profile in file["profiles"]:
        # speedscope itself refuses a file in which they differ.
        assert len(profile["samples"]) == len(profile["weights"])
        assert profile["startValue"] == 0
        assert profile["endValue"] == sum(profile["weights"])
        assert profile["name"] not in threads
        threads[profile["name"]] = sum(profile["weights"])
        assert unit in (None, profile["unit"])
        unit = profile["unit"]
        order[profile["name"]] = []
        for stack, weight in zip(profile["samples"], profile["weights"]):
            assert stack and all(0 <= index < len(frames) for index in stack)
            leaf = frames[stack[-1]]
            own[leaf.get("file", ""), leaf["name"], leaf.get("line", 0)] += weight
            order[profile["name"]].append([[frames[index]["name"] for index in stack], weight])
    return {
        "total": sum(threads.values()),
        "unit": unit,
        "self": [[*key, count] for key, count in own.items()],
        "threads": threads,
        "order": order,
        "ledger": file["caduceus"]["ledger"],
        "run": {key: value for key, value in file["caduceus"].items() if key != "ledger"},
        "active": file["profiles"][file["activeProfileIndex"]]["name"] if file["profiles"] else None,
    }
