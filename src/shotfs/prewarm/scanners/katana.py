"""Katana: scenes (.katana), live groups and macros: XML, alone, packed, or in a packed tar.

Parameters are told by their names (``abcAsset``, ``fileName``), and otherwise by what they hold. A
parameter that is not enabled, or a bypassed node, counts 0.1. Expressions are not followed, but for
a string in quotes; the XML may have no entities of its own.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO
from xml.parsers import expat

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.text import TEXT_BYTES_MAX, leads_to, named

PIECE_BYTES = 1 << 16

_BLOCK_BYTES = 512
"""Of a tar."""

STALLED_BYTES_MAX = 1 << 22
"""The longest tag; a longer one is no scene."""

DEPTH_MAX = 2000
"""Elements in elements."""

MEMBERS_MAX = 10_000
"""Files in a tar."""

_FILES = re.compile(
    r"abcAsset|asset|fileName|filename|file|lookfile|lookFile|source|texture|textureName|lutFile"
    r"|scenegraphXml|assetPath|ocioConfig|map|image",
)
_PATHLIKE = re.compile(r"(?:/|\$)[^\n\"]{1,2000}/[^\n\"/]{1,250}\.[A-Za-z][A-Za-z0-9]{1,9}")
_HAS_SUFFIX = re.compile(r"[^\n\"]{1,2000}\.[A-Za-z][A-Za-z0-9]{1,9}")
_QUOTED = re.compile(r"""\s*(?:'([^'\\\n]{1,4000})'|"([^"\\\n]{1,4000})")\s*""")
_WRITERS = frozenset({"ImageWrite", "RenderOutputDefine", "LookFileBake", "UsdMaterialBake"})
_OUTPUTS = frozenset({"saveTo", "renderLocation"})
_GZIP = b"\x1f\x8b"


class KatanaScanner:
    """Reads scenes of Katana."""

    name = "katana"
    suffixes = (".katana", ".livegroup", ".macro")
    extra = ""

    def available(self) -> str:
        """Return "": nothing has to be installed."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* is the beginning of Katana's XML; packed, it cannot be seen."""
        return b"<katana " in head

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:  # noqa: ARG002 (the protocol)
        """Yield what the scene *path* names.

        Raises:
            ScanFailed: it is damaged, or not Katana's.
        """
        try:
            with open(path, "rb") as raw:
                yield from _unpacked(raw, path)
        except (OSError, EOFError, zlib.error) as exc:
            raise ScanFailed(f"{path}: cannot be read: {exc}") from exc


def _unpacked(raw: IO[bytes], path: str) -> Iterator[Edge]:
    packed = raw.read(2) == _GZIP
    raw.seek(0)
    stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]  # it reads
    start = stream.read(1024)
    stream.seek(0)
    if start[257:262] != b"ustar":
        yield from _Reader(path).read(stream)
        return
    found = False
    for name, member in _members(stream, path):
        if not name.endswith((b".py", b".png", b".jpg", b".json")):
            found = True
            yield from _Reader(path).read(member)
    if not found:
        raise ScanFailed(f"{path}: has no scene in it", fix="save it again in Katana")


class _Member:
    """A file in a tar, while the tar stands there."""

    def __init__(self, stream: IO[bytes], size_bytes: int) -> None:
        self._stream = stream
        self.left = size_bytes

    def read(self, count: int) -> bytes:
        """Return the next bytes, *count* at the most, and none at its end."""
        data = self._stream.read(min(count, self.left))
        self.left -= len(data)
        if not data and self.left:
            raise EOFError("it ends within a file of the tar")
        return data


def _members(stream: IO[bytes], path: str) -> Iterator[tuple[bytes, _Member]]:
    """Yield the name and the content of each file in a tar.

    Not by `tarfile`, which takes a header of any size that it claims into memory.
    """
    for _ in range(MEMBERS_MAX):
        header = stream.read(_BLOCK_BYTES)
        if len(header) < _BLOCK_BYTES or not header[0]:
            return
        size = header[124:136].strip(b"\0 ")
        if not re.fullmatch(rb"[0-7]{0,11}", size):
            raise ScanFailed(f"{path}: a damaged tar")
        member = _Member(stream, int(size or b"0", 8))
        padding = -member.left % _BLOCK_BYTES
        if header[156:157] in (b"0", b"\0"):
            yield header[:100].rstrip(b"\0"), member
        while member.left:
            member.read(PIECE_BYTES)
        stream.read(padding)
    raise ScanFailed(f"{path}: has more than {MEMBERS_MAX} files")


@dataclass(slots=True)
class _Node:
    """A node, while the parser is within it."""

    type: str
    weight: float
    groups: list[str] = field(default_factory=list)
    enabled: list[bool] = field(default_factory=list)


class _Reader:
    """Reads one XML document."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._depth = 0
        self._nodes: list[_Node] = []
        self._edges: list[Edge] = []
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._entity

    def read(self, stream: IO[bytes] | _Member) -> Iterator[Edge]:
        given = 0
        try:
            while piece := stream.read(PIECE_BYTES):
                given += len(piece)
                self._parser.Parse(piece, False)
                yield from self._edges
                self._edges.clear()
                if given - self._parser.CurrentByteIndex > STALLED_BYTES_MAX:
                    raise self._failed(f"a tag is longer than {STALLED_BYTES_MAX} bytes")
                if given > TEXT_BYTES_MAX:
                    raise self._failed(f"unpacks to more than {TEXT_BYTES_MAX} bytes")
            self._parser.Parse(b"", True)
        except expat.ExpatError as exc:
            yield from self._edges
            raise self._failed(f"not XML: {expat.ErrorString(exc.code)}") from exc
        yield from self._edges

    def _failed(self, why: str) -> ScanFailed:
        return ScanFailed(f"{self._path}:{self._parser.CurrentLineNumber}: {why}")

    def _entity(self, *_: object) -> None:
        raise self._failed("declares entities, which scenes of Katana do not")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._failed(f"nests deeper than {DEPTH_MAX}")
        if tag == "node":
            above = self._nodes[-1].weight if self._nodes else 1.0
            off = attributes.get("bypassed", attributes.get("ns_bypassed", "")).lower() == "true"
            kind = attributes.get("type") or attributes.get("baseType", "")
            self._nodes.append(_Node(kind, 0.1 if off else above))
            source = attributes.get("source", "")
            if source:
                # A live group says where its content lies.
                self._add(source, "source", self._nodes[-1], known=True)
        elif tag.endswith("_parameter") and self._nodes:
            self._parameter(tag, attributes, self._nodes[-1])

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "node" and self._nodes:
            self._nodes.pop()
        elif tag in ("group_parameter", "stringarray_parameter") and self._nodes:
            node = self._nodes[-1]
            with suppress(IndexError):
                node.groups.pop()
                node.enabled.pop()

    def _parameter(self, tag: str, attributes: dict[str, str], node: _Node) -> None:
        name = attributes.get("name", "")
        if tag in ("group_parameter", "stringarray_parameter"):
            node.groups.append(name)
            node.enabled.append(True)
        elif tag == "number_parameter" and name == "enable" and node.enabled:
            node.enabled[-1] = attributes.get("value", "1") not in ("0", "0.0")
        elif tag == "string_parameter":
            in_array = re.fullmatch(r"i[0-9]{1,9}", name) is not None
            if (name in ("value", "default") or in_array) and node.groups:
                name = node.groups[-1]
            self._string(name, attributes, node)

    def _string(self, name: str, attributes: dict[str, str], node: _Node) -> None:
        value = attributes.get("value", "")
        known = _FILES.fullmatch(name) is not None
        if attributes.get("isexpression", "").lower() == "true":
            expression = attributes.get("expression", value)
            quoted = _QUOTED.fullmatch(expression)
            if quoted is None:
                if known and expression:
                    self._add(expression, name, node, known=True, reason="an expression of Katana")
                return
            value = quoted[1] or quoted[2]
        looks = _PATHLIKE.fullmatch(value) is not None
        if looks or (known and _HAS_SUFFIX.fullmatch(value) and " " not in value):
            self._add(value, name, node, known=known)

    def _add(self, target: str, name: str, node: _Node, *, known: bool, reason: str = "") -> None:
        writes = node.type in _WRITERS or name in _OUTPUTS
        weight = node.weight * (1.0 if known else 0.5)
        if not all(node.enabled):
            weight *= 0.1
        edge = named(
            target,
            kind=Kind.OUTPUT if writes else leads_to(target),
            line=self._parser.CurrentLineNumber,
            confidence=round(weight, 3),
            unresolved="" if writes else reason,
        )
        if edge is not None:
            self._edges.append(edge)
