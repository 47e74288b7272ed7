"""`shotfs stat`: is my frame safe?"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.publish_show import moment, recorded
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(name="stat")
@output.run
def stat(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Below the mount point, or SHOW/PATH.")
    ],
    long: Annotated[
        bool, typer.Option("--long", "-l", help="Also digest, object, times and who wrote it.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether files are safe: in their origin, which is asked now. A line for each.

    A directory is safe when everything is that this node wrote below it.

    Exit code 0: all of them are safe; 1: at least one is not.

    Example: shotfs stat /shows/ant/render/xy_010_v005/*.exr
    """
    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        found = [client.publish.stat(within_mount(client, path)) for path in paths]
    safe = all(one["safe"] for one in found)
    # Who pipes this into head wants the exit code all the same.
    with contextlib.suppress(BrokenPipeError):
        output.emit({"safe": safe, "files": found}, as_json, lambda: _lines(found, long=long))
    if not safe:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


def _lines(found: list[dict[str, Any]], *, long: bool) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = []
    for one in found:
        verdict = ("safe    ", "green") if one["safe"] else ("NOT SAFE", "bold red")
        lines.append(Text.assemble(verdict, output.printable(f"  {one['path']}: {_said(one)}")))
        if long:
            lines += [Text(output.printable(f"          {line}")) for line in _details(one)]
    return Group(*lines)


def _said(one: Mapping[str, Any]) -> str:
    parts = [one["says"]]
    if one["size_bytes"] is not None:
        parts.append(size(one["size_bytes"]))
    if one["safe"] and one["verified"]:
        parts.append("hashed on this node")
    if one["error"] and one["state"] in ("sealed", "failed", "uploading"):
        parts.append(one["error"])
    if one["emergency"]:
        parts.append(f"a copy lies at {one['emergency']}")
    if one["state"] == "quarantined":
        parts.append(f"shotfs publish conflicts diff {one['serial']}")
    elif one["state"] == "directory" and not one["safe"]:
        parts.append(f"shotfs publish queue --under {one['path']}")
    elif one["state"] == "failed":
        parts.append(f"shotfs publish show {one['serial']}")
    elif one["state"] == "partial":
        parts.append(f"shotfs publish conflicts save {one['serial']} FILE")
    return "; ".join(parts)


def _details(one: Mapping[str, Any]) -> list[str]:
    lines = []
    if one["digest"]:
        how = "" if one["verified"] else " (as its writer claims)"
        lines.append(f"digest   {one['digest']}{how}")
    if one["origin"]:
        version = f", version {one['version']}" if one["version"] else ""
        lines.append(f"object   {one['origin']}{version}")
    if one["mtime_ns"] is not None:
        lines.append(f"changed  {moment(one['mtime_ns'])}")
    if one["recorded"]:
        lines.append(f"written  by {recorded(one['recorded'])}")
    if one["aside"]:
        serials = ", ".join(str(serial) for serial in one["aside"])
        lines.append(f"kept     {serials} (shotfs publish conflicts)")
    return lines
