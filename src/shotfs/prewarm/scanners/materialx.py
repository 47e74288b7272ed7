"""MaterialX: images of materials and included documents. Reads XML with expat; needs no library.

What a file name means follows MaterialX 1.39: the innermost ``fileprefix`` stands before it,
``[token]`` and ``<token>`` have the values that tokens of the document have, ``{frame}`` is the
frame. A document with a DTD is refused: nobody writes one, and entities grow without bound.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.parsers import expat

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.loose_xml import Escaper

DEPTH_MAX = 1000
"""Elements within elements."""

NAMES_MAX = 500_000
"""File names, and values of tokens, that one document may have."""

VALUES_MAX = 64
"""Values that are tried for the tokens of one file name."""

PIECE_BYTES = 1 << 18
ATTRIBUTE_CHARS_MAX = 1 << 20

DEFAULT = 0.5
"""Confidence of the default of a definition: materials give another value mostly."""

_TOKEN = re.compile(r"\[([A-Za-z_][A-Za-z0-9_]*)\]|<([A-Za-z_][A-Za-z0-9_]*)>")
_TILES = ("UDIM", "UVTILE", "udim", "uvtile")
_FRAME = re.compile(r"\{(?:0?([1-9][0-9]?))?frame\}")


@dataclass(frozen=True, slots=True)
class _Name:
    text: str
    line: int
    confidence: float


class MaterialXScanner:
    """Reads ``.mtlx`` documents."""

    name = "materialx"
    suffixes = (".mtlx",)
    extra = ""

    def available(self) -> str:
        """Return "": expat is part of Python."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins a document of MaterialX."""
        return b"<materialx" in head

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:  # noqa: ARG002 - the seam's form
        """Yield the files that the document *path* names.

        Raises:
            ScanFailed: it is not well-formed, or has a DTD.
        """
        document = _Document(path)
        failed = None
        try:
            document.read()
        except ScanFailed as exc:
            failed = exc
        yield from document.edges
        for name in document.names:
            yield from _edges(name, document.tokens)
        if failed is not None:
            raise failed


class _Document:
    """One document, as far as it could be read."""

    def __init__(self, path: str) -> None:
        self.edges: list[Edge] = []
        self.names: list[_Name] = []
        self.tokens: dict[str, dict[str, None]] = {}
        self._path = path
        self._prefixes = [""]
        self._defined = 0
        self._count = 0
        self._begun = False
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.buffer_text = True

    def read(self) -> None:
        try:
            with open(self._path, "rb") as file:
                escaper = Escaper()
                while piece := file.read(PIECE_BYTES):
                    self._parser.Parse(escaper.feed(piece), False)
                self._parser.Parse(escaper.finish(), True)
        except expat.ExpatError as exc:
            raise ScanFailed(f"{self._path}:{exc.lineno}: {expat.ErrorString(exc.code)}") from exc

    def _failed(self, what: str) -> ScanFailed:
        return ScanFailed(f"{self._path}:{self._parser.CurrentLineNumber}: {what}")

    def _doctype(self, *_: object) -> None:
        raise self._failed("it has a DTD; documents of MaterialX have none")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._begun and tag != "materialx":
            raise self._failed(f"no document of MaterialX: it begins with <{tag[:60]}>")
        self._begun = True
        if len(self._prefixes) >= DEPTH_MAX:
            raise self._failed(f"more than {DEPTH_MAX} elements within each other")
        self._prefixes.append(attributes.get("fileprefix", self._prefixes[-1]))
        self._defined += tag == "nodedef"
        line = self._parser.CurrentLineNumber
        if tag == "materialx" and attributes.get("cmsconfig"):
            self._keep(Edge(attributes["cmsconfig"], Kind.SCENE, confidence=DEFAULT, line=line))
        elif tag.rpartition(" ")[2] == "include" and attributes.get("href"):
            self._keep(Edge(attributes["href"], Kind.SCENE, line=line))
        elif tag == "token" and "name" in attributes and "value" in attributes:
            self._counted()
            self.tokens.setdefault(attributes["name"], {})[attributes["value"]] = None
        elif attributes.get("type") == "filename":
            text = attributes.get("value") or attributes.get("default", "")
            if text and len(text) < ATTRIBUTE_CHARS_MAX:
                self._counted()
                confidence = DEFAULT if self._defined else 1.0
                self.names.append(_Name(self._prefixes[-1] + text, line, confidence))

    def _end(self, tag: str) -> None:
        self._prefixes.pop()
        self._defined -= tag == "nodedef"

    def _keep(self, edge: Edge) -> None:
        self._counted()
        self.edges.append(edge)

    def _counted(self) -> None:
        self._count += 1
        if self._count > NAMES_MAX:
            raise self._failed(f"it names more than {NAMES_MAX} files")


def _edges(name: _Name, tokens: dict[str, dict[str, None]]) -> Iterator[Edge]:
    text = _FRAME.sub(lambda found: f"%0{found[1]}d" if found[1] else "%d", name.text)
    used = dict.fromkeys(
        one
        for pair in _TOKEN.findall(text)
        if (one := pair[0] or pair[1]) in tokens and one not in _TILES
    )
    ways = itertools.product(*(tokens[one] for one in used))
    for index, values in enumerate(ways):
        if index >= VALUES_MAX:
            return
        chosen = dict(zip(used, values, strict=True))
        target = _TOKEN.sub(
            lambda found, chosen=chosen: chosen.get(found[1] or found[2], found.group()),  # type: ignore[misc]
            text,
        )
        # Which material has which value is not known here.
        confidence = name.confidence if index == 0 else name.confidence * DEFAULT
        yield Edge(target, confidence=confidence, line=name.line)
