"""An origin in memory that honours preconditions, fails as told, and a spool to drain into it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import google_crc32c
import trio
from trio.testing import MockClock

from shotfs.config import NetworkSettings, SpoolSettings
from shotfs.digest import Buffer, Checksums, digest_bytes
from shotfs.errors import ObjectNotFound, PreconditionFailed, RevisionChanged
from shotfs.observe.metrics import Metrics
from shotfs.publish import Publisher, PublishTerms, Spool, SpoolEntry, SpoolFile, open_spool
from shotfs.tiers.base import ListPage, Revision, Span, TierProperties
from shotfs.tiers.cloud.unversioned import Unversioned

ORIGIN = "fake://origin"
EMERGENCY = "fake://emergency"


def checksums_of(content: bytes) -> Checksums:
    """What a good store says of *content*."""
    crc = google_crc32c.Checksum(content).digest().hex()  # type: ignore[no-untyped-call]
    return Checksums(md5=hashlib.md5(content).hexdigest(), crc32c=crc, xxh128=digest_bytes(content))


@dataclass
class FakeTier(Unversioned):
    """Objects in memory with create-only and compare-and-replace puts.

    Attributes:
        before: called with the key before a put stores; what it raises is raised.
        after: called with the key after a put stored; what it raises is raised.
        before_delete: called with the key before anything is deleted; what it raises is raised.
        gate: while not set, puts wait before they store.
        puts: keys in the order in which puts began.
        store: changes what a put stores, to be a broken store.
        say: changes the checksums that the store reports.
    """

    name: str = ORIGIN
    objects: dict[str, tuple[Revision, bytes]] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    before: Callable[[str], None] = lambda _key: None
    after: Callable[[str], None] = lambda _key: None
    gate: trio.Event = field(default_factory=trio.Event)
    started: trio.Event = field(default_factory=trio.Event)
    before_delete: Callable[[str], None] = lambda _key: None
    puts: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    in_flight: int = 0
    in_flight_peak: int = 0
    store: Callable[[bytes], bytes] = lambda content: content
    say: Callable[[Checksums], Checksums] = lambda checksums: checksums
    generation: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def properties(self) -> TierProperties:
        return TierProperties(writable=True, preconditions=True, listable=False)

    def add(self, key: str, content: bytes) -> Revision:
        """Put an object there, as another node would."""
        self.generation += 1
        sums = self.say(checksums_of(content))
        revision = Revision(self.name, key, len(content), str(self.generation), 10**18, sums)
        self.objects[key] = (revision, content)
        return revision

    def content(self, key: str) -> bytes:
        return self.objects[key][1]

    async def stat(self, key: str) -> Revision:
        await trio.lowlevel.checkpoint()
        if key not in self.objects:
            raise ObjectNotFound(key)
        return self.objects[key][0]

    async def list(self, prefix: str) -> AsyncIterator[ListPage]:
        await trio.lowlevel.checkpoint()
        start = f"{prefix}/" if prefix else ""
        below = [key for key in sorted(self.objects) if key.startswith(start)]
        names = dict.fromkeys(key[len(start) :].partition("/")[0::2] for key in below)
        yield ListPage(
            tuple(self.objects[start + name][0] for name, rest in names if not rest),
            tuple(dict.fromkeys(name for name, rest in names if rest)),
        )

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        await trio.lowlevel.checkpoint()
        now = self.objects.get(revision.key)
        if now is None:
            raise ObjectNotFound(revision.key)
        if now[0].version != revision.version:
            raise RevisionChanged(revision.key)
        return self.metadata.get(revision.key, {})

    async def read(self, revision: Revision, span: Span) -> Buffer:
        await trio.lowlevel.checkpoint()
        self.reads.append(revision.key)
        if revision.key not in self.objects:
            raise ObjectNotFound(revision.key)
        now, content = self.objects[revision.key]
        if now.version != revision.version:
            raise RevisionChanged(revision.key)
        return content[span.start : span.stop]

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        raise NotImplementedError

    async def put(
        self,
        key: str,
        source: bytes | str,
        *,
        expect: Revision | None,
        checksums: Checksums,
        mtime_ns: int,
        metadata: Mapping[str, str],
        session: object = None,
    ) -> Revision:
        self.puts.append(key)
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight, self.in_flight_peak)
        self.started.set()
        try:
            await trio.lowlevel.checkpoint()
            await self.gate.wait()
            self.before(key)
            content = source if isinstance(source, bytes) else read_bytes(source)
            found = self.objects.get(key)
            if expect is None and found is not None:
                raise PreconditionFailed(f"{key}: exists")
            if expect is not None and (found is None or found[0].version != expect.version):
                raise PreconditionFailed(f"{key}: is another revision")
            revision = self.add(key, self.store(content))
            self.metadata[key] = dict(metadata)
            self.after(key)
            return revision
        finally:
            self.in_flight -= 1

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        await trio.lowlevel.checkpoint()
        self.before_delete(key)
        if key not in self.objects:
            raise ObjectNotFound(key)
        if expect is not None and self.objects[key][0].version != expect.version:
            raise PreconditionFailed(key)
        del self.objects[key]

    async def check(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@dataclass
class Site:
    """A spool, a publisher that runs, and the origin that it publishes to."""

    spool: Spool
    publisher: Publisher
    tier: FakeTier
    place: FakeTier
    metrics: Metrics
    published: list[tuple[str, Revision]]
    adopted: list[str]
    conflicts: list[SpoolEntry]
    removed: list[str]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when *condition* holds; lets threads work, does not look at the clock."""
        while not condition():
            await breathe()

    async def until_passed(self, clock: MockClock, condition: Callable[[], bool]) -> None:
        """Let time pass, a minute at a time, until *condition* holds."""
        while not condition():
            clock.jump(60)
            for _ in range(10):
                await breathe()

    async def until_empty(self) -> None:
        """Return when no file is left in the spool."""
        await self.until(self.empty)

    def empty(self) -> bool:
        """Whether no output is left in the spool."""
        return not [entry for entry in self.spool.entries() if entry.publishable]


async def breathe() -> None:
    """Let other tasks, and the threads that they wait for, get on."""
    await trio.to_thread.run_sync(int)


def read_bytes(path: str) -> bytes:
    """What the file *path* holds."""
    return Path(path).read_bytes()


def terms(key: str, **changes: Any) -> PublishTerms:
    """Terms for *key* in the fake origin; immutable, no grace."""
    return replace(PublishTerms("frame", ORIGIN, key), **changes)


def key_of(path: str) -> str:
    """The object key of a mount-relative path."""
    return path.partition("/")[2]


def spool_in(directory: Path, metrics: Metrics | None = None, **settings: Any) -> Any:
    """Open a spool below *directory* with limits that do not matter, unless they are given."""
    limits = {"free_bytes_min": 0, "bytes_max": 2**40, **settings}
    return open_spool(SpoolSettings(**limits), str(directory / "spool"), metrics or Metrics())


@asynccontextmanager
async def site_in(
    directory: Path,
    tier: FakeTier | None = None,
    *,
    run: bool = True,
    place: FakeTier | None = None,
    gone: Callable[[str], bool] = lambda _url: False,
    **settings: Any,
) -> AsyncIterator[Site]:
    """Open a spool below *directory* and publish from it until the block ends."""
    metrics = Metrics()
    tier = tier or FakeTier()
    published: list[tuple[str, Revision]] = []
    adopted: list[str] = []
    conflicts: list[SpoolEntry] = []
    removed: list[str] = []

    place = FakeTier(EMERGENCY) if place is None else place

    async def tiers(url: str) -> FakeTier:
        return {ORIGIN: tier, EMERGENCY: place}[url]

    async def on_published(entry: SpoolEntry, revision: Revision) -> None:
        published.append((entry.path, revision))

    async def adopt(path: str, digest: str, size_bytes: int, revision: Revision) -> bool:
        assert digest_bytes(read_bytes(path)) == digest
        adopted.append(revision.key)
        return False

    connections_max = settings.pop("connections_max", 8)
    async with spool_in(directory, metrics, **settings) as spool:
        publisher = Publisher(
            spool,
            tiers,
            adopt,
            on_published,
            NetworkSettings(connections_max=connections_max),
            metrics,
            conflict=conflicts.append,
            removed=removed.append,
            emergency=EMERGENCY,
            node="node-7",
            gone=gone,
            jitter=lambda: 0.5,
        )
        async with trio.open_nursery() as nursery:
            if run:
                await nursery.start(publisher.run)
            yield Site(
                spool, publisher, tier, place, metrics, published, adopted, conflicts, removed
            )
            nursery.cancel_scope.cancel()


async def make(spool: Spool, path: str, **changes: Any) -> SpoolFile:
    """Create *path* with terms for its key."""
    return await spool.create(path, mode=0o644, uid=1, gid=2, terms=terms(key_of(path), **changes))


async def write_file(spool: Spool, path: str, content: bytes, **changes: Any) -> SpoolEntry:
    """Create, write, flush, close: what an application that is told 0 by close() did."""
    file = await make(spool, path, **changes)
    if content:
        await file.write(0, content)
    await file.flush()
    await file.close()
    return file.entry


async def read_entry(spool: Spool, entry: SpoolEntry) -> bytes:
    """Return everything that *entry* holds."""
    file = await spool.open(entry, writable=False)
    try:
        return bytes(await file.read(Span(0, entry.size_bytes + 1)))
    finally:
        await file.close()
