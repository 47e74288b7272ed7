"""What tools/bench/shot makes of its figures: a table, and a section of docs/performance.md."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.results import met

HEADINGS = ("", "makespan", "of it before the first frame", "stall", "from frame 2 on", "moved")

_MARKED = re.compile(r"(<!-- shot: begin[^\n]*-->\n).*?(<!-- shot: end -->)", re.DOTALL)


class BadPage(Exception):
    """A page has no place for the figures."""


def rows(shot: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return what is told of each system, in the order of `HEADINGS`."""
    return [
        (
            one["name"],
            f"{one['before_s'] + one['seconds']:.1f} s",
            f"{one['before_s']:.1f} s",
            f"{one['stall_s']:.1f} s",
            f"{one['stall_second_s']:.1f} s",
            f"{one['moved_mb']:,.0f} MB",
        )
        for one in shot["systems"]
    ]


def show(console: Console, shot: Mapping[str, Any]) -> None:
    """Print the table."""
    table = Table(title="one shot, one node")
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows(shot):
        table.add_row(*row)
    console.print(table)


def markdown(document: Mapping[str, Any]) -> str:
    """Return what the page says: the shot, the table, the ratios, the machine."""
    machine, shot = document["machine"], document["shot"]
    where = f"{machine['cpus']} x {machine['cpu']}, Linux {machine['kernel']}"
    lines = [
        f"{shot['caption']} Measured on {where}, Python {machine['python']}.",
        "",
        "![Makespan, and how long each frame waits](shot.png)",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---" + "|--:" * (len(HEADINGS) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in rows(shot)),
        "",
        "| figure | value | runs | target | |",
        "|---|--:|---|---|---|",
    ]
    for name, ratio in document["ratios"].items():
        runs = " ".join(f"{run:g}" for run in ratio["runs"])
        reached = "met" if met(ratio["value"], ratio["target"]) else "**missed**"
        lines.append(f"| `{name}` | {ratio['value']:g} | {runs} | {ratio['target']} | {reached} |")
    return "\n".join(lines)


def write_page(path: str, document: Mapping[str, Any]) -> None:
    """Put the figures between the markers of the page *path*, as a whole or not at all.

    Raises:
        BadPage: it has no markers, or several.
    """
    with open(path, encoding="utf-8") as file:
        page = file.read()
    figures = markdown(document)
    made, count = _MARKED.subn(lambda found: f"{found[1]}\n{figures}\n\n{found[2]}", page)
    if count != 1:
        raise BadPage(
            f"{path} has {count} places for the figures of a shot; put"
            " '<!-- shot: begin -->' and '<!-- shot: end -->' on lines of their own"
        )
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(made)
    os.replace(f"{path}.new", path)
