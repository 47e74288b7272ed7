"""`shotfs publish queue` and `retry`: what is not in the origin yet, and trying it again."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, duration, human, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.control.client import Client

COLUMNS = ("serial", "path", "state", "size_bytes", "age_s", "attempts", "retry_s", "error")
"""What a queue item may have that is worth a column, in this order."""

OutputArgument = Annotated[
    str, typer.Argument(metavar="PATH|NUMBER", help="A path, or a number that `queue` shows.")
]


class QueuedState(StrEnum):
    """The states that `--state` takes; those of `publish.states`, which imports more than help."""

    OPEN = "open"
    SEALED = "sealed"
    UPLOADING = "uploading"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    PUBLISHED = "published"


@output.run
def queue(
    state: Annotated[
        QueuedState | None, typer.Option("--state", help="Only outputs in this state.")
    ] = None,
    under: Annotated[
        str | None, typer.Option("--under", metavar="PATH", help="Only at or below this path.")
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="JOB", help="Only of this render job.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Show N at most.")
    ] = 1000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is not in the origin yet, and why.

    Example: shotfs publish queue --state failed
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.queue(
            limit=limit,
            state=None if state is None else state.value,
            under=None if under is None else within_mount(client, under, or_mount=True),
            job=job,
        )
    filtered = state is not None or under is not None or job is not None
    output.emit(report, as_json, lambda: _table(report, filtered=filtered))


@output.run
def retry(
    which: Annotated[
        str | None,
        typer.Argument(metavar="[PATH|NUMBER]", help="A path, or a number that `queue` shows."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try outputs again now that wait for their next attempt, those that were refused too.

    A conflict is not tried again: the origin has other bytes. See `shotfs publish conflicts`.

    Exit code 1: nothing was tried.

    Example: shotfs publish retry --all
    """
    from shotfs.control.client import Client

    if everything is (which is not None):
        raise typer.BadParameter("name an output, or --all", param_hint="PATH|NUMBER")
    with Client(socket_of(config)) as client:
        named = {} if which is None else named_output(client, which)
        report = client.publish.retry(**named)
    output.emit(report, as_json, lambda: _retried(report))
    if not report["retried"] and not everything:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def named_output(client: Client, which: str) -> dict[str, Any]:
    """Return the keywords of a request that means *which*: digits are a serial, else a path."""
    from shotfs.cli.shown_paths import within_mount

    if which.isascii() and which.isdecimal():
        return {"serial": int(which)}
    return {"path": within_mount(client, which)}


def _retried(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = [f"{output.counted(report['retried'], 'output')} tried again now"]
    lines += [f"{one['path']}: not tried: {one['why_not']}" for one in report["items"]]
    return Group(*(Text(output.printable(line)) for line in lines))


def _table(report: Mapping[str, Any], *, filtered: bool) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    items = report["items"]
    if not items:
        return Text("Nothing like that waits." if filtered else "Everything is in the origin.")
    columns = [name for name in COLUMNS if any(item.get(name) is not None for item in items)]
    table = Table(box=None, pad_edge=False)
    for name in columns:
        heading = name.removesuffix("_bytes").removesuffix("_s").replace("retry", "next try")
        table.add_column(heading.replace("serial", "number"), overflow="fold")
    for item in items:
        table.add_row(*(Text(output.printable(human(name, item.get(name)))) for name in columns))
    hidden = report["count"] - len(items)
    more = [Text(f"and {hidden} more (--limit)")] if hidden > 0 else []
    return Group(table, *more, Text(_summary(report)))


def _summary(report: Mapping[str, Any]) -> str:
    parts = [output.counted(report["count"], "output"), size(report["bytes"])]
    if report["oldest_s"] is not None:
        parts.append(f"the oldest from {duration(report['oldest_s'])} ago")
    return ", ".join(parts)
