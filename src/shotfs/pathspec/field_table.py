"""The fields of a specification: all declarations read, compounds checked against each other."""

from __future__ import annotations

from collections.abc import Mapping

from shotfs.pathspec import elements
from shotfs.pathspec.fields import Field, read_field
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.problems import Report, suggest
from shotfs.pathspec.section import Section
from shotfs.pathspec.tokens import FieldRef

COMPOUND_DEPTH_MAX = 8
COMPOUND_FIELDS_MAX = 64
"""Each takes a character and more; a name of 255 bytes has no room for many."""
UNMATCHED = "unmatched"
"""The field and the template of paths outside all others; nobody may declare these."""


class FieldTable:
    """The fields that are in order, and the names of those that are not.

    Attributes:
        fields: by name, in the order of the documents.
        broken: declared, and their mistakes are noted: no use of them is a mistake.
    """

    def __init__(self, declared: Mapping[str, Section]) -> None:
        self.fields: dict[str, Field] = {}
        self.broken: set[str] = set()
        self._declared = dict(declared)
        self._extents: dict[str, tuple[int, int]] = {}
        for name, section in declared.items():
            if section.report.full:
                break
            one = section.section(name)
            field = None if one is None else read_field(name, one)
            if name == UNMATCHED:
                section.problem(name, f'"{name}" is a name of shotfs\'s own', "choose another")
            if field is None:
                self.broken.add(name)
            else:
                self.fields[name] = field
        for name, field in self.fields.items():
            if declared[name].report.full:
                break
            reason = self._compound_problem(field)
            if reason is not None:
                one = declared[name].section(name)
                assert one is not None, "it was read as a field"
                one.problem("format", *reason)
                self.broken.add(name)
        self._drop_broken()

    def add(self, name: str, field: Field, section: Section) -> None:
        """Take in a field of shotfs's own, which *section* gives rise to."""
        self.fields[name] = field
        self._declared[name] = section

    def offset(self, name: str) -> int:
        """Return where the field *name* is declared."""
        return self._declared[name].offset_of(name)

    def sources(self) -> dict[str, str]:
        """Return the document of each field that is in order."""
        return {name: self._declared[name].source for name in self.fields}

    def warn_unused(self, compiled: list[Pattern], source: str, warnings: Report) -> None:
        """Note each field of the document *source* that none of *compiled* uses.

        What included documents declare is for many shows: no show need use it all.
        """
        used = {
            field.name
            for one in compiled
            for tokens in one.elements
            for field in elements.leaves(tokens, self.fields)
        }
        for name in self.fields:
            if name in used or name == UNMATCHED or self._declared[name].source != source:
                continue
            warnings.add(
                f"/fields/{name}",
                f'no template uses the field "{name}"',
                self._declared[name].offset_of(name),
                "remove it",
            )

    def _drop_broken(self) -> None:
        """Take out the broken fields, and the compounds that contain one, without a word more."""
        while True:
            for name in self.broken:
                self.fields.pop(name, None)
            spoilt = {
                name
                for name, field in self.fields.items()
                if any(isinstance(t, FieldRef) and t.name in self.broken for t in field.tokens)
            }
            if not spoilt:
                return
            self.broken |= spoilt

    def _compound_problem(self, field: Field) -> tuple[str, str] | None:
        if field.kind != "compound":
            return None
        name = field.name
        parts = [token.name for token in field.tokens if isinstance(token, FieldRef)]
        if not parts:
            return f'compound "{name}" holds no field', "write the text into the template"
        for part in parts:
            if part not in self.fields and part not in self.broken:
                if self._declared[name].report.incomplete:
                    self.broken.add(part)
                    continue
                fix = suggest(part, self.fields)
                return f'compound "{name}" uses the unknown field "{part}"', fix
            if part in self.fields and self.fields[part].kind == "tree":
                return f'"{part}" is a tree: whole elements cannot be inside a name', "use str"
        extent = self._extent(name, ())
        if extent is None:
            return f'compound "{name}" contains itself or is nested too deep', "untangle it"
        if extent[0] > COMPOUND_FIELDS_MAX:
            return f'compound "{name}" holds more than {COMPOUND_FIELDS_MAX} fields', "split it"
        return None

    def _extent(self, name: str, above: tuple[str, ...]) -> tuple[int, int] | None:
        """Return (fields, levels) of *name* with all that it contains; None for a circle.

        Each compound is looked at once: compounds of compounds multiply quickly.
        """
        if name not in self._extents:
            field = self.fields.get(name)
            if name in above or len(above) > COMPOUND_DEPTH_MAX:
                return None
            size, levels = 0, 0
            for token in () if field is None else field.tokens:
                part = (
                    self._extent(token.name, (*above, name))
                    if isinstance(token, FieldRef)
                    else (0, 0)
                )
                if part is None:
                    return None
                size, levels = size + part[0], max(levels, part[1] + 1)
            if levels > COMPOUND_DEPTH_MAX:
                return None
            self._extents[name] = (max(size, 1), levels)
        return self._extents[name]
