"""Counts the tests of a run from what Swift Testing recorded, and decides whether the run was good.

Usage: count_tests.py EVENTS STATUS SUMMARY: the event stream, the exit status of `swift test`, and a file that gets
the last line too. A test that began and did not end, because the process crashed or left, is a failed one; so is a
planned one that never began. The last line is `N passed, N failed`; the exit status is 0 only if all went well.
"""

import collections
import json
import sys


def records(path):
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    return  # The process died in the middle of a line.
    except FileNotFoundError:
        return


def main(path, status, summary):
    functions, ended, skipped, started = {}, set(), {}, set()
    issues = collections.Counter()
    finished = False
    for record in records(path):
        payload = record["payload"]
        if record["kind"] == "test":
            if payload["kind"] == "function":
                functions[payload["id"]] = payload
            continue
        kind, test = payload["kind"], payload.get("testID")
        if kind == "testStarted":
            started.add(test)
        elif kind == "testEnded":
            ended.add(test)
        elif kind == "testSkipped":
            skipped[test] = payload["messages"][0]["text"]
        elif kind == "issueRecorded" and payload["issue"].get("isFailure", not payload["issue"]["isKnown"]):
            issues[test] += 1
        elif kind == "runEnded":
            finished = True
    failed = [test for test in functions if issues[test]]
    cut = [test for test in functions if test not in ended and test not in skipped and not issues[test]]
    elsewhere = [test for test in issues if test not in functions]  # Of a suite, or of none.
    passed = [test for test in functions if test in ended and not issues[test]]
    for test in skipped:
        if test in functions:
            print("  not run: %s" % skipped[test])
    for test in failed:
        print("  failed: %s (%d)" % (test, issues[test]))
    for test in elsewhere:
        print("  failed outside of a test: %s (%d)" % (test, issues[test]))
    for test in cut:
        print("  %s: %s" % ("did not end" if test in started else "never began", test))
    wrong = len(failed) + len(cut) + len(elsewhere)
    if not finished:
        print("  the test process ended before the run did")
    elif status and not wrong:
        print("  swift test ended with status %d after the last test" % status)
    elif not passed and not wrong:
        print("  no test was run")
    good = finished and not status and passed and not wrong
    if not good:
        wrong = max(wrong, 1)
    line = "%d passed, %d failed" % (len(passed), wrong)
    with open(summary, "w", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line, flush=True)
    return 0 if good else 1


sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
