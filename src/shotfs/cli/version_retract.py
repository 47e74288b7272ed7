"""`shotfs version retract`, `restore` and `history`: take a published version back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, human, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help="Below the mount point, or SHOW/PATH.")
]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Kept in the history; others will ask.")
]

NAMED_MAX = 20
"""Objects that are shown to people; --json has up to 1,000."""


@output.run
def retract(
    path: PathArgument,
    reason: ReasonOption,
    delete: Annotated[
        bool, typer.Option("--delete", help="Also delete its objects. There is no way back.")
    ] = False,
    alias_to: Annotated[
        str | None,
        typer.Option(
            "--alias-to", metavar="VERSION", help="Where aliases go; else where they were before."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete also what is pinned in this node's cache.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a published version back: nobody sees it any more, on any node.

    Its files stay in the origin, and `restore` brings it back, unless --delete removes them. Its
    number is never given again. Aliases that follow what is published go to the version before.
    Who may do this is in the specification ("retract"). Repeat it after a crash: it carries on.

    Example: shotfs version retract ant/render/xy_010_v005 --reason "wrong colour space"
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        shown = within_mount(client, path)
        report = client.retract_version(
            shown, why=reason, delete=delete, alias_to=alias_to, pinned_too=yes, dry_run=dry_run
        )
    output.emit(report, as_json, lambda: _done(report))


@output.run
def restore(
    path: PathArgument,
    reason: ReasonOption,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version that was taken back count again, as long as all its files are in the origin.

    Aliases that left it, and that nobody has moved since, come back.

    Example: shotfs version restore ant/render/xy_010_v005 --reason "was right after all"
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.restore_version(within_mount(client, path), why=reason)
    output.emit(report, as_json, lambda: _done(report))


@output.run
def history(path: PathArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show who published a version, took it back and restored it, when and why, the newest last.

    Example: shotfs version history ant/render/xy_010_v005
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        shown = within_mount(client, path)
        rows = client.version_history(shown)
    output.emit({"path": shown, "history": rows}, as_json, lambda: _table(shown, rows))


_VERBS = {
    "retracted": "taken back",
    "deleting": "taken back, and its objects are being deleted",
    "deleted": "taken back and deleted",
    "restored": "restored",
}


def _done(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    verb = _VERBS.get(report["state"], report["state"])
    size = human("size_bytes", report["bytes"])
    is_what = f"would be {verb}" if report["dry_run"] else f"is {verb}"
    if report["already"]:
        is_what = f"was {verb} already"
    lines = [f"{report['path']} {is_what}: {output.counted(report['files'], 'file')}, {size}"]
    if report["already"]:
        lines.append(f"by {report['by']}, {report['at']}: {report['why']}")
    for one in report["aliases"]:
        verb = "would point to" if report["dry_run"] and one["moved"] else "points to"
        lines.append(f"{one['path']} {verb} {one['version'] or 'nothing'}")
    lines += [
        f"{one} still points to it: shotfs version alias {one} VERSION" for one in report["staying"]
    ]
    if report["deleted"]:
        lines.append(f"{output.counted(report['deleted'], 'object')} deleted from the origin")
    if report["pinned"]:
        lines.append(f"{output.counted(report['pinned'], 'file')} of it pinned in this cache")
    if report["kept"]:
        lines.append(f"{output.counted(report['kept'], 'object')} in it that the version is not:")
        lines += [f"{what:8} {name}" for what, name in report["named"][:NAMED_MAX]]
        if report["kept"] > NAMED_MAX:
            lines.append(f"and {report['kept'] - NAMED_MAX} more (--json)")
    return Group(*(Text(output.printable(line)) for line in lines))


def _table(path: str, rows: Sequence[Mapping[str, str]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return Text(output.printable(f"{path} was never published."))
    table = Table(box=None, pad_edge=False)
    names = ("state", "at", "by", "why")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(output.printable(row[name])) for name in names))
    return table
