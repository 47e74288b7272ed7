"""Registry: which scanners there are, and which reads a file. Imports a scanner when it is used.

A file is chosen for by the longest suffix that fits its name. Where several scanners have that
suffix, or none has, the beginning of the file decides (`Scanner.recognises`).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

from shotfs.errors import InvalidArgument, ScanFailed
from shotfs.pathspec.problems import suggest
from shotfs.prewarm.scanners.base import Scanner

HEAD_BYTES = 4096
"""What `Scanner.recognises` gets of a file."""


class Line(NamedTuple):
    """One scanner.

    Attributes:
        module: below `shotfs.prewarm.scanners`.
        scanner: its class there.
        suffixes: as the class has them, so that listing them imports nothing.
        asked_only: reads a file only when it is named (`--scanner quoted`).
    """

    module: str
    scanner: str
    suffixes: tuple[str, ...]
    asked_only: bool = False


SCANNERS: dict[str, Line] = {
    "usd": Line("usd", "UsdScanner", (".usd", ".usda", ".usdc", ".usdz")),
    "materialx": Line("materialx", "MaterialXScanner", (".mtlx",)),
    "otio": Line("otio", "OtioScanner", (".otio",)),
    "ocio": Line("ocio", "OcioScanner", (".ocio",)),
    "nuke": Line("nuke", "NukeScanner", (".nk", ".gizmo", ".nkple", ".nk~")),
    "maya": Line("maya", "MayaScanner", (".ma", ".mb")),
    "arnold": Line("arnold", "ArnoldScanner", (".ass", ".ass.gz")),
    "rib": Line("rib", "RibScanner", (".rib", ".rib.gz")),
    "povray": Line("povray", "PovrayScanner", (".pov", ".inc", ".ini")),
    "katana": Line("katana", "KatanaScanner", (".katana", ".livegroup", ".macro")),
    "gaffer": Line("gaffer", "GafferScanner", (".gfr", ".grf")),
    "blender": Line("blender", "BlenderScanner", (".blend",)),
    "quoted": Line("quoted", "QuotedScanner", (), asked_only=True),
}
"""By the name that manifests and `--scanner` have."""

_SUFFIXES = tuple({suffix for line in SCANNERS.values() for suffix in line.suffixes})

DATA_SUFFIXES = (
    *(".abc", ".bgeo", ".bgeo.sc", ".cdl", ".csp", ".cube", ".dpx", ".exr", ".fbx", ".gif", ".hdr"),
    *(".jpeg", ".jpg", ".mov", ".mp4", ".obj", ".osl", ".oso", ".pdf", ".ply", ".png", ".ptex"),
    *(".rat", ".sgi", ".spi1d", ".spi3d", ".svg", ".tex", ".tga", ".tif", ".tiff", ".ttf", ".tx"),
    *(".vdb", ".wav"),
)
"""No scene has them: such a file is not opened to see how it begins, for that fetches it."""


@cache
def scanner(name: str) -> Scanner:
    """Return the scanner *name*, whether it can work here or not (`Scanner.available`).

    Raises:
        InvalidArgument: there is none of that name.
    """
    line = SCANNERS.get(name)
    if line is None:
        raise InvalidArgument(
            f'there is no scanner "{name[:100]}"', fix=suggest(name, tuple(SCANNERS))
        )
    module = importlib.import_module(f"shotfs.prewarm.scanners.{line.module}")
    made: Scanner = getattr(module, line.scanner)()
    return made


def usable(name: str) -> Scanner:
    """Return the scanner *name*.

    Raises:
        InvalidArgument: there is none of that name.
        ScanFailed: it cannot work here; the message says what to install.
    """
    found = scanner(name)
    lacking = found.available()
    if lacking:
        fix = f"pip install 'shotfs[{found.extra}]'" if found.extra else None
        raise ScanFailed(f"the scanner {name} cannot work here: {lacking}", fix=fix)
    return found


def reads(path: str) -> bool:
    """Whether a scanner has the suffix of *path*: it is worth following."""
    return path.lower().endswith(_SUFFIXES)


def may_be_scene(path: str) -> bool:
    """Whether it is worth looking how the file *path* begins."""
    return reads(path) or not path.lower().endswith(DATA_SUFFIXES)


def choose(path: str, head: bytes, names: Iterable[str] = ()) -> str | None:
    """Return the name of the scanner for the file *path*, which begins with *head*.

    Args:
        path: only its last element counts.
        head: its first `HEAD_BYTES` bytes, or all of it.
        names: choose among these; () for all that need not be named.

    Returns:
        None: it is not a scene that one of them reads.
    """
    asked = tuple(names)
    among = asked or tuple(name for name, line in SCANNERS.items() if not line.asked_only)
    fitting = _by_suffix(path, among)
    if len(fitting) == 1:
        return fitting[0]
    for name in fitting or among:
        if scanner(name).recognises(head):
            return name
    if fitting:
        return fitting[0]
    # A scanner that somebody names gets what he names, whatever it looks like.
    return asked[0] if len(asked) == 1 else None


def _by_suffix(path: str, names: Iterable[str]) -> list[str]:
    """Return those of *names* that have the longest suffix which fits *path*."""
    last = path.rpartition("/")[2].lower()
    fitting: list[str] = []
    longest = 0
    for name in names:
        line = SCANNERS.get(name)
        if line is None:
            continue
        length = max((len(one) for one in line.suffixes if last.endswith(one)), default=0)
        if length > longest:
            fitting, longest = [], length
        if length and length == longest:
            fitting.append(name)
    return fitting
