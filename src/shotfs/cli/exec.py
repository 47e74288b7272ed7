"""`shotfs exec`: run a command and record which files it reads through the mount."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, size

if TYPE_CHECKING:
    from shotfs.control.client import Client
    from shotfs.prewarm.manifest.subject import Subject

app = typer.Typer(pretty_exceptions_enable=False)

VARIABLES = {
    "job": "SHOTFS_JOB",
    "show": "SHOTFS_SHOW",
    "shot": "SHOTFS_SHOT",
    "task": "SHOTFS_TASK",
    "frame": "SHOTFS_FRAME",
    "view": "SHOTFS_VIEW",
}

FORWARDED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

POLL_S = 0.5
"""How often it is looked whether the command has ended, should no signal tell."""

NOT_EXECUTABLE = 126
NOT_FOUND = 127
SIGNALLED = 128
"""Exit codes as shells have them."""


@app.command(
    name="exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@output.run
def execute(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND [ARGUMENT]...", help="What to run.")
    ],
    job: Annotated[
        str, typer.Option("--job", metavar="JOB", help="The job's name. Default: of its own.")
    ] = "",
    show: Annotated[str, typer.Option("--show", metavar="SHOW", help="The show.")] = "",
    shot: Annotated[str, typer.Option("--shot", metavar="SHOT", help="The shot.")] = "",
    task: Annotated[str, typer.Option("--task", metavar="TASK", help="The task or layer.")] = "",
    frame: Annotated[
        str, typer.Option("--frame", metavar="FRAME", help="The frame, or 1001-1010.")
    ] = "",
    view: Annotated[str, typer.Option("--view", metavar="VIEW", help="Like left.")] = "",
    manifest: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write what was read to a manifest."),
    ] = None,
    require: Annotated[
        bool, typer.Option("--require", help="Do not run the command if nobody can record it.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Run a command and record which files it reads through the mount.

    Sets SHOTFS_JOB, SHOTFS_SHOT, SHOTFS_TASK, SHOTFS_FRAME and SHOTFS_VIEW for it. What it read is
    learned: shotfs prewarm and look-ahead use it, here and on other nodes. Signals are passed on,
    and the exit code is the command's. Without a service the command runs all the same.

    Exit code: the command's; 127 if there is no such command, 128 and more if a signal ended it; 4
    with --require, if no service is running.

    Example: shotfs exec --job 1234 --shot xy_1_100_030_00 --frame 1001 -- render shot.usd
    """
    given = {"job": job, "show": show, "shot": shot, "task": task, "frame": frame, "view": view}
    said = {name: text or os.environ.get(VARIABLES[name], "") for name, text in given.items()}
    said["job"] = said["job"] or f"exec-{os.getpid()}"
    environment = {**os.environ, **{VARIABLES[name]: text for name, text in said.items() if text}}
    check_frame(frame)
    recording = _Recording(said, config)
    if manifest is not None and not os.path.isdir(os.path.dirname(os.path.abspath(manifest))):
        output.warn(f"{output.printable(manifest)} cannot be written: there is no such directory")
    problem = recording.start()
    if problem is not None and require:
        raise problem
    if problem is not None:
        output.warn(f"not recorded: {problem}")
    code = run(command, environment)
    recording.stop(manifest)
    raise SystemExit(code)


def check_frame(text: str) -> None:
    """Refuse a ``--frame`` that names no frames; one of the environment is just not believed."""
    from shotfs.errors import InvalidArgument
    from shotfs.prewarm.manifest.frames import check_frames

    try:
        check_frames(text)
    except InvalidArgument as exc:
        raise typer.BadParameter(f"{exc.message}; {exc.fix}", param_hint="--frame") from exc


class _Recording:
    """A recording of one command. Nothing of it may keep the command from running."""

    def __init__(self, said: Mapping[str, str], config: str | None) -> None:
        self._said = said
        self._config = config
        self._client: Client | None = None
        self._number = 0

    def start(self) -> Exception | None:
        """Start it; return why it cannot be."""
        from shotfs.config import load
        from shotfs.control.client import Client
        from shotfs.errors import ShotfsError

        subject = self._subject()
        try:
            settings = load(self._config, os.environ).settings
            if VARIABLES["job"] not in settings.node.job_variables:
                return ShotfsError(
                    "node.job_variables does not have SHOTFS_JOB", fix="add it to the list"
                )
            client = Client(settings.control.socket)
            self._number = client.record.start(subject, bound=True)
        except (ShotfsError, OSError) as exc:
            return exc
        self._client = client
        return None

    def _subject(self) -> Subject:
        """Return what to record."""
        from shotfs.errors import InvalidArgument
        from shotfs.prewarm.manifest.frames import check_frames
        from shotfs.prewarm.manifest.subject import Subject

        said = dict(self._said)
        try:
            check_frames(said["frame"])
        except InvalidArgument:
            said["frame"] = ""  # of the environment: the service does not believe it either
        return Subject(**said)

    def stop(self, manifest: str | None) -> None:
        """Stop it, say what was read, and write the manifest; nothing is raised."""
        from shotfs.errors import ShotfsError

        if self._client is None:
            return
        with self._client as client:
            try:
                report = client.record.stop(self._number)
            except (ShotfsError, OSError) as exc:
                output.warn(f"the recording is lost: {exc}")
                return
            text = output.printable(summary(report))
            output.error_console.print(f"shotfs: {text}", soft_wrap=True)
            try:
                if manifest is not None:
                    write_taken(client, self._number, manifest)
            except (ShotfsError, OSError) as exc:
                why = exc.strerror if isinstance(exc, OSError) else exc
                output.warn(f"{output.printable(manifest or '')} was not written: {why}")
        if not report["learned"] and report["files"] and manifest is None:
            output.warn("not learned: nobody could tell of which shot it was", fix="give --shot")


def write_taken(client: Client, number: int, path: str) -> None:
    """Write the manifest of a recording to *path*, in the form that its name asks for."""
    import tempfile

    from shotfs.prewarm.manifest.reading import ManifestReader
    from shotfs.prewarm.manifest.writing import write_manifest

    with tempfile.TemporaryFile() as file:
        client.record.fetch_taken(number, file)
        file.seek(0)
        with ManifestReader(file, "the service's answer") as reader:
            write_manifest(path, reader.head, reader)


def summary(report: Mapping[str, Any]) -> str:
    """Return in one line what a recording saw."""
    text = f"read {output.counted(report['files'], 'file')} ({size(report['bytes'])})"
    text += f", {report['cold']} cold, {report['stall_s']:.1f} s waited"
    if report["missed"]:
        text += f", {report['missed']} opens too many to note"
    return text


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run *command* and pass signals on to it; return its exit code.

    The signals are blocked and waited for, so none is lost between the start and the wait. One from
    the terminal reaches the command by itself: it is in our process group.
    """
    watched = {*FORWARDED, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        try:
            # Python ignores SIGPIPE and SIGXFSZ, which a command must not inherit.
            pid = os.posix_spawnp(
                command[0],
                list(command),
                dict(environment),
                setsigmask=before,
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
            )
        except OSError as exc:
            code = NOT_FOUND if isinstance(exc, FileNotFoundError) else NOT_EXECUTABLE
            output.error_console.print(
                f"shotfs: {output.printable(command[0])}: {exc.strerror}", soft_wrap=True
            )
            return code
        while True:
            found = signal.sigtimedwait(watched, POLL_S)
            if found is not None and found.si_signo != signal.SIGCHLD and found.si_code <= 0:
                os.kill(pid, found.si_signo)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else SIGNALLED - code
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
