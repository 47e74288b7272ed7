"""What is missing between files that belong together: frames, tiles, views, versions.

Files of one template that differ only in frame, tile and view are one sequence. Sequences are
collected while a tree is walked depth first, and judged as soon as the walk has left the directory
that holds them all, so memory is bounded by one directory and not by the delivery. Pure.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from shotfs.pathspec import elements
from shotfs.pathspec.elements import write
from shotfs.pathspec.fields import Field, Tile
from shotfs.pathspec.model import Resolution
from shotfs.pathspec.pattern import Pattern, Variant
from shotfs.pathspec.specification import Specification

GROUPS_MAX = 200_000
"""Sequences, and views and tiles of them, that are open at one time; about 1 KB each."""

FRAME_MAX = 10**12
EXPECTED_MAX = 1_000_000
"""Frames of one sequence that are named as missing one by one; a wider hole is told by its ends."""

RANGES_SHOWN_MAX = 12
STEP_FRAMES_MIN = 3
"""So many frames at one distance are a sequence on twos, threes, ...; fewer have gaps."""

_TOKEN_KINDS = ("frame", "udim", "view")


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the parts of a sequence stand in the paths of one variant of a template.

    Attributes:
        index: of the variant.
        names: of all its fields that hold text themselves.
        frame, tile, view: the field, or None.
        others: names of the fields that all files of a sequence share.
        depth: how many leading elements they share.
        versions: (field, its element, names of the other fields up to there).
    """

    index: int
    variant: Variant
    names: frozenset[str]
    frame: Field | None
    tile: Field | None
    view: Field | None
    others: tuple[str, ...]
    depth: int
    versions: tuple[tuple[Field, int, tuple[str, ...]], ...]

    @property
    def is_sequence(self) -> bool:
        """Whether several files can belong together at all."""
        return self.frame is not None or self.tile is not None or self.view is not None


def shapes(specification: Specification, pattern: Pattern) -> tuple[Shape, ...]:
    """Return the shape of each variant of *pattern*, in their order."""
    return tuple(
        _shape(specification, variant, index) for index, variant in enumerate(pattern.variants)
    )


def _shape(specification: Specification, variant: Variant, index: int) -> Shape:
    found: dict[str, tuple[Field, int]] = {}
    for at, tokens in enumerate(variant.elements):
        for one in elements.leaves(tokens, specification.fields):
            if not one.tokens:
                found.setdefault(one.name, (one, at))

    def first(kind: str) -> Field | None:
        return next((one for one, _ in found.values() if one.kind == kind), None)

    tokens_used = [one for one in map(first, _TOKEN_KINDS) if one is not None]
    names = {one.name for one in tokens_used}
    depths = [found[name][1] for name in names]
    others = tuple(name for name in found if name not in names)
    versions = tuple(
        (one, at, tuple(name for name in others if name != one.name and found[name][1] <= at))
        for one, at in found.values()
        if one.kind == "version"
    )
    return Shape(
        index=index,
        variant=variant,
        names=frozenset(found),
        frame=first("frame"),
        tile=first("udim"),
        view=first("view"),
        others=others,
        depth=min(depths, default=0),
        versions=versions,
    )


@dataclass(frozen=True, slots=True)
class Gap:
    """Something missing.

    Attributes:
        kind: "frames", "tiles" (that another view has), "sparse" (tiles between others of their
            row: models need not use every tile), "view" or "version".
        path: the sequence, with ``#`` and ``<UDIM>`` for what differs; of a version, where it
            would be.
        missing: the missing numbers or names as ranges: ``1013, 1020-1022``.
        count: how many.
        total: how many there should be.
    """

    kind: str
    path: str
    missing: str
    count: int
    total: int


@dataclass(slots=True)
class _Group:
    """One sequence: its frames by view and tile."""

    resolution: Resolution
    shape: Shape
    lanes: dict[tuple[str | None, str | None], array[int]] = field(default_factory=dict)


@dataclass(slots=True)
class _Versions:
    before: str
    after: str
    version: Field
    numbers: set[int] = field(default_factory=set)


class Collector:
    """Takes files in the order of a walk and tells what is missing among them.

    Attributes:
        skipped: files that were not looked at because too many sequences were open.
    """

    def __init__(self, specification: Specification, expected: Sequence[int] = ()) -> None:
        """Expect the frames *expected* (sorted) of every sequence; of none, what it spans."""
        self._specification = specification
        self._expected = expected
        self._shapes: dict[str, tuple[Shape, ...]] = {}
        self._groups: dict[str, dict[tuple[object, ...], _Group]] = {}
        self._versions: dict[str, dict[tuple[object, ...], _Versions]] = {}
        self._open = 0
        self._directory: str | None = None
        self.skipped = 0

    def add(self, path: str, resolution: Resolution) -> Iterator[Gap]:
        """Take one file; yield what is missing where the walk has just left."""
        directory = path.rpartition("/")[0]
        if directory != self._directory:
            yield from self._leave(directory)
            self._directory = directory
        name = resolution.template.name
        known = self._shapes.get(name)
        if known is None:
            known = shapes(self._specification, self._specification.patterns[name])
            self._shapes[name] = known
        shape = known[0] if len(known) == 1 else self._matching(known, path, resolution)
        if shape is None:
            return
        if shape.is_sequence:
            self._add_frame(path, resolution, shape)
        for version, index, others in shape.versions:
            self._add_version(path, resolution, version, index, others)

    def finish(self) -> Iterator[Gap]:
        """Yield what is missing in all that is still open."""
        yield from self._leave(None)

    def _add_frame(self, path: str, resolution: Resolution, shape: Shape) -> None:
        fields = resolution.fields
        prefix = "/".join(path.split("/")[: shape.depth])
        groups = self._groups.setdefault(prefix, {})
        # Optional parts without a field make another sequence too.
        key = (resolution.template.name, shape.index, *(fields.get(one) for one in shape.others))
        group = groups.get(key)
        if group is None:
            if self._open >= GROUPS_MAX:
                self.skipped += 1
                return
            self._open += 1
            group = groups[key] = _Group(resolution, shape)
        lane = (
            None if shape.view is None else fields.get(shape.view.name),
            None if shape.tile is None else fields.get(shape.tile.name),
        )
        frames = group.lanes.get(lane)
        if frames is None:
            if self._open >= GROUPS_MAX:
                self.skipped += 1
                return
            self._open += 1
            frames = group.lanes[lane] = array("q")
        if shape.frame is not None:
            number = shape.frame.parse(fields[shape.frame.name])
            whole = int(number) if isinstance(number, int | Decimal) else 0
            # Parts of frames come and go with the motion blur: whole frames are counted.
            if whole == number and abs(whole) <= FRAME_MAX:
                frames.append(whole)

    def _add_version(
        self, path: str, resolution: Resolution, version: Field, index: int, others: tuple[str, ...]
    ) -> None:
        number = version.parse(resolution.fields[version.name])
        if not isinstance(number, int):
            return  # a ULID has no neighbours
        names = path.split("/")
        prefix = "/".join(names[:index])
        versions = self._versions.setdefault(prefix, {})
        key = (version.name, index, *(resolution.fields.get(name) for name in others))
        known = versions.get(key)
        if known is None:
            if self._open >= GROUPS_MAX:
                self.skipped += 1
                return
            self._open += 1
            before, _, after = names[index].partition(resolution.fields[version.name])
            lead = f"{prefix}/" if prefix else ""
            known = versions[key] = _Versions(lead + before, after, version)
        known.numbers.add(number)

    def _leave(self, directory: str | None) -> Iterator[Gap]:
        """Judge and forget what lies in directories that the walk has left."""
        for prefix in [one for one in self._groups if not _is_below(directory, one)]:
            for group in self._groups.pop(prefix).values():
                self._open -= 1 + len(group.lanes)
                yield from self._judge(group)
        for prefix in [one for one in self._versions if not _is_below(directory, one)]:
            for versions in self._versions.pop(prefix).values():
                self._open -= 1
                yield from _skipped_versions(versions)

    def _matching(
        self, known: tuple[Shape, ...], path: str, resolution: Resolution
    ) -> Shape | None:
        """Return the shape of the variant that *path* is written by."""
        fields = self._specification.fields
        for shape in known:
            if shape.names <= resolution.fields.keys() and path == "/".join(
                write(element, fields, resolution.fields) for element in shape.variant.elements
            ):
                return shape
        return None

    # --- judging ----------------------------------------------------------------------------------

    def _judge(self, group: _Group) -> Iterator[Gap]:
        shape = group.shape
        views = list(dict.fromkeys(view for view, _ in group.lanes))
        if shape.view is not None and shape.view.choices is not None:
            lacking = [one for one in shape.view.choices if one not in views]
            if lacking:
                yield Gap(
                    "view",
                    self._label(group, None, None),
                    ", ".join(lacking),
                    len(lacking),
                    len(shape.view.choices),
                )
        if shape.tile is not None:
            yield from self._tiles(group, views)
        if shape.frame is not None:
            yield from self._frames(group)

    def _frames(self, group: _Group) -> Iterator[Gap]:
        lanes = {lane: sorted(set(frames)) for lane, frames in group.lanes.items()}
        wanted: Sequence[int] = self._expected or spanned(lanes.values())
        for (view, tile), frames in lanes.items():
            if len(wanted) == len(frames) and self._expected == ():
                continue
            have = set(frames)
            if len(wanted) > EXPECTED_MAX:
                holes = list(_holes(frames))
                count = sum(last - first + 1 for first, last in holes)
                missing = _shown(holes)
            else:
                numbers = [one for one in wanted if one not in have]
                count, missing = len(numbers), ranges(numbers)
            if count:
                yield Gap("frames", self._label(group, view, tile), missing, count, len(wanted))

    def _tiles(self, group: _Group, views: list[str | None]) -> Iterator[Gap]:
        assert group.shape.tile is not None, "asked for only then"
        parse = group.shape.tile.parse
        found = {
            view: {text: tile_of(parse(text)) for one, text in group.lanes if one == view and text}
            for view in views
        }
        everywhere = {tile for tiles in found.values() for tile in tiles.values()}
        for view in views:
            lacking = everywhere - set(found[view].values())
            if lacking:
                label, shown = (
                    self._label(group, view, None),
                    _tile_ranges(group.shape.tile, lacking),
                )
                yield Gap("tiles", label, shown, len(lacking), len(everywhere))
        between = tiles_between(everywhere) - everywhere
        if between:
            label, shown = self._label(group, None, None), _tile_ranges(group.shape.tile, between)
            yield Gap("sparse", label, shown, len(between), len(everywhere) + len(between))

    def _label(self, group: _Group, view: str | None, tile: str | None) -> str:
        """Return the path of the sequence, with what differs in it written as a token."""
        shape = group.shape
        texts = dict(group.resolution.fields)
        for name in list(texts):
            if self._specification.fields[name].tokens:
                del texts[name]  # its parts say it, with the tokens in them
        if shape.frame is not None:
            texts[shape.frame.name] = "#" * len(texts[shape.frame.name].lstrip("-"))
        if shape.tile is not None:
            texts[shape.tile.name] = tile or "<UDIM>"
        if shape.view is not None:
            texts[shape.view.name] = view or "%V"
        fields = self._specification.fields
        return "/".join(write(element, fields, texts) for element in shape.variant.elements)


def _is_below(directory: str | None, prefix: str) -> bool:
    if directory is None:
        return False
    return prefix == "" or directory == prefix or directory.startswith(prefix + "/")


def _tile_ranges(field: Field, tiles: set[Tile]) -> str:
    """Return *tiles* as people write them: UDIM numbers as ranges, others one by one."""
    texts = [field.format(tile) for tile in sorted(tiles, key=lambda one: (one.v, one.u))]
    numbers = [int(text) for text in texts if text.isdigit()]
    return ranges(numbers) if len(numbers) == len(texts) else _some(texts)


def tile_of(value: object) -> Tile:
    """Return the tile that *value* of a `udim` field stands for."""
    if isinstance(value, Tile):
        return value
    assert isinstance(value, int), "tiles are numbers or pairs"
    return Tile((value - 1001) % 10, (value - 1001) // 10)


def tiles_between(tiles: set[Tile]) -> set[Tile]:
    """Return the tiles between others of their row."""
    rows: dict[int, list[int]] = {}
    for tile in tiles:
        rows.setdefault(tile.v, []).append(tile.u)
    return {Tile(u, v) for v, columns in rows.items() for u in range(min(columns), max(columns))}


def spanned(lanes: Iterable[Sequence[int]]) -> Sequence[int]:
    """Return the frames from the first to the last of all lanes, in their common step."""
    every = sorted({frame for frames in lanes for frame in frames})
    if len(every) < 2:
        return every
    steps = [after - before for before, after in itertools.pairwise(every)]
    step = math.gcd(*steps)
    if len(every) < STEP_FRAMES_MIN or step != min(steps):
        step = 1
    return range(every[0], every[-1] + 1, step)


def _skipped_versions(versions: _Versions) -> Iterator[Gap]:
    numbers = versions.numbers
    least, most = min(numbers), max(numbers)
    total = most - least + 1
    if total == len(numbers):
        return
    shown = list(itertools.islice((n for n in range(least, most) if n not in numbers), 1000))
    path = versions.before + versions.version.format(shown[0]) + versions.after
    names = _some([versions.version.format(number) for number in shown])
    yield Gap("version", path, names, total - len(numbers), total)


def ranges(numbers: Sequence[int]) -> str:
    """Return sorted *numbers* as people write them: ``1001-1010, 1013``."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return _shown(runs)


def _holes(frames: Sequence[int]) -> Iterator[tuple[int, int]]:
    for before, after in itertools.pairwise(frames):
        if after > before + 1:
            yield before + 1, after - 1


def _shown(runs: Sequence[tuple[int, int]]) -> str:
    return _some([str(a) if a == b else f"{a}-{b}" for a, b in runs])


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - RANGES_SHOWN_MAX
    shown = ", ".join(texts[:RANGES_SHOWN_MAX])
    return f"{shown} and {more} more" if more > 0 else shown
