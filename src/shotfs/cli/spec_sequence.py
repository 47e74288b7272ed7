"""``shotfs spec sequence``: which files of a sequence there are, and which are missing."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from shotfs.cli.frame_ranges import frames_of
from shotfs.cli.output import ExitCode, counted, emit, fail, printable, run
from shotfs.cli.sequence_files import Found, Run, find_files
from shotfs.cli.spec_source import Config, Json, Site, Spec, find, row, table
from shotfs.cli.status import human
from shotfs.pathspec.sequences import SequencePattern, sequence_of


@run
def sequence(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="One of its files, or a path with tokens like ####, %V, <UDIM>."
        ),
    ],
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            metavar="DIR",
            help="The show's directory. Default: that of an absolute PATH, else the working "
            "directory.",
            show_default=False,
        ),
    ] = None,
    expect: Annotated[
        str | None,
        typer.Option(
            "--expect",
            metavar="FRAMES",
            help="These should be there, like 1001-1086.",
            show_default=False,
        ),
    ] = None,
    spec: Spec = None,
    site: Site = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show which frames, views and tiles there are, and which are missing; 1 if one is.

    Example: shotfs spec sequence /shows/ant/render/sh010_v003/beauty.####.exr --expect 1001-1086
    """
    opened, relative = find(path if root is None else _below(path, root), spec, config, site)
    specification = opened.specification
    pattern = sequence_of(specification, relative)
    if pattern is None:
        fail(
            f"{specification.show}: {relative!r} is no sequence",
            ExitCode.NOT_IN_ORDER,
            fix=f"shotfs spec explain {relative} says what it is",
        )
    place = root if root is not None else _root(path, relative)
    found = find_files(pattern, place, () if expect is None else frames_of(expect))
    data = _data(pattern, place, found)
    emit(data, as_json, lambda: Group(*_shown(data["sequence"], found)))
    if not found.complete:
        raise SystemExit(int(ExitCode.NOT_IN_ORDER))


def _below(path: str, root: str) -> str:
    """Return *path* without *root* before it, as a shell completes it."""
    whole, above = os.path.abspath(path), os.path.abspath(root)
    return os.path.relpath(whole, above) if whole.startswith(above + os.sep) else path


def _root(path: str, relative: str) -> str:
    """Return the show's directory: what stands before *relative* in *path*."""
    whole = os.path.normpath(path) if relative else path
    before = whole.removesuffix(relative) if relative else whole
    return before or "."


def _data(pattern: SequencePattern, root: str, found: Found) -> dict[str, Any]:
    return {
        "show": pattern.specification.show,
        "template": pattern.template.name,
        "sequence": pattern.with_tokens(),
        "root": root,
        "complete": found.complete,
        "count": sum(one.count for one in found.runs),
        "size_bytes": sum(one.size_bytes for one in found.runs),
        "runs": [
            {
                **dataclasses.asdict(one),
                "frames": one.frame_range,
            }
            for one in found.runs
        ],
        "missing_views": found.views,
        "missing_tiles": [
            {"view": view, "tiles": tiles} for view, tiles in found.tiles.items() if tiles
        ],
        "tiles_left_out": found.left_out,
    }


def _shown(name: str, found: Found) -> Iterator[RenderableType]:
    if not found.runs:
        yield _line(f"{name}: nothing is there")
        return
    count = sum(one.count for one in found.runs)
    size = human("size_bytes", sum(one.size_bytes for one in found.runs))
    verdict = "complete" if found.complete else "not complete"
    yield _line(f"{name}: {verdict}. {counted(count, 'file')}, {size}.")
    yield _runs(found.runs)
    if found.views:
        yield _line(f"views missing: {', '.join(found.views)}")
    for view, tiles in found.tiles.items():
        about = "" if view is None else f" of {view}"
        yield _line(f"tiles missing{about}: {', '.join(tiles)}")
    if found.left_out:
        yield _line(f"tiles left out: {', '.join(found.left_out)}")


def _runs(runs: list[Run]) -> RenderableType:
    columns: dict[str, list[str | None]] = {
        "view": [one.view for one in runs],
        "tile": [one.tile for one in runs],
        "frames": [one.frame_range or None for one in runs],
        "files": [str(one.count) for one in runs],
        "size": [human("size_bytes", one.size_bytes) for one in runs],
        "missing": [one.missing or None for one in runs],
        "empty files": [str(one.empty) if one.empty else None for one in runs],
    }
    kept = {name: cells for name, cells in columns.items() if any(cells)}
    shown = table(*kept)
    for cells in zip(*kept.values(), strict=True):
        row(shown, *(cell or "" for cell in cells))
    return shown


def _line(text: str) -> Text:
    return Text(printable(text))
