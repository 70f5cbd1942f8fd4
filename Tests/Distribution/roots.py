"""Package and tarball in bare Debian systems, that have Python and nothing else that caduceus could use."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import packages

DIST: pathlib.Path
CACHE: pathlib.Path
HERE = pathlib.Path(__file__).resolve().parent
# What the program would need if it were not linked in, and what could build or read anything.
ABSENT = re.compile(r"^(libunwind|libelf|libbpf|libswift|swift|(gcc|g\+\+|clang|cpp)(-\d+)?$|make|binutils)")


def archive(suites: list[str]) -> pathlib.Path:
    """The system of the first suite that the mirror has, made once."""
    errors = []
    for suite in suites:
        path = CACHE / f"{suite}.tar"
        if path.exists():
            return path
        made = subprocess.run([HERE / "make_root.sh", suite, path], stderr=subprocess.PIPE, text=True)
        if made.returncode == 0:
            return path
        errors.append(made.stderr)
    raise AssertionError("\n".join(errors))


class Root:
    """The tests of one system. Each begins with a system that nothing was done to."""

    suites: list[str]
    python: str

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("making a system and profiling in it needs root")
        CACHE.mkdir(parents=True, exist_ok=True)
        source = archive(self.suites)
        self.root = pathlib.Path(tempfile.mkdtemp(prefix=f"{source.stem}-", dir=CACHE))
        # The namespace is gone when a command has ended, so this removes nothing but the copy.
        self.addCleanup(shutil.rmtree, self.root)
        self.root.chmod(0o755)
        subprocess.run(["tar", "--extract", "--numeric-owner", "--directory", self.root, "--file", source], check=True)
        installed = self.inside("dpkg-query", "--show", "--showformat", "${Package}\n").split()
        self.assertEqual([name for name in installed if ABSENT.match(name)], [])
        self.assertRegex(self.inside("python3", "--version"), rf"^Python {re.escape(self.python)}\.")
        shutil.copy(HERE / "mixed.py", self.root / "root/mixed.py")

    def inside(self, *command: str) -> str:
        """What a command in the system prints; it has to succeed."""
        result = subprocess.run(
            [HERE / "in_root.sh", self.root, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(result.returncode, 0, f"{command}: {result.stdout}{result.stderr}")
        return result.stdout

    def profile(self, program: str):
        """Profiles, and looks for the stack that the program's text says it has."""
        stacks = self.root / "root/stacks.txt"
        stacks.unlink(missing_ok=True)
        self.inside(program, "run", "--collapsed", "-o", "/root/stacks.txt", "--", "python3", "/root/mixed.py")
        total = whole = 0
        for line in stacks.read_text().splitlines():
            stack, count = line.rsplit(" ", 1)
            total += int(count)
            whole += int(count) * self.is_whole(stack.split(";"))
        # More than nine tenths of the time are in the library's function (see mixed.py); a half leaves room for the
        # start of the interpreter and for stacks that are walked in part.
        self.assertGreater(total, 100, "samples")
        self.assertGreater(whole, total / 2, f"of {total} samples")

    @staticmethod
    def is_whole(frames: list[str]) -> bool:
        """Python, the interpreter's C code that sorts, the Python callback, and last the library that it calls."""
        functions = [frame.split(":")[1] if frame.startswith("mixed.py:") else None for frame in frames]
        if not {"arrange", "compare"} <= set(functions):
            return False
        outer, inner = functions.index("arrange"), functions.index("compare")
        native = [" (" in frame for frame in frames]
        between, above = native[outer + 1 : inner], native[inner + 1 :]
        library = re.search(r" \(libz\.so\.1[^)]*\)$", frames[-1])
        return bool(between) and all(between) and bool(above) and all(above) and library is not None

    def doctor(self, program: str):
        """The doctor finds nothing wrong where profiling works."""
        definition = json.loads(self.inside(program, "--experimental-dump-help"))
        names = {each["commandName"] for each in definition["command"]["subcommands"]}
        if "doctor" in names:
            self.inside(program, "doctor")

    def test_package(self):
        package = packages.only("*.deb")
        shutil.copy(package, self.root / "root")
        # The system has no package lists, so what the package depends on has to be there.
        self.inside("apt-get", "install", "--yes", "--no-install-recommends", f"/root/{package.name}")
        self.assertEqual(self.inside("caduceus", "--version").strip(), packages.version_in_source())
        # Prints one line for each file that differs.
        self.assertEqual(self.inside("dpkg", "--verify", "caduceus"), "")
        self.profile("caduceus")
        self.doctor("caduceus")
        self.inside("dpkg", "--purge", "caduceus")
        left = [path for path in (self.root / "usr").rglob("*caduceus*")]
        self.assertEqual(left, [])

    def test_tarball_in_a_strange_folder(self):
        folder = "/srv/a folder; with 'strange' ünames"
        (self.root / folder[1:]).mkdir()
        source = packages.only("*.tar.gz")
        subprocess.run(["tar", "--extract", "--directory", self.root / folder[1:], "--file", source], check=True)
        program = f"{folder}/{source.name.removesuffix('.tar.gz')}/bin/caduceus"
        self.assertEqual(self.inside(program, "--version").strip(), packages.version_in_source())
        self.profile(program)
        self.doctor(program)


class Bookworm(Root, unittest.TestCase):
    suites = ["bookworm"]
    python = "3.11"


class Newer(Root, unittest.TestCase):
    suites = ["trixie", "forky"]
    python = "3.13"
