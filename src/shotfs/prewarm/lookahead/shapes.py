"""Shapes: a path without its frame. Pure; remembers the last ones.

All files of a sequence have one shape, so what is learned of one frame holds for the others. The
specification says where the frame stands. Where it does not know (`unmatched`, a name that is one
string), the last number of the name does, if it is written as frames are: `plate.1001.exr`.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from shotfs.errors import InvalidArgument
from shotfs.namespace.shows import ShowSet
from shotfs.pathspec import Resolution, Specification
from shotfs.pathspec.sequences import SequencePattern, open_in

Number = int | Decimal
"""A frame; with a part behind the point where the specification knows such."""

SHAPES_MAX = 16_384
"""Paths of which the shape is remembered; one takes about 1 KB."""

FRAME_MARK = "<frame>"

_WRITTEN = re.compile(r"(?:^|[/._-])([0-9]{3,8})(?=(?:\.[A-Za-z][A-Za-z0-9]{0,9}){1,2}$)", re.ASCII)


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What the paths of a sequence share.

    Attributes:
        key: the path with `FRAME_MARK` in the place of the frame; the path itself without one.
        moved: returns the path of another frame, raises InvalidArgument where there is none; None
            without a frame.
    """

    key: str
    moved: Callable[[Number], str] | None

    def at(self, frame: Number) -> str | None:
        """Return the path of *frame*; None where there can be none."""
        if self.moved is None:
            return None
        try:
            return self.moved(frame)
        except InvalidArgument:
            return None


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A path: its shape, its frame (None without one), and where its UDIM stands.

    Attributes:
        tiles: what stands before and behind the tile's number in the name; None without a tile, and
            where a directory has it.
    """

    shape: Shape
    frame: Number | None
    tiles: tuple[str, str] | None


class Shapes:
    """Shapes of paths. Event loop only.

    Args:
        shows: whose specifications say where frames stand.
    """

    def __init__(self, shows: ShowSet) -> None:
        self._shows = shows
        self._generation = shows.generation
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    def of(self, path: str, resolution: Resolution) -> Seen:
        """Return what is known of *path*, a file whose *resolution* that is."""
        if self._generation != self._shows.generation:
            self._generation = self._shows.generation
            self._seen.clear()
        seen = self._seen.get(path)
        if seen is None:
            seen = self._seen[path] = self._look(path, resolution)
            if len(self._seen) > SHAPES_MAX:
                self._seen.popitem(last=False)
        return seen

    def _look(self, path: str, resolution: Resolution) -> Seen:
        place = self._shows.split(path)
        spec = None if place is None else place[0].spec
        compiled = None if spec is None else spec.patterns.get(resolution.template.name)
        if place is None or spec is None or compiled is None or resolution.scratch:
            return Seen(Shape(path, None), None, None)
        if compiled.fallback:
            return _by_writing(path, None)
        kinds = {spec.fields[name].kind for name in resolution.fields}
        tiles = _tiles(spec, resolution) if "udim" in kinds else None
        if "frame" not in kinds:
            return Seen(Shape(path, None), None, tiles) if tiles else _by_writing(path, tiles)
        found = open_in(spec, resolution, "frame")
        if found is None or len(found.open) != 1:
            return Seen(Shape(path, None), None, tiles)
        field = found.open[0]
        frame = field.parse(resolution.fields[field.name])
        if not isinstance(frame, int | Decimal):
            return Seen(Shape(path, None), None, tiles)
        show = place[0].name

        def moved(to: Number) -> str:
            return f"{show}/{found.path({field.name: to})}"

        return Seen(Shape(f"{show}/{_marked(found)}", moved), frame, tiles)


def _marked(pattern: SequencePattern) -> str:
    return "".join(part if isinstance(part, str) else FRAME_MARK for part in pattern.parts)


def _tiles(spec: Specification, resolution: Resolution) -> tuple[str, str] | None:
    found = open_in(spec, resolution, "udim")
    if found is None or len(found.parts) != 3 or found.depth != 1:
        return None
    before, _, behind = found.parts
    if not isinstance(before, str) or not isinstance(behind, str):
        return None
    return before.rpartition("/")[2], behind


def _by_writing(path: str, tiles: tuple[str, str] | None) -> Seen:
    found = _WRITTEN.search(path, max(0, path.rfind("/")))
    if found is None:
        return Seen(Shape(path, None), None, tiles)
    before, text, behind = path[: found.start(1)], found[1], path[found.end(1) :]

    def moved(to: Number) -> str:
        if not isinstance(to, int) or to < 0:
            raise InvalidArgument(f"{to} is no frame here")
        return f"{before}{to:0{len(text)}d}{behind}"

    return Seen(Shape(before + FRAME_MARK + behind, moved), int(text), tiles)
