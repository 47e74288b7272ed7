"""Refreshing: ask the origins again about a path or a tree, and say what is different.

Nothing is dropped before an origin has answered: a refresh during an outage must not take away what
still works. What the origin says then counts, be the path immutable or not; an immutable path with
another revision is something that somebody should look at, so it is told apart. Published versions
and views do not change, and are not asked about, except whether somebody took the version back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from shotfs.errors import InvalidArgument, NotPermitted
from shotfs.namespace import Entry
from shotfs.namespace.view import View
from shotfs.pathspec import DirectoryMatch
from shotfs.publish import Kind as EntryKind
from shotfs.publish import Spool
from shotfs.tiers.base import Revision
from shotfs.vfs import paths
from shotfs.vfs.attributes import Attributes
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.nodes import Directory, Published

CHANGES_MAX = 10_000
"""Changes that are told one by one; more are counted."""

DIRECTORIES_MAX = 20_000
"""Directories of one tree that are listed again."""

KNOWN_PATHS_BATCH = 1_000

Permission = Callable[[Attributes], bool]
"""Whether who asks has a certain permission on a directory."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A revision, as people look at it.

    Attributes:
        origin: name of its tier.
        version: generation, ETag or what else the store calls it.
        size_bytes: of the content.
        mtime_ns: modification time, nanoseconds since the epoch.
    """

    origin: str
    version: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class PathChange:
    """What is different about one path.

    Attributes:
        path: mount-relative; of a directory with a slash at its end.
        what: ``changed``, ``gone``, or ``new``: this node knew nothing of it.
        immutable: its template says that its bytes never change, and they did: ``changed`` or
            ``gone``.
        old: what this node believed; None if nothing.
        new: what the origin has; None if nothing, and for a directory.
    """

    path: str
    what: str
    immutable: bool
    old: Seen | None = None
    new: Seen | None = None


@dataclass(slots=True)
class Refreshed:
    """What a refresh found.

    Attributes:
        path: mount-relative.
        tree: all that is known below it was asked about, too.
        files: how many files were compared.
        directories: how many directories were listed.
        changed: how many paths are different.
        changes: the first `CHANGES_MAX` of them.
        notes: what was not asked about, and why.
    """

    path: str
    tree: bool
    files: int = 0
    directories: int = 0
    changed: int = 0
    changes: list[PathChange] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, change: PathChange) -> None:
        """Note one difference."""
        self.changed += 1
        if len(self.changes) < CHANGES_MAX:
            self.changes.append(change)


class Refresher:
    """Asks again.

    Args:
        finder: knows the specifications and what the origins had.
        spool: what this node wrote, which no origin knows better.
    """

    def __init__(self, finder: NodeFinder, spool: Spool) -> None:
        self._finder = finder
        self._spool = spool

    @property
    def _view(self) -> View:
        return self._finder.view

    async def refresh(
        self,
        path: str,
        *,
        tree: bool,
        may_search: Permission,
        may_read: Permission,
        admit: Callable[[str], Awaitable[None]] | None = None,
    ) -> Refreshed:
        """Ask the origins about *path*, and with *tree* about all that is known below it.

        Args:
            path: mount-relative.
            tree: also below it: one listing for each directory of which something is known.
            may_search: who asks may look up names in a directory.
            may_read: who asks may list a directory.
            admit: awaited with each directory before it is listed; may take its time.

        Raises:
            NotPermitted: who asks may not search a directory above it.
            InvalidArgument: it is no path of a show, or part of a view.
            TierError: an origin could not answer; what was known is still known.
        """
        self._check(path, may_search)
        report = Refreshed(path, tree)
        place = self._finder.shows.split(path)
        assert place is not None
        alias = place[0].spec.alias(place[1])
        if alias is not None:
            pointers = await self._finder.aliases.confirm(path, alias)
            before, now = (None if one is None else one.target for one in pointers)
            if before != now:
                report.add(PathChange(path, "changed", immutable=False))
                report.notes.append(
                    f"{path} points to {now or 'nothing'}, not {before or 'nothing'}"
                )
            return report
        if await self._sealed(path, report):
            return report
        await self._refresh_file(path, report)
        match = self._finder.match(path)
        if match is None or not match.origins:
            return report
        hidden: set[str] = set()
        # A directory comes before what lies in it.
        for directory in await self._directories_of(path, report) if tree else [path]:
            if paths.parent(directory) in hidden or not await self._refresh_directory(
                directory, report, may_search, may_read, admit
            ):
                hidden.add(directory)
        self._finder.namespace.forget_missing_below(path)
        return report

    def _check(self, path: str, may_search: Permission) -> None:
        if self._finder.shows.split(path) is None:
            raise InvalidArgument(
                f"{path or 'the mount'}: is in no show",
                fix=f"one of: {', '.join(self._finder.shows.names)}",
            )
        if self._view.holds(path):
            raise InvalidArgument(
                f"{path}: is part of the mount's view (--at or --pin), which never changes"
            )
        finder = self._finder
        if not (finder.match(path) or finder.resolve(path) or finder.alias(path)):
            raise InvalidArgument(
                f"{path}: no template can produce this path",
                fix=f"`shotfs spec explain {path}` says why",
            )
        above = ""
        for name in path.split("/")[:-1]:
            above = paths.join(above, name)
            self._check_right(above, may_search, "search")

    def _check_right(self, directory: str, allowed: Permission, verb: str) -> None:
        made = self._spool.get(directory)
        if made is not None and made.kind is not EntryKind.DIRECTORY:
            made = None
        node = Directory(directory, self._finder.match(directory), made)
        if not allowed(self._finder.directory_attributes(node)):
            raise NotPermitted(f"{directory}: you may not {verb} it", fix="ask somebody who may")

    async def _sealed(self, path: str, report: Refreshed) -> bool:
        before = await self._finder.seal_of(path)
        rest, finder = path.partition("/")[2], self._finder
        await finder.seals.ask_retracted(rest, finder.resolve(path), finder.match(path))
        found = await self._finder.seal_of(path, now=True)
        if found is None or found[0].snapshot is None:
            return False
        was = None if before is None else before[0].retracted
        if was != found[0].retracted:
            what = "new" if found[0].retracted is None else "gone"
            report.add(PathChange(path, what, immutable=False))
        if found[0].retracted is not None:
            report.notes.append(f"{path} is in a version that was {found[0].retracted}")
            return True
        report.notes.append(
            f"{path} is in a version that {found[0].by} published {found[0].at}: it is what its"
            " manifest says, for ever; `shotfs version verify` compares the origin with it"
        )
        return True

    async def _refresh_file(self, path: str, report: Refreshed) -> None:
        resolution = self._finder.resolve(path)
        if resolution is None or resolution.scratch:
            return
        if self._spool.get(path) is not None:
            report.notes.append(f"{path} waits on this node to be published: this node knows best")
            return
        namespace = self._finder.namespace
        old = await namespace.catalog.get(path)
        new = await namespace.confirm(path, resolution)
        report.files += 1
        self._compare(path, old, None if new is None else new.revision, report)

    def _compare(
        self, path: str, old: Entry | None, new: Revision | None, report: Refreshed
    ) -> None:
        if old is None and new is None:
            return
        if old is not None and new is not None and old.revision == new:
            return
        resolution = self._finder.resolve(path)
        assert resolution is not None
        node = None if old is None else Published(path, old, resolution)
        what = "new" if old is None else "gone" if new is None else "changed"
        report.add(
            PathChange(
                path,
                what,
                immutable=node is not None and node.immutable and node.entry.settled,
                old=None if old is None else _seen(old.revision),
                new=None if new is None else _seen(new),
            )
        )

    async def _directories_of(self, path: str, report: Refreshed) -> list[str]:
        """Return *path* and the directories below it of which this node knows anything."""
        found = {path: None}
        after = ""
        while batch := await self._finder.namespace.catalog.below(path, after, KNOWN_PATHS_BATCH):
            after = batch[-1]
            for known in batch:
                directory = known[:-1] if known.endswith("/") else paths.parent(known)
                while directory not in found and directory.startswith(f"{path}/"):
                    found[directory] = None
                    directory = paths.parent(directory)
            if len(found) > DIRECTORIES_MAX:
                report.notes.append(
                    f"more than {DIRECTORIES_MAX} directories are known below {path}: refresh"
                    " the others one by one"
                )
                break
        return sorted(found)[:DIRECTORIES_MAX]

    async def _refresh_directory(
        self,
        path: str,
        report: Refreshed,
        may_search: Permission,
        may_read: Permission,
        admit: Callable[[str], Awaitable[None]] | None,
    ) -> bool:
        """List *path* again; False: who asks may not know what lies below it either."""
        match = self._finder.match(path)
        if match is None or not match.origins or self._finder.view.holds(path):
            return True
        for verb, allowed in (("search", may_search), ("list", may_read)):
            try:
                self._check_right(path, allowed, verb)
            except NotPermitted as exc:
                if path == report.path and not report.files:
                    raise
                report.notes.append(exc.message)
                return verb == "list"
        sealed = await self._finder.seal_of(path)
        if sealed is not None and sealed[0].snapshot is not None:
            return True
        if admit is not None:
            await admit(path)
        await self._list_again(path, match, report)
        return True

    async def _list_again(self, path: str, match: DirectoryMatch, report: Refreshed) -> None:
        namespace = self._finder.namespace
        await self._finder.seals.ask_retracted_in(path.partition("/")[2], match)
        before = await namespace.kept_listing(path, match)
        believed = await namespace.catalog.files_in(path)
        listing = await namespace.list_again(path, path.partition("/")[2], match)
        report.directories += 1
        for part in listing.parts:
            for count, (name, revision) in enumerate(part.objects.items()):
                if count % KNOWN_PATHS_BATCH == 0:
                    await trio.lowlevel.checkpoint()
                one = paths.join(path, name)
                resolution = self._finder.resolve(one)
                if resolution is None or resolution.scratch or self._spool.get(one) is not None:
                    continue
                policy = resolution.template.policy
                if policy.origin != part.origin:
                    continue
                report.files += 1
                old = believed.pop(one, None)
                namespace.listed(one, revision, policy, listed_at_s=listing.listed_at_s)
                known = before is None or before.revision(part.origin, name) is None
                if old is not None or known:
                    self._compare(one, old, revision, report)
            if before is not None:
                self._compare_names(path, before.directories(part.origin), part.prefixes, report)
        for gone, entry in believed.items():
            resolution = self._finder.resolve(gone)
            covered = resolution is not None and listing.covers(resolution.template.policy.origin)
            if resolution is None or not covered or self._spool.get(gone) is not None:
                continue
            # Not from the listing alone: somebody may be putting it there just now.
            now = await namespace.confirm(gone, resolution)
            report.files += 1
            self._compare(gone, entry, None if now is None else now.revision, report)

    @staticmethod
    def _compare_names(path: str, old: set[str], new: set[str], report: Refreshed) -> None:
        for name in sorted(old - new):
            report.add(PathChange(f"{path}/{name}/", "gone", immutable=False))
        for name in sorted(new - old):
            report.add(PathChange(f"{path}/{name}/", "new", immutable=False))


def _seen(revision: Revision) -> Seen:
    return Seen(revision.tier, revision.version, revision.size_bytes, revision.mtime_ns)
