"""`shotfs publish queue` and `retry`: what is not in the origin yet, and trying it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, human, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.control.client import Client

COLUMNS = ("path", "state", "size_bytes", "age_s", "attempts", "error")
"""What a queue item may have that is worth a column, in this order."""

OutputArgument = Annotated[
    str, typer.Argument(metavar="PATH|SERIAL", help="A path, or a number that `queue` shows.")
]


@output.run
def queue(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Show N at most.")
    ] = 1000,
) -> None:
    """Show what is not in the origin yet, and why.

    Example: shotfs publish queue
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.queue(limit=limit)
    output.emit(report, as_json, lambda: _table(report))


@output.run
def retry(
    which: Annotated[
        str | None,
        typer.Argument(metavar="[PATH|SERIAL]", help="A path, or a number that `queue` shows."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Try outputs again now that wait for their next attempt, those that were refused too.

    Exit code 1: nothing was tried.

    Example: shotfs publish retry --all
    """
    from shotfs.control.client import Client

    if everything is (which is not None):
        raise typer.BadParameter("name an output, or --all", param_hint="PATH|SERIAL")
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


def _table(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    items = report["items"]
    if not items:
        return Text("Everything is in the origin.")
    columns = [name for name in COLUMNS if any(item.get(name) is not None for item in items)]
    table = Table(box=None, pad_edge=False)
    for name in columns:
        table.add_column(name.removesuffix("_bytes").removesuffix("_s"), overflow="fold")
    for item in items:
        table.add_row(*(Text(output.printable(human(name, item.get(name)))) for name in columns))
    hidden = report["count"] - len(items)
    more = [Text(f"and {hidden} more (--limit)")] if hidden > 0 else []
    return Group(table, *more)
