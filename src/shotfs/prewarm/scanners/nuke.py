"""Nuke: scripts (.nk), gizmos, what is copied and pasted. Read as text, never run.

A script is a list of commands in the syntax of Tcl: ``Read { inputs 0 file /plates/x.%04d.exr }``.
Nodes in a group stand between ``Group {...}`` and ``end_group``. Which knobs name files is told by
their names, so that gizmos of a studio, whose classes nobody knows, count as well.

- A disabled node, or one in a disabled group, counts 0.1: people switch them on again.
- A Write is an output, but with ``reading true`` an input.
- Of Tcl in a path only what cannot mean anything else is followed: the place of the script, knobs
  of the root, the environment and ``file dirname|tail|rootname``. The rest is `unresolved`.
- A Read that is shown at other frames (``frame_mode``, ``before``, ``after``) names these. Where
  nodes of the script change time, all frames of each Read count 0.5 besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners import nuke_time
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.nuke_tcl import Place, evaluated
from shotfs.prewarm.scanners.nuke_words import Word, Words
from shotfs.prewarm.scanners.text import Source, leads_to, named, open_text

DEPTH_MAX = 200
"""Groups in groups."""

KNOBS_MAX = 2000
"""Knobs of the root that expressions can name."""

READS_MAX = 10_000
"""Reads that are remembered for a script that changes time."""

_GROUPS = frozenset({"Group", "LiveGroup", "Gizmo"})
_FILES = {
    "file": 1.0,
    "proxy": 0.2,
    "vfield_file": 1.0,
    "modelFile": 1.0,
    "kernelSourceFile": 1.0,
    "cdl_file": 1.0,
    "lut_file": 1.0,
    "cube": 1.0,
    "profile": 1.0,
    "texture_file": 1.0,
    "font": 0.6,
}
"""Knobs that name files, and how likely they are read."""

_STATE_NAMES = (
    "disable first last origfirst origlast frame frame_mode before after reading read_from_file "
    "published useOutput output views proxy colorManagement OCIO_config customOCIOConfigPath "
    "project_directory"
)
_STATE = frozenset(_STATE_NAMES.split())
_WRITERS_NAMES = (
    "Write WriteGeo DeepWrite GeoExport GenerateLUT WriteTank SmartVector ParticleCache"
)
_WRITERS = frozenset(_WRITERS_NAMES.split())
_OPTIONAL = re.compile(r"(Camera|Axis|Light|Spotlight|DirectLight|OCIOCDLTransform)[0-9]*")
"""Nodes that read their file only with ``read_from_file``."""

_RETIMES_NAMES = (
    "TimeOffset TimeWarp TimeEcho TimeBlur TimeClip Retime FrameHold FrameBlend FrameRange OFlow "
    "OFlow2 Kronos TemporalMedian AppendClip TimeMachine FrameSelect Tracker_TimeWarp"
)
_RETIMES = frozenset(_RETIMES_NAMES.split())
_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_PATHLIKE = re.compile(
    r"(?:/|\$\{?[A-Za-z_])[^\s'\"]{1,2000}/[^\s'\"/]{1,250}\.[A-Za-z][A-Za-z0-9]{1,7}"
)
_FRAME_TOKEN = re.compile(r"#|%0?[0-9]*d|\$F|@")
_VIEW_TOKEN = re.compile(r"%[Vv](?![A-Za-z0-9])")


@dataclass(slots=True)
class _Node:
    """A node while it is read."""

    type: str
    line: int
    knobs: dict[str, Word] = field(default_factory=dict)
    files: list[tuple[str, Word]] = field(default_factory=list)

    def text(self, name: str, default: str = "") -> str:
        word = self.knobs.get(name)
        return default if word is None or word.text is None else word.text.strip()


@dataclass(slots=True)
class _Script:
    """What is known of the script so far."""

    scope: Scope
    place: Place
    views: tuple[str, ...] = ()
    proxy: bool = False
    groups: list[float] = field(default_factory=list)
    retimes: bool = False
    reads: list[Edge] = field(default_factory=list)

    @property
    def weight(self) -> float:
        return min(self.groups, default=1.0)


class NukeScanner:
    """Reads scripts of Nuke."""

    name = "nuke"
    suffixes = (".nk", ".gizmo", ".nkple", ".nk~")
    extra = ""

    def available(self) -> str:
        """Return "": nothing has to be installed."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins like a script that Nuke saved or copied."""
        return bool(
            re.search(
                rb"^(?:#! .{0,200}[Nn]uke|version \d+\.\d+ v\d|set cut_paste_input \[stack 0\])",
                head,
                re.MULTILINE,
            )
        )

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:
        """Yield what the script *path* names.

        Raises:
            ScanFailed: it cannot be read, ends within a node, or nests deeper than `DEPTH_MAX`.
        """
        with open_text(path, binary="Nuke scripts are text; this is something else") as source:
            script = _Script(scope, Place(path.rsplit("/", 1)[-1]))
            yield from _commands(source, Words(source), script)
            if script.retimes:
                yield from script.reads


def _commands(source: Source, words: Words, script: _Script) -> Iterator[Edge]:
    while (command := words.command()) is not None:
        if command.text == "end_group":
            if script.groups:
                script.groups.pop()
            words.rest()
            continue
        if command.text in ("clone", "set", "push", "version", "add_layer"):
            # A clone has the knobs of the node that it is a clone of; what stands in its braces
            # is where its icon lies.
            words.rest()
            continue
        if command.text is None or not _CLASS.fullmatch(command.text) or not words.opens():
            words.rest()
            continue
        node = _Node(command.text, command.line)
        try:
            _knobs(words, node)
        except ScanFailed:
            # A script that ends within a node still says what it said of it.
            yield from _edges(node, script)
            raise
        yield from _edges(node, script)
        if node.type in _RETIMES:
            script.retimes = True
        if node.type in _GROUPS:
            if len(script.groups) >= DEPTH_MAX:
                raise source.failed(f"groups nest deeper than {DEPTH_MAX}")
            script.groups.append(_enabled(node) * script.weight)


def _knobs(words: Words, node: _Node) -> None:
    """Read the knobs of *node* up to its closing brace."""
    is_root = node.type == "Root"
    while (name := words.knob()) is not None:
        value = words.value()
        if name.text is None or value is None or value.text is None:
            words.rest_of_knob()
            continue
        text = name.text
        if text in _FILES or _names_file(text, value.text):
            if len(node.files) < KNOBS_MAX:
                node.files.append((text, value))
        elif text in _STATE or (is_root and len(node.knobs) < KNOBS_MAX):
            node.knobs[text] = value
        words.rest_of_knob()


def _names_file(name: str, value: str) -> bool:
    """Whether a knob that nobody knows names a file: by what it holds."""
    if (
        name in ("name", "label", "help", "format", "icon", "customOCIOConfigPath")
        or name in _STATE
    ):
        return False
    return len(value) < 2500 and _PATHLIKE.fullmatch(value.strip()) is not None


def _enabled(node: _Node) -> float:
    """Return how likely *node* is on."""
    disable = node.text("disable", "false")
    if disable in ("true", "1"):
        return 0.1
    return 1.0 if disable in ("false", "0") else 0.7


def _edges(node: _Node, script: _Script) -> Iterator[Edge]:
    if node.type == "Root":
        yield from _root(node, script)
        return
    weight = _enabled(node) * script.weight
    reading = node.text("reading") in ("true", "1")
    writes = node.type.rstrip("0123456789") in _WRITERS and not reading
    if _OPTIONAL.fullmatch(node.type) and node.text("read_from_file", "false") not in ("true", "1"):
        weight *= 0.1
    if reading and "output" in node.knobs:
        node.files.append(("output", node.knobs["output"]))
    for name, word in node.files:
        share = _FILES.get(name, 0.5)
        if script.proxy and name in ("file", "proxy"):
            share = 1.0 if name == "proxy" else 0.3
        yield from _file(word, weight * share, node, script, writes=writes)


def _file(
    word: Word, confidence: float, node: _Node, script: _Script, *, writes: bool
) -> Iterator[Edge]:
    text = (word.text or "").strip()
    if word.expression:
        target, reason = text, "an expression of Nuke"
    else:
        target, reason = evaluated(text, script.place)
    if target and not reason and not target.startswith(("/", "$")):
        target = script.place.joined(target)
    if "font" in target and not target.startswith(("/", "$", ".")):
        return
    views: tuple[str, ...] = ()
    if _VIEW_TOKEN.search(target):
        views = tuple(view for view in script.views if view in script.scope.views)
        views = views if script.scope.views else script.views
    edge = named(
        target,
        kind=Kind.OUTPUT if writes else leads_to(target),
        line=word.line,
        confidence=round(confidence, 3),
        unresolved="" if writes else reason,
        views=views,
    )
    if edge is None:
        return
    if writes or not _FRAME_TOKEN.search(target) or not ({"first", "last"} & node.knobs.keys()):
        yield edge
        return
    clip = nuke_time.Clip(
        first=node.text("first", "1"),
        last=node.text("last", "1"),
        mode=node.text("frame_mode", "expression"),
        shift=node.text("frame"),
        before=node.text("before", "hold"),
        after=node.text("after", "hold"),
    )
    yield from nuke_time.at_frames(edge, clip, script.scope.frames)
    whole = nuke_time.whole(edge, clip)
    if script.scope.frames and whole is not None and len(script.reads) < READS_MAX:
        script.reads.append(whole)


def _root(node: _Node, script: _Script) -> Iterator[Edge]:
    """Learn what the root says of the whole script, and name its OCIO configuration."""
    knobs = {name: word.text for name, word in node.knobs.items() if word.text is not None}
    knobs |= {name: word.text for name, word in node.files if word.text is not None}
    script.place.learn(knobs)
    script.proxy = knobs.get("proxy", "") in ("true", "1")
    # One view a line: its name, then the colour of its buttons.
    lines = [line.split() for line in knobs.get("views", "").replace("\\n", "\n").splitlines()]
    script.views = tuple(words[0] for words in lines if words)[:100]
    managed = knobs.get("colorManagement", "Nuke") == "OCIO"
    config = node.knobs.get("customOCIOConfigPath")
    if config is not None and config.text:
        target, reason = evaluated(config.text, script.place)
        custom = knobs.get("OCIO_config") == "custom"
        edge = named(
            target,
            kind=Kind.SCENE,
            line=config.line,
            confidence=1.0 if managed and custom else 0.1,
            unresolved=reason,
        )
        if edge is not None:
            yield edge
    elif managed and "OCIO" in script.scope.variables:
        yield Edge("${OCIO}", Kind.SCENE, line=node.line, confidence=0.8)
