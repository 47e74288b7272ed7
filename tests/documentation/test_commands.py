"""docs/cli.md has every command, and every option of each in its section."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.core import TyperGroup

from shotfs.cli.main import COMMANDS as TOP
from shotfs.cli.main import load_command

from .pages import DOCS

TEXT = (DOCS / "cli.md").read_text()
OVERVIEW = TEXT.partition("\n## Exit codes")[0]
SAID_ONCE = {"--json", "--config", "--spec", "--site", "--show", "--help"}
"""Said at the beginning of the page, or of a group's section."""

OF_TYPER = {"--install-completion", "--show-completion"}


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(command, TyperGroup):
        yield name, command
        return
    for word, below in command.commands.items():
        if not below.hidden:
            yield from _commands(below, f"{name} {word}")


COMMANDS = dict(
    command for name in TOP for command in _commands(load_command(name), f"shotfs {name}")
)


def _section(name: str) -> str:
    """Return the section of the command *name*, else that of its group."""
    words = name.split()
    while len(words) > 1:
        heading = re.escape(" ".join(words))
        found = re.search(rf"^##+ {heading}\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
        if found is not None:
            return found.group(1)
        words.pop()
    raise AssertionError(f"docs/cli.md has no section for {name!r}")


@pytest.mark.parametrize("name", COMMANDS)
def test_command_is_in_the_overview(name: str) -> None:
    group, _, last = name.rpartition(" ")
    row = rf"^\| `{re.escape(name)}\b|^\| `{re.escape(group)} .*`{re.escape(last)}`"
    if group == "shotfs spec import":
        row = r"^\| `shotfs spec import`"
    assert re.search(row, OVERVIEW, re.MULTILINE) is not None


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_the_command_are_described(name: str) -> None:
    section = _section(name)
    options = {
        option
        for parameter in COMMANDS[name].params
        if parameter.param_type_name == "option" and not parameter.hidden
        for option in parameter.opts
        if option.startswith("--")
    }
    options -= SAID_ONCE | OF_TYPER
    assert [one for one in sorted(options) if re.search(rf"{one}(?![a-z-])", section) is None] == []


def test_options_that_are_described_exist() -> None:
    known = {
        option
        for command in COMMANDS.values()
        for parameter in command.params
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert len(known) >= 40
    assert sorted(set(re.findall(r"`(--[a-z-]+)", TEXT)) - known - {"--help"}) == []


INLINE = re.compile(r"`(shotfs(?: [^`\n]*)?)`")
LINE = re.compile(r"^(?: {4}|\$ |sudo )?(?:sudo )?(shotfs [^\n]*)$", re.MULTILINE)
FENCED = re.compile(r"^```(?:sh|console|text)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}(?:sudo )?(shotfs [^\n]*)$", re.MULTILINE)


def _shown(page: str) -> Iterator[str]:
    """Yield the commands that *page* shows."""
    for fence in FENCED.findall(page):
        yield from LINE.findall(fence)
    yield from INDENTED.findall(page)
    yield from INLINE.findall(FENCED.sub("", page))


PAGES = ["../README.md", *(str(page.relative_to(DOCS)) for page in sorted(DOCS.rglob("*.md")))]


def _is_wrong(shown: str) -> bool:
    """Return whether the program has no such command, or the command no such option."""
    words = re.split(r" # | \| | && |[|;)]", shown)[0].split()
    path = "shotfs"
    for word in words[1:]:
        if not any(f"{name} ".startswith(f"{path} {word} ") for name in COMMANDS):
            break
        path = f"{path} {word}"
    below = [one for name, one in COMMANDS.items() if f"{name} ".startswith(f"{path} ")]
    known = {
        option
        for command in below
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    options = {re.split("[=,]", word)[0] for word in words if re.match(r"-{1,2}[a-z]", word)}
    next_word = words[path.count(" ") + 1 : path.count(" ") + 2]
    # A group is followed by one of its commands, or by nothing: `shotfs spec`.
    named = path in COMMANDS or not next_word or next_word[0].startswith(("-", "..."))
    return not named or bool(options - known)


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_every_page_exist_with_their_options(page: str) -> None:
    shown = list(_shown((DOCS / page).read_text()))
    assert [one for one in shown if _is_wrong(one)] == []


def test_wrong_commands_are_seen() -> None:
    wrong = ["shotfs explode", "shotfs spec explode x", "shotfs spec check --explode x"]
    assert [one for one in wrong if not _is_wrong(one)] == []
    assert sum(len(list(_shown((DOCS / page).read_text()))) for page in PAGES) > 150
