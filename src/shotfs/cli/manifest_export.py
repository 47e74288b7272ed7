"""`shotfs manifest export`: a manifest in the format of another system."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from shotfs.cli import output
from shotfs.cli.manifest_files import (
    STANDARD,
    FramesOption,
    ManifestArgument,
    SourceOption,
    ViewOption,
    emit_written,
    open_named,
    selection,
)
from shotfs.cli.manifest_root import RootOption, root_of, root_or_none
from shotfs.cli.status import ConfigOption, JsonOption

if TYPE_CHECKING:
    from shotfs.prewarm.manifest import Entry

Write = Callable[[BinaryIO, str, "Iterable[Entry]"], tuple[int, int]]


class Format(StrEnum):
    """A format of another system."""

    DEADLINE = "deadline"
    PLAIN = "plain"
    SHAMAN = "shaman"


FormatOption = Annotated[
    Format, typer.Option("--format", "-f", help="deadline, plain or shaman.", show_default=False)
]
ColumnsOption = Annotated[
    str,
    typer.Option(
        "--columns", metavar="NAMES", help="Of a plain list, tabs between: path,size,digest,mtime."
    ),
]
NullOption = Annotated[
    bool, typer.Option("--null", "-0", help="Of a plain list: paths end with NUL, as find -print0.")
]
UnderOption = Annotated[
    str,
    typer.Option(
        "--below",
        metavar="DIR",
        help="The directory of the mount that paths of the other format are relative to.",
    ),
]


@output.run
def export(
    file: ManifestArgument,
    to: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="What is written; - prints it."),
    ],
    form: FormatOption,
    below: UnderOption = "",
    source: SourceOption = None,
    frames: FramesOption = "",
    view: ViewOption = None,
    columns: ColumnsOption = "path",
    null: NullOption = False,
    root: RootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a manifest as Deadline Cloud asset manifest, plain list, or checkout of Shaman.

    deadline: version 2023-03-03, for one asset root, which --below names. It needs the digest, size
    and time of each file; where the manifest does not say, files are read. shaman: names files by
    SHA-256, so each is read.

    Example: shotfs manifest export shot.jsonl -f deadline --below ant -o assets.json
    """
    from shotfs.prewarm.manifest import Written
    from shotfs.prewarm.manifest.writing import replacing

    wanted = selection(sources=source, frames=frames, views=view, below=below)
    write = _writer(form, wanted.below, columns_of(columns), root, config, null=null)
    with open_named(file) as manifest:
        # An entry that is the directory itself has no path relative to it.
        entries = (one for one in wanted.of(manifest) if wanted.contains(one.path))
        if to == STANDARD:
            # Half of it would look whole to whoever reads the pipe.
            with tempfile.TemporaryFile() as whole:
                count, size_bytes = write(whole, manifest.name, entries)
                whole.seek(0)
                shutil.copyfileobj(whole, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        else:
            with replacing(to) as target:
                count, size_bytes = write(target, manifest.name, entries)
    emit_written(to, Written(count, size_bytes), as_json=as_json)


def _writer(
    form: Format,
    below: str,
    columns: tuple[str, ...],
    root: str | None,
    config: str | None,
    *,
    null: bool,
) -> Write:
    from shotfs.prewarm.manifest.completing import completed
    from shotfs.prewarm.manifest.deadline import write_deadline
    from shotfs.prewarm.manifest.plain import write_plain
    from shotfs.prewarm.manifest.shaman import write_shaman

    def deadline(stream: BinaryIO, name: str, entries: Iterable[Entry]) -> tuple[int, int]:
        whole = completed(entries, lambda: root_or_none(root, config), name=name)
        return write_deadline(stream, name, whole, below=below)

    def shaman(stream: BinaryIO, name: str, entries: Iterable[Entry]) -> tuple[int, int]:
        return write_shaman(stream, name, entries, root_of(root, config), below=below)

    def plain(stream: BinaryIO, name: str, entries: Iterable[Entry]) -> tuple[int, int]:
        return write_plain(stream, name, entries, columns=columns, null=null, below=below)

    return {Format.DEADLINE: deadline, Format.SHAMAN: shaman, Format.PLAIN: plain}[form]


def columns_of(text: str) -> tuple[str, ...]:
    """Return the columns of a plain list that *text* names.

    Raises:
        typer.BadParameter: one of them is none, or ``path`` is missing.
    """
    from shotfs.prewarm.manifest.plain import COLUMNS

    names = tuple(text.split(","))
    if "path" not in names or len(set(names)) != len(names) or not set(names) <= set(COLUMNS):
        raise typer.BadParameter(
            f"path, and some of {', '.join(COLUMNS[1:])}, in any order", param_hint="--columns"
        )
    return names
