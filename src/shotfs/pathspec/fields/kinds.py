"""The table of field types, and reading a field of any type from a document."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shotfs.pathspec.fields.base import Field, Heading
from shotfs.pathspec.fields.compound import compound_field, tree_field
from shotfs.pathspec.fields.frames import frame_field
from shotfs.pathspec.fields.numbers import int_field
from shotfs.pathspec.fields.text import enum_field, str_field
from shotfs.pathspec.fields.tiles import udim_field
from shotfs.pathspec.fields.times import timestamp_field, uuid_field
from shotfs.pathspec.fields.versions import version_field
from shotfs.pathspec.fields.views import view_field
from shotfs.pathspec.json_reader import JsonValue, read_json
from shotfs.pathspec.problems import Report
from shotfs.pathspec.section import Section
from shotfs.pathspec.tokens import FIELD_NAME


@dataclass(frozen=True, slots=True)
class _Kind:
    keys: tuple[str, ...]
    build: Callable[[Heading, Section], Field | None]


_KINDS = {
    "str": _Kind(("pattern", "choices", "exclusions", "length", "case"), str_field),
    "int": _Kind(("pad", "strict", "min", "max"), int_field),
    "enum": _Kind(("choices",), enum_field),
    "version": _Kind(("scheme", "aliases"), version_field),
    "frame": _Kind(("pad", "strict", "negative", "subframes", "min", "max"), frame_field),
    "udim": _Kind(("style", "tiles"), udim_field),
    "view": _Kind(("choices", "form"), view_field),
    "timestamp": _Kind(("format",), timestamp_field),
    "uuid": _Kind(("form",), uuid_field),
    "compound": _Kind(("format",), compound_field),
    "tree": _Kind((), tree_field),
}

TYPE_KEYS = {kind: one.keys for kind, one in _KINDS.items()}
"""The keys that each field type takes beside "type" and "usage"."""


def read_field(name: str, section: Section) -> Field | None:
    """Return the field that *section* declares, or None when it has mistakes (they are noted)."""
    if FIELD_NAME.fullmatch(name) is None:
        section.report.add(
            section.where,
            f'"{name[:100]}" cannot name a field',
            section.offset,
            "use up to 64 lower-case letters, digits and _, beginning with a letter",
        )
        return None
    if "type" not in section:
        section.missing(f'field "{name}" has no type', 'add "type": "str"')
        return None
    return _read(name, section, section.line_of("type"))


def restore_field(name: str, declared: str, line: int) -> Field:
    """Return the field whose `Field.declared` and `Field.line` are these."""
    report = Report()
    base = report.open(declared, name)
    section = Section(report, f"/fields/{name}", read_json(declared, base))
    field = _read(name, section, line)
    assert field is not None, "it was a field when it was first read"
    return field


def _read(name: str, section: Section, line: int) -> Field | None:
    kind = section.word("type", _KINDS)
    if kind is None:
        return None
    section.only(("type", "usage", *_KINDS[kind].keys))
    usage = section.text("usage") or ""
    declared = {key: _plain(value) for key in section if (value := section.raw(key)) is not None}
    heading = Heading(name, kind, usage, line, json.dumps(declared, separators=(",", ":")))
    return _KINDS[kind].build(heading, section)


def _plain(value: JsonValue) -> Any:
    match value.value:
        case dict() as members:
            return {name: _plain(one) for name, one in members.items()}
        case list() as items:
            return [_plain(one) for one in items]
        case scalar:
            return scalar
