"""Patterns: templates cut into path elements, ready for the matcher, the proofs and the writer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shotfs.pathspec.model import Template
from shotfs.pathspec.tokens import Token

Matcher = Callable[[str], re.Match[str] | None]


class Place(NamedTuple):
    """Where something is written: document, line from 1, JSON pointer."""

    source: str
    line: int
    pointer: str


Given = tuple[Any, Place]
"""A policy value and where it is written."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to write a template: with some of its optional parts and without the others.

    Attributes:
        elements: tokens of each path element; a tree's last element is the tree's field.
        tree: the field of a tree at the end, or None.
    """

    elements: tuple[tuple[Token, ...], ...]
    tree: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """A template ready for use. Compared by identity: it is one place in one document.

    Attributes:
        variants: at least one; the first has all optional parts.
        is_scratch: what matches its scratch names; None where it has none or is not writable.
        index: its place in the specification, from 0.
        source: the document that declares it, main or included.
        line: of that document.
        own: the policy keys that the template itself sets: (value, line of that document).
        inherited: those that its root and its show set, a root's before a show's; shared by all
            templates that inherit the same.
        before: names of templates that this one is preferred to where both match.
        fallback: what `unmatched` lets pass: last in order, and no overlap with others counts.
    """

    template: Template
    variants: tuple[Variant, ...]
    is_scratch: Matcher | None
    index: int
    line: int
    own: Mapping[str, tuple[Any, int]]
    source: str = ""
    inherited: Mapping[str, Given] = field(default_factory=dict)
    before: frozenset[str] = frozenset()
    fallback: bool = False

    def named(self, beside: Pattern) -> str:
        """Return its name with its place for a message that tells of *beside* as well.

        The document is named where the two are in different ones.
        """
        place = f"{self.source}:" if self.source != beside.source else "line "
        return f'"{self.template.name}" ({place}{self.line})'

    @property
    def elements(self) -> tuple[tuple[Token, ...], ...]:
        """The elements of the first variant."""
        return self.variants[0].elements

    @property
    def tree(self) -> str | None:
        """The tree of the first variant; all variants have the same."""
        return self.variants[0].tree
