"""The text of a template of any system, cut into parts, and what can be done with parts.

All functions are pure; parts are immutable. `Refer` stands for the parts of another template.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """Text that stands in the path as it is; may hold "/"."""

    text: str


@dataclass(frozen=True, slots=True)
class Use:
    """The place of a field."""

    field: str


@dataclass(frozen=True, slots=True)
class Refer:
    """The place of another template's parts."""

    template: str


@dataclass(frozen=True, slots=True)
class Maybe:
    """Parts that a path has or has not, together."""

    parts: Parts


Part = Text | Use | Refer | Maybe
Parts = tuple[Part, ...]
Templates = Mapping[str, Parts]

_ESCAPES = str.maketrans({"{": "{{", "}": "}}", "[": "[[", "]": "]]"})


def written(parts: Parts) -> str:
    """Return *parts* as our documents write them."""
    return "".join(_written(part) for part in parts)


def _written(part: Part) -> str:
    match part:
        case Text(text):
            return text.translate(_ESCAPES)
        case Use(field):
            return f"{{{field}}}"
        case Refer(template):
            return f"{{@{template}}}"
        case Maybe(parts):
            return f"[{written(parts)}]"


def each(parts: Parts) -> Iterator[Part]:
    """Yield *parts* in order, those of optional parts included, references as they are."""
    for part in parts:
        yield part
        if isinstance(part, Maybe):
            yield from each(part.parts)


def mapped(parts: Parts, change: Callable[[Part], Parts]) -> Parts:
    """Return *parts* with what *change* makes of each, inside optional parts, too."""
    made: list[Part] = []
    for part in parts:
        if isinstance(part, Maybe):
            inner = mapped(part.parts, change)
            made.extend([Maybe(inner)] if inner else [])
        else:
            made.extend(change(part))
    return merged(tuple(made))


def merged(parts: Parts) -> Parts:
    """Return *parts* with neighbouring texts as one, and without empty ones."""
    made: list[Part] = []
    for part in parts:
        if isinstance(part, Text) and made and isinstance(last := made[-1], Text):
            made[-1] = Text(last.text + part.text)
        elif part != Text(""):
            made.append(part)
    return tuple(made)


def inlined(parts: Parts, templates: Templates) -> Parts:
    """Return *parts* with every reference replaced by what it stands for."""

    def change(part: Part) -> Parts:
        return inlined(templates[part.template], templates) if isinstance(part, Refer) else (part,)

    return mapped(parts, change)


def variants(parts: Parts) -> Iterator[Parts]:
    """Yield *parts*, without references, with and without each optional part; all of them first."""
    ways = [
        [part.parts, ()] if isinstance(part, Maybe) else [(part,)] for part in parts
    ]  # fmt: skip
    for chosen in itertools.product(*ways):
        flat = merged(tuple(itertools.chain.from_iterable(chosen)))
        if any(isinstance(part, Maybe) for part in flat):
            yield from variants(flat)
        else:
            yield flat


def elements(flat: Parts) -> list[Parts]:
    """Cut *flat*, which holds texts and fields only, at each "/"."""
    made: list[list[Part]] = [[]]
    for part in flat:
        if not isinstance(part, Text):
            made[-1].append(part)
            continue
        first, *others = part.text.split("/")
        made[-1].append(Text(first))
        made.extend([Text(other)] for other in others)
    return [merged(tuple(one)) for one in made]


def optional_count(parts: Parts) -> int:
    """Return how many optional parts *parts* has, nested ones included."""
    return sum(isinstance(part, Maybe) for part in each(parts))


def is_nested(parts: Parts) -> bool:
    """Return whether an optional part holds another."""
    return any(isinstance(one, Maybe) and optional_count(one.parts) > 0 for one in parts)


def tidied(parts: Parts) -> Parts:
    """Return *parts* without empty path elements: "/" at the ends, "//", and an optional part that
    is a whole element between two slashes takes one of them in.
    """
    made: list[Part] = []
    listed = _single_slashes(merged(parts))
    for index, part in enumerate(listed):
        following = listed[index + 1] if index + 1 < len(listed) else None
        before = made[-1] if made else None
        if isinstance(part, Maybe) and _whole_element(part, before, following):
            # x/[y]/z becomes x[/y]/z, and [y]/z becomes [y/]z.
            if isinstance(before, Text):
                made[-1] = Text(before.text[:-1])
                made.append(Maybe(merged((Text("/"), *part.parts))))
            else:
                assert isinstance(following, Text), "it begins with a slash"
                listed[index + 1] = Text(following.text[1:])
                made.append(Maybe(merged((*part.parts, Text("/")))))
        else:
            made.append(part)
    return _without_slashes(merged(tuple(made)))


def _single_slashes(parts: Parts) -> list[Part]:
    """Return *parts* where an optional part does not repeat a slash beside it."""
    listed = list(parts)
    for index, part in enumerate(listed):
        if not isinstance(part, Maybe):
            continue
        inner = list(part.parts)
        before = listed[index - 1] if index else None
        after = listed[index + 1] if index + 1 < len(listed) else None
        if isinstance(before, Text) and before.text.endswith("/") and isinstance(inner[0], Text):
            inner[0] = Text(inner[0].text.lstrip("/"))
        if isinstance(after, Text) and after.text.startswith("/") and isinstance(inner[-1], Text):
            inner[-1] = Text(inner[-1].text.rstrip("/"))
        listed[index] = Maybe(merged(tuple(inner)))
    return listed


def _whole_element(part: Maybe, before: Part | None, following: Part | None) -> bool:
    first, last = part.parts[0], part.parts[-1]
    opened = before is None or (isinstance(before, Text) and before.text.endswith("/"))
    closed = following is None or (isinstance(following, Text) and following.text.startswith("/"))
    slashed = (isinstance(first, Text) and first.text.startswith("/")) or (
        isinstance(last, Text) and last.text.endswith("/")
    )
    return opened and closed and not slashed and not (before is None and following is None)


def _without_slashes(parts: Parts) -> Parts:
    def change(part: Part) -> Parts:
        if not isinstance(part, Text):
            return (part,)
        text = part.text
        while "//" in text or "/./" in text:
            text = text.replace("//", "/").replace("/./", "/")
        return (Text(text),)

    made = list(mapped(parts, change))
    if made and isinstance(made[0], Text):
        made[0] = Text(made[0].text.removeprefix("./").lstrip("/"))
    if made and isinstance(last := made[-1], Text):
        made[-1] = Text(last.text.rstrip("/"))
    return merged(tuple(made))
