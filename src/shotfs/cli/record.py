"""`shotfs record`: what this node records of jobs, and what is known of shots."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, duration, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.control.client import Client
    from shotfs.prewarm.manifest.subject import Subject

SHOWN_MAX = 50
"""Recordings that are shown to people; --json has all that the service tells."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Record what jobs read, and look at what is known.",
)

JobOption = Annotated[
    str, typer.Option("--job", metavar="JOB", help="As its environment variable says.")
]
ShowOption = Annotated[
    str, typer.Option("--show", metavar="SHOW", help="The show. Default: the only one.")
]
TaskOption = Annotated[str, typer.Option("--task", metavar="TASK", help="The task or layer.")]
FrameOption = Annotated[
    str, typer.Option("--frame", metavar="FRAME", help="The frame, or 1001-1010,1012.")
]
ViewOption = Annotated[str, typer.Option("--view", metavar="VIEW", help="Like left.")]


@app.callback()
def overview() -> None:
    """Record what jobs read, and look at what is known."""


@app.command()
@output.run
def start(
    job: JobOption = "",
    shot: Annotated[str, typer.Option("--shot", metavar="SHOT", help="Only this shot.")] = "",
    task: TaskOption = "",
    frame: FrameOption = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Whatever anybody opens, with a job or without.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin to record a job, or everything, until `shotfs record stop`.

    With record.jobs = "all" every process that has a job is recorded anyway; then this is for
    those that have none.

    Example: shotfs record start --job 1234
    """
    from shotfs.control.client import Client
    from shotfs.prewarm.manifest.subject import Subject

    if everything == bool(job):
        raise typer.BadParameter("name a job (--job), or --all for everything")
    asked = Subject(job=job, shot=shot, task=task, frame=frame)
    with Client(socket_of(config)) as client:
        number = client.record.start(asked)
    output.emit(
        {"number": number},
        as_json,
        lambda: f"recording {number} goes on; end it with: shotfs record stop {number}",
    )


@app.command()
@output.run
def stop(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As start printed it.", min=1)],
    manifest: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write what was read to a manifest."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a recording and learn from it.

    Example: shotfs record stop 1 -o job-1234.jsonl
    """
    from shotfs.cli.exec import summary, write_taken
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.record.stop(number)
        if manifest is not None:
            write_taken(client, number, manifest)
    output.emit(report, as_json, lambda: output.printable(_stopped(report, summary(report))))


@app.command()
@output.run
def show(
    shot: Annotated[
        str, typer.Argument(metavar="[SHOT]", help="What is known of it; or SHOW/SHOT.")
    ] = "",
    of_show: ShowOption = "",
    task: TaskOption = "",
    frame: FrameOption = "",
    view: ViewOption = "",
    manifest: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the manifest of the shot."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="Show N files.")
    ] = 100,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List recordings, or show what is known of a shot: by this node and by those before it.

    A frame that was never rendered gets what its neighbours read, under its own number.

    Example: shotfs record show xy_1_100_030_00 --task lighting --frame 1001
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        if not shot:
            report = client.record.recordings()
            output.emit(report, as_json, lambda: _listed(report))
            return
        subject = subject_of(client, shot, of_show, task, frame, view)
        _show_shot(client, subject, manifest, limit, as_json=as_json)


@app.command()
@output.run
def publish(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Bring what was learned to the origins now, for the other nodes; else it goes by itself.

    Exit code 1: something is still on this node only.

    Example: shotfs record publish
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.record.publish()
    pending = report["pending"]
    told = f"{output.counted(report['published'], 'recording')} published, {pending} wait"
    output.emit(report, as_json, lambda: told)
    if pending:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def subject_of(
    client: Client, shot: str, show: str = "", task: str = "", frame: str = "", view: str = ""
) -> Subject:
    """Return the subject that a command line names; *shot* may be SHOW/SHOT.

    Raises:
        InvalidArgument: the show cannot be told, or there is no such show; *frame* is no frame.
    """
    from shotfs.errors import InvalidArgument
    from shotfs.prewarm.manifest.frames import parse_frames
    from shotfs.prewarm.manifest.subject import Subject

    parse_frames(frame)
    first, slash, rest = shot.partition("/")
    if slash and not show:
        show, shot = first, rest
    names = sorted(client.status().get("shows") or {})
    if not show and len(names) == 1:
        show = names[0]
    if show not in names:
        what = f"no show is called {show!r}" if show else "there are several shows"
        raise InvalidArgument(what, fix=f"name one of them (--show): {', '.join(names)}")
    return Subject(show=show, shot=shot, task=task, frame=frame, view=view)


def _show_shot(
    client: Client, subject: Subject, manifest: str | None, limit: int, *, as_json: bool
) -> None:
    from shotfs.cli.manifest_show import show as show_manifest
    from shotfs.prewarm.manifest.reading import open_manifest
    from shotfs.prewarm.manifest.writing import write_manifest

    with tempfile.TemporaryDirectory(prefix="shotfs-") as directory:
        path = f"{directory}/shot.jsonl"
        with open(path, "wb") as file:
            client.record.fetch(subject, file)
        if manifest is None:
            show_manifest(file=path, limit=limit, as_json=as_json)
            return
        with open_manifest(path) as reader:
            written = write_manifest(manifest, reader.head, reader)
    report = {"output": manifest, "files": written.count, "bytes": written.size_bytes}
    files = output.counted(written.count, "file")
    output.emit(report, as_json, lambda: f"{manifest}: {files}, {size(written.size_bytes)}")


def _stopped(report: Mapping[str, Any], summary: str) -> str:
    known = "learned" if report["learned"] else "not learned: of which shot it was is not known"
    return f"recording {report['number']}: {summary}; {known}"


def _listed(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    what = {
        "all": "every process that has a job is recorded",
        "named": "jobs are recorded that somebody names",
        "off": "nothing is recorded (record.jobs)",
    }
    parts: list[RenderableType] = [Text(what[report["jobs"]])]
    for one in report["started"]:
        said = _named(one["asked"]) or "everything"
        parts.append(Text(f"recording {one['number']}: {said}, for {duration(one['since_s'])}"))
    if report["active"]:
        table = Table(box=None, pad_edge=False)
        for name in ("goes on", "files", "opens", "since"):
            table.add_column(name, overflow="fold")
        for one in report["active"]:
            table.add_row(
                Text(_named(one["subject"]) or "no job"),
                str(one["files"]),
                str(one["opens"]),
                duration(one["since_s"]),
            )
        parts.append(table)
    parts += _stored(report["stored"])
    pending = report["pending"]
    rest = f"; {pending} not in the origin yet" if pending else ""
    parts.append(Text(f"{output.counted(report['count'], 'recording')} here{rest}"))
    return Group(*parts)


def _stored(stored: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    if not stored:
        return []
    table = Table(box=None, pad_edge=False)
    for name in ("show", "shot", "task", "frame", "view", "origin"):
        table.add_column(name, overflow="fold")
    for one in stored[-SHOWN_MAX:]:
        cells = [one["show"], one["shot"], one["task"], one["frame"] or "all", one["view"]]
        table.add_row(
            *(Text(output.printable(cell)) for cell in cells),
            "not yet" if one["pending"] else "yes",
        )
    return [table]


def _named(subject: Mapping[str, str]) -> str:
    return output.printable(
        ", ".join(
            f"{name} {subject[name]}"
            for name in ("job", "show", "shot", "task", "frame", "view")
            if subject[name]
        )
    )
