"""`shotfs publish conflicts`: outputs that lost a race, and partial ones; what to do with them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from shotfs.cli import output
from shotfs.cli.publish_queue import named_output
from shotfs.cli.publish_show import SHOWN_ELSEWHERE, WHO, moment, recorded
from shotfs.cli.status import ConfigOption, JsonOption, size, socket_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.control.client import Client

app = typer.Typer(
    pretty_exceptions_enable=False,
    help="Show and settle outputs that lost a race, and partial ones.",
)

WhichArgument = Annotated[
    str, typer.Argument(metavar="PATH|NUMBER", help="A path, or a number that `list` shows.")
]

IMAGE_BYTES_MAX = 4 * 1024**3
"""Images of which either side is larger are not copied here to compare their pixels."""


@app.callback(invoke_without_command=True)
@output.run
def overview(
    context: typer.Context, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Show and settle outputs that lost a race, and partial ones. Without a command: list them.

    A conflict is an output whose path somebody else published first, with other bytes: it stays on
    this node until you settle it. A partial file is one whose writer died before he closed it: if
    he never had, it goes after spool.scratch_ttl_s.
    """
    if context.invoked_subcommand is None:
        _list(config, as_json=as_json)


@app.command(name="list")
@output.run
def list_conflicts(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List what is kept aside on this node: whose it is, and who was first.

    Example: shotfs publish conflicts list
    """
    _list(config, as_json=as_json)


def _list(config: str | None, *, as_json: bool) -> None:
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.conflicts.kept()
    output.emit(report, as_json, lambda: _listed(report))


@app.command(name="diff")
@output.run
def diff(
    which: WhichArgument,
    no_pixels: Annotated[
        bool, typer.Option("--no-pixels", help="Do not compare images pixel by pixel.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare ours with what the origin has: size, digest, first byte, times, who; pixels.

    Reads both to their end. EXR, PNG, TIFF, JPEG and DPX are compared pixel by pixel where
    OpenImageIO is installed (pip install 'shotfs[images]').

    Exit code 0: the same bytes; 1: they differ.

    Example: shotfs publish conflicts diff 12
    """
    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        report = client.conflicts.compare(_one(client, which)["serial"])
        image = _image(client, report) if not (no_pixels or report["same"]) else None
    if image is not None:
        report["image"] = image
    output.emit(report, as_json, lambda: _differences(report))
    if not report["same"]:
        raise SystemExit(int(output.ExitCode.NOT_IN_ORDER))


@app.command(name="resolve")
@output.run
def resolve(
    which: WhichArgument,
    new_path: Annotated[
        str | None, typer.Option("--as", metavar="PATH", help="Publish ours under this path.")
    ] = None,
    next_version: Annotated[
        bool,
        typer.Option(
            "--next-version", help="Publish ours under its path with the next version in it."
        ),
    ] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Discard ours, for good; the log says so.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --drop: do not ask.")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Settle a conflict: publish ours under another path, or discard it. Never overwrites.

    With --next-version a directory is fine too: all that lost below it goes into the same version.

    Example: shotfs publish conflicts resolve /shows/ant/render/xy_010_v005 --next-version
    """
    from rich.text import Text

    from shotfs.cli.shown_paths import within_mount
    from shotfs.control.client import Client

    if (new_path is not None) + next_version + drop != 1:
        raise typer.BadParameter("give one of them", param_hint="--as, --next-version, --drop")
    with Client(socket_of(config)) as client:
        named = named_output(client, which)
        if drop:
            kept = client.conflicts.kept(**named)["items"]
            if not yes:
                _confirm(kept)
            items = client.conflicts.drop(**named)
            lines = [f"dropped {_label(one)}: {size(one['ours']['size_bytes'])}" for one in items]
        else:
            target = None if new_path is None else within_mount(client, new_path)
            items = client.conflicts.resolve(**named, new_path=target)
            lines = [f"{one['old']} is published as {one['new']}" for one in items]
    output.emit({"items": items}, as_json, lambda: Text(output.printable("\n".join(lines))))


@app.command(name="save")
@output.run
def save(
    which: WhichArgument,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Must not exist yet.")],
    theirs: Annotated[
        bool, typer.Option("--theirs", help="What the origin has, and not ours.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Copy a conflict or a partial file out, to look at it.

    Example: shotfs publish conflicts save 12 /tmp/beauty.1001.exr
    """
    from rich.text import Text

    from shotfs.control.client import Client

    with Client(socket_of(config)) as client:
        serial = _one(client, which)["serial"]
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as target:
                client.conflicts.fetch(serial, "theirs" if theirs else "ours", target)
                written = target.tell()
        except BaseException:
            os.unlink(file)
            raise
    output.console.print(Text(output.printable(f"{file}: {size(written)}")))


def _one(client: Client, which: str) -> dict[str, Any]:
    """Return the one conflict or partial file that *which* means."""
    items = client.conflicts.kept(**named_output(client, which))["items"]
    if len(items) > 1:
        serials = ", ".join(str(one["serial"]) for one in items[:20])
        output.fail(
            f"{which}: {len(items)} outputs are kept there",
            output.ExitCode.USAGE,
            fix=f"name one by its number: {serials}",
        )
    return dict(items[0])


def _confirm(kept: list[dict[str, Any]]) -> None:
    for one in kept[:20]:
        output.warn(f"discards {_label(one)}: {size(one['ours']['size_bytes'])}")
    if len(kept) > 20:
        output.warn(f"and {len(kept) - 20} more")
    what = output.counted(len(kept), "output")
    if not typer.confirm(f"Discard {what} for good?", err=True):
        raise typer.Abort


def _label(one: Mapping[str, Any]) -> str:
    return f"{one['path'] or 'a file of an unknown path'} (number {one['serial']})"


# --- pixels --------------------------------------------------------------------------------------


def _image(client: Client, report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how the two sides differ as images; None if they are none by their name."""
    from shotfs.cli.image_difference import SUFFIXES, image_difference

    suffix = PurePosixPath(report["path"]).suffix.lower()
    if suffix not in SUFFIXES:
        return None
    needed = report["ours"]["size_bytes"] + report["theirs"]["size_bytes"]
    if max(report["ours"]["size_bytes"], report["theirs"]["size_bytes"]) > IMAGE_BYTES_MAX:
        return {"problem": f"larger than {size(IMAGE_BYTES_MAX)}: pixels are not compared"}
    with tempfile.TemporaryDirectory(prefix="shotfs-diff-") as directory:
        if shutil.disk_usage(directory).free < needed:
            return {"problem": f"no room for {size(needed)} in {directory} (TMPDIR)"}
        paths = []
        for side in ("ours", "theirs"):
            path = os.path.join(directory, f"{side}{suffix}")
            with open(path, "xb") as file:
                _fetch(client, report["serial"], side, file)
            paths.append(path)
        return image_difference(*paths)


def _fetch(client: Client, serial: int, side: str, file: BinaryIO) -> None:
    client.conflicts.fetch(serial, side, file)


# --- for people ----------------------------------------------------------------------------------


def _listed(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    items = report["items"]
    if not items:
        return Text("No conflicts, no partial files.")
    lines = []
    for one in items:
        lines.append(Text.assemble((f"{one['serial']:>6}  ", "bold"), *_head(one)))
        lines += [Text(f"        {output.printable(line)}") for line in _sides(one)]
    hidden = report["count"] - len(items)
    if hidden > 0:
        lines.append(Text(f"and {hidden} more (--json has 10,000 at most)"))
    lines.append(Text(_hint(items)))
    return Group(*lines)


def _head(one: Mapping[str, Any]) -> tuple[tuple[str, str], str]:
    style = "bold red" if one["kind"] == "conflict" else "yellow"
    path = one["path"] or "(nobody knows which path)"
    return (f"{one['kind']:8}  ", style), output.printable(path)


def _sides(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"ours    {_side(one['ours'])}"
    theirs = one["theirs"]
    if theirs is None or "size_bytes" not in theirs:
        if one["message"]:
            yield f"why     {one['message']}"
        return
    yield f"theirs  {_side(theirs)}"


def _side(side: Mapping[str, Any]) -> str:
    parts = [size(side["size_bytes"]), moment(side["mtime_ns"])]
    parts.append(f"by {recorded(side['recorded'])}")
    if side.get("written_as"):
        parts.append(f"written as {side['written_as']}")
    return ", ".join(parts)


def _hint(items: list[dict[str, Any]]) -> str:
    conflicts = sum(one["kind"] == "conflict" for one in items)
    first = items[0]["serial"]
    hints = [f"compare: shotfs publish conflicts diff {first}"] if conflicts else []
    hints.append(f"look at it: shotfs publish conflicts save {first} FILE")
    return "; ".join(hints)


def _differences(report: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    ours, theirs = report["ours"], report["theirs"]
    table = Table(box=None, pad_edge=False)
    for heading in ("", "ours", "theirs"):
        table.add_column(heading, overflow="fold")
    rows = [
        ("size", f"{ours['size_bytes']} bytes", f"{theirs['size_bytes']} bytes"),
        ("digest", ours["digest"], theirs["digest"]),
        ("changed", moment(ours["mtime_ns"]), moment(theirs["mtime_ns"])),
        *_provenance(ours["recorded"], theirs["recorded"]),
        *_image_rows(report.get("image") or {}),
    ]
    for row in rows:
        table.add_row(*(Text(output.printable(str(cell))) for cell in row))
    title = Text(output.printable(f"{report['path']} (number {report['serial']})"))
    return Group(title, table, *(Text(output.printable(line)) for line in _verdict(report)))


def _provenance(
    ours: Mapping[str, str], theirs: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    for name in dict.fromkeys((*ours, *theirs)):
        same = ours.get(name) == theirs.get(name)
        if name in SHOWN_ELSEWHERE or (same and name not in WHO):
            continue
        yield name.removeprefix("shotfs-"), ours.get(name, "-"), theirs.get(name, "-")


def _image_rows(image: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if "ours" in image and "theirs" in image:
        yield "image", _image_text(image["ours"]), _image_text(image["theirs"])


def _image_text(side: Mapping[str, Any]) -> str:
    parts = f", {side['parts']} parts" if side["parts"] > 1 else ""
    channels = ", ".join(side["channels"][:8]) + (" ..." if len(side["channels"]) > 8 else "")
    return f"{side['width']} x {side['height']}, {side['format']}, {channels}{parts}"


def _verdict(report: Mapping[str, Any]) -> Iterator[str]:
    if report["same"]:
        yield "The same bytes: the origin has them. Discard ours: resolve --drop"
        return
    yield f"The first difference is at offset {report['first_difference']}."
    image = report.get("image")
    if image is None:
        return
    if "problem" in image:
        yield f"Pixels: {image['problem']}"
    elif "different_pixels" not in image:
        yield "Pixels: not the same size or channels, so there is nothing to compare."
    elif not image["different_pixels"]:
        yield f"Pixels: all {image['pixels']} are the same; only the files around them differ."
    else:
        worst = image["worst"]
        part = f" of part {worst['part']}" if worst["part"] else ""
        share = 100 * image["different_pixels"] / image["pixels"]
        yield f"Pixels: {image['different_pixels']} of {image['pixels']} ({share:.3g} %) differ;"
        yield (
            f"  error: max {image['max_error']:.4g} (channel {worst['channel']}"
            f" at {worst['x']}, {worst['y']}{part}), mean {image['mean_error']:.4g},"
            f" RMS {image['rms_error']:.4g}"
        )
