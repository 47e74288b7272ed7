"""RIB: scenes and archives of RenderMan (.rib), also packed with gzip.

Archives that are read (``ReadArchive``, ``Procedural "DelayedReadArchive"``) are followed; textures
are told by the names of the parameters of shaders. ``Option "searchpath"`` says where relative
names are looked for, from that line on. What stands between ``FrameBegin`` and ``FrameEnd`` is for
that frame only. ``Display`` is an output, except to a window.

Binary RIB is refused: ``catrib -o`` (it comes with RenderMan) makes text of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.text import Source, head, leads_to, named, open_text
from shotfs.prewarm.scanners.words import Lexer, Sort, Token

VALUES_MAX = 10_000
"""Strings of one request."""

INLINE_MAX = 100_000
"""Archives that a file has in itself."""

_SHADERS = frozenset(
    [
        *("Surface", "Displacement", "LightSource", "AreaLightSource", "Atmosphere", "Imager"),
        *("Interior", "Exterior", "Volume", "Shader", "Pattern", "Bxdf", "Light", "Displace"),
        *("LightFilter", "DisplayFilter", "SampleFilter", "Integrator", "Projection", "Camera"),
        *("Attribute", "Option", "Geometry", "ElementBegin", "DisplayChannel", "Resource"),
    ]
)
_MAKES = {"MakeTexture": 1, "MakeLatLongEnvironment": 1, "MakeShadow": 1, "MakeBump": 1}
_MAKES |= {"MakeCubeFaceEnvironment": 6, "MakeBrickMap": 1}
_WINDOWS = frozenset({"framebuffer", "it", "null", "rgbwindow", "socket"})
_FILE_PARAMETERS = re.compile(
    r"(?:.*[a-z])?(?:filename|texturename|texname|mapname|texture|colormap|iesprofile|lightcolormap)"
    r"|(?:bump|displacement|shadow|environment|opacity)?map|file|image",
    re.IGNORECASE,
)
_PATHLIKE = re.compile(r"[^\n\"]{0,2000}/[^\n\"/]{1,250}\.[A-Za-z][A-Za-z0-9]{1,7}")
_HAS_SUFFIX = re.compile(r"[^\n\"]{1,2000}\.[A-Za-z][A-Za-z0-9]{1,7}")
_MAP_ID = re.compile(r"_MAPID_")
_FRAME = re.compile(r"<[fF]([0-9])?>")


class RibScanner:
    """Reads RIB in text."""

    name = "rib"
    suffixes = (".rib", ".rib.gz")
    extra = ""

    def available(self) -> str:
        """Return "": nothing has to be installed."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins like RIB."""
        return head.startswith(b"##RenderMan RIB") or bool(
            re.search(rb"^(?:version 3\.0\d|FrameBegin \d|WorldBegin)\s*$", head, re.MULTILINE)
        )

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:
        """Yield what the scene or archive *path* names.

        Raises:
            ScanFailed: it cannot be read, is binary, or ends within a string.
        """
        fix = "make text of it: catrib -o scene.rib > text.rib"
        with open_text(path, binary=fix) as source:
            # Binary RIB begins with bytes of 128 and more, which are no UTF-8 there.
            if any("\udc80" <= char <= "\udcff" for char in head(source)):
                raise ScanFailed(f"{path}: it is binary RIB", fix=fix)
            yield from _Scene(source, scope).edges()


class _Scene:
    """Reads one file."""

    def __init__(self, source: Source, scope: Scope) -> None:
        self._lexer = Lexer(source, comment="#", marks="[]")
        self._beyond = scope.search_paths
        self._search: dict[str, tuple[str, ...]] = {}
        self._inline: set[str] = set()
        self._frame = ""

    def edges(self) -> Iterator[Edge]:
        while (token := self._lexer.next()).sort is not Sort.END:
            if token.sort is not Sort.WORD or token.text[0] in "+-.0123456789":
                self._lexer.skip_numbers()
                continue
            if token.text == "FrameBegin":
                self._frame = self._lexer.next().text
            elif token.text == "FrameEnd":
                self._frame = ""
            elif token.text == "ArchiveBegin" and len(self._inline) < INLINE_MAX:
                self._inline.add(self._lexer.next().text)
            else:
                for edge in self._request(token):
                    yield replace(edge, frames=self._frame) if self._frame.isdecimal() else edge

    def _request(self, request: Token) -> Iterator[Edge]:
        name = request.text
        if name == "ReadArchive":
            yield from self._archives(self._strings(1))
        elif name in ("Procedural", "Procedural2"):
            yield from self._procedural()
        elif name in _MAKES:
            yield from self._made(self._strings(_MAKES[name] + 1))
        elif name == "Display":
            yield from self._display()
        elif name in _SHADERS:
            yield from self._shader(name)

    def _strings(self, count: int) -> list[Token]:
        """Read up to *count* strings that follow each other."""
        found: list[Token] = []
        while len(found) < count and self._lexer.peek().sort is Sort.STRING:
            found.append(self._lexer.next())
        return found

    def _array(self) -> list[Token]:
        """Read the strings of ``["a" "b"]``, or of ``"a"``; numbers are passed over."""
        if self._lexer.peek().sort is Sort.STRING:
            return [self._lexer.next()]
        found: list[Token] = []
        if self._lexer.peek().text != "[":
            return found
        self._lexer.next()
        self._lexer.skip_numbers()
        while (token := self._lexer.next()).sort is not Sort.END:
            if token.sort is Sort.MARK and token.text == "]":
                break
            if token.sort is Sort.STRING and len(found) < VALUES_MAX:
                found.append(token)
            self._lexer.skip_numbers()
        return found

    def _parameters(self) -> Iterator[tuple[str, list[Token]]]:
        """Read pairs of a name and its values, as long as there are some."""
        while self._lexer.peek().sort is Sort.STRING:
            name = self._lexer.next().text.split()
            following = self._lexer.peek()
            if following.sort is Sort.WORD and not following.first:
                self._lexer.next()
                continue
            yield (name[-1] if name else ""), self._array()

    def _archives(self, names: list[Token]) -> Iterator[Edge]:
        for name in names:
            if name.text not in self._inline:
                # An archive may lie in a ZIP file: scene.zip!inner.rib.
                file, packed, _ = name.text.partition("!")
                kind = Kind.FILE if packed else Kind.SCENE
                yield from self._edge(file, name.line, "archive", kind=kind)

    def _procedural(self) -> Iterator[Edge]:
        what = self._lexer.next().text
        if what == "DelayedReadArchive" and self._lexer.peek().text == "[":
            yield from self._archives(self._array()[:1])
            return
        if self._lexer.peek().text == "[":
            # DynamicLoad and RunProgram: a library or a program, and what it is given.
            for value in self._array():
                if _PATHLIKE.fullmatch(value.text):
                    yield from self._edge(value.text, value.line, "procedural", confidence=0.5)
            return
        self._strings(1)
        for name, values in self._parameters():
            if name == "filename":
                yield from self._archives(values)
            elif name != "dsoname":
                yield from self._values(name, values)

    def _made(self, names: list[Token]) -> Iterator[Edge]:
        for name in names[:-1]:
            yield from self._edge(name.text, name.line, "texture")
        for name in names[-1:]:
            yield from self._edge(name.text, name.line, "texture", kind=Kind.OUTPUT)

    def _display(self) -> Iterator[Edge]:
        names = self._strings(2)
        if len(names) == 2 and names[1].text not in _WINDOWS:
            target = names[0].text.removeprefix("+")
            yield from self._edge(target, names[0].line, "", kind=Kind.OUTPUT)
        for _ in self._parameters():
            pass

    def _shader(self, request: str) -> Iterator[Edge]:
        first = self._strings(1)
        following = self._lexer.peek()
        if following.sort is Sort.WORD and not following.first:
            self._lexer.next()
        elif following.sort is Sort.STRING and request not in ("Attribute", "Option"):
            # Pattern "PxrTexture" "handle" has a name of its own before its parameters.
            handle = self._lexer.next()
            if self._lexer.peek().text == "[" or " " in handle.text.strip():
                yield from self._values(_last(handle.text), self._array())
        for name, values in self._parameters():
            if request == "Option" and first and first[0].text == "searchpath":
                self._learn(name, values)
            else:
                yield from self._values(name, values)

    def _learn(self, name: str, values: list[Token]) -> None:
        """Take over a search path; ``&`` is what it was before, ``@`` what comes with RenderMan."""
        known = self._search.get(name, ())
        found: list[str] = []
        for part in re.split(r"[:;]", ":".join(value.text for value in values)):
            if part == "&":
                found.extend(known)
            elif part and part != "@":
                found.append(part)
        self._search[name] = tuple(found[:1000])

    def _values(self, name: str, values: list[Token]) -> Iterator[Edge]:
        known = _FILE_PARAMETERS.fullmatch(name) is not None
        for value in values:
            if value.text.startswith("rtxplugin:"):
                yield from self._edge(value.text, value.line, "texture", reason="made by a plug-in")
            elif known and ("/" in value.text or _HAS_SUFFIX.fullmatch(value.text)):
                yield from self._edge(value.text, value.line, "texture")
            elif value.text.startswith(("/", "$")) and _PATHLIKE.fullmatch(value.text):
                yield from self._edge(value.text, value.line, "texture", confidence=0.5)

    def _edge(
        self,
        text: str,
        line: int,
        what: str,
        *,
        kind: Kind | None = None,
        confidence: float = 1.0,
        reason: str = "",
    ) -> Iterator[Edge]:
        target = _FRAME.sub(
            lambda match: f"%0{match[1]}d" if match[1] else "#", _MAP_ID.sub("<UDIM>", text)
        )
        beside = (*self._search.get(what, ()), "", *self._beyond)
        edge = named(
            target,
            kind=leads_to(target) if kind is None else kind,
            line=line,
            confidence=confidence,
            unresolved=reason,
            search=() if target.startswith(("/", "$")) or kind is Kind.OUTPUT else beside,
        )
        if edge is not None:
            yield edge


def _last(text: str) -> str:
    words = text.split()
    return words[-1] if words else ""
