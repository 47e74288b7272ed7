"""OpenColorIO configurations: the look-up tables that they name, and where those are looked for.

The YAML is read as a stream of events and becomes plain data of bounded size: no tag makes an
object, an alias is shared and never copied. A render reads few of the tables, when it first
converts between their spaces; which ones, the configuration alone does not say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners.base import Edge, Scope

BYTES_MAX = 64 * 1024 * 1024
NODES_MAX = 2_000_000
DEPTH_MAX = 200

BY_ROLE = 0.6
"""Confidence of tables of a space that has a role (``scene_linear``), or of a display's."""

ANY = 0.3
"""Confidence of all other tables."""

_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)|%(\w+)%", re.ASCII)


@dataclass(slots=True, eq=False)
class _Node:
    """A mapping, a list or a text of the document. Compared by what it is, not by its content."""

    tag: str
    line: int
    text: str = ""
    items: list[_Node] = field(default_factory=list)
    pairs: dict[str, _Node] = field(default_factory=dict)


class OcioScanner:
    """Reads ``.ocio`` configurations of version 1 and 2."""

    name = "ocio"
    suffixes = (".ocio",)
    extra = ""

    def available(self) -> str:
        """Return "": YAML is read anyway."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins a configuration of OpenColorIO."""
        return b"ocio_profile_version" in head

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:
        """Yield the tables that the configuration *path* names.

        Raises:
            ScanFailed: it is no configuration, or too large.
        """
        top = _document(path)
        if "ocio_profile_version" not in top.pairs:
            raise ScanFailed(f"{path}: no configuration of OpenColorIO: no ocio_profile_version")
        values = {name: node.text for name, node in _pairs(top, "environment").items()}
        values = {name: text for name, text in values.items() if name not in scope.variables}
        search = tuple(_with_defaults(one, values) for one in _search_path(top))
        likely = _spaces_in_use(top)
        for section, node in top.pairs.items():
            for item in node.items or [node]:
                name = item.pairs["name"].text if "name" in item.pairs else ""
                confidence = BY_ROLE if name in likely or section == "view_transforms" else ANY
                for source in _sources(item):
                    target = _with_defaults(source.text, values)
                    yield Edge(target, confidence=confidence, line=source.line, search=search)


def _search_path(top: _Node) -> list[str]:
    """Return where tables are looked for; OCIO takes ``:`` apart, and lists since version 2."""
    node = top.pairs.get("search_path")
    if node is None:
        return []
    texts = [item.text for item in node.items] if node.items else [node.text]
    # The colon of a drive is none that separates.
    return [one for text in texts for one in re.split(r"(?<!^[A-Za-z]):|;", text) if one]


def _spaces_in_use(top: _Node) -> set[str]:
    """Return the names of colour spaces that roles, displays and file rules name."""
    found = {node.text for node in _pairs(top, "roles").values()}
    for section in ("displays", "file_rules", "shared_views"):
        if section in top.pairs:
            for node in _below(top.pairs[section]):
                found |= {one.text for key, one in node.pairs.items() if key.endswith("colorspace")}
    return found


def _pairs(top: _Node, name: str) -> Mapping[str, _Node]:
    return top.pairs[name].pairs if name in top.pairs else {}


def _sources(top: _Node) -> Iterator[_Node]:
    """Yield what the file transforms below *top* name."""
    for node in _below(top):
        if node.tag.endswith("FileTransform") and "src" in node.pairs:
            source = node.pairs["src"]
            if source.text:
                yield source


def _below(top: _Node) -> Iterator[_Node]:
    """Yield *top* and all below it, each once."""
    waiting, seen = [top], {id(top)}
    while waiting:
        node = waiting.pop()
        yield node
        for child in (*node.items, *node.pairs.values()):
            if id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)


def _with_defaults(text: str, values: Mapping[str, str]) -> str:
    """Return *text* with the values that the configuration gives to context variables."""
    for _ in range(8):
        before = text
        text = _VARIABLE.sub(
            lambda found: values.get(found[1] or found[2] or found[3], found.group()), text
        )
        if text == before or len(text) > 4096:
            break
    return text


# --- YAML ----------------------------------------------------------------------------------------


def _document(path: str) -> _Node:
    """Return the document in *path*.

    Raises:
        ScanFailed: it is not YAML, too large, or no mapping.
    """
    size_bytes = os.stat(path).st_size
    if size_bytes > BYTES_MAX:
        raise ScanFailed(f"{path}: {size_bytes} bytes are too many; the limit is {BYTES_MAX}")
    with open(path, "rb") as file:
        data = file.read(BYTES_MAX)
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        top = _built(path, yaml.parse(data, Loader=loader))
    except yaml.YAMLError as exc:
        raise ScanFailed(f"{path}: {' '.join(str(exc).split())[:300]}") from exc
    except (UnicodeDecodeError, ValueError, RecursionError) as exc:
        raise ScanFailed(f"{path}: not YAML: {exc}"[:300]) from exc
    if top is None or not top.pairs:
        raise ScanFailed(f"{path}: no configuration of OpenColorIO")
    return top


def _built(path: str, events: Iterator[Any]) -> _Node | None:
    """Return the first document of *events*."""
    top: _Node | None = None
    anchors: dict[str, _Node] = {}
    open_nodes: list[_Node] = []
    keys: list[str | None] = []
    count = 0
    for event in events:
        if isinstance(event, yaml.DocumentEndEvent):
            return top
        if isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            open_nodes.pop()
            keys.pop()
            continue
        if isinstance(event, yaml.AliasEvent):
            node = anchors.get(str(event.anchor))
            if node is None:
                raise ScanFailed(f"{path}:{_line(event)}: the alias *{event.anchor} is of nothing")
        elif isinstance(event, yaml.NodeEvent):
            count += 1
            if count > NODES_MAX or len(open_nodes) > DEPTH_MAX:
                raise ScanFailed(
                    f"{path}:{_line(event)}: larger than any configuration: more than "
                    f"{NODES_MAX} values, or {DEPTH_MAX} within each other"
                )
            text = event.value if isinstance(event, yaml.ScalarEvent) else ""
            node = _Node(getattr(event, "tag", None) or "", _line(event), text)
            if event.anchor:
                anchors[event.anchor] = node
        else:
            continue
        if open_nodes:
            _add(open_nodes[-1], keys, node)
        else:
            top = node
        if isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            open_nodes.append(node)
            keys.append("" if isinstance(event, yaml.SequenceStartEvent) else None)
    return top


def _add(parent: _Node, keys: list[str | None], node: _Node) -> None:
    """Put *node* into *parent*: an item of a list (key ""), a key (None), or the value of a key."""
    key = keys[-1]
    if key == "":
        parent.items.append(node)
    elif key is None:
        keys[-1] = node.text or "?"
    else:
        parent.pairs[key] = node
        keys[-1] = None


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
