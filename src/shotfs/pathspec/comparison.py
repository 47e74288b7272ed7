"""The answer of `compare`: what differs between two specifications, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Paths(StrEnum):
    """What became of the paths of a template."""

    ADDED = "added"
    REMOVED = "removed"
    SAME = "same"
    GREW = "grew"
    SHRANK = "shrank"
    CHANGED = "changed"
    """Some paths went and others came."""


@dataclass(frozen=True, slots=True)
class Example:
    """A path that shows a difference. `before` and `after`: the template it has, None for none."""

    path: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Value:
    """One value in either document. `where` is "document:line", or "built in"."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A key whose value differs; None where a document does not have it."""

    key: str
    old: Value | None
    new: Value | None


@dataclass(frozen=True, slots=True)
class TemplateChange:
    """What differs in one template.

    Attributes:
        name: in the new document; in the old one where it was removed.
        old_name: where it was renamed, else None.
        paths: what became of its paths.
        exact: False: told by examples only, there may be differences that none of them shows.
        examples: at most one path for each direction.
        fields: the fields of its paths read differently (other names, other order).
        policy: keys with another value.
        words: `path` as written, and `usage`.
    """

    name: str
    old_name: str | None
    paths: Paths
    exact: bool
    examples: tuple[Example, ...] = ()
    fields: bool = False
    policy: tuple[Changed, ...] = ()
    words: tuple[Changed, ...] = ()

    @property
    def same_meaning(self) -> bool:
        """Whether no path, policy or name differs: nothing but words."""
        return self.paths is Paths.SAME and not (self.policy or self.fields or self.old_name)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What differs in the declaration of one field; `added` or `removed`: all of it."""

    name: str
    added: bool
    removed: bool
    keys: tuple[Changed, ...]
    words: tuple[Changed, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that differs between two specifications.

    Attributes:
        document: the show's name.
        templates: in the order of the new document, removed ones last; only those that differ.
        fields: in the same way.
        limits: what this comparison could not see, as sentences.
    """

    document: tuple[Changed, ...]
    templates: tuple[TemplateChange, ...]
    fields: tuple[FieldChange, ...]
    limits: tuple[str, ...]

    @property
    def same_meaning(self) -> bool:
        """Whether every path means what it meant: nothing but words differs."""
        return (
            not self.document
            and all(one.same_meaning for one in self.templates)
            and not any(one.keys or one.added or one.removed for one in self.fields)
        )
