"""Arnold: scene sources (.ass), also packed (.ass.gz).

A node is a word and its parameters between braces, one a line. In a node of one line, like
``image { filename "b.tx" }``, only parameters that are known to name files are found.
Files are named by ``filename`` and its like; where a relative one is looked for, the node
``options`` says, which Arnold's exporters write first. What drivers write are outputs. Other
parameters, also those that a scene declares itself, count 0.5 if they hold what looks like a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.text import Source, leads_to, named, open_text
from shotfs.prewarm.scanners.words import Lexer, Sort, Token

STRINGS_MAX = 10_000
"""Strings of one parameter."""

_FILES = frozenset(
    {"filename", "filenames", "dso", "lut_filename", "ies_filename", "config", "lut", "file"}
)
_SEARCH = {
    "texture_searchpath": ("texture",),
    "procedural_searchpath": ("procedural",),
    "shader_searchpath": ("plugin",),
    "plugin_searchpath": ("plugin",),
    "asset_searchpath": ("texture", "procedural"),
}
_PROCEDURALS = frozenset(
    {"procedural", "include", "usd", "alembic", "materialx", "volume", "volume_implicit"}
)
_PATHLIKE = re.compile(r"(?:/|\$|\[)[^\n\"]{1,2000}/[^\n\"/]{1,250}\.[A-Za-z][A-Za-z0-9]{1,7}")
_VARIABLE = re.compile(r"\[([A-Za-z_][A-Za-z0-9_]{0,100})\]")
_FRAME = re.compile(r"<frame(?::0?([1-9][0-9]?))?>")
_TILES = (("<tile>", "u<U>_v<V>"), ("u<utile>_v<vtile>", "u<U>_v<V>"), ("<udim>", "<UDIM>"))
_PER_OBJECT = re.compile(r"<(?:attr|utile|vtile|shape|path|[a-z]+:)[^>]{0,200}>")


class ArnoldScanner:
    """Reads scene sources of Arnold."""

    name = "arnold"
    suffixes = (".ass", ".ass.gz")
    extra = ""

    def available(self) -> str:
        """Return "": nothing has to be installed."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins like a scene source."""
        text = head.decode("utf-8", "replace")
        return bool(
            text.startswith("### exported:")
            or re.search(r"^### +from: +Arnold|^options\s*\n\{", text, re.MULTILINE)
        )

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:
        """Yield what the scene *path* names.

        Raises:
            ScanFailed: it cannot be read, is binary, or ends within a node or a string.
        """
        with open_text(path, binary="only scene sources in text are read") as source:
            yield from _Scene(source, scope).edges()


class _Scene:
    """Reads one scene."""

    def __init__(self, source: Source, scope: Scope) -> None:
        self._source = source
        self._lexer = Lexer(source, comment="#", marks="{}")
        self._beyond = scope.search_paths
        self._search: dict[str, tuple[str, ...]] = {}

    def edges(self) -> Iterator[Edge]:
        while (token := self._lexer.next()).sort is not Sort.END:
            if token.sort is not Sort.WORD:
                continue
            following = self._lexer.peek()
            if following.sort is Sort.MARK and following.text == "{":
                self._lexer.next()
                yield from self._node(token)
            elif token.text == "include" and following.sort is Sort.STRING:
                edge = self._edge("include", "filename", self._lexer.next())
                if edge is not None:
                    yield edge

    def _node(self, node: Token) -> Iterator[Edge]:
        """Read the parameters of *node* up to its closing brace."""
        while True:
            self._lexer.skip_numbers()
            token = self._lexer.next()
            if token.sort is Sort.END:
                raise self._source.failed(
                    f"the scene ends within a node {node.text[:80]}", line=node.line
                )
            if token.sort is Sort.MARK:
                if token.text == "}":
                    return
                continue
            if token.sort is Sort.WORD and (token.first or self._names_string(token)):
                yield from self._parameter(node.text, token.text)

    def _names_string(self, token: Token) -> bool:
        """Whether *token* is a parameter of a node that was written in one line."""
        known = token.text in _FILES or token.text in _SEARCH
        return known and self._lexer.peek().sort is Sort.STRING

    def _parameter(self, node: str, name: str) -> Iterator[Edge]:
        """Read the strings of a parameter: ``"a"``, or ``2 1 STRING "a" "b"``."""
        if name == "declare":
            return
        self._lexer.skip_numbers()
        for _ in range(3):
            token = self._lexer.peek()
            if token.sort is not Sort.WORD or token.first:
                break
            if not (token.text.isdigit() or token.text == "STRING"):
                return
            self._lexer.next()
        for _ in range(STRINGS_MAX):
            if self._lexer.peek().sort is not Sort.STRING:
                return
            value = self._lexer.next()
            if node == "options" and name in _SEARCH:
                for what in _SEARCH[name]:
                    known = self._search.get(what, ())
                    self._search[what] = (*known, *_directories(value.text))[:1000]
                continue
            edge = self._edge(node, name, value)
            if edge is not None:
                yield edge

    def _edge(self, node: str, name: str, value: Token) -> Edge | None:
        known = name in _FILES and (name not in ("config", "file") or "/" in value.text)
        if not known and not _PATHLIKE.fullmatch(value.text):
            return None
        target, reason = _tokens(_VARIABLE.sub(r"${\1}", value.text))
        what = "procedural" if node in _PROCEDURALS else "texture"
        search = (*self._search.get(what, ()), "", *self._beyond)
        kind = leads_to(target)
        if node == "color_manager_ocio" and name == "config":
            kind = Kind.SCENE
        if node.startswith("driver_"):
            kind = Kind.OUTPUT
        return named(
            target,
            kind=kind,
            line=value.line,
            confidence=1.0 if known else 0.5,
            unresolved=reason,
            search=() if target.startswith(("/", "$")) else search,
        )


def _directories(text: str) -> Iterator[str]:
    """Return the directories of a search path; of Windows' paths none."""
    for part in re.split(r"[;:]", _VARIABLE.sub(r"${\1}", text)):
        if part.strip():
            yield part.strip()


def _tokens(text: str) -> tuple[str, str]:
    """Return *text* with Arnold's tokens as others write them, and why it is not known."""
    for theirs, ours in _TILES:
        text = text.replace(theirs, ours)
    text = _FRAME.sub(lambda match: f"%0{match[1]}d" if match[1] else "#", text)
    if _PER_OBJECT.search(text):
        return text, "a token that each object has another value for"
    return text, ""
