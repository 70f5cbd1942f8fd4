"""Reads pprof files with Google's protobuf library, from the field numbers of profile.proto."""

import collections
import gzip

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# profile.proto of github.com/google/pprof: message, then field name, number, type; * is repeated.
SCHEMA = {
    "Profile": "sample_type 1 *ValueType, sample 2 *Sample, mapping 3 *Mapping, location 4 *Location,"
    " function 5 *Function, string_table 6 *string, drop_frames 7 int64, keep_frames 8 int64, time_nanos 9 int64,"
    " duration_nanos 10 int64, period_type 11 ValueType, period 12 int64, comment 13 *int64,"
    " default_sample_type 14 int64",
    "ValueType": "type 1 int64, unit 2 int64",
    "Sample": "location_id 1 *uint64, value 2 *int64, label 3 *Label",
    "Label": "key 1 int64, str 2 int64, num 3 int64, num_unit 4 int64",
    "Mapping": "id 1 uint64, memory_start 2 uint64, memory_limit 3 uint64, file_offset 4 uint64, filename 5 int64,"
    " build_id 6 int64, has_functions 7 bool, has_filenames 8 bool, has_line_numbers 9 bool, has_inline_frames 10 bool",
    "Location": "id 1 uint64, mapping_id 2 uint64, address 3 uint64, line 4 *Line, is_folded 5 bool",
    "Line": "function_id 1 uint64, line 2 int64",
    "Function": "id 1 uint64, name 2 int64, system_name 3 int64, filename 4 int64, start_line 5 int64",
}


def profile_class():
    file = descriptor_pb2.FileDescriptorProto(
        name="profile.proto", package="perftools.profiles", syntax="proto3")
    types = descriptor_pb2.FieldDescriptorProto
    scalars = {
        "int64": types.TYPE_INT64, "uint64": types.TYPE_UINT64, "bool": types.TYPE_BOOL, "string": types.TYPE_STRING}
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field in fields.split(", "):
            title, number, kind = field.split()
            added = message.field.add(name=title, number=int(number))
            added.label = types.LABEL_REPEATED if kind.startswith("*") else types.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            if kind in scalars:
                added.type = scalars[kind]
            else:
                added.type = types.TYPE_MESSAGE
                added.type_name = ".perftools.profiles." + kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("perftools.profiles.Profile"))


def read(path):
    with open(path, "rb") as source:
        packed = source.read()
    assert packed[:2] == b"\x1f\x8b" and packed[4:8] == bytes(4), "gzip without a time"
    raw = gzip.decompress(packed)
    profile = profile_class()()
    assert profile.ParseFromString(raw) == len(raw)
    # What a library that knows the schema writes of the same contents: nothing was left over as unknown.
    assert len(profile.SerializeToString(deterministic=True)) == len(raw)
    strings = list(profile.string_table)
    assert strings[0] == "" and len(set(strings)) == len(strings)

    def by_id(messages):
        found = {message.id: message for message in messages}
        assert 0 not in found and len(found) == len(messages)
        return found

    mappings, locations, functions = by_id(profile.mapping), by_id(profile.location), by_id(profile.function)
    types = [(strings[kind.type], strings[kind.unit]) for kind in profile.sample_type]
    own = [collections.Counter() for _ in types]
    threads = collections.Counter()
    for sample in profile.sample:
        assert len(sample.value) == len(types) and sample.location_id
        # Either text or a number, as `Label` says.
        assert not any(label.str and label.num for label in sample.label)
        labels = {strings[label.key]: strings[label.str] if label.str else label.num for label in sample.label}
        assert len(labels) == len(sample.label)
        assert type(labels["pid"]) is type(labels["tid"]) is int
        threads[str(labels["pid"]), str(labels["tid"]), labels.get("thread", "")] += sample.value[0]
        for identity in sample.location_id:
            (line,) = locations[identity].line
            assert line.function_id in functions
        leaf = locations[sample.location_id[0]].line[0]
        function = functions[leaf.function_id]
        for counter, value in zip(own, sample.value):
            counter[strings[function.filename], strings[function.name], leaf.line] += value
    for location in profile.location:
        assert location.mapping_id == 0 or location.mapping_id in mappings
        # A location in a mapping lies in the file that its function says.
        if location.mapping_id:
            (line,) = location.line
            assert functions[line.function_id].filename == mappings[location.mapping_id].filename
    comments = [strings[comment] for comment in profile.comment]
    ledger = {}
    for comment in comments:
        if comment.startswith("# ledger "):
            name, value = comment.removeprefix("# ledger ").split()
            ledger[name] = int(value)
    return {
        "types": types,
        "total": sum(own[0].values()),
        "self": [[*key, count] for key, count in own[0].items()],
        "nanoseconds": [[*key, count] for key, count in own[1].items()],
        "threads": [[*key, count] for key, count in threads.items()],
        "period": profile.period,
        "period_type": [strings[profile.period_type.type], strings[profile.period_type.unit]],
        "default": strings[profile.default_sample_type],
        "time": profile.time_nanos,
        "duration": profile.duration_nanos,
        "mappings": [
            [strings[mapping.filename], strings[mapping.build_id], mapping.memory_start, mapping.memory_limit,
             mapping.file_offset] for mapping in profile.mapping],
        "functions": [
            [strings[function.filename], strings[function.name], function.start_line] for function in functions.values()],
        "comments": [comment for comment in comments if not comment.startswith("#")],
        "ledger": ledger,
    }
