"""The files that a POV-Ray scene names: from values to edges."""

from __future__ import annotations

from collections.abc import Iterator

from shotfs.errors import InvalidArgument
from shotfs.prewarm.manifest.frames import FRAMES_MAX, frames_text, parse_frames
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.povray_values import Text, Unknown
from shotfs.prewarm.scanners.text import leads_to, named, suffix

OUTPUTS_MAX = 100_000
"""Files that a scene writes, and may read after that."""

IMAGES = {
    "gif": ".gif",
    "tga": ".tga",
    "iff": ".iff",
    "ppm": ".ppm",
    "pgm": ".pgm",
    "png": ".png",
    "jpeg": ".jpg",
    "tiff": ".tif",
    "sys": ".bmp",
    "bmp": ".bmp",
    "hdr": ".hdr",
    "exr": ".exr",
    "pot": ".pot",
    "df3": ".df3",
    "ttf": ".ttf",
    "load_file": "",
}
"""Words before the name of a file, and the suffix that POV-Ray adds where it has none."""

SUFFIXES = frozenset(IMAGES.values()) - {""} | {".jpeg", ".tiff", ".otf"}
MAPS = frozenset({"image_map", "bump_map", "image_pattern", "material_map", "height_field"})


class Naming:
    """Makes edges of one file.

    Args:
        scope: what is asked.
        search: where files are looked for.
    """

    def __init__(self, scope: Scope, search: tuple[str, ...]) -> None:
        self._scope = scope
        self._search = search
        self._outputs: set[str] = set()

    def written(self, line: int, weight: float, value: Text | Unknown) -> Iterator[Edge]:
        """Yield a file that the scene writes; if it reads that later, it is no input."""
        if isinstance(value, Text) and len(self._outputs) < OUTPUTS_MAX:
            self._outputs.add(value.text)
        edge = self._edge(line, weight, value, "", Kind.OUTPUT)
        if edge is not None:
            yield edge

    def named(
        self, line: int, weight: float, value: Text | Unknown, ending: str, *, scene: bool
    ) -> Iterator[Edge]:
        """Yield a file that the scene reads; *ending* is the suffix that it has if it has none."""
        if isinstance(value, Text) and value.text in self._outputs:
            return
        edge = self._edge(line, weight, value, ending, Kind.SCENE if scene else None)
        if edge is not None:
            yield edge

    def _edge(
        self, line: int, weight: float, value: Text | Unknown, ending: str, kind: Kind | None
    ) -> Edge | None:
        confidence = round(weight, 3)
        if isinstance(value, Unknown):
            if kind is Kind.OUTPUT:
                return None
            what = Kind.FILE if kind is None else kind
            return Edge("?", what, line=line, confidence=confidence, unresolved=value.why)
        target = value.text
        if not suffix(target):
            target += ending
        file_frames, reason = self._frames(value)
        return named(
            target,
            kind=leads_to(target) if kind is None else kind,
            line=line,
            confidence=confidence,
            unresolved=reason,
            file_frames=file_frames,
            frames=self._scope.frames if file_frames else "",
            search=() if target.startswith("/") else self._search,
        )

    def _frames(self, value: Text) -> tuple[str, str]:
        """Return which numbers the token of *value* takes, and why that is not known."""
        shift = value.shift
        if shift is None or (shift.slope == 1.0 and not shift.start):
            return "", ""
        if not self._scope.frames:
            return "", "the frame's number is shifted; say which frames (--frames)"
        try:
            frames = parse_frames(self._scope.frames)
            numbers = {int(shift.slope * frame + shift.start) for frame in frames}
            return frames_text(numbers), ""
        except (InvalidArgument, OverflowError):
            return "", f"names no frames, or more than {FRAMES_MAX}"
