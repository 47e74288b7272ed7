"""Documentation pages as tests see them: documents to write and commands to run, in their order.

The words behind the language of a fenced block say what it is:

- ``json NAME`` (also yaml, text): a file, written to NAME.
- ``json NAME add``: put into the document NAME, object by object. ``without fields.name`` behind it
  takes a member out first: the text of the page says so.
- ``json``: a part of a document, shown to explain something.
- ``console``: a transcript. A line that begins with ``$ `` is a command for the shell; below it
  stands exactly what it prints. ``...`` alone stands for lines that are left out, within a line for
  any text, and ``(exit 1)`` for a code that is not 0.
- ``console node``: the same, beside a real mount.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from shotfs.cli.main import app

DOCS = Path(__file__).parents[2] / "docs"

WIDTH = 100
"""Columns of the terminal that the pages show."""

_FENCE = re.compile(r"^```(\w+)?[ ]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\(exit (\d+)\)")


@dataclass(frozen=True, slots=True)
class Document:
    """A file that the page shows.

    Attributes:
        name: empty for a part.
        add: it is put into the document that is there.
        without: members that are taken out of that first, with points between their names.
    """

    name: str
    text: str
    line: int
    add: bool = False
    without: tuple[str, ...] = ()

    def write(self, directory: Path) -> None:
        """Write it to *directory*, or put it into the document there."""
        path = directory / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self.add:
            path.write_text(self.text)
            return
        made = json.loads(path.read_text())
        for member in self.without:
            *above, last = member.split(".")
            at = made
            for name in above:
                at = at[name]
            del at[last]
        path.write_text(json.dumps(merged(made, json.loads(self.text)), indent=2) + "\n")


@dataclass(slots=True)
class Command:
    """A command of a transcript.

    Attributes:
        text: as the page has it, for a shell.
        node: it wants a mount.
        printed: the lines that it must print.
        exit_code: with which it must end.
    """

    text: str
    line: int
    node: bool
    printed: list[str] = field(default_factory=list)
    exit_code: int = 0


Step = Document | Command


def merged(document: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Return *document* with *part* put into it: objects into objects, all else replaced."""
    made = dict(document)
    for name, value in part.items():
        old = made.get(name)
        both = isinstance(old, dict) and isinstance(value, dict)
        made[name] = merged(old, value) if both else value
    return made


def steps(page: str) -> Iterator[Step]:
    """Yield what the page shows, from its top to its bottom."""
    for fence in _FENCE.finditer(page):
        kind, text = fence.group(1), fence.group(3)
        words = fence.group(2).split()
        line = page.count("\n", 0, fence.start()) + 1
        if kind == "console":
            yield from _commands(text, line, node="node" in words)
        elif kind == "json" or words:
            name = words[0] if words else ""
            yield Document(name, text, line, "add" in words, tuple(words[3:]))


def _commands(text: str, line: int, *, node: bool) -> Iterator[Command]:
    command: Command | None = None
    for offset, shown in enumerate(text.splitlines(), 1):
        if shown.startswith("$ "):
            if command is not None:
                yield command
            command = Command(shown[2:], line + offset, node)
        elif command is None:
            raise ValueError(f"line {line + offset}: a transcript begins with '$ '")
        elif command.text.endswith("\\") and not command.printed:
            command.text = f"{command.text[:-1]}{shown.removeprefix('>').strip()}"
        elif (found := _EXIT.fullmatch(shown.strip())) is not None:
            command.exit_code = int(found.group(1))
        else:
            command.printed.append(shown)
    if command is not None:
        yield command


def run(command: Command) -> tuple[int, str]:
    """Run *command* in the working directory; return how it ended and what it printed.

    `shotfs` runs in this process, everything else in a shell.
    """
    program, *arguments = shlex.split(command.text)
    if program != "shotfs" or not {"|", ">", "<", "&&"}.isdisjoint(arguments):
        return run_in_shell(command, {})
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": str(WIDTH)})
    return result.exit_code, result.output


def run_in_shell(command: Command, env: Mapping[str, str]) -> tuple[int, str]:
    """Run *command* with a shell; return as `run` does."""
    done = subprocess.run(
        ["bash", "-c", command.text],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "COLUMNS": str(WIDTH), "LC_ALL": "C", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )
    # Nobody who types this is told a line.
    return done.returncode, re.sub(r"(?m)^bash: line \d+: ", "bash: ", done.stdout)


def compare(command: Command, exit_code: int, said: str) -> None:
    """Raise AssertionError if the page shows something else than what was *said*."""
    lines = "\n".join(line.rstrip() for line in said.splitlines()).rstrip("\n") + "\n"
    assert exit_code == command.exit_code, f"line {command.line}: {command.text}\n{lines}"
    wanted = "".join(
        r"(?:.*\n)*?" if shown.strip() == "..." else _pattern(shown) + "\n"
        for shown in command.printed
    )
    matches = re.fullmatch(wanted or "\n?", lines) is not None
    assert matches, f"line {command.line}: {command.text} printed\n{lines}"


def _pattern(shown: str) -> str:
    return ".*".join(re.escape(part) for part in shown.rstrip().split("..."))
