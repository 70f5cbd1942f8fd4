"""Counts the tests of a run from what Swift Testing recorded, and decides whether the run was good.

Usage: count_tests.py SUMMARY EVENTS STATUS [EVENTS STATUS ...]: a file that gets the last line too, and for each pass of
the run its event stream and the exit status of `swift test`. A test that began and did not end, because the process crashed
or left, is a failed one; so is a planned one that never began. Where CI is set, so are a test that was skipped and one that
had nothing to be run with: neither has shown anything. The last line is `N passed, N failed` over all passes; the exit
status is 0 only if all went well.
"""

import collections
import json
import os
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


def count(path, status, is_ci):
    """How many tests of one pass passed, and how many things went wrong."""
    functions, ended, skipped, started = {}, set(), {}, set()
    issues, cases = collections.Counter(), collections.Counter()
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
        elif kind == "testCaseStarted":
            cases[test] += 1
        elif kind == "testEnded":
            ended.add(test)
        elif kind == "testSkipped":
            skipped[test] = payload["messages"][0]["text"]
        elif kind == "issueRecorded" and payload["issue"].get("isFailure", not payload["issue"]["isKnown"]):
            issues[test] += 1
        elif kind == "runEnded":
            finished = True
    skipped = {test: text for test, text in skipped.items() if test in functions}
    # Of these there was no argument to run them with.
    empty = [test for test in functions
             if functions[test].get("isParameterized") and test in ended and not cases[test] and test not in skipped]
    failed = [test for test in functions if issues[test]]
    cut = [test for test in functions if test not in ended and test not in skipped and not issues[test]]
    elsewhere = [test for test in issues if test not in functions]  # Of a suite, or of none.
    passed = [test for test in functions if test in ended and not issues[test] and test not in empty]
    for test in skipped:
        print("  not run: %s" % skipped[test])
    for test in empty:
        print("  nothing to run it with: %s" % test)
    for test in failed:
        print("  failed: %s (%d)" % (test, issues[test]))
    for test in elsewhere:
        print("  failed outside of a test: %s (%d)" % (test, issues[test]))
    for test in cut:
        print("  %s: %s" % ("did not end" if test in started else "never began", test))
    wrong = len(failed) + len(cut) + len(elsewhere)
    if is_ci:
        wrong += len(skipped) + len(empty)
    if not functions and finished:
        return 0, wrong  # Whatever was asked for is in another pass; the status says only that there was nothing.
    if not finished:
        print("  the test process ended before the run did")
    elif status and not wrong:
        print("  swift test ended with status %d after the last test" % status)
    if not finished or status:
        wrong = max(wrong, 1)
    return len(passed), wrong


def main(summary, passes):
    passed = wrong = 0
    for events, status in zip(passes[::2], passes[1::2]):
        counts = count(events, int(status), "CI" in os.environ)
        passed, wrong = passed + counts[0], wrong + counts[1]
    if not passed and not wrong:
        print("  no test was run")
        wrong = 1
    line = "%d passed, %d failed" % (passed, wrong)
    with open(summary, "w", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line, flush=True)
    return 1 if wrong else 0


sys.exit(main(sys.argv[1], sys.argv[2:]))
