"""`shotfs prewarm`: bring files here before somebody opens them."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, socket_of

if TYPE_CHECKING:
    from shotfs.cli.prewarm_targets import Sorted
    from shotfs.control.client import Client
    from shotfs.control.prewarm_service import Mode, Order

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(name="prewarm")
@output.run
def prewarm(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TARGET...",
            help="A shot, a path, TEMPLATE:FIELD=TEXT,..., a manifest or list (- is standard"
            " input), or a scene file.",
        ),
    ] = None,
    frames: Annotated[
        str | None,
        typer.Option("--frames", metavar="RANGE", help="Only for these: 1001-1010,1012."),
    ] = None,
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="Only for this task.")] = "",
    view: Annotated[
        list[str] | None, typer.Option("--view", metavar="VIEW", help="Only for this view.")
    ] = None,
    tier: Annotated[str, typer.Option("--tier", metavar="local|pmem", help="Where to.")] = "local",
    limit: Annotated[
        str | None,
        typer.Option("--limit", metavar="N|SIZE", help="Fetch so many files, or bytes: 200GiB."),
    ] = None,
    deadline: Annotated[
        str | None,
        typer.Option(
            "--deadline", metavar="TIME", help="End after so long (30min), or then (18:30)."
        ),
    ] = None,
    pin: Annotated[
        str | None,
        typer.Option("--pin", metavar="JOB", help="Pin all of it for JOB: it is not evicted."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Return when it has ended, or has begun.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be fetched, and what that costs.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Say how much is here: exit code 0 is enough.")
    ] = False,
    enough: Annotated[
        float | None,
        typer.Option(
            "--enough",
            metavar="PERCENT",
            min=0,
            max=100,
            help="What --check wants: 100 if not given.",
        ),
    ] = None,
    evict: Annotated[bool, typer.Option("--evict", help="Drop from the cache instead.")] = False,
    scan: Annotated[
        bool, typer.Option("--scan/--no-scan", help="Follow what scene files name.")
    ] = True,
    below: Annotated[
        str,
        typer.Option("--below", metavar="DIR", help="What the root of a Deadline manifest is."),
    ] = "",
    list_: Annotated[
        bool, typer.Option("--list", help="List prewarms that run, or ended lately.")
    ] = False,
    cancel: Annotated[
        int | None, typer.Option("--cancel", metavar="NUMBER", help="End that one.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring files here before somebody opens them.

    The running service does it, behind every read of a job; without one, one is started for as
    long as it takes. Of a shot comes what jobs were seen to read, then what the specification says
    that it has. What is here is left out: run it again, and it goes on. Ctrl-C ends it.

    Exit code 1: not all of it is here (--check: not enough).

    Example: shotfs prewarm xy_1_100_030_00 --frames 1001-1010 --pin job-7
    """
    modes = _modes(dry_run=dry_run, check=check, evict=evict)
    if list_ or cancel is not None:
        if targets:
            raise typer.BadParameter("--list and --cancel take no TARGET", param_hint="TARGET")
        _look(config, cancel, as_json=as_json)
        return
    if not targets:
        raise typer.BadParameter("name something: a shot, a path, a manifest", param_hint="TARGET")
    from shotfs.cli.own_service import service_of
    from shotfs.cli.prewarm_targets import sort_targets
    from shotfs.control.client import Client
    from shotfs.control.prewarm_service import Order

    _refuse_what_would_do_nothing(modes, wait=wait, enough=enough, pin=pin)
    _check_frames(frames)
    files_max, bytes_max = _limits(limit)
    deadline_s = None if deadline is None else _deadline(deadline)
    if not wait:
        # One that was started for this command would end with it.
        with Client(socket_of(config)) as client:
            client.status()
    with service_of(config) as client:
        mountpoint = client.status().get("mountpoint")
        found = sort_targets(targets, mountpoint, scan=scan)
        order = Order(
            mode=modes, targets=tuple(found.names), frames=frames or "", task=task,
            views=tuple(view or ()), tier=tier, bytes_max=bytes_max, files_max=files_max,
            deadline_s=deadline_s, pin=pin or "", label=", ".join(targets)[:200],
        )  # fmt: skip
        order = _in_order(order)
        number = _begin(client, order, found, mountpoint, below)
        if not wait:
            told = {"number": number, "state": "waiting"}
            output.emit(told, as_json, lambda: f"prewarm {number} runs: shotfs prewarm --list")
            return
        report = _wait(client, number, live=not as_json and sys.stderr.isatty())
    _finish(report, 100.0 if enough is None else enough, as_json=as_json)


def _modes(*, dry_run: bool, check: bool, evict: bool) -> Mode:
    from shotfs.control.prewarm_service import Mode

    if dry_run + check + evict > 1:
        raise typer.BadParameter("take one of --dry-run, --check and --evict")
    if evict:
        return Mode.EVICT
    if check:
        return Mode.CHECK
    return Mode.DRY_RUN if dry_run else Mode.FETCH


def _refuse_what_would_do_nothing(
    mode: Mode, *, wait: bool, enough: float | None, pin: str | None
) -> None:
    """Refuse options without which the command would do the same: who wrote them expects more."""
    if enough is not None and mode != "check":
        raise typer.BadParameter("it says what --check wants: add --check", param_hint="--enough")
    if not wait and mode in ("check", "dry-run"):
        raise typer.BadParameter(
            f"--{mode} is there for its answer: leave --no-wait out", param_hint="--no-wait"
        )
    if pin is not None and not pin.strip():
        raise typer.BadParameter(
            "it names a job, and is empty: is a variable not set?", param_hint="--pin"
        )


def _check_frames(text: str | None) -> None:
    from shotfs.errors import InvalidArgument
    from shotfs.prewarm.manifest.frames import check_frames

    if text is None:
        return
    if not text.strip():
        raise typer.BadParameter(
            "it is empty: is a variable not set? for all frames leave it out",
            param_hint="--frames",
        )
    try:
        check_frames(text)
    except InvalidArgument as exc:
        raise typer.BadParameter(f"{exc.message}; {exc.fix}", param_hint="--frames") from exc


def _limits(text: str | None) -> tuple[int | None, int | None]:
    """Return files and bytes that ``--limit`` allows: a plain number is of files."""
    from shotfs.config.units import parse_size

    if text is None:
        return None, None
    try:
        return (int(text), None) if text.isascii() and text.isdigit() else (None, parse_size(text))
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--limit") from exc


def _deadline(text: str) -> float:
    """Return how many seconds from now *text* is: a duration, a time of day, or a moment."""
    from shotfs.config import parse_duration
    from shotfs.config.mistake import Mistake
    from shotfs.config.moments import parse_moment

    hours, colon, minutes = text.partition(":")
    if colon and text.isascii() and hours.isdigit() and minutes.isdigit() and len(text) <= 5:
        now = time.localtime()
        seconds = (int(hours) * 60 + int(minutes)) * 60
        passed = (now.tm_hour * 60 + now.tm_min) * 60 + now.tm_sec
        if int(hours) > 23 or int(minutes) > 59:
            raise typer.BadParameter(f"{text!r} is no time of day", param_hint="--deadline")
        left = float((seconds - passed) % 86_400)
    else:
        try:
            left = parse_duration(text)
        except ValueError:
            try:
                left = (parse_moment(text, time.time_ns()) - time.time_ns()) / 1e9
            except Mistake:
                raise typer.BadParameter(
                    f"{text[:80]!r} is not understood; write 30min, 18:30 or 2026-11-21T18:30:00Z",
                    param_hint="--deadline",
                ) from None
    if left <= 0:
        raise typer.BadParameter(f"{text!r} is over", param_hint="--deadline")
    return left


def _in_order(order: Order) -> Order:
    """Return *order* without a plan where it needs none: all of some manifests is only counted."""
    from dataclasses import replace

    from shotfs.control.prewarm_service import Mode, Order

    plain = Order(mode=order.mode, tier=order.tier, label=order.label)
    counts = order.mode in (Mode.CHECK, Mode.DRY_RUN)
    return replace(order, in_order=True) if counts and order == plain else order


def _begin(client: Client, order: Order, found: Sorted, mountpoint: str | None, below: str) -> int:
    """Hand everything to the service and let it run; return the number of the prewarm."""
    from shotfs.cli.prewarm_targets import entries_of, files_of, in_order, scanned

    # Before anything begins: a scan may take minutes, and may fail.
    scenes = scanned(found.scenes, mountpoint, order.frames, order.views) if found.scenes else ()
    number = client.prewarm.begin(order)
    try:
        below = below.strip("/")
        if order.in_order and len(found.manifests) == 1 and not scenes:
            files = files_of(found.manifests[0], mountpoint=mountpoint, below=below)
            client.prewarm.add_files(number, files)
            client.prewarm.start(number)
            return number
        manifests = [
            entries_of(manifest, mountpoint=mountpoint, below=below) for manifest in found.manifests
        ]
        if order.in_order:
            client.prewarm.add_files(number, in_order(scenes, manifests))
        else:
            for entries in (scenes, *manifests):
                client.prewarm.add(number, entries)
        client.prewarm.start(number)
    except BaseException:
        client.prewarm.cancel(number)
        raise
    return number


def _wait(client: Client, number: int, *, live: bool) -> Mapping[str, Any]:
    from shotfs.cli import prewarm_report

    try:
        return prewarm_report.wait(lambda: client.prewarm.show(number), live=live)
    except KeyboardInterrupt:
        report = client.prewarm.cancel(number)
        done = report["here_files"] + report["fetched_files"]
        output.warn(f"cancelled: {done} of {report['wanted'] or '?'} files are here")
        raise


def _finish(report: Mapping[str, Any], enough: float, *, as_json: bool) -> None:
    from shotfs import errors
    from shotfs.cli.prewarm_report import complete, percent_here, shown

    percent = percent_here(report)
    error = report["error"]
    if as_json or error is None or report["entries"]:
        output.emit({**report, "percent_here": round(percent, 3)}, as_json, lambda: shown(report))
    if not (report["entries"] or error or report["stopped"]):
        output.warn(
            f"{report['label']}: names no file that is there, and nothing was recorded of it",
            fix="is it spelled right? --frames, --task and --view leave out what they do not fit",
        )
    if error is not None:
        kind = getattr(errors, error["error"], errors.ShotfsError)
        if issubclass(kind, errors.DocumentInvalid):
            kind = errors.ShotfsError
        raise kind(error["message"], fix=error["fix"])
    good = complete(report)
    if report["mode"] == "check":
        good = good and report["files"] > 0 and percent >= enough  # nothing makes no node warm
    if not good:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def _look(config: str | None, cancel: int | None, *, as_json: bool) -> None:
    from shotfs.cli.prewarm_report import listed, shown
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        if cancel is not None:
            report = client.prewarm.cancel(cancel)
            output.emit(report, as_json, lambda: shown(report))
            return
        prewarms = client.prewarm.list()
    output.emit({"prewarms": prewarms}, as_json, lambda: listed(prewarms))
