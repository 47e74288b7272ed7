"""What `shotfs prewarm` shows: how far it is on a terminal, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shotfs.cli import output
from shotfs.cli.status import duration, size

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

POLL_S = 0.25
POLL_S_MAX = 1.0

PROBLEMS_SHOWN_MAX = 20
"""Files that people see; --json has all that are told."""

ENDED = "ended"

STOPPED = {
    "cancelled": "it was cancelled",
    "deadline": "its time was up",
    "limit": "its limit was reached",
    "cache full": "the cache has no room for more, and nothing in it may go: it is pinned, open, or"
    " of this prewarm",
    "egress budget": "what is left of the origin's budget is not for prewarming",
}


def wait(show: Callable[[], Mapping[str, Any]], *, live: bool) -> Mapping[str, Any]:
    """Return the last report of a prewarm, when it has ended.

    Args:
        show: asks how far it is.
        live: show that on the terminal of standard error.
    """
    if not live:
        pause_s = POLL_S / 5
        while (report := show())["state"] != ENDED:
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, POLL_S_MAX)
        return report
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True),
        TextColumn("{task.fields[files]}"), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=output.error_console, transient=True) as display:
        tasks: dict[str, Any] = {}
        whole = display.add_task("in all", total=None, files="")
        while True:
            report = show()
            done = report["here_files"] + report["fetched_files"]
            display.update(
                whole, total=report["bytes"] or None, completed=report["done_bytes"],
                files=f"{done} of {report['wanted'] or '?'} files",
            )  # fmt: skip
            for name, share in report["templates"].items():
                if name not in tasks:
                    tasks[name] = display.add_task(f"  {name}", total=None, files="")
                display.update(
                    tasks[name], total=share["bytes"], completed=share["done_bytes"],
                    files=f"{share['done_files']} of {share['files']}",
                )  # fmt: skip
            if report["state"] == ENDED:
                return report
            time.sleep(POLL_S)


def complete(report: Mapping[str, Any]) -> bool:
    """Whether everything that exists and was asked for is here."""
    absent = report["absent"]
    return not (
        report["stopped"]
        or report["error"]
        or report["failed_files"]
        or absent.get("failed")
        or absent.get("forbidden")
    )


def percent_here(report: Mapping[str, Any]) -> float:
    """Return how many percent of the bytes are here; of files, where they have none."""
    if report["bytes"]:
        return 100.0 * float(report["here_bytes"]) / float(report["bytes"])
    return 100.0 * report["here_files"] / report["files"] if report["files"] else 100.0


def shown(report: Mapping[str, Any]) -> RenderableType:
    """Return what came of a prewarm, for people."""
    from rich.console import Group
    from rich.text import Text

    lines: list[RenderableType] = []
    if len(report["templates"]) > 1:
        here = "were here" if report["mode"] == "evict" else "here"
        lines.append(_by_template(report["templates"], here))
    lines.append(Text(_sum(report)))
    lines += [Text(f"! {one}") for one in _troubles(report)]
    return Group(*lines)


def _by_template(templates: Mapping[str, Mapping[str, Any]], here: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    table.add_column("template")
    for name in ("files", here, "size", here):
        table.add_column(name, justify="right")
    for name, share in sorted(templates.items()):
        table.add_row(
            Text(output.printable(name or "others")), str(share["files"]),
            str(share["done_files"]), size(share["bytes"]), size(share["done_bytes"]),
        )  # fmt: skip
    return table


def _sum(report: Mapping[str, Any]) -> str:
    files = f"{output.counted(report['files'], 'file')}, {size(report['bytes'])}"
    here = f"{report['here_files']} {'was' if report['here_files'] == 1 else 'were'} here"
    if report["mode"] == "evict":
        gone = report["evicted"] or {"files": 0, "bytes": 0, "pinned": 0, "open": 0}
        return (
            f"{files}: {gone['files']} evicted ({size(gone['bytes'])}), {gone['pinned']} pinned,"
            f" {gone['open']} open"
        )
    if report["mode"] in ("dry-run", "check"):
        are = "is" if report["here_files"] == 1 else "are"
        here = f"{report['here_files']} {are} here ({percent_here(report):.1f} % of the bytes)"
        text = f"{files}: {here}; {size(report['missing_bytes'])} would be fetched"
        return text if not report["cost"] else f"{text}, cost {report['cost']:.2f}"
    text = f"{files}: {here}, {report['fetched_files']} fetched"
    if report["fetched_bytes"] and report["seconds"]:
        text += f" ({size(report['fetched_bytes'])} in {duration(report['seconds'])})"
    return text


def _troubles(report: Mapping[str, Any]) -> list[str]:
    told = []
    if report["stopped"]:
        left = "" if report["wanted"] is None else f"; {report['wanted'] - report['entries']} left"
        told.append(f"stopped: {STOPPED.get(report['stopped'], report['stopped'])}{left}")
        if report["reason"]:
            told.append(output.printable(report["reason"]))
    if report["failed_files"]:
        told.append(f"{output.counted(report['failed_files'], 'file')} did not come")
    told += [f"{count} {name}" for name, count in sorted(report["absent"].items())]
    if report["stale_files"]:
        told.append(f"{report['stale_files']} stale: the origin has other content by now")
    told += [
        output.printable(f"{one['path']}: {one['reason']}")
        for one in report["problems"][:PROBLEMS_SHOWN_MAX]
    ]
    more = len(report["problems"]) - PROBLEMS_SHOWN_MAX
    return [*told, f"and {more} more: --json lists them"] if more > 0 else told


def listed(prewarms: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return a list of prewarms, for people."""
    from rich.table import Table
    from rich.text import Text

    if not prewarms:
        return Text("Nothing is prewarmed.")
    table = Table(box=None, pad_edge=False)
    for name in ("number", "state", "mode", "files", "size", "here", "what"):
        table.add_column(name, overflow="fold", no_wrap=name != "what")
    for one in prewarms:
        state = one["state"] if one["stopped"] is None else f"{one['state']}: {one['stopped']}"
        cells = (
            str(one["number"]), state, one["mode"], str(one["files"]), size(one["bytes"]),
            size(one["done_bytes"]), one["label"],
        )  # fmt: skip
        table.add_row(*(Text(output.printable(cell)) for cell in cells))
    return table
