"""Pinning: walks the trees of a show in their origins and writes pin files of them.

Asks the origins themselves and no catalog, so what is found is what they have while it runs, or had
at one moment. Several directories are listed ahead, and files come in the order of their paths.
"""

from __future__ import annotations

import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import outcome
import trio

from shotfs.config import Settings
from shotfs.config.moments import format_moment
from shotfs.errors import (
    AccessDenied,
    ObjectNotFound,
    PathNotFound,
    ShotfsError,
    Unsupported,
)
from shotfs.namespace.alias_document import BYTES_MAX, decode, parse_time
from shotfs.namespace.aliases import DIRECTORY
from shotfs.namespace.listing import OriginListing, list_origin
from shotfs.namespace.own_objects import read_own, stat_own
from shotfs.namespace.past import PastTier
from shotfs.namespace.pins import PinHead, PinWriter
from shotfs.namespace.retraction_objects import in_force, objects_in, read_history
from shotfs.namespace.tier_pool import TierPool, TierSource
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import AliasMatch, Retract, Specification
from shotfs.tiers.base import Revision, Tier

T = TypeVar("T")

LISTED_AHEAD = 8
"""Directories that are listed before their turn comes."""

FOREVER_NS = 2**63 - 1
"""A time that has not come: as of then, everything is what it is now."""

READS_AT_ONCE = 8

PROGRESS_FILES = 1_000


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a tree.

    Attributes:
        path: relative to the show.
        revision: what it is.
        origin: root URL as the specification writes it.
    """

    path: str
    revision: Revision
    origin: str


@asynccontextmanager
async def walking(
    spec: Specification, tiers: TierSource, paths: Sequence[str], at_ns: int | None
) -> AsyncIterator[Walk]:
    """Begin to walk *paths* for the block.

    Args:
        spec: of the show.
        tiers: the origins.
        paths: relative to the show: directories, files or aliases.
        at_ns: as of which time, nanoseconds since the epoch; None: now.

    Raises:
        PathNotFound: one of them names nothing that could be pinned.
        Unsupported: a time was given, and an origin keeps no versions.
        TierError: as the tiers say.
    """
    problem: Exception | None = None
    async with trio.open_nursery() as nursery:
        # Kept until the nursery has ended: an exception group says less.
        try:
            walk = Walk(spec, tiers, at_ns, nursery)
            await walk.begin(paths)
            yield walk
        except (ShotfsError, OSError) as exc:
            problem = exc
        nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem


class Walk:
    """The way through the trees of one show. Made by `walking`.

    Attributes:
        trees: what is pinned, in order; of an alias, also the version that it points to.
        aliases: alias path to version, complete when the walk is.
    """

    def __init__(
        self, spec: Specification, tiers: TierSource, at_ns: int | None, nursery: trio.Nursery
    ) -> None:
        self._spec = spec
        self._tiers = tiers
        self._at_ns = at_ns
        self._opened: dict[str, Tier] = {}
        self._ahead = _Ahead(nursery, self._directory)
        self._waiting: list[Iterator[Found | str]] = []
        self.trees: tuple[str, ...] = ()
        self.aliases: dict[str, str | None] = {}

    async def begin(self, paths: Sequence[str]) -> None:
        """Find out what *paths* are. Raises as `walking`."""
        tops: list[str] = []
        for path in paths:
            match = self._spec.alias(path)
            if match is None:
                tops.append(path)
                continue
            version = await self._pointed(match)
            if version is None:
                raise PathNotFound(f"{path}: points nowhere")
            self.aliases[path] = version
            parent = path.rpartition("/")[0]
            target = match.target(version)
            tops.append(f"{parent}/{target}" if parent else target)
        rows = [(path, await self._top(path)) for path in _outermost(tops)]
        rows.sort(key=lambda row: _sort_key(row[0], directory=isinstance(row[1], str)))
        self.trees = tuple(sorted((*self.aliases, *(path for path, _ in rows))))
        self._waiting = [iter([top for _, top in rows])]

    async def _top(self, path: str) -> Found | str:
        """Return the file that *path* is, or *path* itself if it is a directory."""
        await self._check_not_taken_back(path)
        is_directory = path == "" or self._spec.directory(path) is not None
        if path == "" or (is_directory and await self._holds(path)):
            return path
        resolution = self._spec.resolve(path)
        if resolution is None or resolution.scratch:
            if is_directory:
                raise PathNotFound(f"{path}: nothing lies below it", fix="pin what is there")
            raise PathNotFound(
                f"{path}: no template of the specification can produce this path",
                fix=f"`shotfs spec explain {path}` says which template comes nearest",
            )
        origin = resolution.template.policy.origin
        try:
            revision = await (await self._tier(origin)).stat(resolution.key)
        except ObjectNotFound as exc:
            raise PathNotFound(f"{path}: {exc.message}", fix="pin what is there") from exc
        return Found(path, revision, origin)

    async def _holds(self, path: str) -> bool:
        parts = await self._list(path)
        return any(len(part) for part in parts) or bool(await self._aliases_in(path))

    async def next(self) -> Found | None:
        """Return the next file in the order of paths; None: it was the last."""
        while self._waiting:
            entry = next(self._waiting[-1], None)
            if entry is None:
                self._waiting.pop()
            elif isinstance(entry, Found):
                return entry
            else:
                await self._enter(entry)
        return None

    async def _enter(self, path: str) -> None:
        files, directories, aliases = await self._ahead.take(path)
        self.aliases.update(aliases)
        rows: list[tuple[str, Found | str]] = [
            *((_sort_key(found.path, directory=False), found) for found in files),
            *((_sort_key(child, directory=True), child) for child in directories),
        ]
        rows.sort(key=lambda row: row[0])
        self._ahead.want([entry for _, entry in rows if isinstance(entry, str)])
        self._waiting.append(iter([entry for _, entry in rows]))

    # --- directories -----------------------------------------------------------------------------

    async def _directory(self, path: str) -> _Directory:
        """Return files, directories and aliases directly in the directory *path*."""
        files: dict[str, Found] = {}
        directories: set[str] = set()
        for part in await self._list(path):
            for name, revision in part.objects.items():
                child = f"{path}/{name}" if path else name
                resolution = self._spec.resolve(child)
                if resolution is None or resolution.scratch:
                    continue
                if resolution.template.policy.origin == part.origin:
                    files[child] = Found(child, revision, part.origin)
            for name in part.prefixes:
                child = f"{path}/{name}" if path else name
                if self._spec.directory(child) is not None:
                    directories.add(child)
        # A key that is both an object and a prefix is shown as a directory.
        shown = [found for child, found in files.items() if child not in directories]
        return shown, sorted(directories), await self._aliases_in(path)

    async def _list(self, path: str) -> list[OriginListing]:
        match = self._spec.directory(path)
        origins = self._spec.origins if path == "" and match is None else ()
        origins = match.origins if match is not None else origins
        parts = [await list_origin(await self._tier(one), one, path) for one in origins]
        if match is not None and match.holds_retractable:
            for part in parts:
                part.prefixes -= await self._taken_back_in(part.origin, path)
        return parts

    # --- versions that were taken back -----------------------------------------------------------

    async def _taken_back_in(self, origin: str, path: str) -> set[str]:
        """Return the names of versions directly in *path* that nobody is to see."""
        tier = await self._tiers.get(origin)
        found = set()
        for name in await objects_in(tier, origin, path):
            child = f"{path}/{name}" if path else name
            line = in_force((await read_history(tier, child))[0], self._at_ns)
            if line is not None and line.hides:
                found.add(name)
        return found

    async def _check_not_taken_back(self, path: str) -> None:
        match, resolution = self._spec.directory(path), self._spec.resolve(path)
        if resolution is not None and resolution.version_depth is not None:
            policy = resolution.template.policy
            depth, origin, retract = resolution.version_depth, policy.origin, policy.retract
        elif match is not None and match.version_depth is not None and match.origins:
            depth, origin, retract = match.version_depth, match.origins[0], match.retract
        else:
            return
        if retract is Retract.NEVER:
            return
        version = "/".join(path.split("/")[:depth])
        history, _ = await read_history(await self._tiers.get(origin), version)
        line = in_force(history, self._at_ns)
        if line is not None and line.hides:
            raise PathNotFound(
                f"{path}: its version was {line}", fix="pin another version, or restore it"
            )

    # --- aliases ---------------------------------------------------------------------------------

    async def _aliases_in(self, path: str) -> dict[str, str | None]:
        match = self._spec.directory(path)
        if match is None or not match.aliases:
            return {}
        found: dict[str, str | None] = {}
        prefix = f"{DIRECTORY}/{path}" if path else DIRECTORY
        for origin in match.origins:
            # Their history is in them, so today's object knows where they pointed then.
            listing = await list_origin(await self._tiers.get(origin), origin, prefix)
            for name in listing.objects:
                child = f"{path}/{name.removesuffix('.json')}".lstrip("/")
                alias = self._spec.alias(child)
                if alias is None or alias.origin != origin or not name.endswith(".json"):
                    continue
                version = await self._pointed(alias)
                if version is not None:
                    found[child] = version
        return found

    async def _pointed(self, match: AliasMatch) -> str | None:
        tier = await self._tiers.get(match.origin)
        revision = await stat_own(tier, match.key)
        read = None if revision is None else await read_own(tier, revision, bytes_max=BYTES_MAX)
        if read is None:
            return None
        history = decode(read[0], f"{tier.name}/{match.key}")
        at_ns = FOREVER_NS if self._at_ns is None else self._at_ns
        past = [move for move in history if parse_time(move.at) * 10**9 <= at_ns]
        return past[-1].version if past else None

    # --- origins ---------------------------------------------------------------------------------

    async def _tier(self, origin: str) -> Tier:
        """Return the tier of *origin*, as of the time, whose revisions can be read for long."""
        known = self._opened.get(origin)
        if known is None:
            known = self._opened[origin] = await self._as_seen(await self._tiers.get(origin))
        return known

    async def _as_seen(self, tier: Tier) -> Tier:
        if self._at_ns is not None:
            if not (tier.properties.history and await tier.keeps_versions()):
                raise Unsupported(
                    f"{tier.name} keeps no versions of its objects: nobody knows what was there at"
                    " an earlier time",
                    fix="pin what is there now: without --at",
                )
            return PastTier(tier, self._at_ns)
        if tier.properties.needs_pin and await _keeps_versions(tier):
            # Its listings of today do not say which version an object is.
            return PastTier(tier, FOREVER_NS)
        return tier


async def _keeps_versions(tier: Tier) -> bool:
    try:
        return await tier.keeps_versions()
    except AccessDenied:
        return False  # what is found can be read until it is replaced


_Directory = tuple[Sequence[Found], Sequence[str], dict[str, str | None]]


class _Ahead:
    """Lists directories before their turn comes, in the order in which it will."""

    def __init__(self, nursery: trio.Nursery, work: Callable[[str], Awaitable[_Directory]]) -> None:
        self._nursery = nursery
        self._work = work
        self._wanted: list[str] = []
        self._ready: dict[str, trio.Event] = {}
        self._results: dict[str, outcome.Outcome[_Directory]] = {}

    def want(self, paths: Sequence[str]) -> None:
        """Note that *paths* come next, in this order."""
        self._wanted = [*paths, *self._wanted]
        self._start()

    async def take(self, path: str) -> _Directory:
        """Return the listing of *path*, which was wanted. Raises what listing it raised."""
        if path not in self._ready:
            self._begin(path)
        await self._ready.pop(path).wait()
        result = self._results.pop(path)
        self._start()
        return result.unwrap()

    def _start(self) -> None:
        while self._wanted and len(self._ready) < LISTED_AHEAD:
            self._begin(self._wanted[0])

    def _begin(self, path: str) -> None:
        if path in self._wanted:
            self._wanted.remove(path)
        if path not in self._ready:
            self._ready[path] = trio.Event()
            self._nursery.start_soon(self._run, path, self._ready[path])

    async def _run(self, path: str, ready: trio.Event) -> None:
        try:
            self._results[path] = outcome.Value(await self._work(path))
        except ShotfsError as exc:
            # Kept for whoever takes it: an exception group says less.
            self._results[path] = outcome.Error(exc)
        ready.set()


# --- for the command line ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pinned:
    """What a pin file got.

    Attributes:
        files: how many.
        size_bytes: of all of them.
        aliases: how many.
        trees: what is pinned, relative to the show.
    """

    files: int
    size_bytes: int
    aliases: int
    trees: tuple[str, ...]


def pin_blocking(
    spec: Specification,
    settings: Settings,
    paths: Sequence[str],
    output: str,
    *,
    by: str,
    at_ns: int | None = None,
    progress: Callable[[int, int], None] = lambda _files, _bytes: None,
) -> Pinned:
    """Write the pin file of trees: opens what it needs and closes it again.

    Args:
        spec: of the show.
        settings: how to reach its origins.
        paths: relative to the show: directories, files or aliases.
        output: path of the file; it is replaced when the new one is whole.
        by: who makes it.
        at_ns: as of which time, nanoseconds since the epoch; None: now.
        progress: told how many files and bytes there are so far, now and then.

    Raises:
        As `walking`; InvalidArgument for too many files; OSError for the output.
    """

    async def run(tiers: TierPool) -> Pinned:
        async with walking(spec, tiers, paths, at_ns) as walk:
            made_at = format_moment(time.time_ns())
            at = None if at_ns is None else format_moment(at_ns)
            head = PinHead(spec.show, spec.digest, made_at, by, at, walk.trees)
            with PinWriter(output, head) as writer:
                while (found := await walk.next()) is not None:
                    writer.add(found.path, found.revision, found.origin)
                    if writer.count % PROGRESS_FILES == 0:
                        progress(writer.count, writer.size_bytes)
                for path, version in walk.aliases.items():
                    writer.alias(path, version)
            return Pinned(writer.count, writer.size_bytes, len(walk.aliases), walk.trees)

    return with_tiers(settings, run)


def with_tiers(settings: Settings, work: Callable[[TierPool], Awaitable[T]]) -> T:
    """Return what *work* returns; the tiers that it opens are closed. Blocks."""

    async def run() -> T:
        tiers = TierPool(settings, Metrics())
        try:
            return await work(tiers)
        finally:
            with trio.CancelScope(shield=True):
                await tiers.aclose()

    return trio.run(run)


def _sort_key(name: str, *, directory: bool) -> str:
    """Return what puts the entries of a directory into the order of whole paths."""
    return f"{name}/" if directory else name


def _outermost(paths: Iterable[str]) -> Sequence[str]:
    """Return *paths*, sorted and without those that lie in another one."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda one: f"{one}/" if one else ""):
        if not any(path == tree or path.startswith(f"{tree}/") or not tree for tree in kept):
            kept.append(path)
    return kept
