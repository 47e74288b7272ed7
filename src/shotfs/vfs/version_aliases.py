"""Moving version aliases: by hand, and after a version was published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from shotfs.errors import InvalidArgument, NotPermitted, PathNotFound
from shotfs.namespace.alias_document import Move
from shotfs.namespace.aliases import UNSET, Unset
from shotfs.namespace.retraction_document import Retraction
from shotfs.namespace.shows import Show
from shotfs.namespace.versions import Seal
from shotfs.pathspec import AliasMatch, DirectoryMatch, Retract
from shotfs.pathspec.places import version_place
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Spool
from shotfs.vfs import paths
from shotfs.vfs.alias_retreat import AliasRetreat
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
        retreat: moves them away from what was taken back.
    """

    def __init__(
        self, finder: NodeFinder, terms: Terms, spool: Spool, retreat: AliasRetreat
    ) -> None:
        self._finder = finder
        self._retreat = retreat
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
            now = move.version
            if target.match.retract is not Retract.NEVER:
                # Somebody may have taken it back between the seal and the move.
                now, _ = await self._retreat.settle(target.show, path, match, by=by)
            moved.append(MovedAlias(path, now, moved=new))
        return tuple(moved)

    def _followers(self, target: VersionTarget) -> Iterator[tuple[str, AliasMatch, str]]:
        return (one for one in aliases_of(target) if one[1].follows_publish)

    async def leave(self, target: VersionTarget, by: str, to: str | None) -> tuple[MovedAlias, ...]:
        """Move the aliases that follow what is published away from a version that was taken back.

        Args:
            target: the version.
            by: who is told in their histories.
            to: the version that they are to point to; None: see `AliasRetreat.settle`.

        Raises: as `AliasRetreat.settle`.
        """
        found = []
        for path, match, _ in self._followers(target):
            version, moved = await self._retreat.settle(target.show, path, match, by=by, to=to)
            found.append(MovedAlias(path, version, moved=moved))
        return tuple(found)

    async def come_back(self, target: VersionTarget, by: str, why: str) -> tuple[MovedAlias, ...]:
        """Move the aliases back that left the version because it was taken back.

        Raises:
            TierError: the origin could not answer.
        """
        found = []
        for path, match, own in self._followers(target):
            version, moved = await self._retreat.come_back(path, match, own, by=by, why=why)
            found.append(MovedAlias(path, version, moved=moved))
        return tuple(found)

    async def would_leave(self, target: VersionTarget, to: str | None) -> tuple[MovedAlias, ...]:
        """Return what `leave` would do if the version were taken back now. Moves nothing.

        Raises:
            TierError: the origin could not answer.
        """
        found = []
        for path, match, own in self._followers(target):
            history = await self._finder.aliases.history(match)
            version = history[-1].version if history else None
            moves = version is not None and version == own
            if moves:
                version = to or await self._retreat.choose(target.show, path, match, history)
            found.append(MovedAlias(path, version, moved=moves))
        return tuple(found)

    async def staying(self, target: VersionTarget) -> tuple[str, ...]:
        """Return the aliases that point to the version and that nobody moves but by hand.

        Raises:
            TierError: the origin could not answer.
        """
        found = []
        for path, match, own in aliases_of(target):
            if match.follows_publish:
                continue
            history = await self._finder.aliases.history(match)
            if history and history[-1].version == own:
                found.append(path)
        return tuple(found)

    async def check_published(self, target: VersionTarget, version: str) -> str:
        """Return the version that *version* names, if aliases of *target* may point to it.

        Raises:
            InvalidArgument: it is none, or *target* itself; or there is no alias that would follow.
            PathNotFound: it is not published, or was taken back.
            TierError: the origin could not answer.
        """
        for path, match, own in self._followers(target):
            text = _version(target.show, match, version)
            if text == own:
                raise InvalidArgument(
                    f"{target.path}: is what is taken back", fix="name another version"
                )
            if not await self._retreat.is_published(path, match, text):
                sibling = paths.join(paths.parent(path), match.target(text))
                raise PathNotFound(
                    f"{sibling}: is not published, or was taken back",
                    fix="publish it first, or name another version",
                )
            return text
        raise InvalidArgument(f"{target.path}: no alias follows what is published here")

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
            line = None if force else await self._taken_back(path, match, version)
            if line is not None:
                raise PathNotFound(
                    f"{sibling}: was {line}",
                    fix="name another version, or restore it: shotfs version restore",
                )
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

    async def _taken_back(self, path: str, match: AliasMatch, version: str) -> Retraction | None:
        """Return why *version* is not to be seen, as of now; None: it is."""
        sibling = self._finder.match(paths.join(paths.parent(path), match.target(version)))
        if sibling is None or sibling.version_depth is None or sibling.retract is Retract.NEVER:
            return None
        return await self._retreat.retracted(path, match, version)

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


def aliases_of(target: VersionTarget) -> Iterator[tuple[str, AliasMatch, str]]:
    """Yield the path of each alias that may point to a version, what it is, and that version."""
    place = version_place(target.show.spec, target.version)
    if place is None:
        return
    for alias in place.field.aliases:
        path = place.sibling(alias.name)
        match = target.show.spec.alias(path)
        if match is not None:
            yield f"{target.show.name}/{path}", match, place.version


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
