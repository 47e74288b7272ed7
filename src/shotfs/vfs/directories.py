"""Directories: one listing that merges what is implied, what is in the origins and in the spool."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import trio

from shotfs.errors import NotADirectory, PathNotFound, ShotfsError, TierUnavailable
from shotfs.namespace import Listing
from shotfs.namespace.aliases import AliasOf, Pointer
from shotfs.namespace.listing import ListingStamp
from shotfs.pathspec import DirectoryMatch, Retract
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Spool, SpoolEntry
from shotfs.tiers.base import Revision
from shotfs.vfs import paths
from shotfs.vfs.askers import Askers
from shotfs.vfs.attributes import Attributes, Caller
from shotfs.vfs.crawlers import CrawlerGuard
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.nodes import Alias, Directory, Published, Spooled
from shotfs.vfs.pinned import PinnedFile, children, tops

log = logging.getLogger(__name__)

Item = Revision | PinnedFile | SpoolEntry | Pointer | None
"""A published file, one that a pin file names, something in the spool, a version alias, or None for
a directory."""


PREPARED_ENTRIES = 256
"""Entries of a listing that are made ready at once, and between two chances for other tasks."""


SORTED_INLINE_MAX = 5_000
"""Entries that are sorted in the event loop; that many take about 2 ms."""


@dataclass(frozen=True, slots=True)
class SnapshotStamp:
    """Two snapshots of one directory with equal stamps show the same.

    Attributes:
        generation: of the specifications.
        listing: of what the origins have.
    """

    generation: int
    listing: ListingStamp


class Snapshot:
    """A directory's entries as they were at opendir, in the order of their names.

    Attributes of an entry are worked out when they are asked for: a directory of 100,000 entries
    must not stop the event loop while somebody lists it.

    Args:
        path: mount-relative.
        items: by name, in the order of their names.
        finder: knows the specifications and the catalog.
        listed_at_s: when the origins were asked, seconds since the epoch; None: nobody was, the
            directory is of a published version.
        stamp: see below.

    Attributes:
        stamp: tells whether the directory still shows the same, see `Directories.unchanged`; None:
            nobody can tell.
    """

    __slots__ = ("_finder", "_items", "_listed_at_s", "_names", "_prepared", "path", "stamp")

    def __init__(
        self,
        path: str,
        items: dict[str, Item],
        finder: NodeFinder,
        *,
        listed_at_s: float | None,
        stamp: SnapshotStamp | None = None,
    ) -> None:
        self.path = path
        self.stamp = stamp
        self._finder = finder
        self._listed_at_s = listed_at_s
        self._names = list(items)
        self._items = list(items.values())
        self._prepared: set[int] = set()

    def __len__(self) -> int:
        return len(self._names)

    def is_prepared(self, index: int) -> bool:
        """Whether `prepare` was called for entry *index*, or for one shortly before it."""
        return index // PREPARED_ENTRIES in self._prepared

    async def prepare(self, index: int) -> None:
        """Make entry *index* and some that follow ready for `entry`.

        Their rows of the catalog come into memory: what this node wrote keeps its inode number,
        and what is known already is not written again.
        """
        block = index // PREPARED_ENTRIES
        if block in self._prepared:
            return
        self._prepared.add(block)
        start = block * PREPARED_ENTRIES
        await self._finder.namespace.recall(
            [
                paths.join(self.path, self._names[place])
                for place in range(start, min(start + PREPARED_ENTRIES, len(self._names)))
                if isinstance(self._items[place], Revision)
            ]
        )
        await trio.lowlevel.checkpoint()

    def shows(self, index: int) -> bool:
        """Whether the specification lets entry *index* be seen. Learns nothing from it."""
        item = self._items[index]
        path = paths.join(self.path, self._names[index])
        if item is None:
            return self._finder.match(path) is not None
        if isinstance(item, PinnedFile):
            return self._finder.resolve(path) is not None
        if isinstance(item, Revision):
            resolution = self._finder.resolve(path)
            return (
                resolution is not None
                and not resolution.scratch
                and not self._finder.hides(path, item)
            )
        return True

    def entry(self, index: int) -> tuple[str, Attributes] | None:
        """Return name and attributes of entry *index*; None if the specification hides it.

        `prepare` was called for it.
        """
        name = self._names[index]
        item = self._items[index]
        path = paths.join(self.path, name)
        finder = self._finder
        if item is None:
            match = finder.match(path)
            if match is None:
                return None
            return name, finder.attributes(finder.listed_directory(path, match))
        if isinstance(item, Pointer):
            alias = finder.alias(path)
            return None if alias is None else (name, finder.attributes(Alias(path, item, alias)))
        if isinstance(item, PinnedFile):
            resolution = finder.resolve(path)
            if resolution is None or resolution.scratch:
                return None
            node = Published(path, item.entry, resolution, pinned=True)
            return name, finder.attributes(node)
        if isinstance(item, Revision):
            # Not by `finder.resolve`: what a crawler lists once would push out what is in use.
            place = finder.shows.split(path)
            resolution = None if place is None else place[0].spec.resolve(place[1])
            if resolution is None or resolution.scratch or finder.hides(path, item):
                return None
            if self._listed_at_s is None:
                entry = finder.namespace.sealed(path, item)
                return name, finder.attributes(Published(path, entry, resolution, sealed=True))
            entry = finder.namespace.listed(
                path, item, resolution.template.policy, listed_at_s=self._listed_at_s
            )
            return name, finder.attributes(Published(path, entry, resolution))
        if item.kind is EntryKind.DIRECTORY:
            return name, finder.attributes(Directory(path, finder.match(path), item))
        return name, finder.attributes(Spooled(path, item))


class Directories:
    """Lists directories.

    Args:
        finder: knows the specifications and what the origins had.
        spool: what this node wrote.
        askers: who the kernel's callers are.
        guard: slows down who lists whole trees.
        is_gone: whether an origin, by its root URL, is known to be away and not asked.
    """

    def __init__(
        self,
        finder: NodeFinder,
        spool: Spool,
        askers: Askers,
        guard: CrawlerGuard,
        *,
        is_gone: Callable[[str], bool],
    ) -> None:
        self._finder = finder
        self._spool = spool
        self._askers = askers
        self._guard = guard
        self._is_gone = is_gone

    async def snapshot(self, path: str, caller: Caller | None = None) -> Snapshot:
        """Return the entries of the directory *path* as of now.

        Args:
            path: mount-relative.
            caller: who lists it; None: we do, for ourselves.

        Raises:
            PathNotFound: it does not exist.
            NotADirectory: it is something else.
            TierError: an origin could not be listed.
            DeadlineExceeded: *caller* lists too many others at the same time.
        """
        if not path:
            names: dict[str, Item] = dict.fromkeys(self._finder.shows.names)
            return Snapshot("", names, self._finder, listed_at_s=0.0)
        node = await self._finder.find(path)
        if not isinstance(node, Directory):
            missing = not isinstance(node, Published | Spooled | Alias)
            error = PathNotFound if missing else NotADirectory
            raise error(f"{path}: {'no such directory' if missing else 'not a directory'}")
        items, listed_at_s, stamp = await self._items(path, node.match, caller)
        if len(items) > SORTED_INLINE_MAX:
            # In a thread: sorting 100,000 names takes longer than the loop may stand still.
            items = await trio.to_thread.run_sync(_sorted, items)
        else:
            items = _sorted(items)
        return Snapshot(path, items, self._finder, listed_at_s=listed_at_s, stamp=stamp)

    def unchanged(self, path: str, stamp: SnapshotStamp) -> bool:
        """Whether a snapshot of *path* with that *stamp* is what `snapshot` would return now."""
        return (
            stamp.generation == self._finder.shows.generation
            and self._only_published(path)
            and self._finder.namespace.unchanged(path, stamp.listing)
        )

    def _only_published(self, path: str) -> bool:
        """Whether nothing that this node made, or moved away, plays a part in listing *path*."""
        spool = self._spool
        return not (spool.has_children(path) or spool.hides_any) and self._finder.view.live

    def _stamp(
        self, path: str, match: DirectoryMatch | None, listing: Listing | None
    ) -> SnapshotStamp | None:
        """Return the stamp of what was just listed; None where it is not known what may change.

        That is so of version aliases, which others move, and of versions that somebody may publish
        or take back.
        """
        if match is None or match.aliases or not self._only_published(path):
            return None
        if match.holds_retractable:
            return None
        if match.version_depth is not None and (
            listing is not None or match.retract is not Retract.NEVER
        ):
            return None
        stamp = self._finder.namespace.stamp(path, listing, match)
        # Something was published or removed here since it was listed, or its time is over.
        if not self._finder.namespace.unchanged(path, stamp):
            return None
        return SnapshotStamp(self._finder.shows.generation, stamp)

    async def is_empty(self, path: str) -> bool:
        """Whether the directory *path* has no entry that an application could see."""
        snapshot = await self.snapshot(path)
        return not any(snapshot.shows(index) for index in range(len(snapshot)))

    async def _items(
        self, path: str, match: DirectoryMatch | None, caller: Caller | None
    ) -> tuple[dict[str, Item], float | None, SnapshotStamp | None]:
        generation = self._finder.shows.generation
        place = self._finder.shows.split(path)
        items: dict[str, Item] = {}
        listing: Listing | None = None
        listed_at_s: float | None = 0.0
        if place is not None and match is not None:
            show, rest = place
            pinned = self._finder.view.pinned(path)
            if pinned is not None:
                return {**children(pinned, show.spec)}, listed_at_s, None
            sealed = await self._finder.seal_to_read(path, match)
            if sealed is not None and sealed[0].snapshot is not None:
                if sealed[0].retracted is not None:
                    raise PathNotFound(f"{path}: its version was {sealed[0].retracted}")
                listed_at_s = None
                files, directories = sealed[0].snapshot.children(sealed[1])
                items.update(files)
                items.update(dict.fromkeys(directories))
            elif match.origins:
                await self._admit(path, match, caller)
                listing, aliases = await self._ask(path, rest, match, show.spec.alias)
                listed_at_s = listing.listed_at_s
                items.update(await self._origin_items(path, listing))
                for name in await self._finder.seals.retracted_in(rest, match):
                    items.pop(name, None)
                # A foreign object of that name hides no alias from a look-up, either.
                items.update(aliases)
            if listed_at_s is not None:
                items.update(dict.fromkeys(show.spec.implied_children(rest)))
            above = self._finder.view.above_pins(path)
            if above is not None:
                items.update(tops(above, show.spec))
        # What this node wrote is seen at once, and shadows what the origin has.
        local = self._spool.children(path)
        holds = self._finder.view.holds
        items.update({name: local[name] for name in local if not holds(paths.join(path, name))})
        swapped = generation != self._finder.shows.generation
        return items, listed_at_s, None if swapped else self._stamp(path, match, listing)

    async def _admit(self, path: str, match: DirectoryMatch, caller: Caller | None) -> None:
        """Wait for *caller*'s turn, if an origin is going to be asked for him."""
        if caller is None or self._finder.namespace.has_listing(path, match):
            return
        if not all(map(self._is_gone, match.origins)):
            await self._guard.admit(await self._askers.of(caller), caller.uid, path)

    async def _ask(
        self, path: str, rest: str, match: DirectoryMatch, alias_of: AliasOf
    ) -> tuple[Listing, Mapping[str, Pointer]]:
        """List files and directories, and aliases where there may be some, at the same time."""
        aliases: Mapping[str, Pointer] = {}
        if not match.aliases:
            return await self._listing(path, rest, match), aliases
        problems: list[ShotfsError] = []
        listing: Listing | None = None

        async def list_aliases() -> None:
            # Kept for the caller instead of raised: an exception group says less.
            nonlocal aliases
            try:
                aliases = await self._finder.aliases.listed(
                    path, rest, match.origins, match.ttl_s, alias_of
                )
            except ShotfsError as exc:
                problems.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(list_aliases)
            try:
                listing = await self._listing(path, rest, match)
            except ShotfsError as exc:
                problems.append(exc)
        if listing is None or problems:
            raise problems[0]
        return listing, aliases

    async def _listing(self, path: str, rest: str, match: DirectoryMatch) -> Listing:
        """List *path*; while an origin is away, as it was listed last, if all of that still counts.

        Names of directories always do, and files that never change; of other files the origin
        would have to say what they are, unless their `stale_if_error` lets that be.
        """
        try:
            return await self._finder.namespace.listing(path, rest, match)
        except TierUnavailable as exc:
            kept = await self._finder.namespace.kept_listing(path, match)
            if kept is None or not await self._counts(path, kept):
                raise
            log.info("shown as listed before: %s", exc.message, extra={"path": path})
            # It may show what was deleted since: what is known stays, and nothing is learned.
            return replace(kept, listed_at_s=float("-inf"))

    async def _counts(self, path: str, kept: Listing) -> bool:
        for part in kept.parts:
            for count, name in enumerate(part.objects):
                if count % PREPARED_ENTRIES == 0:
                    await trio.lowlevel.checkpoint()
                resolution = self._finder.resolve(paths.join(path, name))
                if resolution is None or resolution.scratch:
                    continue
                policy = resolution.template.policy
                if not self._finder.namespace.outlives(policy, kept.listed_at_s):
                    return False
        return True

    async def _origin_items(self, path: str, listing: Listing) -> dict[str, Item]:
        items: dict[str, Item] = {}
        several = len(listing.parts) > 1
        for part in listing.parts:
            if not several:
                items.update(part.objects)
                continue
            for count, (name, revision) in enumerate(part.objects.items()):
                if count % PREPARED_ENTRIES == 0:
                    # Measured 2026-11: 100,000 entries of two origins stopped the loop for 0.5 s.
                    await trio.lowlevel.checkpoint()
                if self._belongs(paths.join(path, name), part.origin):
                    items[name] = revision
        for part in listing.parts:
            # A key that is both an object and a prefix is shown as a directory.
            items.update(dict.fromkeys(part.prefixes))
        return items

    def _belongs(self, path: str, origin: str) -> bool:
        """Whether *origin* is where the specification keeps the file *path*."""
        resolution = self._finder.resolve(path)
        return resolution is not None and resolution.template.policy.origin == origin


def _sorted(items: dict[str, Item]) -> dict[str, Item]:
    return {name: items[name] for name in sorted(items)}
