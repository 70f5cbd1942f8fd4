"""The manual page and the completions, read by the programs that people read them with. What has to be in them comes
from the program's help, not from the definitions that they are generated from.
"""

import gzip
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

import packages

DIST: pathlib.Path
SECTIONS = [
    "NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS",
    "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO",
]


class Documents(unittest.TestCase):
    """The package's files, unpacked."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        subprocess.run(["dpkg-deb", "--extract", packages.only("*.deb"), cls.folder], check=True)
        cls.share = cls.folder / "usr/share"
        cls.program = cls.folder / "usr/bin/caduceus"

    def help(self, *command: str) -> str:
        return packages.output(self.program, "help", *command)

    def subcommands(self) -> list[str]:
        block = self.help().split("SUBCOMMANDS:\n")[1]
        names = re.findall(r"^  ([a-z][\w-]*)(?: |$)", block.split("\n\n")[0], re.MULTILINE)
        self.assertGreater(len(names), 1)
        return names

    def long_options(self, *command: str) -> set[str]:
        """Options by the left column of the help."""
        rows = re.findall(r"^  (-.*?)(?:  |$)", self.help(*command), re.MULTILINE)
        return set(re.findall(r"--[a-z][\w-]*", " ".join(rows)))


class Manual(Documents):
    def setUp(self):
        self.page = self.folder / "caduceus.1"
        self.page.write_bytes(gzip.decompress((self.share / "man/man1/caduceus.1.gz").read_bytes()))

    def rendered(self) -> str:
        environment = os.environ | {"MANWIDTH": "200", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
        text = packages.output("man", "--local-file", "--warnings", self.page, env=environment)
        return re.sub(".\x08", "", text).replace("‐", "-").replace("−", "-")

    def test_mandoc_has_no_complaint(self):
        result = subprocess.run(["mandoc", "-Tlint", self.page], stdout=subprocess.PIPE, text=True)
        self.assertEqual((result.stdout, result.returncode), ("", 0))

    def test_groff_has_no_complaint(self):
        command = ["groff", "-man", "-ww", "-Kutf8", "-Tutf8", "-z", self.page]
        result = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.stderr, "")

    def test_index_of_manual_pages_finds_name_and_purpose(self):
        self.assertRegex(packages.output("lexgrog", self.page), r'"caduceus - \w')

    def test_sections_are_there_in_their_order(self):
        found = re.findall(r"^[A-Z][A-Z ]+$", self.rendered(), re.MULTILINE)
        self.assertEqual(found, SECTIONS)

    def test_every_command_and_option_of_the_help_is_there(self):
        text = self.rendered()
        for command in ["", *self.subcommands()]:
            for option in self.long_options(*command.split()):
                with self.subTest(command=command, option=option):
                    self.assertRegex(text, rf"(?m)^ {{7}}(-\w, )*(--[\w-]+, )*{option}(,| |$)")
            with self.subTest(command=command):
                self.assertRegex(text, rf"(?m)^ {{7}}caduceus {command}")

    def test_examples_of_the_help_are_there_as_they_are(self):
        examples = re.findall(r"^ {6}(\S.*)$", self.help().split("USAGE:")[0], re.MULTILINE)
        self.assertGreater(len(examples), 1)
        for example in examples:
            self.assertIn(f"\n           {example}\n", self.rendered())

    def test_default_is_that_of_the_help(self):
        text = self.help("run")
        found = re.findall(r"(--[\w-]+) <\w+>((?:(?!--)[^(])*)\([^)]*default:\s+([\w.]+)\)", text)
        self.assertGreater(len(found), 1)
        for option, _, default in found:
            with self.subTest(option=option):
                entry = self.rendered().split(f"{option} ", 1)[1].split("\n\n", 1)[0]
                # Where the default depends on the command, the option's own text says it.
                self.assertTrue(f"Default: {default}." in entry or f"(default: {default})" in entry, entry)


class Completions(Documents):
    def complete_bash(self, line: list[str]) -> set[str]:
        script = """
            set -u
            source "$1"; shift
            definition=$(complete -p caduceus)
            [[ $definition =~ -F\\ ([^ ]+) ]]
            set +u
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
            "${BASH_REMATCH[1]}" caduceus "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\\n' "${COMPREPLY[@]}"
        """
        path = self.share / "bash-completion/completions/caduceus"
        text = packages.output("bash", "--norc", "-c", script, "bash", path, "caduceus", *line)
        return {reply.strip() for reply in text.splitlines() if reply.strip()}

    def complete_fish(self, line: list[str]) -> set[str]:
        words = " ".join(["caduceus", *line])
        command = ["fish", "--no-config", "-c", 'source $argv[1]; complete --do-complete "$argv[2]"']
        path = self.share / "fish/vendor_completions.d/caduceus.fish"
        text = packages.output(*command, path, words, env=os.environ | {"HOME": str(self.folder)})
        return {reply.split("\t")[0] for reply in text.splitlines()}

    def check(self, complete):
        names = set(self.subcommands())
        self.assertEqual(complete(["at"]), {name for name in names if name.startswith("at")})
        self.assertIn("attach", complete(["at"]))
        self.assertLessEqual(names, complete([""]))
        for command in names:
            with self.subTest(command=command):
                self.assertLessEqual(self.long_options(command), complete([command, "--"]))
        # The program that `run` runs, and its arguments, are files.
        name = str(self.folder / "program.py")
        pathlib.Path(name).touch()
        self.assertEqual({reply.replace("\\", "") for reply in complete(["run", "--", name[:-1]])}, {name})

    def test_bash_reads_it(self):
        subprocess.run(["bash", "-n", self.share / "bash-completion/completions/caduceus"], check=True)

    def test_bash_completes_commands_and_options(self):
        self.check(self.complete_bash)

    def test_fish_reads_it(self):
        path = self.share / "fish/vendor_completions.d/caduceus.fish"
        subprocess.run(["fish", "--no-config", "--no-execute", path], check=True)

    def test_fish_completes_commands_and_options(self):
        self.check(self.complete_fish)

    def test_zsh_reads_it(self):
        subprocess.run(["zsh", "-f", "-n", self.share / "zsh/vendor-completions/_caduceus"], check=True)

    def test_zsh_completes_commands_and_options(self):
        names = self.subcommands()
        lines = {"at": "attach"}
        for command in names:
            # The longest name without its last letter has one completion.
            option = max(self.long_options(command) - {"--help"}, key=len, default=None)
            if option:
                lines[f"{command} {option[:-1]}"] = f"{command} {option}"
        for typed, whole in lines.items():
            with self.subTest(typed=typed):
                self.assertEqual(self.complete_zsh(f"caduceus {typed}").rstrip(" ="), f"caduceus {whole}")

    def complete_zsh(self, typed: str) -> str:
        """The command line of an interactive zsh after `typed` and the key that completes."""
        setup = f"""
            PROMPT= RPROMPT= HISTFILE=; unsetopt prompt_cr prompt_sp beep zle_bracketed_paste 2>/dev/null
            fpath=({self.share}/zsh/vendor-completions $fpath)
            autoload -Uz compinit && compinit -u -D
            show() {{ print -r -- "<line>$BUFFER</line>"; exit }}
            zle -N show; bindkey '^X' show; bindkey '^I' complete-word
            print rea''dy
        """
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(HOME=str(self.folder), TERM="dumb", PATH=f"{self.program.parent}:{os.environ['PATH']}")
            os.execvp("zsh", ["zsh", "-f", "-i"])
        try:
            os.write(terminal, " ; ".join(line.strip() for line in setup.strip().split("\n")).encode() + b"\n")
            self.read(terminal, "\nready")
            os.write(terminal, f"{typed}\t\x18".encode())
            return re.search("<line>(.*)</line>", self.read(terminal, "</line>"))[1]
        finally:
            os.close(terminal)
            os.waitpid(child, 0)

    def read(self, terminal: int, end: str) -> str:
        """What the terminal shows up to and with `end`."""
        shown = ""
        deadline = time.monotonic() + 60
        while end not in shown.replace("\r", ""):
            ready, _, _ = select.select([terminal], [], [], deadline - time.monotonic())
            self.assertTrue(ready, f"zsh did not go on after: {shown!r}")
            shown += os.read(terminal, 4096).decode()
        return shown
