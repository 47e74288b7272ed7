"""Gaffer: scripts and references (.gfr, .grf). They are Python, and never run.

What Gaffer saves is one statement a line, like ``__children["a"]["fileName"].setValue( "/b" )``.
These are read as text; everything else is passed over. Plugs that are not enabled count 0.1.
Variables of Gaffer's own (``${project:name}``) are followed where the script sets them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.text import Source, leads_to, named, open_text

LINE_CHARS_MAX = 1 << 18
"""Of one statement; a longer one holds data."""

PLUGS_MAX = 200_000
"""Files of one script."""

_LINE_STOP = re.compile(r"\n")
_ELEMENT = re.compile(r'\[\s*["\']([^"\'\\\]]{1,250})["\']\s*\]')
_CREATED = re.compile(
    r'\s*__children((?:\["[^"\\\]]{1,250}"\]){1,40})\s*=\s*([A-Za-z_][A-Za-z0-9_.]{0,200})\('
)
_SET = re.compile(
    r'\s*(?:__children|parent|script)((?:\["[^"\\\]]{1,250}"\]){1,40})\.(setValue|load)\(\s*(.*?)\s*\)\s*'
)
_WRITERS = re.compile(r".*(?:Writer|Outputs|Render|Display|Dispatcher|Wedge)")
_PATHLIKE = re.compile(r"(?:/|\$)[^\n\"]{1,2000}/[^\n\"/]{1,250}\.[A-Za-z][A-Za-z0-9]{1,9}")
_FILE = re.compile(r"[A-Za-z0-9_]*[fF]ile(?:[nN]ame)?|filename|texture")
_OWN_VARIABLE = re.compile(r"\$\{([A-Za-z_]+:[A-Za-z_:]+)\}")


@dataclass(slots=True)
class _Script:
    """What was read so far."""

    types: dict[str, str] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)
    plugs: list[tuple[tuple[str, ...], str, int]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)


class GafferScanner:
    """Reads scripts of Gaffer."""

    name = "gaffer"
    suffixes = (".gfr", ".grf")
    extra = ""

    def available(self) -> str:
        """Return "": nothing has to be installed."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins like what Gaffer saves."""
        return head.startswith(b"import Gaffer") or b"\nimport Gaffer" in head

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:  # noqa: ARG002 (the protocol)
        """Yield what the script *path* names.

        Raises:
            ScanFailed: it cannot be read, or is binary.
        """
        with open_text(path, binary="scripts of Gaffer are text") as source:
            script = _Script()
            try:
                _read(source, script)
            except ScanFailed:
                yield from _edges(script)
                raise
            yield from _edges(script)


def _read(source: Source, script: _Script) -> None:
    while not source.ended:
        line = source.line
        text = source.until(_LINE_STOP, keep=LINE_CHARS_MAX)
        source.next()
        if text is None or ("__children" not in text[:200] and "parent[" not in text[:200]):
            continue
        created = _CREATED.match(text)
        if created is not None and len(script.types) < PLUGS_MAX:
            script.types[_ELEMENT.findall(created[1])[-1]] = created[2].rpartition(".")[2]
            continue
        match = _SET.fullmatch(text)
        if match is not None:
            _set(tuple(_ELEMENT.findall(match[1])), match[3], line, script)


def _set(plug: tuple[str, ...], literal: str, line: int, script: _Script) -> None:
    if plug[-1] == "enabled":
        if literal == "False" and len(script.off) < PLUGS_MAX:
            script.off.add("/".join(plug[:-1]))
        return
    if not literal.startswith(("'", '"')):
        return
    try:
        value = ast.literal_eval(literal)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return
    if not isinstance(value, str):
        return
    if plug[0] == "variables" and len(plug) == 3 and plug[-1] == "value":
        known = {"projectRootDirectory": "project:rootDirectory", "projectName": "project:name"}
        script.variables[known.get(plug[1], plug[1])] = value
        return
    is_file = _FILE.fullmatch(plug[-1]) or script.types.get(plug[0]) == "Reference"
    holds = value and (is_file or _PATHLIKE.fullmatch(value))
    if holds and len(script.plugs) < PLUGS_MAX:
        script.plugs.append((plug, value, line))


def _edges(script: _Script) -> Iterator[Edge]:
    for plug, value, line in script.plugs:
        known = _FILE.fullmatch(plug[-1]) is not None
        off = any("/".join(plug[:length]) in script.off for length in range(1, len(plug) + 1))
        writes = known and _WRITERS.fullmatch(script.types.get(plug[0], "")) is not None
        target, reason = _with_variables(value, script)
        edge = named(
            target,
            kind=Kind.OUTPUT if writes else leads_to(target),
            line=line,
            confidence=round((1.0 if known else 0.5) * (0.1 if off else 1.0), 3),
            unresolved="" if writes else reason,
        )
        if edge is not None:
            yield edge


def _with_variables(text: str, script: _Script) -> tuple[str, str]:
    """Return *text* with Gaffer's own variables, and which of them is not known."""
    for _ in range(8):
        match = _OWN_VARIABLE.search(text)
        if match is None or len(text) > LINE_CHARS_MAX:
            break
        value = script.variables.get(match[1])
        if value is None:
            return text, f"the variable {match[0]} of Gaffer is not set in the script"
        text = text[: match.start()] + value + text[match.end() :]
    return text.replace("${frame}", "%d"), ""
