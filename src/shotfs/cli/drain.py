"""`shotfs drain`: publish what is left now, with a deadline, and say what remains."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.output import ExitCode
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(pretty_exceptions_enable=False)

DEADLINE_S = 25.0
"""Clouds give a preempted node 30 s."""

LOOK_EVERY_S = 0.25
"""How often the display asks how far it is."""

LISTED_MAX = 50
"""Outputs in the table of what remains; --json has all."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h)?")
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def seconds_of(text: str) -> float:
    """Return the duration that *text* says: ``25``, ``25s``, ``5m``, ``1h``."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter("write seconds, or a number with s, m or h: 25s")
    return float(found[1]) * _UNITS[found[2] or ""]


@app.command(name="drain")
@output.run
def drain(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    deadline: Annotated[
        str, typer.Option("--deadline", metavar="TIME", help="How long it may take: 25s, 5m.")
    ] = f"{DEADLINE_S:g}s",
    stop: Annotated[
        bool,
        typer.Option(
            "--stop/--no-stop",
            help="Take no new work, wait for open files, too, and end the service afterwards.",
        ),
    ] = False,
    emergency: Annotated[
        bool,
        typer.Option(
            "--emergency/--no-emergency",
            help="Copy what will not arrive to spool.emergency. With --stop always.",
        ),
    ] = True,
) -> None:
    """Publish everything that is closed, the smallest files first, and say what remains.

    Exit codes: 0 nothing remains; 8 outputs are on this node only; 9 outputs are not in the
    origin, and all of them have a copy in the emergency place.

    Example: shotfs drain --stop --deadline 25s
    """
    deadline_s = seconds_of(deadline)
    report = _drained(socket_of(config), deadline_s, emergency=emergency, stop=stop)
    code = _code_of(report)
    report |= {"exit_code": int(code)}
    output.emit(report, as_json, lambda: _table(report))
    if code is not ExitCode.OK:
        raise typer.Exit(int(code))


def _code_of(report: Mapping[str, Any]) -> ExitCode:
    if not report["count"]:
        return ExitCode.OK
    whole = len(report["items"]) == report["count"]
    copied = whole and all(item.get("emergency") for item in report["items"])
    return ExitCode.OUTPUTS_COPIED if copied else ExitCode.OUTPUTS_REMAIN


def _drained(socket: str, deadline_s: float, *, emergency: bool, stop: bool) -> dict[str, Any]:
    """Have the service drain, and show how far it is meanwhile."""
    from shotfs.control.client import Client

    answer: dict[str, Any] = {}
    problem: list[BaseException] = []

    def ask() -> None:
        try:
            with Client(socket) as client:
                answer.update(client.drain(deadline_s, emergency=emergency, stop=stop))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for us
            problem.append(error)

    asker = threading.Thread(target=ask, daemon=True)
    with Client(socket) as client:
        first = client.queue()
        asker.start()
        if output.error_console.is_terminal:
            _show(client, first, asker, deadline_s)
    asker.join()
    if problem:
        raise problem[0]
    return answer


def _show(client: Any, first: dict[str, Any], asker: threading.Thread, deadline_s: float) -> None:
    """Show files, bytes, rate and states until *asker* has its answer."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    from shotfs.errors import ShotfsError

    total = _bytes(first)
    columns = (
        TextColumn("{task.fields[files]}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TextColumn("{task.fields[states]}"),
        TimeElapsedColumn(),
        TextColumn(f"of {deadline_s:g} s"),
    )
    with Progress(*columns, console=output.error_console, transient=True) as progress:
        task = progress.add_task("", total=total, files="", states="")
        while asker.is_alive():
            try:
                now = client.queue()
            except ShotfsError:
                return  # it ends; the answer says the rest
            total = max(total, _bytes(now))
            states = Counter(item["state"] for item in now["items"])
            progress.update(
                task,
                total=total,
                completed=total - _bytes(now),
                files=f"{now['count']} left",
                states=", ".join(f"{count} {state}" for state, count in sorted(states.items())),
            )
            asker.join(LOOK_EVERY_S)


def _bytes(queue: Mapping[str, Any]) -> int:
    return int(queue["bytes"])


def _table(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    items = report["items"]
    if not items:
        return Text("Everything is in the origin.")
    table = Table(box=None, pad_edge=False)
    for name in ("path", "state", "size", "why", "emergency copy"):
        table.add_column(name, overflow="fold")
    for item in items[:LISTED_MAX]:
        why = item.get("error") or ("open for writing" if item.get("writers") else "-")
        cells = (
            item["path"] or f"serial {item['serial']}",
            item["state"],
            size(item["size_bytes"]),
            why,
            item.get("emergency") or "none",
        )
        table.add_row(*(Text(output.printable(cell)) for cell in cells))
    hidden = report["count"] - min(len(items), LISTED_MAX)
    copied = sum(bool(item.get("emergency")) for item in items)
    said = f"{output.counted(report['count'], 'output')} not in the origin, {copied} copied"
    more = f"; {hidden} of them are not shown (--json)" if hidden else ""
    return Group(table, Text(said + more))
