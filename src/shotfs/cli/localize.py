"""`shotfs localize`: local copies of a show's files, for hosts without a mount."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, size

if TYPE_CHECKING:
    from shotfs.errors import ShotfsError
    from shotfs.localizing import Localized, LocalizeFailed, Localizer

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(name="localize")
@output.run
def localize(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Files, directories with all below them, or sequences: plate.####.exr.",
        ),
    ] = None,
    frames: Annotated[
        str, typer.Option("--frames", metavar="RANGE", help="Only these of a sequence: 1001-1010.")
    ] = "",
    into: Annotated[
        str | None,
        typer.Option(
            "--into",
            metavar="DIR",
            envvar="SHOTFS_LOCALIZE_DIR",
            help="Where localized files lie: a directory of their own.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=100_000, help="Files at most.")
    ] = 10_000,
    release: Annotated[
        bool, typer.Option("--release", help="Remove the local copies of PATH instead.")
    ] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Remove all local copies.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy files here, for hosts without mounts.

    Prints their local paths. The service fetches and verifies them; without one, one is started
    for as long as it takes. Copies are read-only, lie below DIR as they do below the mount, and
    have the time of the original. What is here already costs one question. What was not asked for
    longest makes room.

    Exit code 1: frames that were asked for do not exist.

    Example: shotfs localize "/shows/ant/plates/xy_010.####.exr" --frames 1001-1010
    """
    from shotfs.localizing import LocalizeFailed

    if clean == bool(paths):
        raise typer.BadParameter("name PATHs, or --clean", param_hint="PATH")
    try:
        if release or clean:
            _remove(_localizer(None, into), paths or (), as_json)
            return
        from shotfs.cli.own_service import service_of

        with service_of(config) as client:
            localizer = _localizer(config, into, client.status().get("mountpoint"))
            found, failures = _fetched(localizer, paths or (), frames, limit)
    except LocalizeFailed as away:
        raise _ours(away) from away
    report = {"localized": [_told(path, one) for path, one in found]}
    if found:
        places = [output.printable(one.path) for _, one in found]
        output.emit(report, as_json, lambda: "\n".join(places))
    missing = [one for one in report["localized"] if one["missing"]]
    for one in missing:
        output.warn(f"{one['path']}: frames {one['missing']} do not exist")
    for other in failures[1:]:
        output.warn(_ours(other).message)
    if failures:
        raise _ours(failures[0])
    if missing:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def _fetched(
    localizer: Localizer, paths: Iterable[str], frames: str, limit: int
) -> tuple[list[tuple[str, Localized]], list[LocalizeFailed]]:
    """Fetch *paths*; return what came of them, and why others did not.

    Raises:
        ServiceAway: nothing comes any more.
    """
    from shotfs.localizing import LocalizeFailed, ServiceAway

    found: list[tuple[str, Localized]] = []
    failures: list[LocalizeFailed] = []
    for path in paths:
        try:
            found.append((path, localizer.fetch(path, frames, limit=limit)))
        except ServiceAway:
            raise
        except LocalizeFailed as failure:
            failures.append(failure)
    return found, failures


def _localizer(config: str | None, into: str | None, mountpoint: str | None = None) -> Localizer:
    from shotfs.config import load
    from shotfs.localizing import Localizer

    socket = load(config, os.environ).settings.control.socket
    localizer = Localizer(socket, into)
    if mountpoint is not None:
        localizer.prefixes = (mountpoint, *localizer.prefixes)
    return localizer


def _remove(localizer: Localizer, paths: Iterable[str], as_json: bool) -> None:
    files, file_bytes = localizer.release(paths)
    output.emit(
        {"files": files, "bytes": file_bytes},
        as_json,
        lambda: f"{output.counted(files, 'file')}, {size(file_bytes)}, removed",
    )


def _told(path: str, one: Localized) -> Mapping[str, Any]:
    return {
        "path": path,
        "local": one.path,
        "files": list(one.files),
        "bytes": one.size_bytes,
        "fetched": one.fetched,
        "fetched_bytes": one.fetched_bytes,
        "missing": one.missing,
    }


def _ours(failure: LocalizeFailed) -> ShotfsError:
    """Return *failure* as the command line knows it, and name each file that failed."""
    from shotfs import errors
    from shotfs.localizing import NotOurs, NotThere, ServiceAway

    if len(failure.failed) > 1:
        for path, why in failure.failed:
            output.warn(f"{path}: {why}")
    kinds = {
        NotOurs: errors.InvalidArgument,
        NotThere: errors.PathNotFound,
        ServiceAway: errors.ServiceNotRunning,
    }
    kind = kinds.get(type(failure), errors.ShotfsError)
    return kind(failure.message, fix=failure.fix)
