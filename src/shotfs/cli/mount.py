"""`shotfs mount`, `unmount` and `serve`: starting the service and ending it.

`mount` starts itself again in the background (`control.daemon`) and returns when the mount
serves; with --foreground it is the service. `unmount` drains, takes the mount away and returns
when mount and process are gone.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self

import typer

from shotfs.cli import output
from shotfs.cli.output import ExitCode

if TYPE_CHECKING:
    from shotfs.config import Loaded
    from shotfs.control.client import Client

app = typer.Typer(pretty_exceptions_enable=False)

START_TIMEOUT_S = 90.0
"""Long enough for a specification in an origin that answers at its last retry."""

POLL_INTERVAL_S = 0.05

LISTED_OUTPUTS_MAX = 5

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config", "-c", metavar="FILE", help="Configuration file.", envvar="SHOTFS_CONFIG"
    ),
]
ReadyOption = Annotated[
    int | None, typer.Option("--ready-fd", hidden=True, help="Where the launcher listens.")
]
StartTimeoutOption = Annotated[
    float,
    typer.Option(
        "--start-timeout", metavar="S", min=1, help="Seconds that coming up may take at most."
    ),
]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="TIME",
        help="Show mutable paths and aliases as of then: 2026-11-21T06:00:00Z, or -2h.",
    ),
]
WithoutVersionsOption = Annotated[
    str | None,
    typer.Option(
        "--at-without-versions",
        metavar="refuse|live|deny",
        help="What --at does with an origin that keeps no versions.",
    ),
]
PinOption = Annotated[
    str | None,
    typer.Option(
        "--pin", metavar="FILE", help="Below its trees, show exactly what this pin file says."
    ),
]


@app.command(name="mount")
@output.run
def mount(
    mountpoint: Annotated[str, typer.Argument(help="An empty directory.", metavar="MOUNTPOINT")],
    config: ConfigOption = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", "-f", help="Be the service: for systemd, containers.")
    ] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse every change through this mount.")
    ] = False,
    zero_upcall: Annotated[
        bool,
        typer.Option(
            "--zero-upcall",
            help="With --read-only: let the kernel open files without asking. Fast for libraries"
            " and published versions; nobody knows who opens what.",
        ),
    ] = False,
    at: AtOption = None,
    at_without_versions: WithoutVersionsOption = None,
    pin: PinOption = None,
    start_timeout: StartTimeoutOption = START_TIMEOUT_S,
    ready_fd: ReadyOption = None,
) -> None:
    """Mount the shows and return when they are there.

    Either the mount serves when this returns, or there is an error and nothing is left mounted.
    What is left of a service that was killed is cleared first.

    Example: shotfs mount --config /etc/shotfs/shotfs.toml /shows
    """
    view = _View.of(at, at_without_versions, pin)
    modes = _Modes(read_only, zero_upcall)
    if foreground:
        _mount_in_foreground(mountpoint, config, view, modes, ready_fd=ready_fd)
    else:
        _mount_in_background(mountpoint, config, view, modes, timeout_s=start_timeout)


@app.command(name="serve")
@output.run
def serve(
    config: ConfigOption = None,
    at: AtOption = None,
    at_without_versions: WithoutVersionsOption = None,
    pin: PinOption = None,
    ready_fd: ReadyOption = None,
) -> None:
    """Run the same service without a mount, in the foreground, until it is told to stop.

    The cache, its limits and the queue of outputs are served; every command but mount works.

    Example: shotfs serve --config /etc/shotfs/shotfs.toml
    """
    view = _View.of(at, at_without_versions, pin)
    with _reporting(ready_fd) as ready:
        loaded = _load(config, view)
        from shotfs import app as application

        raise typer.Exit(application.run_serve(loaded, ready=ready))


@app.command(name="unmount")
@output.run
def unmount(
    mountpoint: Annotated[str, typer.Argument(help="Where it is mounted.", metavar="MOUNTPOINT")],
    config: ConfigOption = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Do not wait for outputs or for files in use; also for a mount that hangs.",
        ),
    ] = False,
    deadline: Annotated[
        float,
        typer.Option(
            "--deadline", metavar="S", min=0, help="Seconds to wait for outputs, then for the end."
        ),
    ] = 60.0,
) -> None:
    """Publish what is left, then unmount; returns when the mount and its service are gone.

    Outputs that cannot be published in time keep the mount; with --force they stay in the spool
    and the next mount publishes them. A dead mount of a killed service is cleared.

    Example: shotfs unmount --deadline 300 /shows
    """
    from shotfs.errors import MountFailed
    from shotfs.fuse import mountpoint as mountpoints
    from shotfs.fuse.mountpoint import MountpointState

    path = mountpoints.resolve(mountpoint)
    state = mountpoints.inspect(path)
    if state is MountpointState.DEAD:
        mountpoints.recover(path)
        output.error_console.print(f"shotfs: cleared the dead mount on {path}")
    elif state is MountpointState.UNRESPONSIVE and force:
        mountpoints.detach(path, lazy=True)
        output.error_console.print(f"shotfs: detached the mount on {path}, which did not answer")
    elif state is MountpointState.UNRESPONSIVE:
        raise MountFailed(
            f"cannot unmount {path}: its service does not answer",
            fix=f"shotfs unmount --force {path}   (outputs stay in the spool)",
        )
    elif state is MountpointState.MOUNTED_SHOTFS:
        _unmount_live(path, _load(config).settings.control.socket, force=force, deadline_s=deadline)
        output.error_console.print(f"shotfs: unmounted {path}")
    else:
        other = state is MountpointState.MOUNTED_OTHER
        what = "what is mounted there is not shotfs" if other else "nothing is mounted there"
        raise MountFailed(
            f"cannot unmount {path}: {what}", fix="findmnt shows what is mounted where"
        )


class _Modes(NamedTuple):
    """How to mount, by the command line; the configuration may say so too."""

    read_only: bool
    zero_upcall: bool

    @property
    def options(self) -> list[str]:
        """The options that say it."""
        return [
            *(["--read-only"] if self.read_only else []),
            *(["--zero-upcall"] if self.zero_upcall else []),
        ]


class _View(NamedTuple):
    """What the command line pins; it wins over the configuration."""

    at: str | None = None
    at_without_versions: str | None = None
    pin: str | None = None

    @classmethod
    def of(cls, at: str | None, at_without_versions: str | None, pin: str | None) -> Self:
        """Return the view, its time counted from now and its path absolute."""
        from shotfs.config.mistake import Mistake
        from shotfs.config.moments import format_moment, parse_moment

        choices = ("refuse", "live", "deny")
        if at_without_versions not in (None, *choices):
            raise typer.BadParameter(
                f"{at_without_versions!r} is not one of {', '.join(choices)}",
                param_hint="--at-without-versions",
            )
        try:
            moment = None if at is None else format_moment(parse_moment(at, time.time_ns()))
        except Mistake as exc:
            raise typer.BadParameter(str(exc), param_hint="--at") from exc
        return cls(moment, at_without_versions, None if pin is None else os.path.abspath(pin))

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that stand for it."""
        return {
            f"SHOTFS_MOUNT__{name.upper()}": value
            for name, value in self._asdict().items()
            if value is not None
        }

    @property
    def options(self) -> list[str]:
        """The options that hand it to the service."""
        pairs = ((f"--{name.replace('_', '-')}", value) for name, value in self._asdict().items())
        return [part for pair in pairs if pair[1] is not None for part in pair]


def _load(config: str | None, view: _View | None = None) -> Loaded:
    from shotfs.config import load

    return load(config, {**os.environ, **(view or _View()).environment})


def _mount_in_foreground(
    mountpoint: str, config: str | None, view: _View, modes: _Modes, *, ready_fd: int | None
) -> None:
    with _reporting(ready_fd) as ready:
        loaded = _load(config, view)
        from shotfs import app as application
        from shotfs.fuse import mountpoint as mountpoints

        path = mountpoints.ensure_ready(mountpoint)
        raise typer.Exit(
            application.run_mount(
                loaded,
                path,
                read_only=modes.read_only,
                zero_upcall=modes.zero_upcall,
                ready=ready,
            )
        )


def _mount_in_background(
    mountpoint: str, config: str | None, view: _View, modes: _Modes, *, timeout_s: float
) -> None:
    from shotfs.fuse import mountpoint as mountpoints

    # The background service checks all this again; here it fails at once, and in plain sight.
    loaded = _load(config, view)
    path = mountpoints.ensure_ready(mountpoint)
    options = ["--foreground", *_config_arguments(config, loaded), *view.options]
    options += modes.options
    try:
        pid = _launch([*options, "--", path], loaded, timeout_s)
    except BaseException:
        _clear_leftover(path)
        raise
    output.error_console.print(f"shotfs: mounted on {path} (pid {pid})")


@contextmanager
def _reporting(ready_fd: int | None) -> Iterator[Callable[[], None]]:
    """Yield what tells launcher and systemd that the service serves; report failure before that."""
    from shotfs.control.daemon import Readiness
    from shotfs.observe.notify import READY, notify

    readiness = Readiness(ready_fd)

    def ready() -> None:
        readiness.ready()
        notify(READY)

    try:
        yield ready
    except typer.Exit as exc:
        readiness.failed("the service ended before it came up", exc.exit_code or 1)
        raise
    except Exception as exc:  # noqa: BLE001 -- the edge: reported here and to the launcher
        code = output.report(exc)
        readiness.failed(_text_of(exc), int(code))
        raise SystemExit(int(code)) from None


def _text_of(error: BaseException) -> str:
    """Return the message of *error*; of a group, of each error in it."""
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(_text_of(inner) for inner in error.exceptions)
    from shotfs.errors import ShotfsError

    if isinstance(error, ShotfsError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return f"internal error: {type(error).__name__}: {error}; details are in the service's log"


def _config_arguments(config: str | None, loaded: Loaded) -> list[str]:
    """Return the option that makes a process with another working directory read the same file."""
    path = loaded.path or config
    return [] if path is None else ["--config", os.path.abspath(path)]


def _launch(arguments: list[str], loaded: Loaded, deadline_s: float) -> int:
    from shotfs.control.daemon import StartFailed, launch

    settings = loaded.settings
    log_path = settings.log.file or os.path.join(settings.cache.directory, "service.log")
    try:
        return launch(
            "mount",
            arguments,
            log_path=log_path,
            log_is_ours=settings.log.file is None,
            deadline_s=deadline_s,
        )
    except StartFailed as exc:
        code = ExitCode.MOUNT_FAILED if exc.exit_code is None else exc.exit_code
        output.error_console.print(f"shotfs: {output.printable(str(exc))}", soft_wrap=True)
        raise SystemExit(int(code)) from None


def _clear_leftover(path: str) -> None:
    """Take away a mount whose service died while it came up."""
    from shotfs.fuse import mountpoint as mountpoints

    if mountpoints.inspect(path) is mountpoints.MountpointState.DEAD:
        mountpoints.recover(path)


def _unmount_live(path: str, socket: str, *, force: bool, deadline_s: float) -> None:
    from shotfs.control.client import Client
    from shotfs.errors import MountFailed, ServiceNotRunning
    from shotfs.fuse import mountpoint as mountpoints

    with Client(socket) as client:
        status = _status_of_mount(client, path)
        if status is None and not force:
            raise ServiceNotRunning(
                f"the service of the mount on {path} does not answer on {socket}",
                fix="name its configuration (--config FILE), or unmount without draining: --force",
            )
        if status is not None and not force:
            _drain(client, path, deadline_s)
        try:
            mountpoints.detach(path, lazy=force)
        except MountFailed as exc:
            # Somebody who may command the service need not be the one who mounted.
            if status is None or exc.errno == errno.EBUSY:
                raise
        if status is not None:
            _stop(client)
    _wait_until_gone(path, None if status is None else status.get("pid"), deadline_s)


def _status_of_mount(client: Client, path: str) -> dict[str, Any] | None:
    """Return the status of the service that serves *path*; None: it is another one, or none."""
    from shotfs.errors import ServiceNotRunning

    try:
        status = client.status()
    except ServiceNotRunning:
        return None
    return status if status.get("mountpoint") == path else None


def _drain(client: Client, path: str, deadline_s: float) -> None:
    from shotfs.errors import MountFailed

    remains = client.drain(deadline_s)
    if not remains["count"]:
        return
    lines = [
        f"\n  | {item.get('path')}: {item.get('error') or item.get('state')}"
        for item in remains["items"][:LISTED_OUTPUTS_MAX]
    ]
    raise MountFailed(
        f"cannot unmount {path}: {remains['count']} outputs are not in the origin after "
        f"{deadline_s:g} s{''.join(lines)}",
        fix="shotfs publish queue says why; wait longer with --deadline, or leave them in the "
        "spool for the next mount: --force",
    )


def _stop(client: Client) -> None:
    """Make sure that the service ends; it may have noticed that its mount is gone already."""
    from shotfs.errors import ServiceNotRunning

    try:
        client.stop(drain=False, deadline_s=0)
    except ServiceNotRunning:
        return


def _wait_until_gone(path: str, pid: int | None, deadline_s: float) -> None:
    from shotfs.errors import MountFailed
    from shotfs.fuse import mountpoint as mountpoints

    ends = time.monotonic() + max(deadline_s, 1.0)
    while True:
        entry = mountpoints.mount_at(path)
        mounted = entry is not None and entry.is_shotfs
        if not mounted and not _is_running(pid):
            return
        if time.monotonic() > ends:
            break
        time.sleep(POLL_INTERVAL_S)
    what = "it is still mounted" if mounted else f"its service (pid {pid}) still runs"
    raise MountFailed(
        f"asked to unmount {path}, but after {deadline_s:g} s {what}",
        fix=f"shotfs status; its log; or: shotfs unmount --force {path}",
    )


def _is_running(pid: int | None) -> bool:
    """Whether a process is there and not a zombie that its parent has not reaped."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False
