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

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.pathspec.importers.draft import Body, Draft
from shotfs.pathspec.importers.parts import Part, Parts, Refer, Text, Use, mapped, merged
from shotfs.pathspec.importers.patterns import ANY_NAME, NotCarried, carry
from shotfs.pathspec.importers.report import TOP, Notes, Place, Severity
from shotfs.pathspec.importers.source import Value, read_source
from shotfs.pathspec.problems import suggest

ROOT = "main"
PATTERN_CHARACTERS_MAX = 20_000
DEPTH_MAX = 16
EXPANDED_MAX = 1000
"""Placeholders of one pattern with all that it refers to."""

DEFAULT_EXPRESSION = r"[\w_.\-]+"
_DEFAULT_PATTERN = "[A-Za-z0-9_.-]+"
_PLACEHOLDER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*", re.ASCII)
_WORDS = re.compile(r"\(?(?:\?:)?([A-Za-z0-9_-]+(?:\|[A-Za-z0-9_-]+)+)\)?", re.ASCII)
_OPTIONS = ("name", "pattern", "anchor", "duplicate_placeholder_mode",
            "default_placeholder_expression")  # fmt: skip
_ANCHORS = {1: "start", 2: "end", 3: "both"}
_MODES = {1: "relaxed", 2: "strict"}


@dataclass(frozen=True, slots=True)
class _Hole:
    """A placeholder of a pattern; *expression* is None where it says none."""

    name: str
    expression: str | None


@dataclass(frozen=True, slots=True)
class _Reference:
    name: str


_Piece = str | _Hole | _Reference


@dataclass(slots=True)
class _Pattern:
    name: str
    pieces: list[_Piece]
    place: Place
    anchor: str | None = "start"
    strict: bool = False
    default: str = DEFAULT_EXPRESSION


def fill(draft: Draft, text: str, source: str, documents: Mapping[str, str]) -> None:
    """Put what *text* says into *draft*. There are no included documents.

    Raises:
        ImportInvalid: the source has mistakes.
    """
    del documents
    notes = draft.notes
    patterns = _read(read_source(text, source), notes)
    notes.refuse_mistakes()
    _check_references(patterns, notes)
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


# --- reading ------------------------------------------------------------------------------------


def _read(top: Value, notes: Notes) -> dict[str, _Pattern]:
    place = Place("")
    if isinstance(top.value, dict) and set(top.value) == {"templates"}:
        inner = top.value["templates"]
        if isinstance(inner.value, dict | list):
            top, place = inner, place.below("templates", inner)
    found: dict[str, _Pattern] = {}
    if isinstance(top.value, dict):
        for repeated in top.repeated:
            notes.mistake(place, f'"{repeated}" stands here twice', "remove one of them")
        for name, value in top.value.items():
            _add(found, _member(name, value, place.below(name, value), notes), notes)
    elif isinstance(top.value, list):
        for index, value in enumerate(top.value):
            _add(found, _item(value, place.below(index, value), notes), notes)
    else:
        notes.mistake(place, f"the document must be a mapping or a list, not {top.kind}")
    return found


def _add(found: dict[str, _Pattern], one: _Pattern | None, notes: Notes) -> None:
    if one is None:
        return
    if one.name in found:
        notes.mistake(one.place, f'a pattern "{one.name}" stands above', "rename one of them")
        return
    found[one.name] = one


def _item(value: Value, place: Place, notes: Notes) -> _Pattern | None:
    if isinstance(value.value, str):
        options = _constructor(value.value)
        if options is None:
            notes.mistake(
                place,
                "a text in a list must be a constructor",
                "write Template('name', 'pattern'), or name: pattern",
            )
            return None
        return _pattern(options, place, notes)
    if isinstance(value.value, list):
        texts = [item.value for item in value.value]
        if len(texts) == 2 and all(isinstance(text, str) for text in texts):
            return _pattern({"name": texts[0], "pattern": texts[1]}, place, notes)
        notes.mistake(place, "a list must be [name, pattern]")
        return None
    if isinstance(value.value, dict):
        if "pattern" not in value.value and len(value.value) == 1:
            name, inner = next(iter(value.value.items()))
            return _member(name, inner, place.below(name, inner), notes)
        return _pattern(_plain(value), place, notes)
    notes.mistake(place, f"a pattern cannot be {value.kind}")
    return None


def _member(name: str, value: Value, place: Place, notes: Notes) -> _Pattern | None:
    if isinstance(value.value, str):
        return _pattern({"name": name, "pattern": value.value}, place, notes)
    if isinstance(value.value, dict):
        return _pattern({"name": name} | _plain(value), place, notes)
    notes.mistake(place, f'pattern "{name}" cannot be {value.kind}', 'write name: "pattern"')
    return None


def _plain(value: Value) -> dict[str, Any]:
    assert isinstance(value.value, dict)
    return {name: member.value for name, member in value.value.items()}


def _constructor(text: str) -> dict[str, Any] | None:
    """Return the arguments of ``Template('name', 'pattern', ...)``; nothing is run."""
    try:
        with warnings.catch_warnings():
            # Patterns are full of escapes that Python's own strings do not know.
            warnings.simplefilter("ignore")
            call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(call, ast.Call) or _last_name(call.func) != "Template":
        return None
    arguments = dict(zip(("name", "pattern", "anchor"), call.args, strict=False))
    arguments |= {one.arg or "**": one.value for one in call.keywords}
    options: dict[str, Any] = {}
    for name, node in arguments.items():
        if isinstance(node, ast.Constant):
            options[name] = node.value
        else:
            options[name] = _last_name(node)
    options.pop("template_resolver", None)  # all patterns here know each other
    return options


def _last_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _pattern(options: dict[str, Any], place: Place, notes: Notes) -> _Pattern | None:
    name, text = options.get("name"), options.get("pattern")
    for option in options:
        if option not in _OPTIONS:
            notes.mistake(
                place,
                f'"{option}" is no option of a pattern',
                f"write one of {', '.join(_OPTIONS)}",
            )
    if not isinstance(name, str) or not name or not isinstance(text, str):
        notes.mistake(place, "a pattern needs a name and a pattern, both texts")
        return None
    if len(text) > PATTERN_CHARACTERS_MAX:
        notes.mistake(place, f"longer than {PATTERN_CHARACTERS_MAX} characters")
        return None
    pieces = _pieces(name, text, place, notes)
    if pieces is None:
        return None
    made = _Pattern(name, pieces, place)
    default = options.get("default_placeholder_expression")
    if isinstance(default, str):
        made.default = default
    if "anchor" in options:
        made.anchor = _word(options["anchor"], _ANCHORS, "ANCHOR_", place, notes)
    mode = options.get("duplicate_placeholder_mode", 1)
    made.strict = _word(mode, _MODES, "", place, notes) == "strict"
    return made


def _word(
    value: Any, numbers: Mapping[int, str], prefix: str, place: Place, notes: Notes
) -> str | None:
    if value is None or str(value).lower() == "none":
        return None
    word = numbers.get(value, "") if isinstance(value, int) else str(value)
    word = word.upper().removeprefix(prefix).lower()
    if word not in numbers.values():
        notes.mistake(place, f"{value!r} is none of {', '.join(numbers.values())}")
    return word


def _pieces(name: str, text: str, place: Place, notes: Notes) -> list[_Piece] | None:
    pieces: list[_Piece] = []
    index = 0
    while index < len(text):
        start = text.find("{", index)
        if start < 0:
            pieces.append(text[index:])
            break
        if start > index:
            pieces.append(text[index:start])
        end, plain = _closing(text, start)
        if end < 0:
            notes.mistake(
                place, f'pattern "{name}": "{{" without "}}" (character {start + 1})', "close it"
            )
            return None
        if not plain:
            notes.note(
                Severity.GUESSED,
                place,
                f'pattern "{name}": {text[start : end + 1]} has braces that are not escaped, and '
                "was read as it was meant",
            )
        hole = _hole(name, text[start + 1 : end], place, notes)
        if hole is None:
            return None
        pieces.append(hole)
        index = end + 1
    return pieces


def _closing(text: str, start: int) -> tuple[int, bool]:
    """Return (index of the brace that closes the one at *start*, no bare brace was between)."""
    depth, index, plain = 0, start, True
    while index < len(text):
        sign = text[index]
        if sign == "\\":
            index += 1
        elif sign == "{":
            depth += 1
            plain = plain and depth == 1
        elif sign == "}":
            depth -= 1
            if depth == 0:
                return index, plain
        index += 1
    return -1, plain


def _hole(template: str, text: str, place: Place, notes: Notes) -> _Piece | None:
    name, mark, expression = text.partition(":")
    if name.startswith("@") and not mark:
        return _Reference(name[1:])
    if _PLACEHOLDER_NAME.fullmatch(name) is None or (mark and not expression):
        notes.mistake(
            place,
            f'pattern "{template}": "{{{text[:60]}}}" is no placeholder',
            "its name may have letters, digits, _ and . in it",
        )
        return None
    return _Hole(name, expression.replace(r"\{", "{").replace(r"\}", "}") if mark else None)


# --- references ---------------------------------------------------------------------------------


def _check_references(patterns: Mapping[str, _Pattern], notes: Notes) -> None:
    heights: dict[str, int] = {}
    sizes: dict[str, int] = {}

    def visit(one: _Pattern, above: tuple[str, ...]) -> None:
        height, size = 0, len(one.pieces)
        for piece in one.pieces:
            if not isinstance(piece, _Reference):
                continue
            target = patterns.get(piece.name)
            chain = (*above, one.name)
            if target is None:
                notes.mistake(
                    one.place,
                    f'pattern "{one.name}" refers to the unknown pattern "{piece.name}"',
                    suggest(piece.name, patterns),
                )
            elif piece.name in chain or len(chain) > DEPTH_MAX:
                notes.mistake(
                    one.place,
                    f'pattern "{one.name}" refers to itself, or through more than {DEPTH_MAX} '
                    "others",
                    "untangle it",
                )
            else:
                if piece.name not in heights:
                    visit(target, chain)
                height = max(height, heights[piece.name] + 1)
                size += sizes[piece.name]
        if height > DEPTH_MAX or size > EXPANDED_MAX:
            notes.mistake(one.place, f'pattern "{one.name}" becomes too large', "split it")
        heights[one.name], sizes[one.name] = height, min(size, EXPANDED_MAX)

    for one in patterns.values():
        if one.name not in heights:
            visit(one, ())


# --- making -------------------------------------------------------------------------------------


class _Filler:
    def __init__(self, draft: Draft, patterns: Mapping[str, _Pattern], root: str) -> None:
        self._draft = draft
        self._notes = draft.notes
        self._patterns = patterns
        self._root = root
        self._fields: dict[tuple[str, str], str] = {}
        self._choices: dict[str, dict[str, str]] = {}
        self._absolute: list[_Pattern] = []

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
                f"{len(self._absolute)} patterns begin with a slash or a drive: they are taken "
                "relative to the show's directory",
                "take the elements out that lead to the show, and let the root's URL end with them",
            )

    def _flat(self, one: _Pattern) -> Iterator[tuple[_Hole, str]]:
        """Yield the placeholders of *one* and of what it refers to, with their expressions."""
        for piece in one.pieces:
            if isinstance(piece, _Hole):
                yield piece, one.default if piece.expression is None else piece.expression
            elif isinstance(piece, _Reference):
                yield from self._flat(self._patterns[piece.name])

    def _choice(self, one: _Pattern) -> dict[str, str]:
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

    def _parts(self, one: _Pattern, choice: Mapping[str, str], *, start: bool) -> Parts:
        parts: list[Part] = []
        for index, piece in enumerate(one.pieces):
            if isinstance(piece, str):
                parts.append(Text(self._text(one, piece, first=start and index == 0)))
            elif isinstance(piece, _Hole):
                last = index == len(one.pieces) - 1 and _ends_with_slash(parts)
                parts.append(Use(self._field(one, piece.name, choice[piece.name], last=last)))
            else:
                parts.extend(self._reference(piece, choice, first=start and index == 0))
        return merged(tuple(parts))

    def _reference(self, piece: _Reference, choice: Mapping[str, str], *, first: bool) -> Parts:
        target = self._patterns[piece.name]
        own = self._choices.get(piece.name) or self._choice(target)
        agrees = all(choice[name] == expression for name, expression in own.items())
        # A reference stands for elements without the slash before them.
        if agrees and (first or not _begins_with_slash(target, self._patterns)):
            return (Refer(piece.name),)
        return self._parts(target, choice, start=first)

    def _text(self, one: _Pattern, text: str, *, first: bool) -> str:
        text = text.replace("\\", "/")
        absolute = first and (text.startswith("/") or re.match(r"[A-Za-z]:", text))
        if absolute and one not in self._absolute:
            self._absolute.append(one)
        return text

    def _check_anchor(self, one: _Pattern) -> None:
        if one.anchor in ("end", None):
            where = "at its end only" if one.anchor == "end" else "nowhere"
            self._notes.note(
                Severity.NARROWED,
                one.place,
                f'pattern "{one.name}" is anchored {where}: it matched paths with anything before '
                "it; here it begins in the show's directory",
                "write the elements before it",
            )

    def _field(self, one: _Pattern, name: str, expression: str, *, last: bool) -> str:
        body = self._body(one, name, expression, last=last)
        key = (name, f"{body['type']} {expression}")
        if key not in self._fields:
            self._fields[key] = self._draft.add_field(name, name, body, one.place)
        return self._fields[key]

    def _body(self, one: _Pattern, name: str, expression: str, *, last: bool) -> Body:
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


def _begins_with_slash(one: _Pattern, patterns: Mapping[str, _Pattern]) -> bool:
    first = one.pieces[0] if one.pieces else ""
    if isinstance(first, _Reference):
        return _begins_with_slash(patterns[first.name], patterns)
    return isinstance(first, str) and first.startswith(("/", "\\"))
