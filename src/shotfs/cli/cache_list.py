"""`shotfs cache ls`: what is cached, as paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from shotfs.control.client import Client

ORDERS = ("digest", "size", "used")

PAGE = 1_000
"""Rows that are asked for at once: the service never holds more of an answer in memory."""


@output.run
def ls(
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="Only what is at or below it.")
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort",
            metavar="|".join(ORDERS),
            help="size: the largest first; used: the latest first.",
        ),
    ] = "used",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Rows at most; 0: all.")
    ] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what is in the cache: size, paths, and what keeps it.

    p: pinned, o: open, ?: hashed again before it is served. A file that several paths have is
    there once. With --json --limit 0 each line is one JSON document, for any number of rows.

    Example: shotfs cache ls --sort size --limit 20
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    if sort not in ORDERS:
        raise typer.BadParameter(
            f"there is no order {sort!r}; use digest, size or used", param_hint="--sort"
        )
    with Client(socket_of(config)) as client:
        below = "" if path is None else within_mount(client, path, or_mount=True)
        rows = _rows(client, below, sort, limit)
        if as_json and limit == 0:
            import json

            for row in rows:
                output.console.file.write(json.dumps(row) + "\n")
            return
        if as_json:
            output.emit({"entries": list(rows)}, True, lambda: "")
            return
        is_empty = True
        for row in rows:
            output.console.print(_line(row), soft_wrap=True)
            is_empty = False
    if is_empty:
        where = "" if path is None else f" at or below {path}"
        output.console.print(f"Nothing is cached{where}.", soft_wrap=True)


def _rows(client: Client, below: str, order: str, limit: int) -> Iterator[Mapping[str, Any]]:
    """Yield rows, asked for page by page; *limit* 0: all."""
    after: str | None = ""
    left = limit
    while after is not None:
        wanted = PAGE if limit == 0 else min(PAGE, left)
        page = client.entries(below, after=after, limit=wanted, order=order)
        yield from page["entries"]
        left -= len(page["entries"])
        if limit and left <= 0:
            return
        after = page["after"]


def _line(row: Mapping[str, Any]) -> str:
    flags = (
        "p" if row["pinned"] else "-",
        "o" if row["open"] else "-",
        "-" if row["proven"] else "?",
    )
    paths = row["paths"] or [f"({row['digest']}, of no path now)"]
    others = f"  and {len(paths) - 1} more paths" if len(paths) > 1 else ""
    return output.printable(f"{''.join(flags)} {size(row['size_bytes']):>10}  {paths[0]}{others}")
