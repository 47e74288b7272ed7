"""`shotfs publish rescue`: publish what other nodes left in an emergency place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.output import ExitCode
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

DONE = {"published", "same", "would", "own"}
"""Outcomes after which nothing is left to do for anybody."""


@output.run
def rescue(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The place. Default: spool.emergency.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    node: Annotated[
        str | None, typer.Option("--node", metavar="NAME", help="Only what this node left.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be published.")
    ] = False,
) -> None:
    """Publish what nodes that were taken away left in an emergency place.

    Create-only, as every output: a path that somebody else has published meanwhile with the same
    bytes is done, with others it goes into quarantine here. Partial files are listed and stay.

    Exit code 1: something was not published.

    Example: shotfs publish rescue --node render-0042
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.rescue(url, node, dry_run=dry_run)
    output.emit(report, as_json, lambda: _table(report))
    if any(item["outcome"] not in DONE for item in report["items"]):
        raise typer.Exit(int(ExitCode.NOT_IN_ORDER))


def _table(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    items = report["items"]
    if not items:
        return Text("Nothing lies there.")
    table = Table(box=None, pad_edge=False)
    for name in ("path", "node", "size", "outcome", "why"):
        table.add_column(name, overflow="fold")
    for item in items:
        cells = (
            item["path"] or f"serial {item['serial']}",
            item["node"],
            size(item["size_bytes"]),
            item["outcome"],
            item["message"] or "-",
        )
        table.add_row(*(Text(output.printable(cell)) for cell in cells))
    counts = Counter(item["outcome"] for item in items)
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    return Group(table, Text(said))
