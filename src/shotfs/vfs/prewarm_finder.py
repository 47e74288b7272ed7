"""What prewarm asks of the file system: `prewarm.finding.Finder` on the mount's own finder.

Answers are those that an application would get, so what was prewarmed is what is opened. Many paths
are answered together: the catalog is asked once, and an origin lists a directory of which several
files are wanted instead of being asked for each.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

import trio

from shotfs.errors import NotADirectory, PathNotFound, ShotfsError
from shotfs.namespace import Entry, Listing, TierPool
from shotfs.namespace.listing import KEPT_ENTRIES_MAX
from shotfs.pathspec import Policy, Resolution
from shotfs.prewarm.finding import Absence, Absent, Found, KnownFiles, Visible
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Spool
from shotfs.tiers.base import Tier
from shotfs.vfs import paths
from shotfs.vfs.attributes import Attributes
from shotfs.vfs.directories import PREPARED_ENTRIES, Directories
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.known_files import KnownSearch
from shotfs.vfs.nodes import Alias, Directory, Missing, Node, Published, Spooled
from shotfs.vfs.published_walk import (
    DIRECTORIES_AT_ONCE,
    LISTED_ONE_BY_ONE_AT_ONCE,
    PublishedWalk,
)
from shotfs.vfs.tree_learning import TREES_FROM, TreeLearning

LISTED_FROM = 4
"""So many unknown files of one directory are found by listing it: one request of a store tells of a
thousand, and costs about what two questions for single files do."""

RECALLED_AT_ONCE = 1_000
"""Paths that the catalog is asked for together."""

ASKED_AT_ONCE = 32
"""Questions about single files, and listings, that are under way at the same time."""

ALIASES_MAX = 8
"""Version aliases in one path, one after another."""


class PrewarmFinder:
    """Finds published files for prewarm, look-ahead and the recorder.

    Args:
        finder: what lies under a path.
        directories: what lies in one.
        spool: what this node wrote.
        tiers: the origins.
    """

    def __init__(
        self, finder: NodeFinder, directories: Directories, *, spool: Spool, tiers: TierPool
    ) -> None:
        self._finder = finder
        self._spool = spool
        self._directories = directories
        self._tiers = tiers
        self.trees = TreeLearning(finder, tiers)

    @property
    def shows(self) -> Sequence[str]:
        """Names of the shows that are mounted."""
        return self._finder.shows.names

    def resolve(self, path: str) -> Resolution | None:
        """See `prewarm.finding.Finder.resolve`."""
        return self._finder.resolve(path)

    async def find(self, path: str) -> Found | None:
        """See `prewarm.finding.Finder.find`."""
        node = await self._finder.find(await self._followed(path))
        return await self._found(node) if isinstance(node, Published) else None

    async def find_again(self, found: Found) -> Found | None:
        """See `prewarm.finding.Finder.find_again`."""
        await self._finder.namespace.confirm(found.path, found.resolution)
        return await self.find(found.path)

    async def find_many(
        self, paths: Sequence[str], visible: Visible | None = None
    ) -> list[Found | Absent]:
        """See `prewarm.finding.Finder.find_many`."""
        return await _Search(self, self._finder, self._spool, paths, visible).run()

    async def known(self, paths: Sequence[str], visible: Visible | None = None) -> list[KnownFiles]:
        """See `prewarm.finding.Finder.known`."""

        async def is_real(directory: str) -> bool:
            try:
                real = await self.real_directory(directory)
            except ShotfsError:
                return False
            return real == directory and (visible is None or visible(directory))

        opened = self.opened_reader
        return await KnownSearch(self._finder, self._spool, opened, is_real, paths).run()

    @asynccontextmanager
    async def below(
        self, path: str, visible: Visible | None = None
    ) -> AsyncIterator[AsyncIterator[Found]]:
        """See `prewarm.finding.Finder.below`."""
        node = await self._node(path)
        if isinstance(node, Missing):
            raise PathNotFound(
                f"{path}: there is no such file or directory", fix=f"look: shotfs why {path}"
            )
        if isinstance(node, Directory):
            at_once = await self._listed_at_once(node)
            walk = PublishedWalk(self._finder, self._directories, node.path, at_once=at_once)
            async with walk.files() as files, aclosing(self._seen(files, visible)) as found:
                yield found
        else:
            async with aclosing(self._seen(_only(node), visible)) as found:
                yield found

    async def names(self, directory: str) -> list[str]:
        """See `prewarm.finding.Finder.names`."""
        try:
            snapshot = await self._directories.snapshot(await self._followed(directory))
        except (PathNotFound, NotADirectory):
            return []
        names = []
        for index in range(len(snapshot)):
            await snapshot.prepare(index)
            entry = snapshot.entry(index)
            if entry is not None:
                names.append(entry[0])
        return names

    async def _listed_at_once(self, node: Directory) -> int:
        for origin in node.match.origins if node.match is not None else ():
            if (await self._tiers.get(origin)).properties.lists_one_by_one:
                return LISTED_ONE_BY_ONE_AT_ONCE
        return DIRECTORIES_AT_ONCE

    async def _seen(
        self, files: AsyncIterator[Published], visible: Visible | None
    ) -> AsyncGenerator[Found, None]:
        async for one in files:
            if visible is None or visible(paths.parent(one.path)):
                yield await self._found(one)

    async def _node(self, path: str) -> Node:
        node = await self._finder.find(await self._followed(path))
        for _ in range(ALIASES_MAX):
            if not isinstance(node, Alias):
                break
            target = paths.join(paths.parent(node.path), node.pointer.target)
            node = await self._finder.find(target)
        return node

    async def _followed(self, path: str) -> str:
        """Return *path* with the directories in the place of version aliases in it."""
        return paths.join(await self.real_directory(paths.parent(path)), paths.name(path))

    async def real_directory(self, directory: str) -> str:
        """Return *directory* with versions in the place of version aliases.

        One that points nowhere stays: nothing lies below it.

        Raises:
            TierError: an origin had to be asked and could not answer.
        """
        for _ in range(ALIASES_MAX):
            found = self._first_alias(directory)
            if found is None:
                break
            node = await self._finder.find(found)
            if not isinstance(node, Alias):
                break
            rest = directory[len(found) :]
            directory = paths.join(paths.parent(found), node.pointer.target) + rest
        return directory

    def _first_alias(self, directory: str) -> str | None:
        place = 0
        while place >= 0:
            place = directory.find("/", place + 1)
            above = directory if place < 0 else directory[:place]
            if self._finder.alias(above) is not None:
                return above
        return None

    async def _found(self, node: Published) -> Found:
        return self.made(node, await self._tiers.reader(node.resolution.template.policy))

    def made(self, node: Published, tier: Tier) -> Found:
        """Return *node* as prewarm knows it."""
        return Found(node.path, node.entry.revision, tier, node.resolution)

    def directory_attributes(self, directory: str) -> Attributes:
        """Return what stat shows of *directory*, which need not be there: owner, group, mode."""
        made = self._spool.get(directory)
        if made is not None and made.kind is not EntryKind.DIRECTORY:
            made = None
        node = Directory(directory, self._finder.match(directory), made)
        return self._finder.directory_attributes(node)

    def file_attributes(self, found: Found) -> Attributes:
        """Return owner, group and mode of *found*, as stat shows them."""
        node = Published(found.path, Entry(found.revision, 0.0), found.resolution)
        return self._finder.published_attributes(node)

    async def reader(self, resolution: Resolution) -> Tier:
        """Return where the bytes of a file are read."""
        policy = resolution.template.policy
        return self.opened_reader(policy) or await self._tiers.reader(policy)

    def opened_reader(self, policy: Policy) -> Tier | None:
        """As `reader`, if that was opened before."""
        return self._tiers.opened_reader(policy)


async def _only(node: Node) -> AsyncGenerator[Published, None]:
    if isinstance(node, Published):
        yield node


class _PlainDirectory(NamedTuple):
    """A directory in which the catalog alone can say what a file is.

    Attributes:
        begin: where the path in the show begins, in characters.
        resolve: says what such a path is as a file; None: anything in it may be more than one.
        names: of what may be more than a file.
    """

    begin: int
    resolve: Callable[[str], Resolution | None] | None
    names: frozenset[str]


class _Search:
    """One search for many paths."""

    def __init__(
        self,
        owner: PrewarmFinder,
        finder: NodeFinder,
        spool: Spool,
        wanted: Sequence[str],
        visible: Visible | None,
    ) -> None:
        self._owner = owner
        self._finder = finder
        self._spool = spool
        self._wanted = wanted
        self._visible = visible
        self._answers: list[Found | Absent | None] = [None] * len(wanted)
        self._plain: dict[str, _PlainDirectory] = {}
        self._at_once = trio.CapacityLimiter(ASKED_AT_ONCE)

    async def run(self) -> list[Found | Absent]:
        unknown: dict[str, list[tuple[int, str]]] = {}
        for start in range(0, len(self._wanted), RECALLED_AT_ONCE):
            places = range(start, min(start + RECALLED_AT_ONCE, len(self._wanted)))
            real = await self._settle_plain(await self._real_paths(places))
            # Others are not asked for: a name that is no UTF-8 is none to a database, either.
            known = [path for path in real.values() if self._finder.resolve(path) is not None]
            await self._finder.namespace.recall(known)
            for count, (place, path) in enumerate(real.items()):
                if count % PREPARED_ENTRIES == 0:
                    await trio.lowlevel.checkpoint()
                node = self._finder.find_now(path)
                if node is None:
                    unknown.setdefault(paths.parent(path), []).append((place, path))
                else:
                    await self._settle(place, node)
        if unknown:
            await self._learn_trees(unknown)
            async with trio.open_nursery() as nursery:
                for directory, files in unknown.items():
                    nursery.start_soon(self._ask, directory, files)
        assert all(one is not None for one in self._answers)
        return [one for one in self._answers if one is not None]

    async def _settle_plain(self, real: Mapping[int, str]) -> dict[int, str]:
        """Settle the files that the catalog knows and nothing could stand before; return the rest.

        Says what `NodeFinder.find_now` says of most files of a manifest, in a third of the time.
        """
        finder, generation = self._finder, self._finder.shows.generation
        resolutions: dict[str, Resolution] = {}
        for count, path in enumerate(real.values()):
            if count % PREPARED_ENTRIES == 0:
                await trio.lowlevel.checkpoint()
            resolution = self._plain_file(path)
            if resolution is not None:
                resolutions[path] = resolution
        policies = {path: one.template.policy for path, one in resolutions.items()}
        entries = await finder.namespace.glance(policies) if policies else {}
        if finder.shows.generation != generation:
            return dict(real)  # these are what another specification says
        spool, knows_directory = self._spool, finder.namespace.knows_directory
        written, opened = len(spool) > 0, self._owner.opened_reader
        rest: dict[int, str] = {}
        for place, path in real.items():
            entry = entries.get(path)
            tier = None if entry is None else opened(policies[path])
            if (
                entry is None
                or tier is None
                or (written and (spool.get(path) is not None or spool.has_children(path)))
                or knows_directory(path)
                or finder.hides(path, entry.revision)
            ):
                rest[place] = path
            else:
                self._answers[place] = Found(path, entry.revision, tier, resolutions[path])
        return rest

    def _plain_file(self, path: str) -> Resolution | None:
        """Return what *path* is, if it is nothing but a file that is published by itself."""
        directory, _, name = path.rpartition("/")
        known = self._plain.get(directory)
        if known is None:
            known = self._plain[directory] = self._plain_directory(directory)
        begin, resolve, names = known
        if resolve is None or name in names:
            return None
        resolution = resolve(path[begin:])
        if resolution is None or resolution.scratch or resolution.version_depth is not None:
            return None
        return resolution

    def _plain_directory(self, directory: str) -> _PlainDirectory:
        finder, place = self._finder, self._finder.shows.split(directory)
        match = finder.match(directory)
        if place is None or match is None or match.aliases or not finder.view.live:
            return _PlainDirectory(0, None, frozenset())
        show, rest = place
        names = frozenset(show.spec.implied_children(rest))
        return _PlainDirectory(len(show.name) + 1, show.spec.resolve_in(rest), names)

    async def _real_paths(self, places: Iterable[int]) -> dict[int, str]:
        """Return the paths at *places* without aliases; those that nobody may see are settled."""
        directories: dict[str, str | Absent] = {}
        real: dict[int, str] = {}
        for place in places:
            path = self._wanted[place]
            directory, _, name = path.rpartition("/")
            found = directories.get(directory)
            if found is None:
                found = directories[directory] = await self._real_directory(directory)
            if isinstance(found, Absent):
                self._answers[place] = Absent(path, found.absence, found.reason)
            else:
                real[place] = path if found == directory else paths.join(found, name)
        return real

    async def _real_directory(self, directory: str) -> str | Absent:
        try:
            real = await self._owner.real_directory(directory)
        except ShotfsError as error:
            return Absent(directory, Absence.FAILED, error.message)
        if self._visible is not None and not self._visible(real):
            return Absent(directory, Absence.FORBIDDEN, "you may not read there")
        return real

    async def _ask(self, directory: str, files: list[tuple[int, str]]) -> None:
        if len(files) >= LISTED_FROM and await self._lists_well(files[0][1]):
            async with self._at_once:
                known = await self._learn(directory, [path for _, path in files])
            # One after another: nothing has to be asked for these any more.
            for one in [one for one in files if one[1] in known]:
                await self._ask_one(*one)
            files = [one for one in files if one[1] not in known]
        async with trio.open_nursery() as nursery:
            for place, path in files:
                nursery.start_soon(self._ask_one, place, path)

    async def _learn_trees(self, unknown: dict[str, list[tuple[int, str]]]) -> None:
        """Settle files of *unknown*, and take them out, where pages of many directories help."""
        questions = sum(len(one) if len(one) < LISTED_FROM else 1 for one in unknown.values())
        if questions < TREES_FROM:
            return
        plain = {path: self._plain_file(path) for files in unknown.values() for _, path in files}
        known = await self._owner.trees.learn({path: one for path, one in plain.items() if one})
        for directory, files in unknown.items():
            left = []
            for place, path in files:
                node = self._finder.find_now(path) if path in known else None
                if node is None:
                    left.append((place, path))
                else:
                    await self._settle(place, node)
            unknown[directory] = left

    async def _ask_one(self, place: int, path: str) -> None:
        async with self._at_once:
            try:
                await self._settle(place, await self._finder.find(path))
            except ShotfsError as error:
                self._answers[place] = Absent(path, Absence.FAILED, error.message)

    async def _lists_well(self, path: str) -> bool:
        """Whether a listing beside *path* costs less than questions for a few of its files."""
        resolution = self._finder.resolve(path)
        if resolution is None:
            return False
        try:
            tier = await self._owner.reader(resolution)
        except ShotfsError:
            return False  # asked one by one, each says what is wrong
        return not tier.properties.lists_one_by_one

    async def _learn(self, directory: str, wanted: list[str]) -> Collection[str]:
        """List *directory*, so that the catalog knows what is wanted of it; return what it knows.

        What could not be listed is asked for one by one, which says what is wrong.
        """
        finder, place = self._finder, self._finder.shows.split(directory)
        match = finder.match(directory)
        if place is None or match is None or not match.origins or not finder.view.live:
            return ()
        try:
            sealed = await finder.seal_to_read(directory, match)
            if sealed is not None and sealed[0].snapshot is not None:
                return frozenset(wanted)  # its manifest is in memory and says all
            listing = await finder.namespace.listing(directory, place[1], match)
        except ShotfsError:
            return ()
        if len(listing) > KEPT_ENTRIES_MAX:
            # Nobody keeps it: what the next search may want is learned now.
            everything = {name for part in listing.parts for name in part.objects}
            wanted = [paths.join(directory, name) for name in everything]
        return await self._note(listing, wanted)

    async def _note(self, listing: Listing, wanted: list[str]) -> Collection[str]:
        noted: set[str] = set()
        finder, shows = self._finder, self._finder.shows
        for start in range(0, len(wanted), PREPARED_ENTRIES):
            block = wanted[start : start + PREPARED_ENTRIES]
            await finder.namespace.recall(block)
            await trio.lowlevel.checkpoint()
            for path in block:
                place = shows.split(path)
                resolution = None if place is None else place[0].spec.resolve(place[1])
                if resolution is None or resolution.scratch:
                    continue
                policy = resolution.template.policy
                revision = listing.revision(policy.origin, paths.name(path))
                if revision is not None:
                    finder.namespace.listed(path, revision, policy, listed_at_s=listing.listed_at_s)
                    noted.add(path)
        return noted

    async def _settle(self, place: int, node: Node) -> None:
        path = self._wanted[place]
        if isinstance(node, Published):
            try:
                tier = await self._owner.reader(node.resolution)
            except ShotfsError as error:
                self._answers[place] = Absent(path, Absence.FAILED, error.message)
                return
            self._answers[place] = self._owner.made(node, tier)
            return
        self._answers[place] = Absent(path, *await self._absence(node))

    async def _absence(self, node: Node) -> tuple[Absence, str]:
        if isinstance(node, Directory | Alias):
            return Absence.DIRECTORY, "it is a directory"
        if isinstance(node, Spooled):
            return Absence.OUTPUT, "this node wrote it: it is here"
        assert isinstance(node, Missing)
        if not node.possible:
            return Absence.OUTSIDE, "no template can produce it"
        try:
            found = await self._finder.seal_of(node.path)
        except ShotfsError:
            found = None  # it is missing, whatever the reason
        if found is not None and found[0].retracted is not None:
            return Absence.RETRACTED, f"its version was {found[0].retracted}"
        return Absence.MISSING, "its origin has no such object"
