"""`shotfs manifest show`: what is in a manifest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from shotfs.cli import output
from shotfs.cli.manifest_files import (
    BelowOption,
    FramesOption,
    ManifestArgument,
    ScannerOption,
    SourceOption,
    ViewOption,
    one_line,
    open_named,
    selection,
    title_of,
)
from shotfs.cli.status import JsonOption, duration, size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.prewarm.manifest import Entry, ManifestReader

TABLE_ROWS_MAX = 10_000
"""A table is laid out as a whole, so it is bounded; JSON is not."""

COLUMNS = ("path", "size", "frames", "views", "says who", "likely", "waited")

PATH_COLUMNS_MIN = 40
"""A terminal that leaves less to a path gets each file in two lines instead of a table."""


@output.run
def show(
    file: ManifestArgument,
    source: SourceOption = None,
    scanner: ScannerOption = None,
    frames: FramesOption = "",
    view: ViewOption = None,
    below: BelowOption = "",
    likely: Annotated[
        float,
        typer.Option(
            "--likely", metavar="0..1", min=0.0, max=1.0, help="Only what is as likely to be read."
        ),
    ] = 0.0,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Show N files; 0: all (with --json).")
    ] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show the files of a manifest: size, frames, views, who says that they are needed.

    The whole file is read and checked, also behind the last one that is shown.

    Example: shotfs manifest show lighting.jsonl --source recorded --frames 1001-1010
    """
    wanted = selection(
        sources=source,
        scanners=scanner,
        frames=frames,
        views=view,
        below=below,
        confidence=likely,
    )
    if not as_json and not 0 < limit <= TABLE_ROWS_MAX:
        raise typer.BadParameter(
            f"a table has 1 to {TABLE_ROWS_MAX} rows; use --json", param_hint="--limit"
        )
    with open_named(file) as manifest:
        entries = wanted.of(manifest)
        if as_json:
            _write_json(manifest, entries, limit)
            return
        shown = list(islice(entries, limit))
        more = sum(1 for _ in entries)
        output.emit({}, False, lambda: _table(manifest, shown, more))


def _write_json(manifest: ManifestReader, entries: Iterable[Entry], limit: int) -> None:
    """Write one document, entry by entry: however many they are."""
    from shotfs.prewarm.manifest.encoding import entry_line, head_row

    write = output.console.file.write
    write(f'{{"head": {json.dumps(head_row(manifest.head))},\n"entries": [')
    shown = matching = 0
    for entry in entries:
        matching += 1
        if not limit or shown < limit:
            write(f"{',' if shown else ''}\n{entry_line(entry)}")
            shown += 1
    counts = {
        "shown": shown,
        "matching": matching,
        "count": manifest.count,
        "size_bytes": manifest.size_bytes,
    }
    write(f"],\n{json.dumps(counts)[1:-1]}}}\n")
    output.console.file.flush()


def _table(manifest: ManifestReader, shown: list[Entry], more: int) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    lines: list[RenderableType] = []
    title = title_of(manifest.head)
    if title:
        lines.append(Text(output.printable(title)))
    rows = [tuple(one_line(cell) for cell in _cells(entry)) for entry in shown]
    if _fits(rows):
        table = Table(box=None, pad_edge=False)
        for name in COLUMNS:
            table.add_column(name, overflow="fold", justify="right" if name == "size" else "left")
        for row in rows:
            table.add_row(*map(Text, row))
        lines += [table] if rows else []
    else:
        for path, *cells in rows:
            said = ", ".join(
                f"{name} {cell}" for name, cell in zip(COLUMNS[1:], cells, strict=True)
            )
            lines += [Text(path), Text(f"  {said}")]
    total = f"{output.counted(manifest.count, 'file')}, {size(manifest.size_bytes)}"
    matching = len(shown) + more
    if matching != manifest.count:
        total += f"; {matching} of them match"
    if more:
        total += f"; {len(shown)} are shown (--limit)"
    lines.append(Text(total))
    return Group(*lines)


def _fits(rows: Sequence[tuple[str, ...]]) -> bool:
    """Whether a table of *rows* fits into the terminal without folding paths to shreds."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    beside = sum(widths[1:]) + 2 * len(widths)
    return beside + min(widths[0], PATH_COLUMNS_MIN) <= output.console.width


def _cells(entry: Entry) -> tuple[str, ...]:
    who = [source.value for source in entry.sources]
    if entry.scanners:
        who.append(f"({', '.join(entry.scanners)})")
    return (
        entry.path,
        "-" if entry.size_bytes is None else size(entry.size_bytes),
        entry.frames or "all",
        ",".join(entry.views) or "all",
        " ".join(who),
        f"{entry.confidence:.2g}",
        "-" if entry.use is None else duration(round(entry.use.stall_s, 3)),
    )
