"""The file system: every operation, on mount-relative paths.

Decides everything that an application can see; knows nothing of inodes or kernels. `fuse` adapts
it to the kernel, tests drive it directly. One event loop; no method blocks it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from shotfs.cache import Cache
from shotfs.config import Settings
from shotfs.errors import NotPermitted, PathNotFound, Stale
from shotfs.namespace import ShowSet, TierPool
from shotfs.namespace.aliases import Aliases
from shotfs.namespace.retractions import Retractions
from shotfs.namespace.tier_pool import tier_name
from shotfs.namespace.versions import Versions
from shotfs.namespace.view import View
from shotfs.namespace.viewed import Lookup
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Durability
from shotfs.prewarm.watching import OpenWatch, Watches, WholeFile
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Publisher, PublishTerms, Spool
from shotfs.tiers.base import Revision
from shotfs.vfs.alias_retreat import AliasRetreat
from shotfs.vfs.askers import Askers
from shotfs.vfs.attributes import Attributes, Caller, Change, next_identity, revision_identity
from shotfs.vfs.cached_paths import CachedPaths
from shotfs.vfs.changes import Changes
from shotfs.vfs.conflicts import ConflictDesk
from shotfs.vfs.crawlers import CrawlerGuard
from shotfs.vfs.directories import Directories, Snapshot, SnapshotStamp
from shotfs.vfs.files import Files
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.handles import Handle, PublishedHandle
from shotfs.vfs.nodes import Alias, Missing, Spooled
from shotfs.vfs.path_reports import PathReports
from shotfs.vfs.paths import NAME_BYTES_MAX
from shotfs.vfs.prewarm_finder import PrewarmFinder
from shotfs.vfs.publishing import VersionDesk
from shotfs.vfs.refreshing import Refresher
from shotfs.vfs.safety import SafetyReports
from shotfs.vfs.terms import Terms, no_template
from shotfs.vfs.version_aliases import AliasDesk
from shotfs.vfs.version_reports import VersionReports
from shotfs.vfs.version_retracting import RetractDesk
from shotfs.vfs.waiting import WaitTable
from shotfs.vfs.work_gate import WorkGate
from shotfs.vfs.xattrs import ExtendedAttributes

BLOCK_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Space:
    """What df shows: how much can still be written, and how much there is in all.

    Attributes:
        total_bytes: what the spool holds and what it still may: so that "used" is what it holds.
        free_bytes: what a writer may still write here: the spool's limit or its disk, whichever
            ends first. Nothing is said of the origin, which has no end.
        files: entries in the spool.
        name_bytes_max: longest name.
    """

    total_bytes: int
    free_bytes: int
    files: int
    name_bytes_max: int = NAME_BYTES_MAX


class FileSystem:
    """One mounted set of shows.

    Args:
        settings: of this node.
        shows: what is mounted.
        namespace: what the origins have.
        aliases: where version aliases point.
        versions: which versions are published.
        retractions: which of them were taken back.
        view: what is pinned; None: nothing.
        cache: where published content is read from.
        spool: where outputs are written.
        publisher: takes them to the origin.
        tiers: the origins.
        metrics: counts opens.
        nursery: where short background work runs; it must outlive every call.
        read_only: refuse every change.
        watches: told of what applications open.

    Attributes:
        aliases: moves version aliases.
        versions: publishes versions.
        retracting: takes published versions back.
        reports: answers questions about versions.
        crawlers: slows processes down that list whole trees, and knows them.
        refresher: asks the origins again.
        path_reports: answers questions about paths.
        safety: says whether outputs are safe.
        conflicts: publishes what lost a race under another path.
        waits: operations that wait now.
        cached_paths: what is cached, by path.
        prewarm_finder: finds published files, many at once, for who fetches ahead.
        gate: closed while this node takes no new work.
    """

    def __init__(
        self,
        settings: Settings,
        shows: ShowSet,
        *,
        namespace: Lookup,
        aliases: Aliases,
        versions: Versions,
        retractions: Retractions,
        cache: Cache,
        spool: Spool,
        publisher: Publisher,
        tiers: TierPool,
        metrics: Metrics,
        nursery: trio.Nursery,
        read_only: bool,
        view: View | None = None,
        watches: Sequence[OpenWatch] = (),
    ) -> None:
        uid, gid = os.getuid(), os.getgid()
        self._settings = settings
        self._cache = cache
        self._spool = spool
        self._tiers = tiers
        self._finder = NodeFinder(
            shows,
            namespace,
            aliases,
            versions,
            retractions,
            spool,
            view=view or View(shows),
            uid=uid,
            gid=gid,
            attribute_ttl_s_max=settings.mount.attribute_ttl_s_max,
            # Looked up, then created: both must end before the request does.
            unseen_wait_s=settings.mount.request_deadline_s / 4,
        )
        self.gate = WorkGate(metrics)
        terms = self._terms = Terms(
            self._finder,
            read_only=read_only,
            durability=Durability.ORIGIN if settings.node.preemptible else Durability.NODE,
            node=settings.node.name,
            site=settings.node.site,
            gate=self.gate,
        )
        self.waits = WaitTable()
        self.refresher = Refresher(self._finder, spool)
        self._watch = Watches(watches)
        askers = self._askers = Askers(settings.node.job_variables)
        self.crawlers = CrawlerGuard(settings.mount, metrics)
        self._files = Files(
            self._finder,
            terms,
            askers=askers,
            cache=cache,
            spool=spool,
            tiers=tiers,
            publisher=publisher,
            metrics=metrics,
            waits=self.waits,
            nursery=nursery,
            watch=self._watch,
        )
        self._directories = Directories(
            self._finder,
            spool,
            askers,
            self.crawlers,
            is_gone=lambda origin: tiers.breakers.refuses(tier_name(origin)),
        )
        self._changes = Changes(
            self._finder,
            terms,
            self._files,
            self._directories,
            spool=spool,
            publisher=publisher,
            tiers=tiers,
        )
        retreat = AliasRetreat(self._finder, tiers)
        self.aliases = AliasDesk(self._finder, terms, spool, retreat)
        self.versions = VersionDesk(
            self._finder,
            terms,
            self.aliases,
            spool=spool,
            publisher=publisher,
            tiers=tiers,
        )
        self.reports = VersionReports(
            self._finder, spool=spool, tiers=tiers, site=settings.node.site
        )
        self.cached_paths = CachedPaths(self._finder, self._directories, cache=cache, tiers=tiers)
        self.prewarm_finder = PrewarmFinder(
            self._finder, self._directories, spool=spool, tiers=tiers
        )
        self.retracting = RetractDesk(
            self._finder,
            terms,
            self.aliases,
            cached=self.cached_paths,
            tiers=tiers,
            metrics=metrics,
        )
        self.path_reports = PathReports(
            self._finder,
            cache=cache,
            spool=spool,
            tiers=tiers,
            waits=self.waits,
            askers=askers,
            pins_of=self.cached_paths.pins_of,
        )
        self.safety = SafetyReports(
            self._finder, self.path_reports, cache=cache, spool=spool, tiers=tiers
        )
        self.conflicts = ConflictDesk(
            self._finder, terms, self._changes, self.reports, spool=spool, tiers=tiers
        )
        self._xattrs = ExtendedAttributes(
            cache,
            tiers,
            self._finder.resolve,
            self.path_reports.retracted,
            self.safety.has_lost,
        )

    @property
    def view(self) -> View:
        """What is pinned."""
        return self._finder.view

    # --- specifications --------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """How many specifications were swapped; see `ShowSet.generation`."""
        return self._finder.shows.generation

    def respecified(self, show: str) -> None:
        """Note that another specification is in force for *show*. What is open stays as it is."""
        self._finder.namespace.respecified(show)
        self._finder.aliases.respecified(show)

    def output_terms(self, path: str, base: Revision | None) -> PublishTerms:
        """Return under which terms the output *path*, which replaces *base*, is published here.

        Raises:
            ReadOnly, NoTemplate, NotPermitted: it may not be written here.
        """
        return self._terms.of(path, self._terms.writable_file(path), base)

    def check_output_path(self, path: str) -> None:
        """Return if outputs may lie at or below *path*: the mount, a show, or what templates have.

        For those who ask whether something is missing: of a path with a slip of the pen, or of an
        alias, nothing ever is.

        Raises:
            NotPermitted: it is, or lies below, a version alias.
            NoTemplate: no template can produce it.
        """
        if not path or self._finder.shows.get(path) is not None:
            return
        above = path
        while above:
            if self._finder.alias(above) is not None:
                raise NotPermitted(
                    f"{path}: {above} is a version alias",
                    fix="name the version that it points to",
                )
            above = above.rpartition("/")[0]
        if self._finder.match(path) is None and self._finder.resolve(path) is None:
            raise no_template(path)

    # --- asking ----------------------------------------------------------------------------------

    async def lookup(self, path: str, caller: Caller | None = None) -> Attributes | Missing:
        """Return what stat shows of *path*, or that there is nothing and for how long.

        Args:
            path: mount-relative.
            caller: who looks it up, for `waits`.

        Raises:
            TierError: an origin had to be asked and could not answer.
        """
        entry = self.waits.begin("lookup", path, caller)
        try:
            node = await self._finder.find(path)
        finally:
            self.waits.end(entry)
        return node if isinstance(node, Missing) else self._finder.attributes(node)

    def lookup_now(self, path: str) -> Attributes | Missing | None:
        """Return what `lookup` would, if nothing has to be awaited for it; else None."""
        node = self._finder.find_now(path)
        return node if node is None or isinstance(node, Missing) else self._finder.attributes(node)

    async def attributes(self, path: str) -> Attributes:
        """Return what stat shows of *path*.

        Raises:
            PathNotFound: there is nothing.
            TierError: as `lookup`.
        """
        found = await self.lookup(path)
        if isinstance(found, Missing):
            raise PathNotFound(f"{path}: no such file or directory")
        return found

    async def snapshot(self, path: str, caller: Caller | None = None) -> Snapshot:
        """Return the entries of the directory *path*; see `Directories.snapshot`."""
        entry = self.waits.begin("list", path, caller)
        try:
            return await self._directories.snapshot(path, caller)
        finally:
            self.waits.end(entry)

    def unchanged(self, path: str, stamp: SnapshotStamp) -> bool:
        """Whether the directory *path* still shows what a snapshot did; see `Directories`."""
        return self._directories.unchanged(path, stamp)

    async def read_link(self, path: str, *, identity: int | None = None) -> str:
        """Return where the symbolic link *path* points.

        Args:
            path: mount-relative.
            identity: of the link that is meant, whose target the kernel keeps; None: whichever.

        Raises:
            PathNotFound: there is no such link.
            Stale: another one lies there now.
        """
        node = await self._finder.find(path)
        if isinstance(node, Alias):
            target = node.pointer.target
        elif isinstance(node, Spooled) and node.entry.kind is EntryKind.SYMLINK:
            assert node.entry.target is not None
            target = node.entry.target
        else:
            raise PathNotFound(f"{path}: no symbolic link")
        if identity is not None and self._finder.attributes(node).identity != identity:
            raise Stale(f"{path}: another link lies there now; look it up again")
        return target

    async def extended_attribute(self, path: str, name: str) -> str:
        """Return the extended attribute *name* of *path*.

        Raises:
            NoAttribute: it has none of that name.
        """
        return await self._xattrs.get(await self._finder.find(path), name)

    async def extended_attributes(self, path: str) -> list[str]:
        """Return the names of all extended attributes of *path*, sorted."""
        return sorted(await self._xattrs.all(await self._finder.find(path)))

    def on_shortage(self, give_back: Callable[[], None]) -> None:
        """Have *give_back* called when the cache needs room: it may close idle files."""
        self._cache.on_shortage(give_back)

    async def distrust(self, revision: Revision) -> list[int]:
        """Give each file that shows *revision* a new identity: some of what was read was wrong.

        Who has it open keeps the old inode, so that wrong bytes and right ones never mix; the next
        open gets a new one, of which the kernel has no pages.

        Returns:
            The old identities, for dropping their pages.
        """
        identities = []
        for path in (f"{show.name}/{revision.key}" for show in self._finder.shows):
            resolution = self._finder.resolve(path)
            if resolution is None or resolution.scratch:
                continue
            tier = self._tiers.opened(resolution.template.policy.origin)
            if tier is None or tier.name != revision.tier:
                continue
            first = revision_identity(path, revision)
            identities.append(
                await self._finder.namespace.renumber(path, revision, first, next_identity)
            )
        return identities

    async def space(self) -> Space:
        """Return what df shows."""
        limit = self._settings.spool
        disk = await trio.to_thread.run_sync(os.statvfs, self._spool.directory)
        room = disk.f_bavail * disk.f_frsize - limit.free_bytes_min
        used = self._spool.used_bytes
        free = max(0, min(limit.bytes_max - used, room))
        return Space(
            total_bytes=used + free,
            free_bytes=free,
            files=len(self._spool),
        )

    # --- files -----------------------------------------------------------------------------------

    async def open(
        self, path: str, flags: int, *, identity: int = 0, caller: Caller | None = None
    ) -> Handle:
        """Open the file *path*; see `Files.open`."""
        entry = self.waits.begin("open", path, caller)
        try:
            return await self._files.open(path, flags, identity=identity, caller=caller)
        finally:
            self.waits.end(entry)

    @property
    def watch(self) -> Watches:
        """Who wants to be told of opens."""
        return self._watch

    def whole_file(self, path: str, handle: PublishedHandle) -> WholeFile | None:
        """Return what those who watch are told of *path*, which *handle* has open; None if the
        specification does not know it any more.
        """
        resolution = self._finder.resolve(path)
        return None if resolution is None else WholeFile(path, handle.cached.revision, resolution)

    async def opened_again(
        self, thread: int, files: Sequence[WholeFile], at_s: Sequence[float]
    ) -> None:
        """Tell who wants to know of opens by *thread* that were answered without this.

        Args:
            thread: that opened them.
            files: in the order in which it did.
            at_s: when, of each, on the event loop's clock.
        """
        if self._watch.wants:
            self._watch.opened_again(await self._askers.known_reader(thread), files, at_s)

    async def create(
        self, path: str, mode: int, flags: int, caller: Caller
    ) -> tuple[Attributes, Handle]:
        """Create and open the file *path*; see `Files.create`."""
        return await self._files.create(path, mode, flags, caller)

    # --- changes ---------------------------------------------------------------------------------

    async def change(
        self, path: str, change: Change, handle: Handle | None = None, *, identity: int = 0
    ) -> Attributes:
        """Change attributes or size; see `Changes.change`."""
        return await self._changes.change(path, change, handle, identity=identity)

    async def make_directory(self, path: str, mode: int, caller: Caller) -> Attributes:
        """Make a directory; see `Changes.make_directory`."""
        return await self._changes.make_directory(path, mode, caller)

    async def make_symlink(self, path: str, target: str, caller: Caller) -> Attributes:
        """Make a symbolic link; see `Changes.make_symlink`."""
        return await self._changes.make_symlink(path, target, caller)

    async def unlink(self, path: str) -> None:
        """Remove a file or symbolic link; see `Changes.unlink`."""
        await self._changes.unlink(path)

    async def remove_directory(self, path: str) -> None:
        """Remove an empty directory; see `Changes.remove_directory`."""
        await self._changes.remove_directory(path)

    async def rename(self, old: str, new: str, *, replace: bool = True) -> None:
        """Move an entry; see `Changes.rename`."""
        await self._changes.rename(old, new, replace=replace)
