"""`shotfs version`: publish versions, name the next one, move aliases, verify, take back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output, version_retract
from shotfs.cli.status import ConfigOption, JsonOption, human, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Publish versions and move their aliases.",
)

PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help="Below the mount point, or SHOW/PATH.")
]
WhyOption = Annotated[str, typer.Option("--why", metavar="TEXT", help="Kept in the history.")]

NAMED_MAX = 20
"""Files that `verify` shows to people; --json has up to 1,000."""


@app.callback()
def overview() -> None:
    """Publish versions and move their aliases."""


app.command(name="retract")(version_retract.retract)
app.command(name="restore")(version_retract.restore)
app.command(name="history")(version_retract.history)


@app.command(name="publish")
@output.run
def publish(
    path: PathArgument,
    why: WhyOption = "",
    no_alias: Annotated[
        bool, typer.Option("--no-alias", help="Leave aliases that follow publish where they are.")
    ] = False,
    deadline: Annotated[
        float,
        typer.Option("--deadline", metavar="S", min=0, max=86_400, help="For outputs to arrive."),
    ] = 600.0,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Seal a version directory: nothing in it ever changes again, on any node.

    Waits until what this node wrote below PATH is in the origin; refuses, with a list, if
    something is still open, failed or in quarantine. Repeat it after a crash: it carries on.

    Example: shotfs version publish /shows/ant/render/xy_010_v005 --why "client notes"
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.publish_version(
            within_mount(client, path), why=why, aliases=not no_alias, deadline_s=deadline
        )
    output.emit(report, as_json, lambda: _published(report))


@app.command(name="show")
@output.run
def show(path: PathArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show whether a version is open or published, by whom, and which aliases point to it.

    Example: shotfs version show /shows/ant/render/xy_010_latest
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.version(within_mount(client, path))
    output.emit(report, as_json, lambda: _rows(report))


@app.command(name="new")
@output.run
def new(path: PathArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Print PATH with the next version in it: one after all that exist, or a new ULID.

    Nothing is made or reserved.

    Example: mkdir /shows/$(shotfs version new ant/render/xy_010_v005)
    """
    from rich.text import Text

    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        found = client.next_version(within_mount(client, path))
    output.emit({"path": found}, as_json, lambda: Text(output.printable(found)))


@app.command(name="alias")
@output.run
def alias(
    path: Annotated[str, typer.Argument(metavar="ALIAS_PATH", help="Like xy_010_approved.")],
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="Like v005, or xy_010_v005.")
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="Let it point nowhere.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also to a version that does not exist.")
    ] = False,
    why: WhyOption = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version alias point to another version, at once and for every node.

    Example: shotfs version alias ant/render/xy_010_approved v005 --why "approved by Kim"
    """
    from rich.text import Text

    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    if (version is None) is not none:
        output.fail("give a VERSION, or --none", output.ExitCode.USAGE)
    with Client(socket_of(config)) as client:
        report = client.move_alias(within_mount(client, path), version, why=why, force=force)
    output.emit(report, as_json, lambda: Text(_alias_line(report)))


@app.command(name="verify")
@output.run
def verify(path: PathArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Compare what the origin has of a published version with its manifest.

    Exit code 1: something is missing, changed, or was not in it.

    Example: shotfs version verify /shows/ant/render/xy_010_v005
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.verify_version(within_mount(client, path))
    output.emit(report, as_json, lambda: _verdict(report))
    if not report["intact"]:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def _published(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    verb = "was published already" if report["already"] else "is published"
    size = human("size_bytes", report["bytes"])
    lines = [f"{report['path']} {verb}: {output.counted(report['files'], 'file')}, {size}"]
    if report["already"]:
        lines.append(f"by {report['by']}, {report['at']}")
    lines += [_alias_line(one) for one in report["aliases"]]
    return Group(*(Text(output.printable(line)) for line in lines))


def _alias_line(one: Mapping[str, Any]) -> str:
    verb = "points to" if one["moved"] else "points already to"
    return output.printable(f"{one['path']} {verb} {one['version'] or 'nothing'}")


def _rows(report: Mapping[str, Any]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in report.items():
        shown = human("size_bytes", value) if name == "bytes" else value
        text = ", ".join(shown) if isinstance(shown, list) else str(shown)
        if text:
            table.add_row(name, Text(output.printable(text)))
    return table


def _verdict(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    back = f"; {report['retracted']}" if report["retracted"] else ""
    if report["intact"]:
        files = output.counted(report["files"], "file")
        return Text(output.printable(f"{report['path']}: {files}, exactly as published{back}"))
    lines = [
        (
            f"{report['path']}: not as it was published by {report['by']}, {report['at']}:"
            f" {report['missing']} missing, {report['changed']} changed, {report['extra']} extra"
            f"{back}"
        )
    ]
    if report["manifest"] != "intact":
        lines.append(f"manifest {report['manifest']}")
    lines += [f"{what:8} {name}" for what, name in report["named"][:NAMED_MAX]]
    hidden = report["missing"] + report["changed"] + report["extra"] - NAMED_MAX
    if hidden > 0:
        lines.append(f"and {hidden} more (--json)")
    return Group(*(Text(output.printable(line)) for line in lines))
