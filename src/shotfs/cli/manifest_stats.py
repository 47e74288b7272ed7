"""`shotfs manifest stats`: the numbers of a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotfs.cli import output
from shotfs.cli.manifest_files import (
    BelowOption,
    FramesOption,
    ManifestArgument,
    SourceOption,
    one_line,
    open_named,
    selection,
    title_of,
)
from shotfs.cli.manifest_groups import TemplatesOption, groups
from shotfs.cli.status import ConfigOption, JsonOption, duration, size

if TYPE_CHECKING:
    from rich.console import RenderableType

    from shotfs.prewarm.manifest.summary import Summary, Tally


@output.run
def stats(
    file: ManifestArgument,
    source: SourceOption = None,
    frames: FramesOption = "",
    below: BelowOption = "",
    templates: TemplatesOption = False,
    rows: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, max=10_000, help="Rows of each table.")
    ] = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sum up a manifest: files and bytes, by source, template, extension and frame.

    Also what is in it twice: files with equal digests are fetched once and kept once.

    Example: shotfs manifest stats lighting.jsonl --templates
    """
    from shotfs.prewarm.manifest.summary import Summary

    wanted = selection(sources=source, frames=frames, below=below)
    summary = Summary(groups(config, templates=templates))
    with open_named(file) as manifest:
        for entry in wanted.of(manifest):
            summary.add(entry)
        title = title_of(manifest.head)
    data = _data(summary)
    what = "template" if templates else "path"
    output.emit(data, as_json, lambda: _tables(title, summary, data, what, rows))


def _data(summary: Summary) -> dict[str, Any]:
    return {
        "files": summary.whole.count,
        "size_bytes": summary.whole.size_bytes,
        "without_size": summary.unsized,
        "without_digest": summary.undigested,
        "duplicates": _tally(summary.duplicates),
        "duplicates_whole": not summary.digests_full,
        "cold_opens": summary.cold,
        "stall_s": round(summary.stall_s, 6),
        "by_source": _rows(summary.by_source),
        "by_scanner": _rows(summary.by_scanner),
        "by_extension": _rows(summary.by_extension),
        "by_group": _rows(summary.by_group),
        "for_all_frames": summary.for_all_frames,
        "by_frames": [
            {"first": first, "last": last, "files": files}
            for first, last, files in summary.frames()
        ],
    }


def _tally(tally: Tally) -> dict[str, int]:
    return {"files": tally.count, "size_bytes": tally.size_bytes}


def _rows(table: Mapping[str, Tally]) -> dict[str, dict[str, int]]:
    """Return the rows of *table*, those with the most bytes first."""
    ordered = sorted(table.items(), key=lambda row: (-row[1].size_bytes, -row[1].count, row[0]))
    return {name: _tally(tally) for name, tally in ordered}


def _tables(
    title: str, summary: Summary, data: Mapping[str, Any], what: str, rows: int
) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines: list[RenderableType] = [Text(line) for line in _sentences(title, summary)]
    for key, name in (
        ("by_source", "source"),
        ("by_scanner", "scanner"),
        ("by_extension", "extension"),
        ("by_group", what),
    ):
        if data[key]:
            cells: list[tuple[str, ...]] = [
                (label or "(none)", str(row["files"]), size(row["size_bytes"]))
                for label, row in data[key].items()
            ]
            lines += [Text(""), _table((name, "files", "bytes"), cells, rows)]
    if data["by_frames"]:
        cells = [(_span(row["first"], row["last"]), str(row["files"])) for row in data["by_frames"]]
        lines += [Text(""), _table(("frames", "files of each"), cells, rows)]
    return Group(*lines)


def _sentences(title: str, summary: Summary) -> list[str]:
    lines = [one_line(title)] if title else []
    whole = summary.whole
    lines.append(f"{output.counted(whole.count, 'file')}, {size(whole.size_bytes)}")
    if summary.unsized:
        lines.append(f"{summary.unsized} of unknown size")
    if summary.undigested:
        lines.append(f"{summary.undigested} without a digest")
    double = summary.duplicates
    if double.count:
        least = "at least " if summary.digests_full else ""
        lines.append(
            f"{least}{output.counted(double.count, 'file')} with the bytes of another one: "
            f"{size(double.size_bytes)} that need not be fetched or kept"
        )
    if summary.cold:
        opens = output.counted(summary.cold, "open")
        lines.append(f"{opens} found a file not here, and waited {duration(summary.stall_s)}")
    if summary.for_all_frames and summary.for_all_frames != whole.count:
        lines.append(f"{summary.for_all_frames} for all frames")
    return lines


def _table(names: tuple[str, ...], cells: list[tuple[str, ...]], rows: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for index, name in enumerate(names):
        table.add_column(name, overflow="fold", justify="right" if index else "left")
    for row in cells[:rows]:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    if len(cells) > rows:
        table.add_row(Text(f"and {len(cells) - rows} more (--rows)"))
    return table


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
