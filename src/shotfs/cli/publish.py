"""`shotfs publish`: outputs on their way to the origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, human, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look at outputs on their way to the origin.",
)

COLUMNS = ("path", "state", "size_bytes", "age_s", "attempts", "error")
"""What a queue item may have that is worth a column, in this order."""


@app.callback()
def overview() -> None:
    """Look at outputs on their way to the origin."""


@app.command(name="queue")
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
