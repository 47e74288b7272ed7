"""Selections: the files of one template whose fields have certain texts, found by listing.

Only directories that can hold such a file are listed: an element whose fields are all known is
written, of any other the names that exist are matched. Of a version field that nothing is said of,
the newest version counts. Event loop only.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from shotfs.errors import InvalidArgument, PathNotFound
from shotfs.pathspec import Specification
from shotfs.pathspec.elements import Element, leaves, write
from shotfs.pathspec.fields import Field
from shotfs.pathspec.pattern import Variant
from shotfs.pathspec.problems import suggest
from shotfs.pathspec.tokens import Token
from shotfs.prewarm.finding import Finder, Visible
from shotfs.prewarm.manifest.frames import parse_frames

_WHOLE = re.compile("-?[0-9]+")


@dataclass(frozen=True, slots=True)
class Selection:
    """Files of a template.

    Attributes:
        show: the show's directory.
        spec: of that show.
        template: its name.
        texts: what fields without parts have, by name; those that the template lacks do not count.
        frames: numbers that its frame fields have; empty for all.
    """

    show: str
    spec: Specification
    template: str
    texts: Mapping[str, str] = field(default_factory=dict)
    frames: frozenset[int] = frozenset()


def select(
    show: str, spec: Specification, template: str, values: Mapping[str, str]
) -> list[Selection]:
    """Return the selections for *values*, by the names of fields, as people write them.

    Frames are sets like ``1001-1010``; numbers need no padding; compounds are taken apart.

    Raises:
        InvalidArgument: there is no such template or field, or a value is none of its field.
    """
    pattern = spec.patterns.get(template)
    if pattern is None:
        raise InvalidArgument(
            f'{show} has no template "{template[:100]}"', fix=suggest(template, spec.templates)
        )
    known = {
        one.name: one for tokens in pattern.variants[0].elements
        for one in leaves(tokens, spec.fields)
    }  # fmt: skip
    texts: dict[str, str] = {}
    frames: frozenset[int] = frozenset()
    for name, value in values.items():
        one = known.get(name)
        if one is None:
            raise InvalidArgument(
                f'template "{template}" has no field "{name[:100]}"', fix=suggest(name, known)
            )
        if one.kind == "frame" and not one.tokens:
            frames = parse_frames(value)
        else:
            texts |= parts_of(spec, one, value)
    return [Selection(show, spec, template, texts, frames)]


def parts_of(spec: Specification, one: Field, value: str) -> dict[str, str]:
    """Return the texts of the fields without parts that *one* has if its text is *value*.

    Raises:
        InvalidArgument: it cannot be.
    """
    if not one.tokens:
        return {one.name: text_of(one, value)}
    found = Element(one.tokens, spec.fields).find(value)
    if found is None:
        raise InvalidArgument(
            f'field "{one.name}" cannot be {value[:100]!r}', fix=f"it is {one.wants}"
        )
    return _plain(spec, found.groupdict())


def text_of(one: Field, value: str) -> str:
    """Return the text of *value* in the field *one*: a number may lack its padding.

    Raises:
        InvalidArgument: it is no value of it.
    """
    problem = one.problem(value)
    if problem is None:
        return value
    if value.isascii() and value.lstrip("-").isdigit():
        try:
            return one.format(int(value))
        except (InvalidArgument, ValueError):
            pass
    raise InvalidArgument(
        f'field "{one.name}" cannot be {value[:100]!r}: {problem}', fix=f"it is {one.wants}"
    )


async def files_of(
    selection: Selection, finder: Finder, visible: Visible | None = None
) -> AsyncGenerator[str, None]:
    """Yield the mount-relative paths of the files of *selection* that exist, or may.

    Raises:
        TierError: an origin had to list and could not.
    """
    pattern = selection.spec.patterns[selection.template]
    for variant in pattern.variants:
        walk = _Walk(selection, variant, finder, visible)
        async with aclosing(walk.below(selection.show, 0, dict(selection.texts))) as paths:
            async for path in paths:
                yield path


class _Walk:
    def __init__(
        self, selection: Selection, variant: Variant, finder: Finder, visible: Visible | None
    ) -> None:
        self._selection = selection
        self._spec = selection.spec
        self._variant = variant
        self._elements = [Element(tokens, self._spec.fields) for tokens in variant.elements]
        self._finder = finder
        self._visible = visible

    async def below(
        self, directory: str, index: int, bound: dict[str, str]
    ) -> AsyncGenerator[str, None]:
        """Yield what lies below *directory*, in which element *index* is the next."""
        last = index == len(self._elements) - 1
        if last and self._variant.tree is not None:
            async with aclosing(self._all_below(directory)) as paths:
                async for path in paths:
                    yield path
            return
        for name, found in await self._names(directory, index, bound):
            path = f"{directory}/{name}"
            if last:
                yield path
                continue
            async with aclosing(self.below(path, index + 1, found)) as paths:
                async for one in paths:
                    yield one

    async def _all_below(self, directory: str) -> AsyncGenerator[str, None]:
        try:
            async with self._finder.below(directory, self._visible) as found:
                async for one in found:
                    yield one.path
        except PathNotFound:
            return

    async def _names(
        self, directory: str, index: int, bound: Mapping[str, str]
    ) -> list[tuple[str, dict[str, str]]]:
        """Return the names that fit element *index*, each with the fields known after it."""
        element = self._elements[index]
        written = self._written(element.tokens, bound)
        if written is not None:
            return [(written, dict(bound))]
        if self._visible is not None and not self._visible(directory):
            return []
        fitting = []
        for name in await self._finder.names(directory):
            match = element.find(name)
            if match is None:
                continue
            texts = _plain(self._spec, match.groupdict())
            if self._admits(texts, bound):
                fitting.append((name, {**bound, **texts}))
        version = element.version
        if version is None or version.name in bound or index == len(self._elements) - 1:
            return fitting
        return _newest(version, fitting)

    def _written(self, tokens: tuple[Token, ...], bound: Mapping[str, str]) -> str | None:
        """Return the text of an element whose fields are all known; else None."""
        plain = [one for one in leaves(tokens, self._spec.fields) if not one.tokens]
        if any(one.name not in bound for one in plain):
            return None
        return write(tokens, self._spec.fields, bound)

    def _admits(self, texts: Mapping[str, str], bound: Mapping[str, str]) -> bool:
        frames = self._selection.frames
        for name, text in texts.items():
            if bound.get(name, text) != text:
                return False
            if frames and self._spec.fields[name].kind == "frame" and not in_frames(text, frames):
                return False
        return True


def in_frames(text: str, frames: frozenset[int]) -> bool:
    """Whether a frame field of *text* is one of *frames*; parts of a frame belong to it."""
    number = frame_of(text)
    return number is not None and number in frames


def frame_of(text: str) -> int | None:
    """Return the number of a frame field of *text*; None: it is none."""
    whole = text.partition(".")[0]
    return int(whole) if _WHOLE.fullmatch(whole) else None


def _plain(spec: Specification, texts: Mapping[str, str | None]) -> dict[str, str]:
    return {
        name: text
        for name, text in texts.items()
        if text is not None and name in spec.fields and not spec.fields[name].tokens
    }


def _newest(
    version: Field, fitting: Iterable[tuple[str, dict[str, str]]]
) -> list[tuple[str, dict[str, str]]]:
    """Return of names that differ in *version* only the newest."""
    best: dict[tuple[tuple[str, str], ...], tuple[tuple[bool, int, str], str, dict[str, str]]] = {}
    for name, texts in fitting:
        rest = tuple(sorted(item for item in texts.items() if item[0] != version.name))
        value = version.parse(texts[version.name])
        rank = (isinstance(value, int), value if isinstance(value, int) else 0, str(value))
        if rest not in best or best[rest][0] < rank:
            best[rest] = (rank, name, texts)
    return [(name, texts) for _, name, texts in best.values()]
