"""What the commands of `shotfs manifest` share: naming, opening and selecting."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from shotfs.cli.output import counted, emit, printable
from shotfs.cli.status import size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shotfs.prewarm.manifest import Entry, Head, ManifestReader, Written
    from shotfs.prewarm.manifest.selecting import Selection

STANDARD = "-"
"""The name of standard input, or output."""

ManifestArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="A manifest; - is standard input.")
]
SourceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--source", metavar="SOURCE", help="Only what scanned|recorded|published|hand says."
    ),
]
ScannerOption = Annotated[
    list[str] | None,
    typer.Option("--scanner", metavar="NAME", help="Only what this scanner says."),
]
FramesOption = Annotated[
    str, typer.Option("--frames", metavar="FRAMES", help="Only for these: 1001-1010,1012.")
]
ViewOption = Annotated[
    list[str] | None, typer.Option("--view", metavar="VIEW", help="Only for this view.")
]
BelowOption = Annotated[
    str, typer.Option("--below", metavar="DIR", help="Only below this directory of the mount.")
]
OutputOption = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="What is written: .jsonl, .json for one document, .gz to pack it; - for lines on "
        "standard output.",
    ),
]


def open_named(name: str) -> ManifestReader:
    """Open the manifest *name*, a file or standard input.

    Raises:
        ManifestInvalid, OSError: as `open_manifest`.
    """
    from shotfs.prewarm.manifest import ManifestReader, open_manifest

    if name == STANDARD:
        return ManifestReader(sys.stdin.buffer, "standard input")
    return open_manifest(name)


def open_bytes(name: str) -> BinaryIO:
    """Open *name*, a file of any format or standard input."""
    return sys.stdin.buffer if name == STANDARD else open(name, "rb")


def write_named(name: str, head: Head, entries: Iterable[Entry]) -> Written:
    """Write a manifest to *name*, a file (whole or not at all) or standard output.

    Raises:
        ManifestInvalid, OSError: as `write_manifest`.
    """
    from shotfs.prewarm.manifest.writing import write_lines, write_manifest

    if name != STANDARD:
        return write_manifest(name, head, entries)
    written = write_lines(sys.stdout.buffer, "standard output", head, entries)
    sys.stdout.buffer.flush()
    return written


def emit_written(name: str, written: Written, *, as_json: bool) -> None:
    """Say what was written to *name*; nothing where standard output has the manifest itself."""
    from rich.text import Text

    if name == STANDARD:
        return
    report = {"file": name, "files": written.count, "size_bytes": written.size_bytes}
    said = f"{name}: {counted(written.count, 'file')}, {size(written.size_bytes)}"
    emit(report, as_json, lambda: Text(one_line(said)))


def selection(
    *,
    sources: list[str] | None = None,
    scanners: list[str] | None = None,
    frames: str = "",
    views: list[str] | None = None,
    below: str = "",
    confidence: float = 0.0,
) -> Selection:
    """Return what the options of a command select.

    Raises:
        typer.BadParameter: one of them makes no sense.
    """
    from shotfs.errors import InvalidArgument
    from shotfs.prewarm.manifest import Source
    from shotfs.prewarm.manifest.checking import Mistake
    from shotfs.prewarm.manifest.selecting import Selection

    try:
        wanted = frozenset(Source(source) for source in sources or ())
    except ValueError:
        known = ", ".join(Source)
        raise typer.BadParameter(f"use one of {known}", param_hint="--source") from None
    try:
        return Selection(
            sources=wanted,
            scanners=frozenset(scanners or ()),
            frames=frames,
            views=frozenset(views or ()),
            below=os.path.normpath(below) if below else "",
            confidence=confidence,
        )
    except InvalidArgument as exc:
        raise typer.BadParameter(str(exc.message), param_hint="--frames") from None
    except Mistake as mistake:
        raise typer.BadParameter(
            f"{mistake.message}; {mistake.fix}", param_hint="--below"
        ) from None


def one_line(text: str) -> str:
    """Return *text*, a path perhaps, as a cell of a table: printable, on one line."""
    return printable(text).replace("\n", "\\n")


def title_of(head: Head) -> str:
    """Return in one line what a manifest is about, "" where it does not say."""
    subject = head.subject
    parts = [
        f"{name} {getattr(subject, name)}"
        for name in ("show", "shot", "task", "frame", "view", "job")
        if getattr(subject, name)
    ]
    made = " ".join(
        part
        for part in (
            head.created_at,
            f"on {head.created_by}" if head.created_by else "",
            f"by {head.generator}" if head.generator else "",
        )
        if part
    )
    return "; ".join(part for part in (", ".join(parts), made and f"made {made}") if part)
