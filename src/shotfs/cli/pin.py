"""`shotfs pin`: pin files, the worlds that jobs see with `shotfs mount --pin FILE`."""

from __future__ import annotations

import getpass
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.output import ExitCode
from shotfs.cli.status import ConfigOption, JsonOption, size, table_of

if TYPE_CHECKING:
    from shotfs.config import Loaded
    from shotfs.namespace.pin_check import Verdict
    from shotfs.namespace.pins import Pins

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Pin trees of a show, file by file, for jobs.",
)

LISTED_MAX = 20
"""Outputs, or files, that a message lists."""

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A pin file.")]


@app.callback()
def overview() -> None:
    """Pin trees of a show, file by file, for jobs."""


@app.command(name="create")
@output.run
def create(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Directories, files or aliases of one show."),
    ],
    target: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to.")],
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="TIME", help="As of then: 2026-11-21T06:00:00Z, or -2h. Default: now."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write down which revision every file below PATH has, and where its aliases point.

    Asks the origins. Outputs below PATH that are not published yet are a mistake, and listed.
    With --at everything is of one moment, where the origins keep versions; without, what changes
    while the walk lasts may be seen before or after its change.

    Example: shotfs pin create ant/render/xy_1_100_030_00_latest -o job.pin.json
    """
    from shotfs.cli.spec_source import find
    from shotfs.config import load
    from shotfs.namespace.pinning import pin_blocking

    at_ns = _moment(at)
    if os.path.lexists(target) and not force:
        output.fail(f"{target} exists", ExitCode.USAGE, fix="name another file, or give --force")
    loaded = load(config, os.environ)
    opened, first = find(paths[0], None, config)
    spec = opened.specification
    inside = [first]
    for path in paths[1:]:
        other, rest = find(path, None, config)
        if other.specification.show != spec.show:
            output.fail(
                f"{path} is of show {other.specification.show!r}, {paths[0]} of {spec.show!r}",
                ExitCode.USAGE,
                fix="make a pin file for each show",
            )
        inside.append(rest)
    _refuse_unpublished(loaded, spec.show, inside)
    made = pin_blocking(
        spec,
        loaded.settings,
        inside,
        target,
        by=f"{getpass.getuser()}@{loaded.settings.node.name}",
        at_ns=at_ns,
        progress=_progress,
    )
    report = {
        "file": os.path.abspath(target),
        "show": spec.show,
        "trees": list(made.trees),
        "files": made.files,
        "bytes": made.size_bytes,
        "aliases": made.aliases,
    }
    output.emit(report, as_json, lambda: table_of(report))


@app.command(name="show")
@output.run
def show(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show what a pin file pins, and of when it is.

    Example: shotfs pin show job.pin.json
    """
    pins = _read(file)
    report = _about(pins)
    output.emit(report, as_json, lambda: table_of(report))


@app.command(name="verify")
@output.run
def verify(file: FileArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Say which pinned files changed since, and which cannot be read any more (exit code 1).

    Example: shotfs pin verify job.pin.json
    """
    from shotfs.config import load
    from shotfs.namespace.pin_check import verify_blocking

    pins = _read(file)
    counts: Counter[str] = Counter()
    gone: list[dict[str, str]] = []

    def tell(verdict: Verdict) -> None:
        counts[verdict.state] += 1
        if verdict.state == "gone":
            gone.append({"path": verdict.path, "reason": verdict.reason})

    verify_blocking(pins, load(config, os.environ).settings, tell)
    report: dict[str, Any] = {state: counts[state] for state in ("same", "kept", "gone")}
    lines = [f"{one['path']}: {one['reason']}" for one in gone[:LISTED_MAX]]
    if len(gone) > LISTED_MAX:
        lines.append(f"and {len(gone) - LISTED_MAX} more (--json lists all)")
    output.emit(
        {**report, "gone_files": gone}, as_json, lambda: table_of({**report, "gone files": lines})
    )
    if gone:
        raise typer.Exit(ExitCode.NOT_IN_ORDER)


def _moment(at: str | None) -> int | None:
    from shotfs.config.mistake import Mistake
    from shotfs.config.moments import parse_moment

    try:
        return None if at is None else parse_moment(at, time.time_ns())
    except Mistake as exc:
        raise typer.BadParameter(str(exc), param_hint="--at") from exc


def _read(file: str) -> Pins:
    from shotfs.namespace.pin_reading import read_pins

    return read_pins(file)


def _about(pins: Pins) -> dict[str, Any]:
    head = pins.head
    return {
        "file": os.path.abspath(pins.source),
        "show": head.show,
        "made_at": head.made_at,
        "by": head.by,
        "at": head.at,
        "spec": head.spec,
        "trees": list(head.trees),
        "files": len(pins.files),
        "bytes": pins.files.size_bytes,
        "aliases": dict(pins.aliases),
    }


def _progress(files: int, size_bytes: int) -> None:
    output.error_console.print(f"shotfs: {files} files, {size(size_bytes)} so far")


def _refuse_unpublished(loaded: Loaded, name: str, inside: list[str]) -> None:
    """End if outputs below the trees are not in the origin: the pin file would be without them."""
    waiting = [
        path
        for path in _unpublished(loaded)
        if any(_below(path, f"{name}/{tree}".rstrip("/")) for tree in inside)
    ]
    if not waiting:
        return
    lines = "".join(f"\n  | {path}" for path in waiting[:LISTED_MAX])
    more = len(waiting) - LISTED_MAX
    output.fail(
        f"{len(waiting)} outputs are not published yet{lines}"
        + (f"\n  | and {more} more" if more > 0 else ""),
        ExitCode.NOT_IN_ORDER,
        fix="wait for them (shotfs publish queue says how far they are), then pin again",
    )


def _below(path: str, tree: str) -> bool:
    return path == tree or path.startswith(f"{tree}/")


def _unpublished(loaded: Loaded) -> list[str]:
    from shotfs.control.client import Client
    from shotfs.errors import ServiceNotRunning
    from shotfs.publish.outside import unpublished_paths

    settings = loaded.settings
    try:
        with Client(settings.control.socket) as client:
            queue = client.queue(limit=10_000)
    except ServiceNotRunning:
        spool = settings.spool.directory or os.path.join(settings.cache.directory, "spool")
        return unpublished_paths(spool)
    if queue["count"] > len(queue["items"]):
        output.fail(
            f"{queue['count']} outputs are not published yet: too many to look through",
            ExitCode.NOT_IN_ORDER,
            fix="wait for them, then pin again",
        )
    return [item["path"] for item in queue["items"] if item.get("state") != "quarantined"]
