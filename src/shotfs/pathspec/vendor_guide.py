"""The vendor's specification as a document that people read: what to deliver, named how.

Everything in it comes from the exported document, so nothing can be in it that was not exported.
Made of a few kinds of blocks; `vendor_pages` writes them as Markdown and HTML. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shotfs.errors import InvalidArgument
from shotfs.pathspec import elements
from shotfs.pathspec.elements import text_of
from shotfs.pathspec.fields import Field
from shotfs.pathspec.model import Immutable
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.samples import example_path, texts_of
from shotfs.pathspec.sequences import tokens_for
from shotfs.pathspec.sequences.tokens import KINDS as TOKEN_KINDS
from shotfs.pathspec.specification import Specification

EXAMPLES_MAX = 3
CHOICES_SHOWN_MAX = 200
"""More choices than this are a list that nobody reads; the document has them all."""


@dataclass(frozen=True, slots=True)
class Code:
    """Text that people type or see in a path."""

    text: str


Span = str | Code
Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; *level* 1 is the title."""

    level: int
    text: Line


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Running text."""

    text: Line


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of short lines."""

    items: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table with a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[Line, ...], ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Lines as they are: paths, commands."""

    lines: tuple[str, ...]


Block = Heading | Paragraph | Bullets | Grid | Listing


def guide(specification: Specification) -> tuple[Block, ...]:
    """Return the document for *specification*, which is one that `vendor.export` made."""
    return tuple(_Guide(specification).blocks())


class _Guide:
    def __init__(self, specification: Specification) -> None:
        self._specification = specification
        patterns = list(specification.patterns.values())
        self._out = [one for one in patterns if one.template.policy.flow.writable]
        self._in = [one for one in patterns if not one.template.policy.flow.writable]

    def blocks(self) -> Iterator[Block]:
        specification = self._specification
        yield Heading(1, (f"{specification.show}: names and places of files",))
        if specification.usage:
            yield Paragraph((specification.usage,))
        if self._out:
            yield Heading(2, ("What you deliver",))
            yield from self._overview(self._out)
        if self._in:
            yield Heading(2, ("What you receive" if self._out else "Files",))
            yield from self._overview(self._in)
        yield Heading(2, ("Naming rules",))
        yield Bullets(tuple(self._rules()))
        yield Heading(2, ("Paths",))
        for one in (*self._out, *self._in):
            yield from self._template(one)
        yield Heading(2, ("Fields",))
        yield from self._fields()
        yield from self._numbers()
        yield Heading(2, ("Check a delivery before you send it",))
        yield Paragraph(
            (
                "With the specification as ",
                Code("vendor.json"),
                " and the files in ",
                Code("delivery"),
                ", this names every file that is misnamed, missing or too much,",
                " and writes the checksums that go with the files:",
            )
        )
        yield Listing(
            (
                "shotfs spec lint delivery --spec vendor.json",
                "shotfs spec lint delivery --spec vendor.json --write-checksums delivery.sha256",
            )
        )
        yield Paragraph(
            (
                Code("shotfs"),
                " is a program for Linux; ask who sent you this for it. It needs no network, no",
                " account, and nothing but ",
                Code("vendor.json"),
                ". It ends with 0 when everything is in order.",
            )
        )

    def _overview(self, patterns: list[Pattern]) -> Iterator[Block]:
        yield Grid(
            ("What", "Path", "For"),
            tuple(
                (
                    (Code(one.template.name),),
                    (Code(one.template.pattern),),
                    (one.template.usage,),
                )
                for one in patterns
            ),
        )

    def _rules(self) -> Iterator[Line]:
        yield ("Paths begin in the directory that you deliver; ", Code("/"), " separates names.")
        yield ("Capital and small letters are different, in every part of a name.",)
        yield ("Only the paths of this document are accepted; everything else is sent back.",)
        yield ("A field that stands in a path twice has the same text both times.",)
        yield ("Numbers are padded with zeros to the number of digits that the field says.",)
        if any(len(one.variants) > 1 for one in (*self._out, *self._in)):
            yield ("What stands in ", Code("[ ]"), " in a path may be left out.")
        scratch = dict.fromkeys(
            pattern for one in self._out for pattern in one.template.policy.scratch
        )
        if scratch:
            yield ("Never deliver working files: ", *_listed(tuple(scratch)), ".")
        if any(one.template.policy.immutable is not Immutable.NEVER for one in self._out):
            yield ("A version that was delivered never changes: a correction is a new version.",)

    def _template(self, pattern: Pattern) -> Iterator[Block]:
        template = pattern.template
        yield Heading(3, (Code(template.name),))
        if template.usage:
            yield Paragraph((template.usage,))
        yield Listing((template.pattern,))
        examples = self._examples(pattern)
        if examples:
            yield Paragraph(("For example:",))
            yield Listing(examples)
        rows = [
            ((Code(field.name),), self._looks(field), (field.usage,))
            for field in self._used(pattern)
        ]
        if rows:
            yield Grid(("Field", "Looks like", "For"), tuple(rows))

    def _examples(self, pattern: Pattern) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for index in range(len(pattern.variants)):
            for turn in range(EXAMPLES_MAX):
                path = example_path(self._specification, pattern, variant=index, turn=turn)
                if path is not None:
                    found[path] = None
                if len(pattern.variants) > 1 and found:
                    break
        return tuple(found)[: max(EXAMPLES_MAX, len(pattern.variants))]

    def _used(self, pattern: Pattern) -> list[Field]:
        fields = {
            field.name: field
            for variant in pattern.variants
            for tokens in variant.elements
            for field in elements.leaves(tokens, self._specification.fields)
        }
        return list(fields.values())

    def _looks(self, field: Field) -> Line:
        if field.tokens:
            return self._looks_compound(field)
        texts = texts_of(field)
        if field.choices is not None:
            return _listed(field.choices[:EXAMPLES_MAX], more=len(field.choices) > EXAMPLES_MAX)
        return (*_listed(texts[:EXAMPLES_MAX]),) if texts else (field.wants,)

    def _looks_compound(self, field: Field) -> Line:
        fields = self._specification.fields
        parts = [one for one in elements.leaves(field.tokens, fields) if not one.tokens]
        known = {one.name: found[0] for one in parts if (found := texts_of(one))}
        written = (Code(text_of(field.tokens)),)
        if any(one.name not in known for one in parts):
            return written
        return (*written, ", as ", Code(elements.write(field.tokens, fields, known)))

    def _fields(self) -> Iterator[Block]:
        fields = [
            field
            for field in self._specification.fields.values()
            if any(field in self._used(one) for one in (*self._out, *self._in))
        ]
        yield Grid(
            ("Field", "Kind", "Must be", "Examples", "For"),
            tuple(
                (
                    (Code(field.name),),
                    (_KINDS.get(field.kind, field.kind),),
                    (field.wants,) if not field.tokens else ("the fields of its parts",),
                    self._looks(field),
                    (field.usage,),
                )
                for field in fields
            ),
        )
        for field in fields:
            if field.choices is None or not any(field.choice_usages):
                continue
            yield Heading(3, ("Choices of ", Code(field.name)))
            pairs = list(zip(field.choices, field.choice_usages, strict=True))
            yield Grid(
                ("Text", "For"),
                tuple(((Code(choice),), (usage,)) for choice, usage in pairs[:CHOICES_SHOWN_MAX]),
            )
            if len(pairs) > CHOICES_SHOWN_MAX:
                yield Paragraph((f"and {len(pairs) - CHOICES_SHOWN_MAX} more in the document",))

    def _numbers(self) -> Iterator[Block]:
        kinds = {field.kind: field for one in (*self._out, *self._in) for field in self._used(one)}
        lines: list[Line] = []
        if "frame" in kinds:
            lines.append(
                (
                    "Frames: one file for each frame, and no gaps. ",
                    *self._looks(kinds["frame"]),
                    " are frames here.",
                )
            )
        if "udim" in kinds:
            lines.append(
                (
                    "UDIM tiles: one file for each tile that the model uses;",
                    " 1001 is the first, ten to a row. ",
                    *self._looks(kinds["udim"]),
                    " are tiles here.",
                )
            )
        if "view" in kinds:
            lines.append(("Views: every sequence has all of ", *self._looks(kinds["view"]), "."))
        if "version" in kinds:
            lines.append(
                ("Versions: ", *self._looks(kinds["version"]), "; a version is used once.")
            )
        if lines:
            yield Heading(2, ("Frames, tiles, views and versions",))
            yield Bullets(tuple(lines))
        tokens = [kinds[kind] for kind in TOKEN_KINDS if kind in kinds]
        if tokens:
            yield Paragraph(("Where an application wants one path for all of them, write:",))
            yield Grid(
                ("Application", *(_KINDS[field.kind] for field in tokens)),
                tuple(
                    ((name,), *(_token(field, style) for field in tokens))
                    for name, style in _APPLICATIONS.items()
                ),
            )


_KINDS = {
    "str": "text",
    "int": "number",
    "enum": "choice",
    "version": "version",
    "frame": "frame number",
    "udim": "UDIM tile",
    "view": "view",
    "timestamp": "date and time",
    "uuid": "UUID",
    "compound": "several fields",
    "tree": "directories",
}


_APPLICATIONS = {
    "Nuke": "nuke",
    "Houdini": "houdini",
    "Arnold": "arnold",
    "Maya": "maya",
    "Redshift": "redshift",
    "printf": "printf",
}


def _token(field: Field, style: str) -> Line:
    try:
        return (Code(tokens_for(field, style)),)
    except InvalidArgument:
        return ("has none",)


def _listed(texts: tuple[str, ...], *, more: bool = False) -> Line:
    line: list[Span] = []
    for index, text in enumerate(texts):
        line += [", "] if index else []
        line.append(Code(text))
    return (*line, ", ...") if more else tuple(line)
