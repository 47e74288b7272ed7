"""`shotfs cache verify`: is what is cached still what it was?"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.config import Settings
    from shotfs.control.client import Client

POLL_S = 0.5
"""How often the service is asked how far it is."""
RATE_MIN = 1 << 20
"""The slowest check, in bytes a second: that of `cache.verify_bytes_per_s`. Below it none ends."""

PathArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PATH]...", help="Only what is cached of these files and directories."),
]
RateOption = Annotated[
    str | None,
    typer.Option(
        "--rate", metavar="SIZE", help="Bytes a second at most. Default: cache.verify_bytes_per_s."
    ),
]


@output.run
def verify(
    paths: PathArguments = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Drop corrupt files; the next open fetches them again."),
    ] = False,
    rate: RateOption = None,
    status: Annotated[
        bool, typer.Option("--status", help="Show how far a check is, and start none.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the check that runs.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hash what is cached again and report what is not what it was.

    The running service does it and goes on if this command is ended: ask with --status, end it with
    --stop. Without a service the cache's directory is checked directly.

    Exit code 1: something is corrupt, or the check did not get to its end.

    Example: shotfs cache verify --repair
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.config import load, parse_size
    from shotfs.control.client import Client
    from shotfs.errors import ServiceNotRunning

    if sum((status, stop, bool(paths or repair or rate))) > 1:
        raise typer.BadParameter("--status and --stop stand alone")
    try:
        bytes_per_s = None if rate is None else parse_size(rate)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--rate") from exc
    if bytes_per_s is not None and bytes_per_s < RATE_MIN:
        raise typer.BadParameter(
            f"{size(bytes_per_s)} a second is too slow to end: use {size(RATE_MIN)} or more",
            param_hint="--rate",
        )
    settings = load(config, os.environ).settings
    report: Mapping[str, Any] | None
    try:
        with Client(settings.control.socket) as client:
            if status or stop:
                report = client.stop_verify() if stop else client.verification()
            else:
                report = client.start_verify(
                    repair=repair,
                    bytes_per_s=bytes_per_s,
                    paths=[within_mount(client, path) for path in paths or ()],
                )
                report = _watch(client, report)
    except ServiceNotRunning:
        if status or stop or paths:
            raise
        report = _alone(settings, repair=repair, bytes_per_s=bytes_per_s)
    if report is None:
        output.emit({"state": None}, as_json, lambda: "no check was started since the service was")
        return
    _end(report, as_json)


def _watch(client: Client, report: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        while report["state"] == "running":
            _progress(report)
            time.sleep(POLL_S)
            report = client.verification() or report
    except KeyboardInterrupt:
        _clear_progress()
        output.warn(
            "the service goes on with the check",
            fix="look at it with: shotfs cache verify --status   (end it with --stop)",
        )
        raise
    _clear_progress()
    return report


def _alone(settings: Settings, *, repair: bool, bytes_per_s: int | None) -> Mapping[str, Any]:
    import logging

    from shotfs.app.cache_check import check_alone

    # What the cache logs is in the report; without a handler Python prints it bare.
    logging.getLogger("shotfs").addHandler(logging.NullHandler())
    try:
        return check_alone(settings, repair=repair, bytes_per_s=bytes_per_s, tell=_progress)
    finally:
        _clear_progress()


def _progress(report: Mapping[str, Any]) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{_summary(report)}")
        sys.stderr.flush()


def _clear_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _summary(report: Mapping[str, Any]) -> str:
    total = f" of {size(report['bytes_total'])}" if report["bytes_total"] else ""
    return (
        f"{report['state']}: {report['files']} of {output.counted(report['files_total'], 'file')},"
        f" {size(report['bytes'])}{total}, {report['corrupt_count']} corrupt"
    )


def _end(report: Mapping[str, Any], as_json: bool) -> None:
    output.emit(report, as_json, lambda: _table(report))
    if report["state"] != "running" and (
        report["corrupt_count"] or report["unchecked_count"] or report["state"] != "done"
    ):
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def _table(report: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    lines = [_summary(report)]
    if report["error"]:
        lines.append(str(report["error"]))
    if report["unchecked_count"]:
        lines.append(f"{report['unchecked_count']} could not be read; the service's log says why")
    for one in report["corrupt"]:
        what = "dropped, fetched again when it is opened" if one["dropped"] else "corrupt"
        names = one["paths"] or one["origins"] or [one["digest"]]
        lines.extend(f"  {name}: {what} ({one['reason']})" for name in names)
    if report["corrupt_count"] and not report["repair"]:
        lines.append("fix: shotfs cache verify --repair drops these, and they are fetched again")
    return Text(output.printable("\n".join(lines)))
