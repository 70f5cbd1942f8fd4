"""manual.py PROGRAM TEMPLATE: prints the manual page of PROGRAM, in man(7).

Commands, options, usage and examples come from the program itself: from what it prints for --experimental-dump-help
(JSON, of swift-argument-parser) and for --help. TEMPLATE holds the sections that no definition of a command knows, and
says where the others go: a line `@NAME@` stands for a generated part.

What a discussion looks like: paragraphs are parted by empty lines; a line in capitals is a heading; indented lines are
kept as they are. Below the heading EXAMPLES, lines that end in a colon introduce the lines below them.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import textwrap


def roff(text: str) -> str:
    """Text in which nothing is taken for a request, and each dash of an option can be copied as one."""
    text = text.replace("\\", "\\e")
    # An option, or a range's or a name's dash: only the dashes before a word that begins with one are options'.
    text = re.sub(r"(?<![\w-])-{1,2}(?=\w)", lambda dashes: "\\-" * len(dashes[0]), text)
    text = re.sub(r"`([^`]+)`", r"\\fB\1\\fR", text)
    text = "".join(c if ord(c) < 128 else f"\\[u{ord(c):04X}]" for c in text)
    return "\n".join("\\&" + line if line[:1] in (".", "'") else line for line in text.split("\n"))


def quoted(text: str) -> str:
    return '"' + roff(text).replace('"', "\\(dq") + '"'


def literal(lines: list[str]) -> list[str]:
    """Lines that are kept as they are."""
    dashes = [re.sub("-", r"\\-", line.replace("\\", "\\e")) for line in lines]
    return [".RS 4", ".nf", *["\\&" + line if line[:1] in (".", "'") else line for line in dashes], ".fi", ".RE"]


def sentences(text: str) -> list[str]:
    """One line of the source for each sentence, as man(7) asks for."""
    joined = " ".join(text.split())
    return [roff(part) for part in re.split(r"(?<=[a-z0-9)`][.;:?!]) (?=[A-Z`(-])", joined)]


class Discussion:
    """A discussion by its headings; what is above the first one has the heading ''."""

    def __init__(self, text: str):
        self.parts: dict[str, list[str]] = {"": []}
        heading = ""
        for line in text.split("\n"):
            if re.fullmatch(r"[A-Z][A-Z ]+:?", line):
                heading = line.rstrip(":")
            elif line and not line.startswith(" ") and heading:
                # What is not indented below a heading is no longer its own.
                heading = ""
                self.parts[heading].append("")
            self.parts.setdefault(heading, [])
            if not re.fullmatch(r"[A-Z][A-Z ]+:?", line):
                self.parts[heading].append(line)

    def paragraphs(self) -> list[list[str]]:
        """The paragraphs without a heading."""
        text = "\n".join(self.parts[""]).strip("\n")
        return [block.split("\n") for block in re.split(r"\n\s*\n", text) if block.strip()]

    def examples(self) -> list[tuple[str, list[str]]]:
        """What each example shows, and its lines."""
        found: list[tuple[str, list[str]]] = []
        depth = None
        for line in self.parts.get("EXAMPLES", []):
            if not line.strip():
                continue
            indent = len(line) - len(line.lstrip())
            depth = indent if depth is None else depth
            if indent <= depth:
                found.append((line.strip().rstrip(":"), []))
            else:
                found[-1][1].append(line.strip())
        return found


def body(text: str, first: str) -> list[str]:
    """A discussion's paragraphs, each after the request `first`."""
    lines = []
    for paragraph in Discussion(text).paragraphs():
        lines.append(first)
        if all(line.startswith(" ") for line in paragraph):
            lines += literal([line.strip() for line in paragraph])
        else:
            lines += sentences("\n".join(paragraph))
    return lines


class Command:
    """One command, and how it is called."""

    def __init__(self, definition: dict):
        self.name = definition["commandName"]
        self.abstract = definition.get("abstract", "")
        self.discussion = definition.get("discussion", "")
        self.arguments = [a for a in definition.get("arguments", []) if a["shouldDisplay"]]
        self.is_shown = definition["shouldDisplay"]
        self.subcommands = [Command(each) for each in definition.get("subcommands", [])]
        default = definition.get("defaultSubcommand")
        for each in self.subcommands:
            # The default command is called without its name.
            each.is_bare = each.name == default
            each.call = self.name if each.is_bare else f"{self.name} {each.name}"

    @property
    def options(self) -> list[dict]:
        return [a for a in self.arguments if a["kind"] != "positional"]

    @property
    def synopsis(self) -> str:
        words = [self.call]
        if any(option["names"][-1]["name"] not in ("help", "version") for option in self.options):
            words.append("[OPTIONS]")
        for argument in self.arguments:
            if argument["kind"] == "positional":
                value = argument["valueName"].upper() + ("..." if argument["isRepeating"] else "")
                words.append(f"[{value}]" if argument["isOptional"] else value)
        return " ".join(words)


def tag(argument: dict) -> str:
    value = argument.get("valueName", "")
    if argument["kind"] == "positional":
        return f".I {quoted(value)}"
    names = []
    for name in argument["names"]:
        dashes = "--" if name["kind"] == "long" else "-"
        names.append("\\fB" + (dashes + name["name"]).replace("-", "\\-") + "\\fR")
    text = ", ".join(names)
    return text + (f" \\fI{roff(value)}\\fR" if argument["kind"] == "option" else "")


def entry(argument: dict, note: str = "") -> list[str]:
    """An argument with everything that is known of it."""
    lines = [".TP", tag(argument)]
    text = argument.get("abstract", "")
    if text and not text.endswith((".", "!", "?")):
        text += "."
    facts = []
    values = argument.get("allValues", [])
    if values and not all(value in text for value in values):
        facts.append("Values: " + ", ".join(values) + ".")
    default = argument.get("defaultValue", "")
    if default and argument["kind"] == "option":
        default = default.removesuffix(".0")
        facts.append(f"Default: {default}.")
    elif default and "(default)" not in text:
        facts.append("This is the default.")
    lines += sentences(" ".join([text, *facts, note])) if text or facts or note else ["\\&"]
    if argument.get("discussion"):
        for paragraph in re.split(r"\n\s*\n", argument["discussion"]):
            lines += [".IP", *sentences(paragraph)]
    return lines


def same(argument: dict) -> str:
    return json.dumps(argument, sort_keys=True)


def option_sections(root: Command) -> list[str]:
    """Each option once: those of all commands, then those of a titled group, then those of one command alone."""
    commands = [each for each in root.subcommands if each.is_bare or each.is_shown and each.options]
    with_options = [each for each in commands if any(option.get("sectionTitle") for option in each.options)] or commands
    groups: dict[str, list[tuple[dict, list[Command]]]] = {}
    own: dict[str, list[dict]] = {}
    general = {same(option) for option in root.options}
    for command in commands:
        for option in command.options:
            title = option.get("sectionTitle")
            if same(option) in general:
                continue
            if not title:
                own.setdefault(command.name, []).append(option)
                continue
            group = groups.setdefault(title, [])
            for known, users in group:
                if same(known) == same(option):
                    users.append(command)
                    break
            else:
                group.append((option, [command]))
    lines = []
    for command in commands:
        if command.name in own:
            lines.append(f".SS {quoted('Options of ' + calls([command]))}")
            for option in own[command.name]:
                lines += entry(option)
    for title, group in groups.items():
        everyone = [each for each in with_options if any(each in users for _, users in group)]
        lines.append(f".SS {quoted(f'{title}: options of {calls(everyone)}')}")
        for option, users in group:
            lines += entry(option, "" if len(users) == len(everyone) else f"Only for {calls(users)}.")
    if root.options:
        lines.append(".SS General options")
        for option in root.options:
            lines += entry(option)
    return lines


def calls(commands: list[Command]) -> str:
    names = [
        f"{each.call} {each.arguments[0]['valueName'].upper()}" if each.is_bare else each.name for each in commands
    ]
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def usage(help_text: str) -> list[str]:
    """The lines of the usage."""
    block = re.search(r"^USAGE: (.*(?:\n {7}.*)*)", help_text, re.MULTILINE)
    return [line.strip() for line in block[1].split("\n")] if block else []


def synopsis_line(text: str) -> list[str]:
    """Words of commands and options in bold, what stands for something else in italics."""
    words = []
    for word in text.split():
        plain = word.strip("[].<>")
        if plain.isupper() and plain.isalpha():
            words.append(roff(word).replace(plain, f"\\fI{plain.lower()}\\fR"))
        elif word.startswith("[") or word.startswith("<"):
            words.append(roff(word))
        else:
            words.append(f"\\fB{roff(word)}\\fR" if word != "--" else "\\fB\\-\\-\\fR")
    return [" ".join(words)]


def filled(page: list[str]) -> list[str]:
    """The page with its text, but nothing that is kept as it is, in lines of at most 78 characters."""
    lines = []
    is_kept = False
    for line in page:
        if line in (".nf", ".fi"):
            is_kept = line == ".nf"
        if is_kept or line.startswith(".") or len(line) <= 78:
            lines.append(line)
            continue
        parts = textwrap.wrap(line, 76, break_long_words=False, break_on_hyphens=False)
        # A word that has come to the beginning of a line must not become a request.
        lines += ["\\&" + part if part[0] in ".'" else part for part in parts]
    return lines


def main() -> None:
    program, template = sys.argv[1:]

    def run(*arguments: str) -> str:
        return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout

    root = Command(json.loads(run("--experimental-dump-help"))["command"])
    version = run("--version").strip()
    date = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc).date()

    lines = usage(run("--help"))
    for command in root.subcommands:
        if command.is_shown and not any(line.split()[:2] == command.call.split() for line in lines):
            lines.append(command.synopsis)
    synopsis: list[str] = []
    for line in lines:
        synopsis += [*([".br"] if synopsis else []), *synopsis_line(line)]

    def own_usage(command: Command) -> str:
        names = {each.name for each in root.subcommands}
        for line in lines:
            words = line.split()
            if words[:2] == command.call.split() or command.is_bare and words[1:2] and words[1] not in names:
                return line
        return command.synopsis

    commands: list[str] = []
    for command in root.subcommands:
        if command.is_shown or command.is_bare:
            commands += [".TP", *synopsis_line(own_usage(command)), *sentences(command.abstract)]
            commands += body(command.discussion, ".IP")
            described = [a for a in command.arguments if a["kind"] == "positional" and a.get("abstract")]
            for argument in described:
                commands += [".IP", f"\\fI{roff(argument['valueName'])}\\fR: {roff(argument['abstract'])}"]

    examples: list[str] = []
    for each in [root, *root.subcommands]:
        for shows, example in Discussion(each.discussion).examples():
            examples += [".PP"] if examples else []
            examples += [roff(shows[:1].upper() + shows[1:]) + ":", *literal(example)]

    parts = {
        "TITLE": [f'.TH {root.name.upper()} 1 "{date}" "{root.name} {version}" "User Commands"'],
        "NAME": [f"{root.name} \\- {roff(root.abstract[:1].lower() + root.abstract[1:].rstrip('.'))}"],
        "SYNOPSIS": synopsis,
        "DISCUSSION": body(root.discussion, ".PP"),
        "COMMANDS": commands,
        "OPTIONS": option_sections(root),
        "EXAMPLES": examples,
    }
    page: list[str] = []
    with open(template, encoding="utf-8") as file:
        for line in file:
            if line.startswith('.\\"'):
                continue
            name = re.fullmatch(r"@([A-Z]+)@", line.strip())
            page += parts[name[1]] if name else [line.rstrip("\n")]
    print("\n".join(filled(page)))


main()
