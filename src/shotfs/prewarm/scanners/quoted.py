"""Quoted: any text; the strings in quotes that look like paths.

Knows no language, so it believes little: 0.3 for an absolute path with a suffix, 0.2 for a relative
one with a slash and a suffix that files of shows have. It reads a file only when it is asked to
(``--scanner quoted``), and never follows: what it finds are files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.text import named, open_text, suffix

EDGES_MAX = 1_000_000
"""Paths of one file."""

_SUFFIXES = (
    ".exr .tx .tex .tif .tiff .png .jpg .jpeg .hdr .dpx .tga .iff .rat .pic .psd .gif .bmp .rgb "
    ".sgi .abc .usd .usda .usdc .usdz .vdb .bgeo .obj .fbx .ply .stl .ptc .bkm .f3d .pc2 .mdd .mcx "
    ".mcc .ass .rib .nk .ma .mb .blend .katana .gfr .mtlx .otio .ocio .cube .3dl .lut .csp .spi1d "
    ".spi3d .cc .ccc .cdl .clf .mov .mp4 .mxf .wav .aif .ttf .otf .ttc .osl .oso .sl .slo .ies "
    ".chan .sc .xml .json .zip .gz"
)
SUFFIXES = frozenset(_SUFFIXES.split())
"""Of files that scenes read."""

# What follows a letter is an apostrophe.
_OPEN = re.compile(r"[\"`]|(?<![A-Za-z0-9])'")
_STOPS = {mark: re.compile(rf"[{mark}\\\n]") for mark in "\"'`"}
_ESCAPED = re.compile(r"\\([\"'`\\/ ])")
_NAME = re.compile(r"[^<>|?*\"\t\\\[\]]{1,4096}")


class QuotedScanner:
    """Reads whatever has paths in quotes."""

    name = "quoted"
    suffixes: tuple[str, ...] = ()
    extra = ""

    def available(self) -> str:
        """Return "": nothing has to be installed."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* is text."""
        return b"\0" not in head

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:  # noqa: ARG002 (the protocol)
        """Yield the paths in quotes in the file *path*.

        Raises:
            ScanFailed: it cannot be read, is binary, or names more than `EDGES_MAX`.
        """
        count = 0
        with open_text(path, binary="only text has quoted paths") as source:
            while not source.ended:
                source.until(_OPEN, keep=0)
                line = source.line
                mark = source.next()
                if not mark:
                    return
                text = ""
                kept: str | None = ""
                while kept is not None:
                    kept = source.until(_STOPS[mark], keep=4096)
                    text += kept or ""
                    if source.peek() != "\\" or len(text) > 4096:
                        break
                    text += source.next() + source.next()
                closed = kept is not None and source.peek() == mark
                if closed:
                    source.next()
                edge = _edge(_ESCAPED.sub(r"\1", text), line) if closed else None
                if edge is not None:
                    count += 1
                    if count > EDGES_MAX:
                        raise source.failed(f"names more than {EDGES_MAX} paths")
                    yield edge


def _edge(text: str, line: int) -> Edge | None:
    if "/" not in text or _tokenless(text) is None:
        return None
    known = suffix(text) in SUFFIXES
    absolute = text.startswith(("/", "$")) and text.count("/") > 1 and suffix(text) != ""
    if not known and not absolute:
        return None
    return named(text, kind=Kind.FILE, line=line, confidence=0.3 if absolute and known else 0.2)


def _tokenless(text: str) -> str | None:
    """Return *text* without the tokens of tiles and frames, if the rest can be a path."""
    plain = re.sub(r"<[A-Za-z0-9_:]{1,20}>", "", text)
    return plain if _NAME.fullmatch(plain) else None
