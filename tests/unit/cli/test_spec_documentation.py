"""docs/cli.md describes every command of `shotfs spec` that reads documents, and every option."""

from __future__ import annotations

import re
import typing
from pathlib import Path

import click
import pytest
import typer

from shotfs.cli.spec import app
from shotfs.pathspec.sequences import STYLES

TEXT = (Path(__file__).parents[3] / "docs/cli.md").read_text()
GROUP = typing.cast(click.Group, typer.main.get_command(app))
NAMES = ("check", "schema", "explain", "parse", "format", "sequence", "diff", "export", "lint")
COMMON = {"--json", "--config", "--spec", "--site", "--show", "--help"}
"""Described once, at the beginning."""


def section(heading: str) -> str:
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/cli.md has no section {heading!r}"
    return found.group(1)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_is_described(name: str) -> None:
    command = GROUP.commands[name]
    text = section(f"shotfs spec {name}")
    overview = TEXT[: TEXT.index("## Exit codes")]
    assert re.search(rf"\| `shotfs spec.*`{name}`|`shotfs spec {name}`", overview) is not None
    options = {
        option
        for parameter in command.params
        if parameter.param_type_name == "option"
        for option in parameter.opts
        if option.startswith("--")
    }
    assert [one for one in sorted(options - COMMON) if f"`{one}" not in text] == []
    assert {f"--{word}" for word in re.findall(r"^\| `--([a-z-]+)", text, re.MULTILINE)} <= options


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(name: str) -> None:
    text = GROUP.commands[name].help
    assert text is not None
    assert f"Example: shotfs spec {name}" in text


def test_styles_of_tokens_are_listed() -> None:
    text = section("shotfs spec format")
    assert [style for style in STYLES if f"`{style}`" not in text] == []
