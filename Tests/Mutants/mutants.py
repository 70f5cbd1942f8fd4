#!/usr/bin/env python3
"""Makes one small wrong edit after the other in a copy of the tree, and says whether the tests notice.

Usage: mutants.py [--root FOLDER] [--live no|yes|only] [PATTERN]: PATTERN is a regular expression of the mutants' names.

A mutant is a file `NAME.patch` beside this one: lines `Wrong: ...` (what is wrong, and whom it harms) and `Suite: ...`
(what must fail, as `swift test --filter` takes it), then a unified diff of a few lines of one source. It is found again by
its lines, wherever they have moved to; they must be there exactly once. A suite of LiveTests runs the command line that
is built with the mutant in it; the tests themselves are built without.

Printed is a table: the mutant, its suite, `noticed`, `NOT NOTICED`, `does not apply`, `does not build` or `no test`, and
seconds. All but the first are errors: the exit status is 0 only where each mutant was noticed. What no test can notice
because the program does the same stands in EQUIVALENT.md, with the proof.

The copy is .build/mutants/tree, and is kept: only what has changed is built anew. Mutants of modules that have nothing to
do with each other's tests are built together. Before any, all their suites must pass without one.
"""

import argparse
import collections
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
# Seconds that a suite may take; a mutant that never ends is noticed. All suites together take longer.
LONGEST = 600
LONGEST_BASELINE = 3600


class Mutant:
    """One wrong edit: what is wrong, where, and which suite must fail."""

    def __init__(self, path):
        self.name = path.stem
        head, _, diff = path.read_text(encoding="utf-8").partition("\n--- ")
        fields = dict(re.findall(r"^(Wrong|Suite): (.+)$", head, re.M))
        names = re.findall(r"^\+\+\+ b/(\S+)$", diff, re.M)
        self.problem = None
        if set(fields) != {"Wrong", "Suite"} or len(names) != 1:
            self.problem = "malformed"
            self.suite, self.file, self.hunks = "", "", []
            return
        self.suite, self.file = fields["Suite"].strip(), names[0]
        self.hunks = []
        for hunk in re.split(r"^@@.*\n", diff, flags=re.M)[1:]:
            self.hunks.append([(line[:1] or " ", line[1:]) for line in hunk.splitlines()])

    @property
    def is_live(self):
        return self.suite.startswith("LiveTests")

    @property
    def test_target(self):
        return re.split(r"[./]", self.suite)[0]

    def applied(self, text):
        """The text with the edit in it; None where its lines are not there exactly once."""
        for hunk in self.hunks:
            whole = [line for sign, line in hunk if sign in " -"], [line for sign, line in hunk if sign in " +"]
            # Where the neighbours have changed, the removed lines alone are as good if they are the only ones.
            first = next(index for index, (sign, _) in enumerate(hunk) if sign != " ")
            last = max(index for index, (sign, _) in enumerate(hunk) if sign != " ")
            core = hunk[first:last + 1]
            inner = [line for sign, line in core if sign in " -"], [line for sign, line in core if sign in " +"]
            for old, new in (whole, inner):
                old, new = "\n".join([""] + old + [""]), "\n".join([""] + new + [""])
                if old != "\n" and ("\n" + text).count(old) == 1:
                    text = ("\n" + text).replace(old, new)[1:]
                    break
            else:
                return None
        return text


class Tree:
    """The copy in which mutants are made and built."""

    def __init__(self, root):
        self.root = root
        self.folder = root / ".build/mutants/tree"
        self.events = root / ".build/mutants/events.jsonl"

    def update(self):
        """Makes the copy the same as the tree; what is the same already keeps its time, so that it is not built anew."""
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=self.root, check=True,
                                capture_output=True).stdout.decode().split("\0")
        wanted = {name for name in listed if name and (self.root / name).is_file()}
        self.folder.mkdir(parents=True, exist_ok=True)
        for folder, folders, files in os.walk(self.folder):
            if folder == str(self.folder):
                folders[:] = [name for name in folders if name != ".build"]
            for file in files:
                path = pathlib.Path(folder, file)
                if str(path.relative_to(self.folder)) not in wanted:
                    path.unlink()
        for name in sorted(wanted):
            source, copy = self.root / name, self.folder / name
            if not copy.exists() or copy.read_bytes() != source.read_bytes():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, copy)
                os.utime(copy)
        # The packages that the tree has fetched already.
        for name in ("checkouts", "repositories", "workspace-state.json"):
            source, copy = self.root / ".build" / name, self.folder / ".build" / name
            if source.exists() and not copy.exists():
                copy.parent.mkdir(exist_ok=True)
                subprocess.run(["cp", "-a", source, copy.parent], check=True)

    def run(self, command, seconds=None, **variables):
        """Runs a command in the copy; its status (None: it did not end) and what it said."""
        try:
            done = subprocess.run(command, cwd=self.folder, env={**os.environ, **variables}, timeout=seconds,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired as late:
            return None, (late.stdout or b"").decode(errors="replace")
        return done.returncode, done.stdout.decode(errors="replace")

    def swift(self, arguments):
        return self.run([os.environ.get("SWIFT", "swift")] + arguments)

    def build_tests(self):
        """Builds the tests; what the compiler said where they do not build."""
        # Not --build-tests, which links the plugin's tool anew each time, and builds everything behind it.
        status, text = self.swift(["build", "--product", "caduceusPackageTests"])
        return None if status == 0 else text

    def build_program(self):
        """Builds the command line as a user gets it; what the compiler said where it does not build."""
        libraries = subprocess.run([".dist/static_libraries.sh", ".build/static"], cwd=self.folder, check=True,
                                   capture_output=True, text=True).stdout.split()
        status, text = self.swift(["build", "-c", "release", "--static-swift-stdlib"] + libraries
                                  + ["--product", "caduceus"])
        return None if status == 0 else text

    def test(self, suites, longest):
        """Runs suites: how many tests began, and which of them failed or did not end."""
        self.events.unlink(missing_ok=True)
        build = self.root / ".build"
        variables = {
            "CADUCEUS_BINARY": str(self.folder / ".build/release/caduceus"),
            "CADUCEUS_EXTENSIONS": str(build / "extensions"),
            "SWIFT_BACKTRACE": "enable=no",
        }
        for name, path in (("CADUCEUS_READERS_PYTHON", "readers/bin/python"), ("CADUCEUS_PPROF", "pprof"),
                           ("CADUCEUS_NUMPY_PYTHON", "readers/bin/python"), ("CADUCEUS_PYTHON315", "python3.15/python")):
            if (build / path).exists():
                variables[name] = str(build / path)
        filters = [word for suite in suites for word in ("--filter", suite)]
        # Not `swift test`, which plans all builds anew, so that the next one begins with the plugin's tool.
        tests = self.folder / ".build/debug/caduceusPackageTests.xctest"
        status, _ = self.run([str(tests), "--testing-library", "swift-testing", "--event-stream-output-path",
                              str(self.events)] + filters, longest, **variables)
        began, ended, failed, finished = set(), set(), set(), False
        for line in self.events.read_text(encoding="utf-8").splitlines() if self.events.exists() else []:
            try:
                record = json.loads(line)
            except ValueError:
                break
            payload = record["payload"]
            kind, test = payload.get("kind"), payload.get("testID")
            if record["kind"] != "event":
                continue
            if kind == "testStarted" and "(" in (test or ""):
                began.add(test)
            elif kind == "testEnded":
                ended.add(test)
            elif kind == "issueRecorded" and payload["issue"].get("isFailure", not payload["issue"]["isKnown"]):
                failed.add(test)
            elif kind == "runEnded":
                finished = True
        failed |= began - ended
        if not finished or status != 0 and not failed:
            failed.add("the end of the run")
        return began, failed


class Modules:
    """Which module a source belongs to, and what a test target is made of."""

    def __init__(self, tree):
        status, text = tree.swift(["package", "describe", "--type", "json"])
        if status != 0:
            sys.exit(text)
        targets = json.loads(text[text.index("{"):])["targets"]
        self.paths = {target["path"] + "/": target["name"] for target in targets}
        self.needs = {target["name"]: target.get("target_dependencies", []) for target in targets}

    def module(self, file):
        return next((name for path, name in self.paths.items() if file.startswith(path)), file)

    def closure(self, name):
        found, waiting = set(), [name]
        while waiting:
            target = waiting.pop()
            if target not in found:
                found.add(target)
                waiting += self.needs.get(target, [])
        return found

    def independent(self, one, other):
        """Whether neither mutant is in what the other one's tests are made of."""
        return (self.module(one.file) not in self.closure(other.test_target)
                and self.module(other.file) not in self.closure(one.test_target))


def groups(mutants, modules):
    """Mutants that can be built together, as few groups as a simple way gives; those of one module follow each other."""
    waiting = sorted(mutants, key=lambda mutant: (modules.module(mutant.file), mutant.file, mutant.name))
    while waiting:
        group = []
        for mutant in list(waiting):
            if all(modules.independent(mutant, other) for other in group):
                group.append(mutant)
                waiting.remove(mutant)
        yield group


class Run:
    """The table and its errors."""

    def __init__(self, tree):
        self.tree = tree
        self.words = collections.Counter()

    def show(self, mutant, word, seconds=0.0, more=""):
        self.words[word] += 1
        print("%-46s %-52s %-15s %6.1f" % (mutant.name, mutant.suite, word, seconds), flush=True)
        if more:
            print(more, file=sys.stderr, flush=True)

    def try_group(self, group):
        """Makes all mutants of a group at once, builds, and runs each one's own suite."""
        originals, made = {}, []
        begin = time.monotonic()
        try:
            for mutant in group:
                path = self.tree.folder / mutant.file
                text = path.read_text(encoding="utf-8") if path.is_file() else ""
                edited = None if mutant.problem else mutant.applied(text)
                if edited is None or edited == text:
                    self.show(mutant, mutant.problem or "does not apply")
                    continue
                originals.setdefault(path, text)
                path.write_text(edited, encoding="utf-8")
                made.append(mutant)
            if not made:
                return
            is_live = made[0].is_live
            wrong = self.tree.build_program() if is_live else self.tree.build_tests()
            built = (time.monotonic() - begin) / len(made)
            if wrong and len(made) == 1:
                return self.show(made[0], "does not build", built, wrong[-2000:])
            if not wrong:
                for mutant in made:
                    begin = time.monotonic()
                    began, failed = self.tree.test([mutant.suite], LONGEST)
                    word = "no test" if not began else "noticed" if failed else "NOT NOTICED"
                    self.show(mutant, word, built + time.monotonic() - begin)
                return
        finally:
            for path, text in originals.items():
                path.write_text(text, encoding="utf-8")
        for mutant in made:
            self.try_group([mutant])

    def baseline(self, suites):
        """Without a mutant everything must pass: else nothing is noticed by it."""
        began, failed = self.tree.test(sorted(suites), LONGEST_BASELINE)
        if failed or not began:
            sys.exit("without any mutant: %d tests, failed: %s" % (len(began), ", ".join(sorted(failed)) or "none"))
        print("without any mutant: %d tests passed" % len(began), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--root", type=pathlib.Path, default=HERE.parent.parent)
    parser.add_argument("--live", choices=("no", "yes", "only"), default="yes")
    parser.add_argument("--list", action="store_true", help="print what each mutant gets wrong")
    arguments = parser.parse_args()
    mutants = [Mutant(path) for path in sorted(HERE.glob("*.patch")) if re.search(arguments.pattern, path.stem)]
    if arguments.live != "yes":
        mutants = [mutant for mutant in mutants if mutant.is_live == (arguments.live == "only")]
    if not mutants:
        sys.exit("no mutant's name contains %s" % arguments.pattern)
    if arguments.list:
        for mutant in mutants:
            text = (HERE / (mutant.name + ".patch")).read_text(encoding="utf-8")
            print("%-46s %s" % (mutant.name, text.splitlines()[0].removeprefix("Wrong: ")))
        return 0
    tree = Tree(arguments.root.resolve())
    tree.folder.mkdir(parents=True, exist_ok=True)
    lock = open(tree.folder.parent / "lock", "w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("another run makes mutants in the same copy")
    # What was changed in the copy is changed back at the end, however that comes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    tree.update()
    run = Run(tree)
    pure = [mutant for mutant in mutants if not mutant.is_live]
    live = [mutant for mutant in mutants if mutant.is_live]
    wrong = tree.build_tests() or (live and tree.build_program())
    if wrong:
        sys.exit("it does not build without any mutant:\n" + wrong[-4000:])
    if pure:
        run.baseline({mutant.suite for mutant in pure if mutant.suite})
        for group in groups(pure, Modules(tree)):
            run.try_group(group)
    if live:
        wrong = tree.build_tests()
        if wrong:
            sys.exit(wrong[-4000:])
        run.baseline({mutant.suite for mutant in live})
        for mutant in live:
            run.try_group([mutant])
        tree.build_program()
    noticed = run.words.pop("noticed", 0)
    others = ", ".join("%d %s" % (count, word) for word, count in sorted(run.words.items()))
    print("%d noticed%s" % (noticed, others and ", " + others))
    return 1 if others else 0


if __name__ == "__main__":
    sys.exit(main())
