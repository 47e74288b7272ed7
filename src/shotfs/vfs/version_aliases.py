"""Moving version aliases: by hand, and after a version was published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shotfs.errors import InvalidArgument, NotPermitted, PathNotFound
from shotfs.namespace.alias_document import Move
from shotfs.namespace.aliases import UNSET, Unset
from shotfs.namespace.shows import Show
from shotfs.namespace.versions import Seal
from shotfs.pathspec import AliasMatch, DirectoryMatch
from shotfs.pathspec.places import version_place
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Spool
from shotfs.vfs import paths
from shotfs.vfs.attributes import Attributes
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.nodes import Directory, Missing
from shotfs.vfs.terms import Terms
from shotfs.vfs.version_targets import VersionTarget

Allowed = Callable[[Attributes], bool]
"""Whether whoever asks may write the directory with these attributes."""


@dataclass(frozen=True, slots=True)
class MovedAlias:
    """An alias that follows what is published.

    Attributes:
        path: mount-relative.
        version: where it points.
        moved: whether it was moved just now.
    """

    path: str
    version: str | None
    moved: bool


class AliasDesk:
    """Moves aliases, for this node.

    Args:
        finder: what lies under a path.
        terms: whether this mount may be written.
        spool: directories that were made here belong to who made them.
    """

    def __init__(self, finder: NodeFinder, terms: Terms, spool: Spool) -> None:
        self._finder = finder
        self._terms = terms
        self._spool = spool

    async def follow(
        self, target: VersionTarget, seal: Seal, by: str, why: str, *, already: bool
    ) -> tuple[MovedAlias, ...]:
        """Move the aliases that follow what is published.

        Repeating an earlier publish must not take an alias back from a version that was published
        after it, so it moves only those that never got there.
        """
        moved = []
        for path, match, version in self._followers(target):
            history = await self._finder.aliases.history(match) if already else ()
            if any(one.version == version and one.at >= seal.at for one in history):
                moved.append(MovedAlias(path, history[-1].version, moved=False))
                continue
            # Later than the seal, also by the clocks of two nodes: else the next repetition would
            # not see that it got there.
            move, new = await self._finder.aliases.move(
                path, match, version, by=by, why=why, after=seal.at
            )
            moved.append(MovedAlias(path, move.version, moved=new))
        return tuple(moved)

    def _followers(self, target: VersionTarget) -> Iterator[tuple[str, AliasMatch, str]]:
        place = version_place(target.show.spec, target.version)
        if place is None:
            return
        for alias in place.field.aliases:
            path = place.sibling(alias.name)
            match = target.show.spec.alias(path)
            if alias.follows_publish and match is not None:
                yield f"{target.show.name}/{path}", match, place.version

    async def move_alias(
        self,
        path: str,
        version: str | None,
        *,
        by: str,
        why: str,
        force: bool,
        allowed: Allowed,
        expect: str | Unset | None = UNSET,
    ) -> MovedAlias:
        """Let the alias *path* point to *version*; None: nowhere.

        Args:
            path: mount-relative.
            version: its text, or the name of the sibling that has it.
            by: who asks.
            why: kept in the history.
            force: also to a version that does not exist.
            allowed: whether whoever asks may write the versions.
            expect: only if it points there now.

        Raises:
            InvalidArgument: *path* is no alias, or *version* none of its field.
            PathNotFound: there is no such version.
            NotPermitted, ReadOnly: who asks may not.
            AliasMoved: it does not point to *expect*.
            TierError: the origin could not answer.
        """
        self._terms.check_writable(path)
        show, rest, match = self._alias(path)
        if not match.writable:
            raise NotPermitted(f"{path}: every template of these versions has flow 'in'")
        if version is not None:
            version = _version(show, match, version)
            sibling = paths.join(paths.parent(path), match.target(version))
            if not force and isinstance(await self._finder.find(sibling), Missing):
                raise PathNotFound(
                    f"{sibling}: there is no such version",
                    fix="make it first, or give --force to point there all the same",
                )
        parent = paths.parent(rest)
        directory = show.spec.directory(parent)
        self.check_may(path, parent, directory, allowed)
        move, new = await self._finder.aliases.move(
            path, match, version, by=by, why=why, expect=expect
        )
        return MovedAlias(path, move.version, moved=new)

    async def history(self, path: str) -> tuple[Move, ...]:
        """Return every move of the alias *path*, oldest first.

        Raises:
            InvalidArgument: it is no alias.
            TierError: its origin could not answer.
        """
        _, _, match = self._alias(path)
        return await self._finder.aliases.history(match)

    def _alias(self, path: str) -> tuple[Show, str, AliasMatch]:
        place = self._finder.shows.split(path)
        match = None if place is None else place[0].spec.alias(place[1])
        if place is None or match is None:
            raise InvalidArgument(
                f"{path} is not the path of a version alias",
                fix="name aliases in the version field of the specification",
            )
        return place[0], place[1], match

    def check_may(
        self, path: str, rest: str, match: DirectoryMatch | None, allowed: Allowed
    ) -> None:
        """Return if whoever asks may write the directory *rest* (relative to the show) of *path*.

        Raises:
            NotPermitted: by its owner, group and mode, he may not.
        """
        directory = f"{path.partition('/')[0]}/{rest}"
        made = self._spool.get(directory)
        here = made if made is not None and made.kind is EntryKind.DIRECTORY else None
        attributes = self._finder.directory_attributes(Directory(directory, match, here))
        if not allowed(attributes):
            raise NotPermitted(
                f"{path}: that is for who may write {directory}: uid {attributes.uid}, gid"
                f" {attributes.gid}, mode {attributes.mode:04o}",
                fix="ask one of them, an admin, or set directory_mode in the specification",
            )


def _version(show: Show, match: AliasMatch, text: str) -> str:
    """Return the version that *text* is, or that the sibling of that name has."""
    field = show.spec.fields[match.field]
    if field.problem(text) is None:
        return text
    inner = text.removeprefix(match.before).removesuffix(match.after)
    if match.target(inner) == text and field.problem(inner) is None:
        return inner
    raise InvalidArgument(
        f'"{text}" is no version of the field "{match.field}": {field.problem(text)}',
        fix=f"give {field.wants}",
    )
