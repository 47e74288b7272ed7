"""What a path is and who says so: for people who wonder, and for error messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from shotfs.pathspec.elements import Fields, leaves
from shotfs.pathspec.matcher import impossible, split
from shotfs.pathspec.mismatch import Miss, misses
from shotfs.pathspec.model import (
    RESERVED,
    AliasMatch,
    DirectoryMatch,
    Lookahead,
    Resolution,
    Retention,
    Template,
)
from shotfs.pathspec.pattern import Pattern, Place
from shotfs.pathspec.policy import KEYS, built_in
from shotfs.pathspec.problems import escape_pointer


class PathKind(StrEnum):
    """What the specification takes a path for."""

    FILE = "file"
    SCRATCH = "scratch"
    DIRECTORY = "directory"
    ALIAS = "alias"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class FieldMeaning:
    """One field of a path: its text there, and what the document says of it.

    Attributes:
        wants: what its text must look like, in words.
        line: of the document *source*.
    """

    name: str
    text: str
    kind: str
    wants: str
    usage: str
    line: int
    source: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One policy key in force: its value as text, and who set it.

    Attributes:
        where: a JSON pointer, or "built in".
        line: of the document *source*; both are None for what is built in.
    """

    key: str
    value: str
    where: str
    line: int | None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that the specification says of one path.

    Attributes:
        template: what produces it; None for directories, aliases and impossible paths.
        template_line: where *template* is declared, a line of the document `template_source`.
        directory: what it is as a directory, or None.
        alias: what it is as a version alias, or None.
        points_to: of an alias: the name beside it that it stands for, with the version's field in
            braces. Which version that is, the origin knows.
        fields: in the order in which they stand in the path, compounds before their parts.
        settings: the policy in force, in the order of the documentation; empty without template.
        misses: why other templates did not match, the nearest first, at most `MISSES_MAX`.
        note: why no template could ever produce the path, or what to ask instead; None where there
            is nothing to say.
    """

    path: str
    kind: PathKind
    template: Template | None
    template_line: int | None
    template_source: str | None
    directory: DirectoryMatch | None
    alias: AliasMatch | None
    points_to: str | None
    fields: tuple[FieldMeaning, ...]
    settings: tuple[Setting, ...]
    misses: tuple[Miss, ...]
    note: str | None


class Answers(Protocol):
    """What can be asked about paths; a specification."""

    fields: Fields
    field_sources: Mapping[str, str]

    @property
    def patterns(self) -> Mapping[str, Pattern]:
        """The templates, by name."""

    def resolve(self, path: str) -> Resolution | None:
        """Return what *path* is as a file."""

    def directory(self, path: str) -> DirectoryMatch | None:
        """Return what *path* is as a directory."""

    def alias(self, path: str) -> AliasMatch | None:
        """Return what *path* is as a version alias."""


def explain(answers: Answers, path: str) -> Explanation:
    """Return everything that *answers* say of *path*, possible or not."""
    resolution, directory = answers.resolve(path), answers.directory(path)
    alias = answers.alias(path)
    found = None if resolution is None else answers.patterns[resolution.template.name]
    if resolution is not None:
        kind = PathKind.SCRATCH if resolution.scratch else PathKind.FILE
    elif alias is not None:
        kind = PathKind.ALIAS
    else:
        kind = PathKind.NONE if directory is None else PathKind.DIRECTORY
    names = split(path)
    compared = names if names and names[0] != RESERVED and kind is not PathKind.ALIAS else None
    return Explanation(
        path=path,
        kind=kind,
        template=None if found is None else found.template,
        template_line=None if found is None else found.line,
        template_source=None if found is None else found.source,
        directory=directory,
        alias=alias,
        points_to=None if alias is None else alias.target(f"{{{alias.field}}}"),
        fields=()
        if found is None or resolution is None
        else tuple(_meanings(found, answers, resolution.fields)),
        settings=() if found is None else tuple(settings(found)),
        misses=()
        if compared is None
        else misses(answers.patterns.values(), answers.fields, compared, found),
        note=_note(answers, path, names) if kind is PathKind.NONE else None,
    )


def _note(answers: Answers, path: str, names: list[str] | None) -> str | None:
    """Return what is to be said of the impossible *path* beside its misses."""
    if names is None:
        return impossible(path.split("/"))
    if names and names[0] == RESERVED:
        return impossible(names)
    for count in range(1, len(names)):
        beginning = "/".join(names[:count])
        alias = answers.alias(beginning)
        if alias is not None:
            return (
                f'"{beginning}" is the alias "{alias.alias}", a symbolic link:'
                " ask for the path with a version in its place"
            )
    return None


def _meanings(found: Pattern, answers: Answers, texts: Mapping[str, str]) -> Iterator[FieldMeaning]:
    """Yield the fields of a path of *found* that have *texts*, each once."""
    told: set[str] = set()
    for tokens in found.elements:
        for field in leaves(tokens, answers.fields):
            if field.name in texts and field.name not in told:
                told.add(field.name)
                yield FieldMeaning(
                    name=field.name,
                    text=texts[field.name],
                    kind=field.kind,
                    wants=field.wants,
                    usage=field.usage,
                    line=field.line,
                    source=answers.field_sources[field.name],
                )


def settings(compiled: Pattern) -> Iterator[Setting]:
    """Yield the policy of *compiled*, with the place that each value comes from."""
    own = (
        "/unmatched"
        if compiled.fallback
        else f"/templates/{escape_pointer(compiled.template.name)}"
    )
    policy = compiled.template.policy
    for key in KEYS:
        # Without an origin the last tier is it.
        told = "tiers" if key == "origin" and not _is_given(compiled, key) else key
        if told in compiled.own:
            value, line = compiled.own[told]
            place = Place(compiled.source, line, f"{own}/{told}")
        elif told in compiled.inherited:
            value, place = compiled.inherited[told]
        else:
            value, place = built_in(policy.flow).get(key), None
        if key == "origin":
            text = policy.origin
        else:
            text = " ".join(policy.tiers) if key == "tiers" else shown(key, value)
        if place is None:
            yield Setting(key, text, "built in", None)
        else:
            yield Setting(key, text, place.pointer, place.line, place.source)


def _is_given(compiled: Pattern, key: str) -> bool:
    return key in compiled.own or key in compiled.inherited


def shown(key: str, value: Any) -> str:
    """Return the policy value *value* as people write it."""
    if key in ("mode", "directory_mode"):
        return f"{value:04o}"
    if key in ("ttl", "negative_ttl", "stale_if_error", "grace"):
        return f"{value:g} s"
    if key == "scratch":
        return " ".join(value) or "none"
    if isinstance(value, Lookahead):
        if value.off:
            return "nothing"
        counts = ((value.frames, "frames"), (value.udims, "udims"))
        return ", ".join(f"{n} {word}" for n, word in counts if n is not None) or "as learned"
    if isinstance(value, Retention):
        return _counted((value.days, "days"), (value.versions, "versions")) or "no limit"
    if value is None:
        return "the node decides" if key == "durability" else "the service's"
    return str(value)


def _counted(*counts: tuple[float | None, str]) -> str:
    return ", ".join(f"{count:g} {word}" for count, word in counts if count)
