"""Texts that show whether two declarations of one field differ: at their limits and beyond."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shotfs.errors import InvalidArgument
from shotfs.pathspec.automata import TooComplex, automaton_of
from shotfs.pathspec.differences import text_only_in
from shotfs.pathspec.fields import Field
from shotfs.pathspec.samples import TEXTS_MAX, texts_of


def trial_texts(declared: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> tuple[str, ...]:
    """Return texts to try for one field, most telling first; not all of them fit it.

    Args:
        declared: how each document that has the field declares it.
        fields: the same, compiled.
    """
    found = [*_limits_of(declared, fields), *_shape_differences(fields)]
    found += [text for one in fields for text in texts_of(one)]
    return tuple(dict.fromkeys(found))


def _limits_of(declared: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> Iterator[str]:
    """Yield texts at and just beyond each limit that a declaration names."""
    for one in declared:
        yield from map(str, one.get("exclusions", ()))
        for key, field in itertools.product(("min", "max"), fields):
            limit = one.get(key)
            if isinstance(limit, int):
                # What one of the two refuses, the other may write.
                for value in (limit - 1, limit, limit + 1):
                    with contextlib.suppress(InvalidArgument):
                        yield field.format(value)
        length = one.get("length")
        counts = list(length.values()) if isinstance(length, dict) else [length]
        for count in counts:
            if isinstance(count, int):
                for number in (count - 1, count, count + 1):
                    yield from ("a" * number, "A" * number)
    for field, beside in itertools.permutations(fields, 2):
        if field.choices is not None and beside.choices is not None:
            known = set(beside.choices)
            fresh = (text for text in field.choices if text not in known)
            yield from itertools.islice(fresh, TEXTS_MAX)


def _shape_differences(fields: Sequence[Field]) -> Iterator[str]:
    for one, other in itertools.permutations(fields, 2):
        if one.shape is None or other.shape is None or one.shape == other.shape:
            continue
        try:
            text = text_only_in(automaton_of(one.shape), automaton_of(other.shape))
        except TooComplex:
            continue
        if text is not None:
            yield text
