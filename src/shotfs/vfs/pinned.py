"""What a pin file says of a path, as nodes. No origin is asked, and no catalog learns of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shotfs.errors import RevisionChanged
from shotfs.namespace import Entry
from shotfs.namespace.aliases import Pointer
from shotfs.namespace.tier_pool import tier_name
from shotfs.namespace.view import PinnedPath, pinned_pointer
from shotfs.pathspec import AliasMatch, DirectoryMatch, Resolution, Specification
from shotfs.tiers.base import Revision


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file of a pinned tree, as a listing shows it."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class PinnedAnswer:
    """What a pin file says of one path; all None: nothing lies there.

    Attributes:
        directory: it is a directory that the specification knows so.
        entry: it is a file; `resolution` says what the specification knows of it.
        pointer: it is a version alias; `alias` likewise.
    """

    directory: DirectoryMatch | None = None
    entry: Entry | None = None
    resolution: Resolution | None = None
    pointer: Pointer | None = None
    alias: AliasMatch | None = None


NOTHING = PinnedAnswer()


def look_up(pinned: PinnedPath, spec: Specification) -> PinnedAnswer:
    """Return what lies under a pinned path.

    Raises:
        RevisionChanged: the specification keeps the path in another origin than the file says.
    """
    pins, rest = pinned.pins, pinned.rest
    alias = spec.alias(rest)
    if alias is not None:
        return PinnedAnswer(pointer=pinned_pointer(pinned, alias), alias=alias)
    match = spec.directory(rest)
    if match is not None and (pins.has_directory(rest) or _is_empty_top(pinned)):
        return PinnedAnswer(directory=match)
    revision = pins.files.find(rest)
    resolution = spec.resolve(rest)
    if revision is None or resolution is None or resolution.scratch:
        return NOTHING
    return PinnedAnswer(entry=entry_of(pinned, revision, resolution), resolution=resolution)


def entry_of(pinned: PinnedPath, revision: Revision, resolution: Resolution) -> Entry:
    """Return the entry of a pinned file.

    Raises:
        RevisionChanged: the specification keeps the path in another origin than the file says.
    """
    origin = tier_name(resolution.template.policy.origin)
    if revision.tier != origin:
        raise RevisionChanged(
            f"{pinned.rest}: {pinned.pins.source} says that it is in {revision.tier}, the"
            f" specification keeps it in {origin}",
            fix="make the pin file again, or mount with the specification of then",
        )
    return Entry(revision, pinned.pins.made_s)


def children(pinned: PinnedPath, spec: Specification) -> Mapping[str, PinnedFile | Pointer | None]:
    """Return what lies directly in a pinned directory, by name; None is a directory."""
    pins, rest = pinned.pins, pinned.rest
    files, directories = pins.files.children(rest)
    found: dict[str, PinnedFile | Pointer | None] = {
        name: PinnedFile(Entry(revision, pins.made_s)) for name, revision in files.items()
    }
    for name in pins.aliases_in(rest):
        path = f"{rest}/{name}" if rest else name
        match = spec.alias(path)
        pointer = None if match is None else pinned_pointer(PinnedPath(pins, path), match)
        if pointer is not None:
            found[name] = pointer
    found.update(dict.fromkeys(directories))
    return found


def tops(above: PinnedPath, spec: Specification) -> Mapping[str, PinnedFile | Pointer | None]:
    """Return the pinned trees in a directory that is not pinned itself, and what leads to some."""
    pins, rest = above.pins, above.rest
    found: dict[str, PinnedFile | Pointer | None] = {}
    for name in pins.trees_in(rest):
        path = f"{rest}/{name}" if rest else name
        match, revision = spec.alias(path), pins.files.find(path)
        if not pins.covers(path) or pins.has_directory(path):
            found[name] = None
        elif match is not None:
            pointer = pinned_pointer(PinnedPath(pins, path), match)
            if pointer is not None:
                found[name] = pointer
        elif revision is not None:
            found[name] = PinnedFile(Entry(revision, pins.made_s))
        elif spec.directory(path) is not None:
            found[name] = None
    return found


def _is_empty_top(pinned: PinnedPath) -> bool:
    """Whether it is a pinned directory in which nothing was: it existed, or it was not pinned."""
    return pinned.rest in pinned.pins.head.trees and pinned.pins.files.find(pinned.rest) is None
