r"""Imports patterns of lucidity.

The source is YAML or JSON: a mapping of name to pattern, or a list in the order in which patterns
are tried. A member is a pattern, a mapping (``pattern``, ``anchor``,
``duplicate_placeholder_mode``, ``default_placeholder_expression``), or in a list the text of a
constructor:
``Template('shot', '/jobs/{job}/shots/{shot}', anchor=Template.ANCHOR_BOTH)``.

A placeholder is ``{name}``, ``{name:expression}`` (braces in it escaped: ``\d\{4\}``), ``{a.b}``
for nested data, or ``{@name}`` for another pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from shotfs.pathspec.importers.draft import Body, Draft
from shotfs.pathspec.importers.lucidity_source import (
    DEFAULT_EXPRESSION,
    Hole,
    Pattern,
    Reference,
    check_references,
    read_patterns,
)
from shotfs.pathspec.importers.parts import Part, Parts, Refer, Text, Use, mapped, merged
from shotfs.pathspec.importers.patterns import ANY_NAME, NotCarried, carry
from shotfs.pathspec.importers.report import TOP, Severity
from shotfs.pathspec.importers.source import read_source

ROOT = "main"
_DEFAULT_PATTERN = "[A-Za-z0-9_.-]+"
_WORDS = re.compile(r"\(?(?:\?:)?([A-Za-z0-9_-]+(?:\|[A-Za-z0-9_-]+)+)\)?", re.ASCII)


def fill(draft: Draft, text: str, source: str, documents: Mapping[str, str]) -> None:
    """Put what *text* says into *draft*. There are no included documents.

    Raises:
        ImportInvalid: the source has mistakes.
    """
    del documents
    notes = draft.notes
    patterns = read_patterns(read_source(text, source), notes)
    notes.refuse_mistakes()
    check_references(patterns, notes)
    notes.refuse_mistakes()
    if not patterns:
        notes.mistake(TOP, "the document holds no pattern", 'write name: "pattern"')
        notes.refuse_mistakes()
    root = next(iter(draft.roots), ROOT)
    draft.roots.setdefault(root, "")
    _Filler(draft, patterns, root).fill()
    if any(one.anchor == "start" for one in patterns.values()):
        notes.remark(
            "Patterns that were anchored at the start only matched longer paths, too; here a path "
            'matches as a whole. For what lies below a directory add a "tree" field.'
        )
    notes.remark(
        "Values were not checked when lucidity wrote a path; here a path that cannot be read "
        "cannot be written."
    )


# --- making -------------------------------------------------------------------------------------


class _Filler:
    def __init__(self, draft: Draft, patterns: Mapping[str, Pattern], root: str) -> None:
        self._draft = draft
        self._notes = draft.notes
        self._patterns = patterns
        self._root = root
        self._fields: dict[tuple[str, str], str] = {}
        self._choices: dict[str, dict[str, str]] = {}
        self._absolute: list[Pattern] = []

    def fill(self) -> None:
        for one in self._patterns.values():
            self._choices[one.name] = self._choice(one)
        for one in self._patterns.values():
            parts = self._parts(one, self._choices[one.name], start=True)
            self._check_anchor(one)
            self._draft.add_template(one.name, parts, one.place, root=self._root)
        names = {one.shown: name for name, one in self._draft.templates.items()}

        def renamed(part: Part) -> Parts:
            return (Refer(names[part.template]) if isinstance(part, Refer) else part,)

        for template in self._draft.templates.values():
            template.parts = mapped(template.parts, renamed)
        if self._absolute:
            self._notes.note(
                Severity.GUESSED,
                self._absolute[0].place,
                "patterns that begin with a slash or a drive are taken "
                "relative to the show's directory",
                "take the elements out that lead to the show, and let the root's URL end with them",
            )

    def _flat(self, one: Pattern) -> Iterator[tuple[Hole, str]]:
        """Yield the placeholders of *one* and of what it refers to, with their expressions."""
        for piece in one.pieces:
            if isinstance(piece, Hole):
                yield piece, one.default if piece.expression is None else piece.expression
            elif isinstance(piece, Reference):
                yield from self._flat(self._patterns[piece.name])

    def _choice(self, one: Pattern) -> dict[str, str]:
        """Return the one expression that each placeholder of *one* gets."""
        found: dict[str, list[str]] = {}
        counts: dict[str, int] = {}
        for hole, expression in self._flat(one):
            several = found.setdefault(hole.name, [])
            counts[hole.name] = counts.get(hole.name, 0) + 1
            if expression not in several:
                several.append(expression)
        chosen: dict[str, str] = {}
        for name, several in found.items():
            special = [text for text in several if text != one.default] or several
            chosen[name] = special[0]
            if len(special) > 1:
                self._notes.note(
                    Severity.GUESSED,
                    one.place,
                    f'pattern "{one.name}": placeholder "{name}" has several expressions; '
                    f"{special[0]} counts",
                    "give it one",
                )
            if counts[name] > 1 and not one.strict:
                self._notes.note(
                    Severity.NARROWED,
                    one.place,
                    f'pattern "{one.name}": placeholder "{name}" stands there {counts[name]} '
                    "times, and must be the same text each time",
                    "give the others names of their own if they may differ",
                )
        return chosen

    def _parts(self, one: Pattern, choice: Mapping[str, str], *, start: bool) -> Parts:
        parts: list[Part] = []
        for index, piece in enumerate(one.pieces):
            if isinstance(piece, str):
                parts.append(Text(self._text(one, piece, first=start and index == 0)))
            elif isinstance(piece, Hole):
                last = index == len(one.pieces) - 1 and _ends_with_slash(parts)
                parts.append(Use(self._field(one, piece.name, choice[piece.name], last=last)))
            else:
                parts.extend(self._reference(piece, choice, first=start and index == 0))
        return merged(tuple(parts))

    def _reference(self, piece: Reference, choice: Mapping[str, str], *, first: bool) -> Parts:
        target = self._patterns[piece.name]
        own = self._choices.get(piece.name) or self._choice(target)
        agrees = all(choice[name] == expression for name, expression in own.items())
        # A reference stands for elements without the slash before them.
        if agrees and (first or not _begins_with_slash(target, self._patterns)):
            return (Refer(piece.name),)
        return self._parts(target, choice, start=first)

    def _text(self, one: Pattern, text: str, *, first: bool) -> str:
        text = text.replace("\\", "/")
        absolute = first and (text.startswith("/") or re.match(r"[A-Za-z]:", text))
        if absolute and one not in self._absolute:
            self._absolute.append(one)
        return text

    def _check_anchor(self, one: Pattern) -> None:
        if one.anchor in ("end", None):
            where = "at its end only" if one.anchor == "end" else "nowhere"
            self._notes.note(
                Severity.NARROWED,
                one.place,
                f'pattern "{one.name}" is anchored {where}: it matched paths with anything before '
                "it; here it begins in the show's directory",
                "write the elements before it",
            )

    def _field(self, one: Pattern, name: str, expression: str, *, last: bool) -> str:
        body = self._body(one, name, expression, last=last)
        key = (name, f"{body['type']} {expression}")
        if key not in self._fields:
            self._fields[key] = self._draft.add_field(name, name, body, one.place)
        return self._fields[key]

    def _body(self, one: Pattern, name: str, expression: str, *, last: bool) -> Body:
        if expression == DEFAULT_EXPRESSION:
            return {"type": "str", "pattern": _DEFAULT_PATTERN}
        words = _WORDS.fullmatch(expression)
        if words is not None:
            return {"type": "enum", "choices": list(dict.fromkeys(words.group(1).split("|")))}
        shown = f'pattern "{one.name}": placeholder "{name}"'
        try:
            carried = carry(expression)
        except NotCarried as error:
            self._notes.note(
                Severity.WIDENED,
                one.place,
                f"{shown}: the expression {expression!r} cannot be said ({error.reason}); any name "
                "is accepted",
                'write a "pattern" of our subset',
            )
            return {"type": "str", "pattern": ANY_NAME}
        if carried.slash_lost and last and carried.pattern == ANY_NAME:
            return {"type": "tree"}
        if carried.slash_lost:
            self._notes.note(
                Severity.NARROWED,
                one.place,
                f'{shown}: {expression} matched "/", too; a field is within one element',
                "write several fields, or a tree at the end of the path",
            )
        if carried.empty_lost:
            self._notes.note(
                Severity.NARROWED,
                one.place,
                f"{shown}: {expression} matched the empty text, too; a field is never empty",
                f"write [{{{name}}}] in the path if it may be missing",
            )
        return {"type": "str", "pattern": carried.pattern}


def _ends_with_slash(parts: list[Part]) -> bool:
    return bool(parts) and isinstance(last := parts[-1], Text) and last.text.endswith("/")


def _begins_with_slash(one: Pattern, patterns: Mapping[str, Pattern]) -> bool:
    first = one.pieces[0] if one.pieces else ""
    if isinstance(first, Reference):
        return _begins_with_slash(patterns[first.name], patterns)
    return isinstance(first, str) and first.startswith(("/", "\\"))
