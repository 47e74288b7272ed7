"""The document that an import makes: fields, templates and roots on their way into our form.

An importer fills a `Draft` with what the source says; `settle` makes it into a document that loads.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from shotfs.pathspec.importers.parts import Parts, Refer, each, written
from shotfs.pathspec.importers.report import Notes, Place, Severity
from shotfs.pathspec.tokens import FIELD_NAME

Body = dict[str, Any]

FORM = "shotfs-path/1"
LINE_CHARACTERS_MAX = 100
_TEMPLATE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}", re.ASCII)
_NAME_CHARACTERS_MAX = 56
"""Leaves room for a number after it."""


@dataclass(slots=True)
class FieldDraft:
    """One field.

    Attributes:
        body: its object in the document.
        shown: its name in the source.
        narrowed: the field that it stands for in templates that need a narrower one.
    """

    name: str
    body: Body
    place: Place
    shown: str
    narrowed: str | None = None


@dataclass(slots=True)
class TemplateDraft:
    """One template.

    Attributes:
        shown: its name in the source.
        root: where it is kept; None for the only root.
        file: it names files for certain; otherwise it may name a directory.
        abstract: only to be referred to.
        before: templates that it is preferred to.
        twin_of: the template of which it is the shorter half.
    """

    name: str
    parts: Parts
    place: Place
    shown: str
    root: str | None = None
    usage: str = ""
    file: bool = False
    abstract: bool = False
    before: list[str] = field(default_factory=list)
    twin_of: str | None = None


class Draft:
    """The document so far. Names are valid and unique; what they were is noted."""

    def __init__(self, notes: Notes, *, show: str, usage: str) -> None:
        self.notes = notes
        self.show = show
        self.usage = usage
        self.roots: dict[str, str] = {}
        self.fields: dict[str, FieldDraft] = {}
        self.templates: dict[str, TemplateDraft] = {}

    def add_field(self, shown: str, wanted: str, body: Body, place: Place) -> str:
        """Add a field that the source calls *shown*, and return its name.

        Args:
            shown: its name in the source, for people.
            wanted: what to call it, made valid and unique here.
            body: its object in the document.
            place: of the source.
        """
        name = unique(field_name(wanted), self.fields)
        self.fields[name] = FieldDraft(name, body, place, shown)
        if name != shown:
            self.notes.note(Severity.RENAMED, place, f'key "{shown}" is the field "{name}"')
        return name

    def add_template(self, shown: str, parts: Parts, place: Place, **more: Any) -> TemplateDraft:
        """Add a template that the source calls *shown*."""
        name = unique(template_name(shown), self.templates)
        made = TemplateDraft(name, parts, place, shown, **more)
        self.templates[name] = made
        if name != shown:
            self.notes.note(Severity.RENAMED, place, f'template "{shown}" is called "{name}" here')
        return made

    def parts_of(self) -> dict[str, Parts]:
        """Return the parts of every template."""
        return {name: one.parts for name, one in self.templates.items()}

    def field_uses(self) -> dict[str, int]:
        """Return for every field in how many templates it stands."""
        uses = dict.fromkeys(self.fields, 0)
        for template in self.templates.values():
            for name in {getattr(part, "field", None) for part in each(template.parts)}:
                if name is not None:
                    uses[name] += 1
        return uses

    def referred(self) -> set[str]:
        """Return the names of the templates that others refer to."""
        return {
            part.template
            for template in self.templates.values()
            for part in each(template.parts)
            if isinstance(part, Refer)
        }

    def document(self) -> Body:
        """Return the document as JSON data."""
        templates: Body = {}
        origins = Counter(one.root for one in self.templates.values() if not one.abstract)
        default = origins.most_common(1)[0][0] if origins else None
        for name, one in self.templates.items():
            body: Body = {"path": written(one.parts)}
            if one.usage:
                body["usage"] = one.usage
            if one.abstract:
                body["abstract"] = True
            elif one.root is not None and one.root != default:
                body["origin"] = one.root
            if one.before:
                body["before"] = list(one.before)
            templates[name] = body
        made: Body = {"spec": FORM, "show": self.show}
        if self.usage:
            made["usage"] = self.usage
        made["roots"] = dict(self.roots)
        if default is not None and len(self.roots) > 1:
            made["defaults"] = {"origin": default}
        made["fields"] = {name: one.body for name, one in self.fields.items()}
        made["templates"] = templates
        return made


def field_name(wanted: str) -> str:
    """Return a valid name of a field, as near to *wanted* as it gets."""
    name = re.sub(r"[^a-z0-9]+", "_", wanted.lower()).strip("_")[:_NAME_CHARACTERS_MAX]
    name = name if name[:1].isalpha() else f"f_{name}".rstrip("_")
    assert FIELD_NAME.fullmatch(name), name
    return name


def template_name(wanted: str) -> str:
    """Return a valid name of a template, as near to *wanted* as it gets."""
    if _TEMPLATE_NAME.fullmatch(wanted):
        return wanted
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", wanted)[:_NAME_CHARACTERS_MAX].strip("_.-")
    return name or "template"


def unique(name: str, taken: Collection[str]) -> str:
    """Return *name*, with a number if it is in *taken*."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def document_text(document: Mapping[str, Any]) -> str:
    """Return *document* as text that people like to edit: short objects on one line."""
    return _text(document, 0) + "\n"


def _text(value: Any, depth: int, lead: int = 0) -> str:
    line = json.dumps(value, ensure_ascii=False)
    # The sections of a document are spread out, however short they are.
    spread = isinstance(value, dict) and (depth == 0 or (depth == 1 and value))
    if not spread and len(line) + lead + 2 * depth + 1 <= LINE_CHARACTERS_MAX:
        return line
    inner = "  " * (depth + 1)
    if isinstance(value, dict):
        rows = []
        for name, member in value.items():
            key = f"{json.dumps(name, ensure_ascii=False)}: "
            rows.append(inner + key + _text(member, depth + 1, len(key)))
        return "{\n" + ",\n".join(rows) + "\n" + "  " * depth + "}"
    if isinstance(value, list):
        rows = [inner + _text(item, depth + 1) for item in value]
        return "[\n" + ",\n".join(rows) + "\n" + "  " * depth + "]"
    return line
