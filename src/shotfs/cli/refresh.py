"""`shotfs refresh`: ask the origins again about a path or a tree, and print what is different."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(pretty_exceptions_enable=False)

LISTED_MAX = 100
"""Changes that are shown to people; --json has up to 10,000."""


@app.command(name="refresh")
@output.run
def refresh(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="Below the mount point, or SHOW/PATH.")
    ],
    tree: Annotated[
        bool, typer.Option("--tree", help="Also everything below PATH that this node knows.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask the origin about PATH now, whatever is remembered, and print what is different.

    What applications see then follows at once: names, sizes, files that were missing. Nothing is
    forgotten while the origin is away (exit code 6). An immutable path that has another revision,
    or is gone, is told apart: somebody changed the bucket by hand.

    Exit code 1: an immutable path is not what it was.

    Example: shotfs refresh /shows/ant/config --tree
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.refresh(within_mount(client, path), tree=tree)
    output.emit(report, as_json, lambda: _shown(report))
    if any(one["immutable"] for one in report["changes"]):
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def _shown(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = [_line(one) for one in report["changes"][:LISTED_MAX]]
    hidden = report["changed"] - len(lines)
    if hidden > 0:
        lines.append(f"and {hidden} more (--json has up to 10,000)")
    asked = [output.counted(report["files"], "file")]
    if report["directories"]:
        asked.append(output.counted(report["directories"], "listing"))
    lines.append(f"{report['path']}: {', '.join(asked)} compared, {report['changed']} different")
    lines += [f"note: {note}" for note in report["notes"]]
    return Group(*(Text(output.printable(line)) for line in lines))


def _line(one: Mapping[str, Any]) -> str:
    parts = [f"{one['what']:8}{one['path']}"]
    old, new = one["old"], one["new"]
    if old is not None:
        parts.append(f"was version {old['version']}, {size(old['size_bytes'])}")
    if new is not None:
        parts.append(f"is version {new['version']}, {size(new['size_bytes'])}")
    if one["immutable"]:
        parts.append("IMMUTABLE: the bucket was changed by something else")
    return "  ".join(parts)
