"""`shotfs cache pin`, `unpin`, `pins`: what must stay in the cache, for whom and until when."""

from __future__ import annotations

import heapq
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.control.client import Client

POLL_S = 0.5
PAGE = 1_000

PathArguments = Annotated[
    list[str], typer.Argument(metavar="PATH...", help="Files, or directories with all below them.")
]
OwnerOption = Annotated[
    str, typer.Option("--owner", metavar="NAME", help="Whose pin it is: a job, a shot, a person.")
]


@output.run
def pin(
    paths: PathArguments,
    owner: OwnerOption,
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="For so long, like 3d; else until unpinned."),
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Fetch what is not here, and wait until it is.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1_000_000, help="Files at most.")
    ] = 10_000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pin what a shot needs: it is never evicted, from when it is here.

    A pin is of a file as its origin has it now, and survives restarts. If PATH cannot be listed
    or has too many files, nothing is pinned; after an error later, run it again: what is pinned
    already stays so. --fetch goes on in the service if this command is ended.

    Exit code 1: not everything could be fetched.

    Example: shotfs cache pin /shows/ant/library/oak --owner xy_010 --for 3d --fetch
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    for_s = None if duration is None else _seconds(duration)
    with Client(socket_of(config)) as client:
        inside = [within_mount(client, path) for path in paths]
        report = client.pin(inside, owner, for_s=for_s, limit=limit, fetch=fetch)
        if fetch:
            report |= {"fetched": _wait(client, report["fetch"])}
    output.emit(report, as_json, lambda: _kept(report, owner))
    if fetch and report["fetched"]["failed_files"]:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


@output.run
def unpin(
    owner: OwnerOption,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Only at or below these; else all of the owner."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove pins of an owner. What others pinned stays.

    Example: shotfs cache unpin --owner xy_010
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        inside = [within_mount(client, path) for path in paths or ()]
        count = client.unpin(inside, owner)
    if count or as_json:
        output.emit(
            {"files": count}, as_json, lambda: f"{output.counted(count, 'pin')} of {owner} removed"
        )
    if not count:
        output.fail(
            f"{owner} has no such pin", output.ExitCode.NOT_IN_ORDER, fix="shotfs cache pins"
        )


@output.run
def pins(
    owner: Annotated[
        str, typer.Option("--owner", metavar="NAME", help="Only his; else everybody's.")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=1_000_000, help="Rows at most.")
    ] = 1_000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List pins, by owner and path: whose, until when, and whether the file is here.

    Example: shotfs cache pins --owner xy_010
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        # Of all pins: the service has them in the order of numbers that mean nothing to people.
        rows = heapq.nsmallest(limit, _rows(client, owner), key=_order)
    output.emit({"pins": rows}, as_json, lambda: _table(rows, owner))


def _order(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row["owner"], _place(row), row["tier"], row["key"]


def _place(row: Mapping[str, Any]) -> str:
    """Return the path of what is pinned; where its origin has it, if no path is."""
    return str(row["path"] or f"{row['tier']}/{row['key']}")


def _seconds(text: str) -> float:
    from shotfs.config import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--for") from exc
    if seconds <= 0:
        raise typer.BadParameter("it must be longer than that", param_hint="--for")
    return seconds


def _wait(client: Client, number: int) -> dict[str, Any]:
    """Wait until everything has come, or will not; tell on a terminal how far it is."""
    tells = sys.stderr.isatty()
    while True:
        report = client.fetching(number)
        if tells:
            done = (
                f"{report['done_files']} of {report['files']} files, {size(report['done_bytes'])}"
            )
            print(f"\rfetched {done} of {size(report['bytes'])}", end="", file=sys.stderr)
        if report["ended"]:
            break
        time.sleep(POLL_S)
    if tells:
        print(file=sys.stderr)
    for path, reason in report["errors"]:
        output.warn(f"{path}: {reason}")
    return report


def _rows(client: Client, owner: str) -> Iterator[Mapping[str, Any]]:
    after: str | None = ""
    while after is not None:
        page = client.pins(owner, after=after, limit=PAGE)
        yield from page["pins"]
        after = page["after"]


def _kept(report: Mapping[str, Any], owner: str) -> str:
    text = (
        f"{output.counted(report['files'], 'file')}, {size(report['bytes'])}, pinned for {owner};"
        f" {report['cached_files']} were here"
    )
    if "fetched" in report:
        fetched = report["fetched"]
        text += f", {fetched['done_files'] - report['cached_files']} fetched"
        if fetched["failed_files"]:
            text += f", {fetched['failed_files']} failed"
    return output.printable(text)


def _table(rows: list[Mapping[str, Any]], owner: str) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return Text(output.printable(f"Nothing is pinned{f' for {owner}' if owner else ''}."))
    table = Table(box=None, pad_edge=False)
    for column in ("owner", "until", "here", "size", "path"):
        table.add_column(column, overflow="fold", no_wrap=column != "path")
    for row in rows:
        until = row["until_s"]
        cells = (
            row["owner"],
            "unpinned" if until is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(until)),
            "yes" if row["cached"] else "no",
            size(row["size_bytes"]),
            _place(row),
        )
        table.add_row(*(Text(output.printable(cell)) for cell in cells))
    return table
