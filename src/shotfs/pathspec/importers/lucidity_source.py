"""Reads patterns of lucidity into pieces: text, placeholders and references. Pure."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.pathspec.importers.report import Notes, Place, Severity
from shotfs.pathspec.importers.source import Value
from shotfs.pathspec.problems import suggest

PATTERN_CHARACTERS_MAX = 20_000
DEPTH_MAX = 16
EXPANDED_MAX = 1000
"""Placeholders of one pattern with all that it refers to."""

DEFAULT_EXPRESSION = r"[\w_.\-]+"
_PLACEHOLDER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*", re.ASCII)
_OPTIONS = ("name", "pattern", "anchor", "duplicate_placeholder_mode",
            "default_placeholder_expression")  # fmt: skip
_ANCHORS = {1: "start", 2: "end", 3: "both"}
_MODES = {1: "relaxed", 2: "strict"}


@dataclass(frozen=True, slots=True)
class Hole:
    """A placeholder of a pattern; *expression* is None where it says none."""

    name: str
    expression: str | None


@dataclass(frozen=True, slots=True)
class Reference:
    """The place of another pattern."""

    name: str


Piece = str | Hole | Reference


@dataclass(slots=True)
class Pattern:
    """One pattern.

    Attributes:
        anchor: "start", "end", "both", or None for a pattern that may match anywhere.
        strict: placeholders of one name must have one text.
        default: the expression of placeholders that say none.
    """

    name: str
    pieces: list[Piece]
    place: Place
    anchor: str | None = "start"
    strict: bool = False
    default: str = DEFAULT_EXPRESSION


def read_patterns(top: Value, notes: Notes) -> dict[str, Pattern]:
    """Return the patterns of *top* by name, in order; mistakes are noted."""
    place = Place("")
    if isinstance(top.value, dict) and set(top.value) == {"templates"}:
        inner = top.value["templates"]
        if isinstance(inner.value, dict | list):
            top, place = inner, place.below("templates", inner)
    found: dict[str, Pattern] = {}
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


def _add(found: dict[str, Pattern], one: Pattern | None, notes: Notes) -> None:
    if one is None:
        return
    if one.name in found:
        notes.mistake(one.place, f'a pattern "{one.name}" stands above', "rename one of them")
        return
    found[one.name] = one


def _item(value: Value, place: Place, notes: Notes) -> Pattern | None:
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


def _member(name: str, value: Value, place: Place, notes: Notes) -> Pattern | None:
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


def _pattern(options: dict[str, Any], place: Place, notes: Notes) -> Pattern | None:
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
    made = Pattern(name, pieces, place)
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


def _pieces(name: str, text: str, place: Place, notes: Notes) -> list[Piece] | None:
    pieces: list[Piece] = []
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


def _hole(template: str, text: str, place: Place, notes: Notes) -> Piece | None:
    name, mark, expression = text.partition(":")
    if name.startswith("@") and not mark:
        return Reference(name[1:])
    if _PLACEHOLDER_NAME.fullmatch(name) is None or (mark and not expression):
        notes.mistake(
            place,
            f'pattern "{template}": "{{{text[:60]}}}" is no placeholder',
            "its name may have letters, digits, _ and . in it",
        )
        return None
    return Hole(name, expression.replace(r"\{", "{").replace(r"\}", "}") if mark else None)


# --- references ---------------------------------------------------------------------------------


def check_references(patterns: Mapping[str, Pattern], notes: Notes) -> None:
    """Note references to unknown patterns, circles, and what becomes too large."""
    heights: dict[str, int] = {}
    sizes: dict[str, int] = {}

    def visit(one: Pattern, above: tuple[str, ...]) -> None:
        height, size = 0, len(one.pieces)
        for piece in one.pieces:
            if not isinstance(piece, Reference):
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
