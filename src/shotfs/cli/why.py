"""`shotfs why`: what a path is, where its bytes are, and what it waits for."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, duration, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(pretty_exceptions_enable=False)

LISTED_MAX = 8
"""Waits, requests and readers that are shown to people; --json has up to 100."""


@app.command(name="why")
@output.run
def why(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Below the mount point, or SHOW/PATH.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a file is slow: where its bytes are, what is waited for, behind what, and who asks.

    Works for any path: one that nobody has opened, a directory, one that cannot exist. You are
    told what you could see yourself; of other users' processes only root, the service's user and
    the admin group hear more than their number.

    Example: shotfs why /shows/ant/render/xy_010_v005/beauty.0101.exr
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.why(within_mount(client, path, or_mount=True))
    output.emit(report, as_json, lambda: _shown(report))


def asker_text(asker: Mapping[str, Any] | None) -> str:
    """Return who asks as people say it: ``maya, pid 4711, job 1234``."""
    if not asker or not (asker["pid"] or asker["name"]):
        return "somebody"
    parts = [asker["name"] or "a process"]
    if asker["pid"]:
        parts.append(f"pid {asker['pid']}")
    if asker["job"]:
        parts.append(f"job {asker['job']}")
    return ", ".join(parts)


def _shown(report: Mapping[str, Any]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    previous = ""
    for name, value in _rows(report):
        table.add_row("" if name == previous else name, Text(output.printable(value)))
        previous = name
    return table


def _rows(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "path", report["path"] or "(the mount)"
    for reason in report["reasons"]:
        yield "why", reason
    yield from _specification(report["meaning"])
    yield "state", _state(report)
    if report["version"] is not None:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report["mtime_ns"] / 1e9))
        yield "revision", f"{report['version']}, modified {moment}"
    if report["digest"] is not None:
        proof = "" if report["digest_proven"] else " (says who wrote it; not hashed here yet)"
        yield "digest", f"{report['digest']}{proof}"
    yield from _origin(report)
    yield from _waits(report)
    yield from _coming(report["stream"])
    yield from _some("open by", [asker_text(one) for one in report["readers"]])
    yield from _some("pinned", [_pin(one) for one in report["pins"]])


def _specification(meaning: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if meaning["template"] is not None:
        yield "template", f"{meaning['template']}: {meaning['pattern']}"
        place = f" ({meaning['source']}:{meaning['line']})" if meaning["line"] else ""
        terms = f"flow {meaning['flow']}, immutable {meaning['immutable']}"
        yield "policy", f"{terms}, asked again after {duration(meaning['ttl_s'])}{place}"
    yield from _some("nearly", meaning["nearest"])


def _state(report: Mapping[str, Any]) -> str:
    state = report["state"] or report["kind"]
    whole, here = report["size_bytes"], report["bytes_present"]
    if whole is None:
        return str(state)
    if here in (None, whole) or report["kind"] != "file":
        return f"{state}, {size(whole)}"
    share = f" ({100 * here / whole:.1f} %)" if here else ""
    return f"{state}: {size(here)} of {size(whole)} here{share}"


def _origin(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if report["tier"] is not None:
        yield "bytes from", report["tier"]
    if report["origin"] is not None:
        yield "origin", report["origin"]
    reach = report["reachability"]
    if reach is not None and not reach["reachable"]:
        since = time.strftime("%H:%M:%S", time.localtime(reach["since_s"]))
        yield "unreachable", f"since {since}: {reach['last_error']}"


def _waits(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _some("waiting", [wait_text(one) for one in report["waiting"]])
    ahead = [
        f"{one['fetch_class']} of {_span(one)} for {duration(one['since_s'])},"
        f" {asker_text(one['asker'])}"
        for one in (report["stream"] or {}).get("waits", ())
        if one["fetch_class"] != "demand"
    ]
    yield from _some("wanted", ahead)


def wait_text(one: Mapping[str, Any]) -> str:
    """Return what waits, for how long and whose it is."""
    span = "" if one["start"] is None else f" of {_span(one)}"
    since = duration(one["since_s"])
    return f"{one['operation']}{span} for {since}, {asker_text(one['asker'])}"


def _coming(stream: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if stream is None:
        return
    under_way = [
        f"{_span(one)}, {one['fetch_class']}, for {duration(one['since_s'])}"
        for one in stream["under_way"]
    ]
    yield from _some("under way", under_way)
    queued = [
        f"{size(one['length_bytes'])}, {one['fetch_class']}, {one['ahead']} before it,"
        f" for {duration(one['since_s'])}"
        for one in stream["queued"]
    ]
    yield from _some("in the queue", queued)
    if stream["bytes_per_s"]:
        rest = stream["rest_s"]
        estimate = "" if rest is None else f": the rest is here in about {duration(round(rest))}"
        yield "rate", f"{size(stream['bytes_per_s'])}/s{estimate}"


def _span(one: Mapping[str, Any]) -> str:
    return f"bytes {one['start']} to {one['stop']} ({size(one['stop'] - one['start'])})"


def _pin(one: Mapping[str, Any]) -> str:
    if one["until_s"] is None:
        return f"by {one['owner']}"
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["until_s"]))
    return f"by {one['owner']} until {until}"


def _some(name: str, values: Sequence[str]) -> Iterator[tuple[str, str]]:
    for value in values[:LISTED_MAX]:
        yield name, value
    if len(values) > LISTED_MAX:
        yield name, f"and {len(values) - LISTED_MAX} more (--json)"
