"""Finds the files of one sequence on a disk or a mount, and what is missing among them.

Lists only directories that the sequence can be in, and asks for the size of its own files only: a
listing of a mount costs little, and a stat of each file of a show would not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from shotfs.pathspec import regex
from shotfs.pathspec.fields import Field, FieldValue, Tile
from shotfs.pathspec.gaps import spanned, tile_of, tiles_between
from shotfs.pathspec.sequences import SequencePattern, missing, ranges

EXPECTED_MAX = 1_000_000
"""Frames that are compared one by one; a wider span is told by its holes."""

Lane = tuple[str | None, str | None]
"""View and tile, as text; None where the sequence is not open in it."""


@dataclass(slots=True)
class Run:
    """The files of one view and one tile.

    Attributes:
        frames: numbers that were found; empty where the sequence has no open frame.
        missing: frames that should be there, as ranges; "" for none.
        missing_count: how many; None where there are too many to count.
        empty: how many files have no content.
    """

    view: str | None
    tile: str | None
    frames: list[int | Decimal] = field(default_factory=list)
    count: int = 0
    size_bytes: int = 0
    empty: int = 0
    missing: str = ""
    missing_count: int | None = 0

    @property
    def frame_range(self) -> str:
        """The frames as ranges."""
        return ranges(self.frames)


@dataclass(slots=True)
class Found:
    """All files of one sequence.

    Attributes:
        runs: sorted by view and tile.
        views: texts of views that are missing altogether.
        tiles: of each view, tiles that other views have and it has not.
        left_out: tiles between others of their row; models need not use every tile.
    """

    runs: list[Run]
    views: list[str]
    tiles: dict[str | None, list[str]]
    left_out: list[str]

    @property
    def complete(self) -> bool:
        """Whether there are files, all of them, and something in each."""
        return (
            bool(self.runs)
            and not self.views
            and not any(self.tiles.values())
            and not any(run.missing or run.empty for run in self.runs)
        )


def find_files(pattern: SequencePattern, root: str, expected: Sequence[int] = ()) -> Found:
    """Return what there is of *pattern* below the show's directory *root*.

    Args:
        pattern: what to look for.
        root: a directory of a disk or a mount.
        expected: frames that should be there, sorted; none: those between the first and last.

    Raises:
        OSError: a directory cannot be listed; one that is not there holds nothing.
    """
    lanes: dict[Lane, Run] = {}
    by_kind = {one.kind: one for one in pattern.open}
    for path in _paths(pattern, root):
        values = pattern.values_of(path)
        if values is None:
            continue
        view, tile = (_text(by_kind.get(kind), values) for kind in ("view", "udim"))
        run = lanes.setdefault((view, tile), Run(view, tile))
        frame = by_kind.get("frame")
        number = None if frame is None else values[frame.name]
        if isinstance(number, int | Decimal):
            run.frames.append(number)
        size = os.stat(os.path.join(root, path)).st_size
        run.count += 1
        run.size_bytes += size
        run.empty += size == 0
    runs = [lanes[lane] for lane in sorted(lanes, key=lambda one: (one[0] or "", one[1] or ""))]
    if "frame" in by_kind:
        _note_missing(runs, expected)
    lacking, left_out = _missing_tiles(by_kind.get("udim"), runs)
    return Found(runs, _missing_views(by_kind.get("view"), runs), lacking, left_out)


def _text(field: Field | None, values: dict[str, FieldValue]) -> str | None:
    return None if field is None else field.format(values[field.name])


def _paths(pattern: SequencePattern, root: str) -> Iterator[str]:
    names = [re.compile(one, re.ASCII) for one in _elements(pattern)]
    waiting = [(pattern.directory, 0)]
    while waiting:
        directory, depth = waiting.pop()
        last = depth == len(names) - 1
        try:
            found = sorted(os.listdir(os.path.join(root, directory)))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in found:
            if names[depth].fullmatch(name) is None:
                continue
            path = f"{directory}/{name}" if directory else name
            if last:
                yield path
            else:
                waiting.append((path, depth + 1))


def _elements(pattern: SequencePattern) -> list[str]:
    """Return an expression for each element below the directory that all files share."""
    elements = [""]
    for part in pattern.parts:
        if not isinstance(part, str):
            assert part.shape is not None, "frames, tiles and views have a shape"
            elements[-1] += f"(?:{regex.render(part.shape)})"
            continue
        first, *others = part.split("/")
        elements[-1] += re.escape(first)
        elements += [re.escape(other) for other in others]
    return elements[-pattern.depth :]


def _note_missing(runs: list[Run], expected: Sequence[int]) -> None:
    for run in runs:
        run.frames.sort()
    whole = [[one for one in run.frames if isinstance(one, int)] for run in runs]
    if not expected and any(
        len(one) < len(run.frames) for one, run in zip(whole, runs, strict=True)
    ):
        for run in runs:  # parts of frames: in the steps that are there
            run.missing = missing(run.frames)
            run.missing_count = None if run.missing else 0
        return
    wanted = expected or spanned(whole)
    for run, frames in zip(runs, whole, strict=True):
        if len(wanted) > EXPECTED_MAX:
            run.missing = missing(frames)
            run.missing_count = len(wanted) - len(frames)
            continue
        have = set(frames)
        lacking = [one for one in wanted if one not in have]
        run.missing, run.missing_count = ranges(lacking), len(lacking)


def _missing_views(view: Field | None, runs: list[Run]) -> list[str]:
    if view is None or view.choices is None or not runs:
        return []
    found = {run.view for run in runs}
    return [one for one in view.choices if one not in found]


def _missing_tiles(
    udim: Field | None, runs: list[Run]
) -> tuple[dict[str | None, list[str]], list[str]]:
    """Return the tiles that each view lacks, and those that are left out between others."""
    if udim is None:
        return {}, []
    found: dict[str | None, set[Tile]] = {}
    for run in runs:
        assert run.tile is not None, "the sequence is open in tiles"
        found.setdefault(run.view, set()).add(tile_of(udim.parse(run.tile)))
    everywhere = {tile for tiles in found.values() for tile in tiles}
    lacking = {
        view: _tile_texts(udim, everywhere - tiles)
        for view, tiles in found.items()
        if everywhere - tiles
    }
    return lacking, _tile_texts(udim, tiles_between(everywhere) - everywhere)


def _tile_texts(udim: Field, tiles: set[Tile]) -> list[str]:
    return [udim.format(one) for one in sorted(tiles, key=lambda one: (one.v, one.u))]
