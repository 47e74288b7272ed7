"""The texts of templates: references put in, optional parts spelled out, elements proven.

Each template is read once, however many others refer to it, and a mistake is told where it is
written: a template that refers to a broken one is silently broken too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized

from shotfs.pathspec.automata import Budget, TooComplex
from shotfs.pathspec.elements import has_only_choices, spells, text_of
from shotfs.pathspec.field_table import FieldTable
from shotfs.pathspec.fields import name_problem
from shotfs.pathspec.matcher import impossible
from shotfs.pathspec.model import RESERVED
from shotfs.pathspec.pattern import Variant
from shotfs.pathspec.problems import Report, suggest
from shotfs.pathspec.readings import ElementProofs
from shotfs.pathspec.section import Section
from shotfs.pathspec.tokens import (
    FieldRef,
    Literal,
    Part,
    TemplateError,
    TemplateRef,
    Token,
    merge_literals,
    parse_template,
    split_elements,
)

ELEMENTS_MAX = 64
"""Walks recurse once an element, so a limit there must be."""
PATH_BYTES_MAX = 1024
"""The longest key that object stores take."""
OPTIONS_MAX = 4
"""Optional parts of one template: each doubles its variants."""
REFERENCE_DEPTH_MAX = 16
SIGNS_MAX = 6_000_000
SIGNS_PER_TEXT = 10
"""What the paths of all templates may come to, once references are put in and optional parts are
spelled out: characters, and `PART_SIGNS` for each piece. For each character of the documents'
templates `SIGNS_PER_TEXT` more: only what multiplies is bounded so."""
PART_SIGNS = 16
PARTS_MAX = 1024
"""Pieces of one template with all that it refers to; each takes a byte of the path at least."""

Elements = list[tuple[Token, ...]]


class TemplateTexts:
    """Turns the paths of templates into variants; mistakes are noted."""

    def __init__(
        self, sections: Mapping[str, Section], table: FieldTable, proofs: ElementProofs
    ) -> None:
        """Take the objects that declare the templates, by name."""
        self._sections = sections
        self._table = table
        self._proofs = proofs
        self._expanded: dict[str, tuple[Part, ...] | None] = {}
        self._referred: set[str] = set()
        paths = (one.raw("path") for one in sections.values())
        texts = (one.value for one in paths if one is not None and isinstance(one.value, str))
        self._room = Budget(SIGNS_MAX + SIGNS_PER_TEXT * sum(map(len, texts)))

    def check(self, name: str) -> None:
        """Check the template *name* as far as can be without knowing what it becomes part of."""
        self._expand(name, ())

    def warn_unused(self, abstract: Iterable[str], source: str, warnings: Report) -> None:
        """Note each of *abstract* in the document *source* that no template refers to.

        What included documents declare is for many shows: no show need use it all.
        """
        for name in abstract:
            section = self._sections[name]
            if name not in self._referred and section.source == source:
                message = f'no template refers to the abstract template "{name}"'
                warnings.add(section.where, message, section.offset, "remove it")

    def variants(self, name: str) -> tuple[Variant, ...] | None:
        """Return the variants of *name*, the first with all optional parts; None for a mistake."""
        parts = self._expand(name, ())
        if parts is None:
            return None
        section = self._sections[name]
        for part in parts:
            if part.option is not None and self._is_tree(part.piece):
                section.problem_at(
                    "path", part.index, "a tree cannot be optional", "write a second template"
                )
                return None
        variants: dict[tuple[tuple[Token, ...], ...], Variant] = {}
        for kept in _choices(parts):
            if not self._has_room(kept, section):
                return None
            elements = split_elements(merge_literals(_tokens(kept)))
            wrong = self._problem(elements)
            if wrong is None and tuple(elements) in variants:
                wrong = 0, "two of its variants are the same path", "remove an optional part"
            if wrong is not None:
                number, message, fix = wrong
                if len(kept) < len(parts):
                    shown = "/".join(map(text_of, elements))
                    message = f'{message}, in the variant "{shown[:200]}"'
                section.problem_at("path", _start(kept, number), message, fix)
                return None
            variants[tuple(elements)] = Variant(tuple(elements), self._tree_of(elements))
        return tuple(variants.values())

    def _has_room(self, parts: Sequence[Part], section: Section) -> bool:
        """Take *parts* off what all paths may come to; note it where that is used up."""
        signs = sum(len(one.piece.text) for one in parts if isinstance(one.piece, Literal))
        try:
            self._room.spend(signs + PART_SIGNS * len(parts))
        except TooComplex:
            section.problem(
                "path",
                "the references and optional parts of all templates together come to too much",
                "use fewer optional parts, and write less into what many templates refer to",
            )
            return False
        return True

    def _expand(self, name: str, above: tuple[str, ...]) -> tuple[Part, ...] | None:
        if name not in self._expanded:
            self._expanded[name] = self._expand_once(name, above)
        return self._expanded[name]

    def _expand_once(self, name: str, above: tuple[str, ...]) -> tuple[Part, ...] | None:
        section = self._sections[name]
        text = section.text("path")
        if text is None:
            if "path" not in section:
                section.missing(f'template "{name}" has no path', 'add "path": "..."')
            return None
        if text == "":
            section.problem(
                "path", "the path is empty", "write a path relative to the show's directory"
            )
            return None
        try:
            parts = parse_template(text)
        except TemplateError as error:
            section.problem_at("path", error.index, error.message, error.fix)
            return None
        result: list[Part] = []
        options: dict[tuple[int, int | None], int] = {}
        for place, part in enumerate(parts):
            found = self._parts_of(part, section, (*above, name))
            if found is None:
                return None
            for inner in found:
                option = None
                if part.option is not None:
                    option = options.setdefault((-1, part.option), len(options))
                elif inner.option is not None:
                    option = options.setdefault((place, inner.option), len(options))
                result.append(Part(inner.piece, part.index, option, inner is not part))
            reason = _too_much(result, options)
            if reason is not None:
                section.problem_at("path", part.index, *reason)
                return None
        return tuple(result) if self._has_room(result, section) else None

    def _parts_of(
        self, part: Part, section: Section, above: tuple[str, ...]
    ) -> tuple[Part, ...] | None:
        """Return what *part* of the last template of *above* stands for, or None for a mistake."""
        piece = part.piece
        if isinstance(piece, Literal):
            return (part,)
        reason = None
        if isinstance(piece, FieldRef):
            if piece.name in self._table.fields:
                return (part,)
            if piece.name in self._table.broken or section.report.incomplete:
                return None
            fix = suggest(piece.name, self._table.fields)
            reason = (
                f'the path uses the unknown field "{piece.name}"',
                f'{fix}, or declare it under "fields"',
            )
        elif piece.name not in self._sections:
            if section.report.incomplete:
                return None
            reason = (
                f'the path refers to the unknown template "{piece.name[:100]}"',
                suggest(piece.name, self._sections),
            )
        elif piece.name in above:
            circle = " refers to ".join((*above[above.index(piece.name) :], piece.name))
            reason = f"the templates go in a circle: {circle}", "write the path out in one of them"
        elif len(above) > REFERENCE_DEPTH_MAX:
            reason = f"more than {REFERENCE_DEPTH_MAX} levels of references", "refer directly"
        else:
            self._referred.add(piece.name)
            inner = self._expand(piece.name, above)
            if inner is None or part.option is None or all(one.option is None for one in inner):
                return inner
            reason = (
                f'"{piece.name}" has optional parts and cannot be in one itself',
                "write its path out here",
            )
        section.problem_at("path", part.index, *reason)
        return None

    def _problem(self, elements: Elements) -> tuple[int, str, str | None] | None:
        """Return (number of the element, what is wrong with the path, fix), or None."""
        return (
            _text_problem(elements)
            or self._tree_problem(elements)
            or self._name_problem(elements)
            or self._unproven(elements)
        )

    def _name_problem(self, elements: Elements) -> tuple[int, str, str] | None:
        """Return what is wrong with choices that make an element which cannot be a name.

        What a pattern may spell beside others is passed over: there is simply no such path.
        """
        for number, element in enumerate(elements):
            if not has_only_choices(element, self._table.fields):
                continue
            for name in (".", "..", *((RESERVED,) if number == 0 else ())):
                if spells(element, self._table.fields, name):
                    message = f'the element "{text_of(element)[:200]}" can be "{name}"'
                    return (
                        number,
                        f"{message}: {impossible([name])}",
                        "leave out the choice that makes it so",
                    )
        return None

    def _tree_problem(self, elements: Elements) -> tuple[int, str, str] | None:
        for number, element in enumerate(elements):
            trees = [token for token in element if self._is_tree(token)]
            if trees and (len(element) > 1 or number + 1 < len(elements)):
                return (
                    number,
                    f"the tree {text_of((trees[0],))} must be the whole last element",
                    "end the path with it, or use a str field",
                )
        return None

    def _unproven(self, elements: Elements) -> tuple[int, str, str] | None:
        for number, element in enumerate(elements):
            if not self._is_tree(element[0]):
                reason = self._proofs.problem(element)
                if reason is not None:
                    return (number, *reason)
        return None

    def _is_tree(self, token: Token | TemplateRef) -> bool:
        return isinstance(token, FieldRef) and self._table.fields[token.name].kind == "tree"

    def _tree_of(self, elements: Elements) -> str | None:
        last = elements[-1][0]
        return last.name if isinstance(last, FieldRef) and self._is_tree(last) else None


def _choices(parts: tuple[Part, ...]) -> Iterator[tuple[Part, ...]]:
    """Yield *parts* with all optional ones, then with ever others left out."""
    count = 1 + max((part.option for part in parts if part.option is not None), default=-1)
    for kept in itertools.product((True, False), repeat=count):
        yield tuple(part for part in parts if part.option is None or kept[part.option])


def _tokens(parts: tuple[Part, ...]) -> Iterator[Token]:
    for part in parts:
        assert not isinstance(part.piece, TemplateRef), "references are put in"
        yield part.piece


def _too_much(parts: list[Part], options: Sized) -> tuple[str, str] | None:
    if len(parts) > PARTS_MAX:
        return "the path is too long for an object key", "shorten it"
    if len(options) > OPTIONS_MAX:
        return f"more than {OPTIONS_MAX} optional parts", "write a second template"
    return None


def _start(parts: tuple[Part, ...], number: int) -> int:
    """Return at which character of the template's text its element *number* begins."""
    starts = [parts[0].index if parts else 0]
    for part in parts:
        if isinstance(part.piece, Literal):
            starts.extend(
                part.index if part.foreign else part.index + slash.end()
                for slash in re.finditer("/", part.piece.text)
            )
    return starts[min(number, len(starts) - 1)]


def _text_problem(elements: Elements) -> tuple[int, str, str] | None:
    if elements == [()]:
        return 0, "the path is empty", "write a path relative to the show's directory"
    if not elements[0]:
        return (
            0,
            "the path is absolute",
            "leave the first slash out: paths begin in the show's directory",
        )
    literals = [
        "".join(token.text for token in one if isinstance(token, Literal)) for one in elements
    ]
    if len("/".join(literals).encode()) > PATH_BYTES_MAX:
        return 0, "the path is too long for an object key", "shorten it"
    if len(elements) > ELEMENTS_MAX:
        return (
            ELEMENTS_MAX,
            f"the path has more than {ELEMENTS_MAX} elements",
            "use a tree field for the rest",
        )
    if elements[0] == (Literal(RESERVED),):
        return (
            0,
            f'"{RESERVED}" at the top of a show is reserved for what shotfs keeps there',
            "choose another name",
        )
    for number, (element, literal) in enumerate(zip(elements, literals, strict=True)):
        if not element:
            return (
                number,
                "the path has an empty element",
                'remove the "/" at the end or the second of "//"',
            )
        if literal in (".", "..") and element == (Literal(literal),):
            return number, f'the path has the element "{literal}"', "write where the path really is"
        reason = name_problem(literal) if literal else None
        if reason is not None:
            return (
                number,
                f"the element {literal[:60]!r} cannot be a name: {reason}",
                "shorten or remove it",
            )
    return None
