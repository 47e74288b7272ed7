"""`shotfs publish wait` and `finish`: the barrier between a job and the next one."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.control.client import Client

POLL_S = 0.25
"""How often the service is asked at first; each time a little later, up to `POLL_S_MAX`."""

POLL_S_MAX = 2.0

LISTED_MAX = 100
"""Missing outputs that are shown to people; --json has up to 1,000."""

JobOption = Annotated[
    str | None, typer.Option("--job", metavar="JOB", help="As its environment variable says.")
]
DeadlineOption = Annotated[
    str, typer.Option("--deadline", metavar="TIME", help="How long at most: 90, 30s, 10m, 1h.")
]
KeepOption = Annotated[
    bool,
    typer.Option("--keep-waiting", help="Also for what does not get there by itself."),
]


@output.run
def wait(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH]...", help="Files and directories.")
    ] = None,
    job: JobOption = None,
    deadline: DeadlineOption = "10m",
    keep_waiting: KeepOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Return when all that this node wrote, of a job or at or below paths, is in the origin.

    For epilogs: then a job on another node finds it (`shotfs refresh` there forgets what was
    missing). Ends at once when something cannot get there by itself: a conflict, a file that is
    not whole, one that was refused.

    Exit code 1: something is missing; it is listed with the reason.

    Example: shotfs publish wait --job 1234 --deadline 10m
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    if job is None and not paths:
        raise typer.BadParameter("name a job (--job) or paths")
    deadline_s = _seconds(deadline)
    with Client(socket_of(config)) as client:
        below = [within_mount(client, path, or_mount=True) for path in paths or ()]
        report = _until_there(client, job, below, deadline_s, keep_waiting)
    output.emit(report, as_json, lambda: _shown(report))
    if not report["arrived"]:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


@output.run
def finish(
    job: Annotated[str, typer.Option("--job", metavar="JOB", help="The job that has ended.")],
    and_wait: Annotated[
        bool, typer.Option("--wait", help="Then wait until its outputs are in the origin.")
    ] = False,
    deadline: DeadlineOption = "10m",
    keep_waiting: KeepOption = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a job has ended: its outputs wait for it no longer, its scratch files go.

    Outputs of templates with "seal": "on-job-end" are published; scratch files that nobody has
    open are removed. Of a job of another user only root, the service's user and the admin group
    may say so.

    Exit code 1: with --wait, something is missing.

    Example: shotfs publish finish --job 1234 --wait
    """
    from shotfs.control.client import Client

    deadline_s = _seconds(deadline)
    with Client(socket_of(config)) as client:
        report = client.publish.finish(job)
        if and_wait:
            report["waited"] = _until_there(client, job, [], deadline_s, keep_waiting)
    output.emit(report, as_json, lambda: _ended(report))
    if and_wait and not report["waited"]["arrived"]:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def _seconds(text: str) -> float:
    from shotfs.config import parse_duration

    try:
        return parse_duration(text)
    except ValueError as exc:
        raise typer.BadParameter(str(exc), param_hint="--deadline") from exc


def _until_there(
    client: Client, job: str | None, paths: list[str], deadline_s: float, keep_waiting: bool
) -> dict[str, Any]:
    """Ask until nothing is missing, nothing can be hoped for, or the time is over."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    began_s, pause_s, most = time.monotonic(), POLL_S, 0
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=output.error_console, transient=True,
        disable=not output.error_console.is_terminal,
    )  # fmt: skip
    with progress:
        shown = progress.add_task("waiting", total=None)
        while True:
            report = client.publish.missing(job=job, paths=paths)
            waited_s = time.monotonic() - began_s
            stuck = report["stuck"] > 0 and not keep_waiting
            if not report["count"] or stuck or waited_s >= deadline_s:
                break
            most = max(most, report["count"])
            progress.update(
                shown,
                description=f"{report['count']} to go, {size(report['bytes'])}",
                total=most,
                completed=most - report["count"],
            )
            time.sleep(min(pause_s, deadline_s - waited_s))
            pause_s = min(POLL_S_MAX, pause_s * 1.25)
    return {"arrived": not report["count"], "waited_s": round(waited_s, 1), **report}


def _ended(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    released = f"{output.counted(report['released'], 'output')} released"
    scratch = f"{output.counted(report['removed'], 'scratch file')} removed"
    what = f"{released}, {scratch} ({size(report['removed_bytes'])})"
    lines = [f"job {report['job']} has ended: {what}"]
    if report["kept"]:
        lines.append(f"{output.counted(report['kept'], 'scratch file')} stay: they are open")
    if report["refused"]:
        lines.append(f"{report['refused']} are another user's: left as they are")
    shown = [Text(output.printable(line)) for line in lines]
    return Group(*shown, *([_shown(report["waited"])] if "waited" in report else []))


def _shown(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = [_line(one) for one in report["items"][:LISTED_MAX]]
    hidden = report["count"] - len(lines)
    if hidden > 0:
        lines.append(f"and {hidden} more")
    if report["arrived"]:
        lines.append("everything is in the origin")
    else:
        what = f"{output.counted(report['count'], 'output')} missing, {size(report['bytes'])}"
        if report["stuck"]:
            what += f"; {report['stuck']} do not get there by themselves"
        lines.append(f"{what} (after {report['waited_s']:g} s)")
    if report["unknown"]:
        lines.append(
            f"note: of {report['unknown']} of these it is not known which job wrote them"
            " (docs/operations.md, whose job is it)"
        )
    return Group(*(Text(output.printable(line)) for line in lines))


def _line(one: Mapping[str, Any]) -> str:
    return f"{one['state']:12}{one['path'] or '(unknown path)'}: {one['why']}"
