"""`shotfs manifest import`: a manifest from the format of another system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from shotfs.cli import output
from shotfs.cli.manifest_export import (
    ColumnsOption,
    Format,
    FormatOption,
    NullOption,
    UnderOption,
    columns_of,
)
from shotfs.cli.manifest_files import (
    STANDARD,
    OutputOption,
    emit_written,
    open_bytes,
    selection,
    write_named,
)
from shotfs.cli.status import JsonOption

if TYPE_CHECKING:
    from shotfs.prewarm.manifest import Entry, Source


@output.run
def import_(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Of another format; - is standard input.")
    ],
    to: OutputOption,
    form: FormatOption,
    below: UnderOption = "",
    strip: Annotated[
        str,
        typer.Option("--strip", metavar="DIR", help="Of a plain list: paths begin with this."),
    ] = "",
    columns: ColumnsOption = "path",
    null: NullOption = False,
    source: Annotated[
        str, typer.Option("--source", metavar="SOURCE", help="Who says that they are needed.")
    ] = "hand",
    show: Annotated[str, typer.Option("--show", help="What it is about.")] = "",
    shot: Annotated[str, typer.Option("--shot", help="What it is about.")] = "",
    task: Annotated[str, typer.Option("--task", help="What it is about.")] = "",
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            metavar="DIR",
            help="Read size, time and digest here, where the other format does not say.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a manifest of a Deadline Cloud asset manifest, a plain list, or a checkout of Shaman.

    Paths that leave their directory are refused. Shaman's SHA-256 names no content here: with
    --root files get our digests.

    Example: find /shows/ant -type f | shotfs manifest import - -f plain --strip /shows -o x.jsonl
    """
    from shotfs.cli.manifest_root import root_of
    from shotfs.prewarm.manifest import Source, Subject, new_head
    from shotfs.prewarm.manifest.completing import completed

    wanted = selection(sources=[source], below=below)
    name = "standard input" if file == STANDARD else file
    head = new_head(Subject(show=show, shot=shot, task=task))
    with open_bytes(file) as stream:
        entries = _entries(
            stream,
            name,
            form,
            wanted.below,
            Source(source),
            columns_of(columns),
            os.path.normpath(strip) if strip else "",
            null=null,
        )
        if root is not None:
            directory = root_of(root, None)
            entries = completed(entries, lambda: directory, name=name)
        written = write_named(to, head, entries)
    emit_written(to, written, as_json=as_json)


def _entries(
    stream: BinaryIO,
    name: str,
    form: Format,
    below: str,
    source: Source,
    columns: tuple[str, ...],
    strip: str,
    *,
    null: bool,
) -> Iterator[Entry]:
    from shotfs.prewarm.manifest.deadline import read_deadline
    from shotfs.prewarm.manifest.plain import read_plain
    from shotfs.prewarm.manifest.shaman import read_shaman

    if form is Format.DEADLINE:
        return read_deadline(stream, name, below=below, source=source)
    if form is Format.SHAMAN:
        return read_shaman(stream, name, below=below, source=source)
    return read_plain(
        stream, name, columns=columns, null=null, strip=strip, below=below, source=source
    )
