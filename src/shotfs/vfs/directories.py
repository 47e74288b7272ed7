"""Directories: one listing that merges what is implied, what is in the origins and in the spool."""

from __future__ import annotations

from shotfs.errors import NotADirectory, PathNotFound
from shotfs.namespace import Entry, Listing
from shotfs.pathspec import DirectoryMatch
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Spool, SpoolEntry
from shotfs.tiers.base import Revision
from shotfs.vfs import paths
from shotfs.vfs.attributes import Attributes
from shotfs.vfs.nodes import Directory, NodeFinder, Published, Spooled

Item = Revision | SpoolEntry | None
"""A published file, something in the spool, or None for a directory."""


class Snapshot:
    """A directory's entries as they were at opendir, in the order of their names.

    Attributes of an entry are worked out when they are asked for: a directory of 100,000 entries
    must not stop the event loop while somebody lists it.
    """

    __slots__ = ("_finder", "_items", "_names", "path")

    def __init__(self, path: str, items: dict[str, Item], finder: NodeFinder) -> None:
        self.path = path
        self._finder = finder
        self._names = sorted(items)
        self._items = [items[name] for name in self._names]

    def __len__(self) -> int:
        return len(self._names)

    def entry(self, index: int) -> tuple[str, Attributes] | None:
        """Return name and attributes of entry *index*; None if the specification hides it."""
        name = self._names[index]
        item = self._items[index]
        path = paths.join(self.path, name)
        finder = self._finder
        if item is None:
            match = finder.match(path)
            return None if match is None else (name, finder.attributes(Directory(path, match)))
        if isinstance(item, Revision):
            resolution = finder.resolve(path)
            if resolution is None or resolution.scratch:
                return None
            entry: Entry = finder.namespace.record(path, item)
            return name, finder.attributes(Published(path, entry, resolution))
        if item.kind is EntryKind.DIRECTORY:
            return name, finder.attributes(Directory(path, finder.match(path), item))
        return name, finder.attributes(Spooled(path, item))

    async def settle(self) -> None:
        """Let the catalog write what this listing taught it."""
        await self._finder.namespace.settle()


class Directories:
    """Lists directories."""

    def __init__(self, finder: NodeFinder, spool: Spool) -> None:
        self._finder = finder
        self._spool = spool

    async def snapshot(self, path: str) -> Snapshot:
        """Return the entries of the directory *path* as of now.

        Raises:
            PathNotFound: it does not exist.
            NotADirectory: it is something else.
            TierError: an origin could not be listed.
        """
        if not path:
            names: dict[str, Item] = dict.fromkeys(self._finder.shows.names)
            return Snapshot("", names, self._finder)
        node = await self._finder.find(path)
        if not isinstance(node, Directory):
            missing = not isinstance(node, Published | Spooled)
            error = PathNotFound if missing else NotADirectory
            raise error(f"{path}: {'no such directory' if missing else 'not a directory'}")
        return Snapshot(path, await self._items(path, node.match), self._finder)

    async def is_empty(self, path: str) -> bool:
        """Whether the directory *path* has no entry that an application could see."""
        snapshot = await self.snapshot(path)
        return all(snapshot.entry(index) is None for index in range(len(snapshot)))

    async def _items(self, path: str, match: DirectoryMatch | None) -> dict[str, Item]:
        place = self._finder.shows.split(path)
        items: dict[str, Item] = {}
        if place is not None and match is not None:
            show, rest = place
            if match.origins:
                listing = await self._finder.namespace.list(path, rest, match)
                items.update(self._origin_items(path, listing))
            items.update(dict.fromkeys(show.spec.implied_children(rest)))
        # What this node wrote is seen at once, and shadows what the origin has.
        for name, entry in self._spool.children(path).items():
            if entry.kind is not EntryKind.DIRECTORY or name not in items:
                items[name] = entry
        return items

    def _origin_items(self, path: str, listing: Listing) -> dict[str, Item]:
        items: dict[str, Item] = {}
        several = len(listing.parts) > 1
        for part in listing.parts:
            for name, revision in part.objects.items():
                if several and not self._belongs(paths.join(path, name), part.origin):
                    continue
                items[name] = revision
        for part in listing.parts:
            # A key that is both an object and a prefix is shown as a directory.
            items.update(dict.fromkeys(part.prefixes))
        return items

    def _belongs(self, path: str, origin: str) -> bool:
        """Whether *origin* is where the specification keeps the file *path*."""
        resolution = self._finder.resolve(path)
        return resolution is not None and resolution.template.policy.origin == origin
