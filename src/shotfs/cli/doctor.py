"""`shotfs doctor`: is this node fit to mount, and if not, what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from shotfs.cli import output
from shotfs.cli.output import ExitCode
from shotfs.cli.status import ConfigOption, JsonOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.config import Settings
    from shotfs.control.checks import Finding

app = typer.Typer(pretty_exceptions_enable=False)

_STYLES = {"ok": "green", "note": "yellow", "wrong": "bold red"}


@app.command(name="doctor")
@output.run
def doctor(
    mountpoints: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MOUNTPOINT]...", help="Also look at these places."),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="Clear dead mounts: those that are named, or all; nothing else."
        ),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Leave out what needs the network.")
    ] = False,
) -> None:
    """Check this node and say how to fix it: FUSE, mounts, cache, configuration, origins.

    Exit code 1: something is wrong.

    Example: shotfs doctor /shows
    """
    from shotfs.control.checks import Verdict

    if fix:
        _clear_dead_mounts(mountpoints or [])
    findings = list(_examine(config, mountpoints or [], offline=offline))
    healthy = all(finding.verdict is not Verdict.WRONG for finding in findings)
    report = {
        "healthy": healthy,
        "findings": [
            {
                "check": finding.check,
                "verdict": finding.verdict.value,
                "message": finding.message,
                "fix": finding.fix,
            }
            for finding in findings
        ],
    }
    output.emit(report, as_json, lambda: _table(findings))
    if not healthy:
        raise typer.Exit(int(ExitCode.NOT_IN_ORDER))


def _examine(config: str | None, paths: Sequence[str], *, offline: bool) -> Iterator[Finding]:
    from shotfs.control import checks, fast_paths
    from shotfs.control.shutdown import obstacle

    node = checks.Node()
    finding, settings = _check_configuration(config)
    yield finding
    yield from checks.check_node(settings, node)
    yield from fast_paths.check_possible(settings, node)
    yield from checks.check_mountpoints(paths)
    if settings is None:
        return
    yield from checks.check_directories(settings, node)
    yield checks.check_shutdown(settings, obstacle())
    yield from checks.check_service(settings)
    if not offline:
        from shotfs.control.origin_checks import check_origins

        yield from check_origins(settings)


def _check_configuration(config: str | None) -> tuple[Finding, Settings | None]:
    from shotfs.config import load
    from shotfs.control.checks import Finding, Verdict
    from shotfs.errors import ConfigInvalid

    try:
        loaded = load(config, os.environ)
    except ConfigInvalid as exc:
        return Finding("configuration", Verdict.WRONG, exc.message, "shotfs config check"), None
    if loaded.path is None:
        return (
            Finding("configuration", Verdict.NOTE, "no file: defaults", "shotfs config init"),
            loaded.settings,
        )
    return Finding("configuration", Verdict.OK, loaded.path), loaded.settings


def _clear_dead_mounts(paths: Sequence[str]) -> None:
    from shotfs.fuse import mountpoint
    from shotfs.fuse.mountpoint import MountpointState

    named = [mountpoint.resolve(path) for path in paths]
    for path in named or [entry.mountpoint for entry in mountpoint.shotfs_mounts()]:
        if mountpoint.inspect(path) is MountpointState.DEAD:
            mountpoint.recover(path)
            output.error_console.print(f"shotfs: cleared the dead mount on {path}")


def _table(findings: Sequence[Finding]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text(output.printable(finding.message))
        if finding.fix is not None:
            text.append(f"\nfix: {output.printable(finding.fix)}", style="dim")
        verdict = finding.verdict.value
        table.add_row(Text(verdict, style=_STYLES[verdict]), Text(finding.check), text)
    return table
