"""An origin in memory, with gates and faults; and caches that read from it."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import google_crc32c
import pytest
import trio

from shotfs.cache import Cache, CachedFile, open_cache
from shotfs.config.network_models import NetworkSettings
from shotfs.config.storage_models import CacheSettings
from shotfs.digest import Buffer, Checksums, digest_bytes
from shotfs.errors import ObjectNotFound, RevisionChanged, TierTimeout
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import ListPage, Revision, Span, TierProperties
from shotfs.tiers.cloud.unversioned import Unversioned

KIB = 1024
MIB = 1024 * 1024


def content_of(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that differ from block to block and from seed to seed."""
    block = hashlib.sha256(f"{seed}".encode()).digest()
    parts = (hashlib.sha256(block + n.to_bytes(8)).digest() for n in range(size_bytes // 4096 + 1))
    return b"".join(part * 128 for part in parts)[:size_bytes]


def checksums_of(content: bytes) -> Checksums:
    """What a good store says of *content*."""
    crc = google_crc32c.Checksum(content).digest().hex()  # type: ignore[no-untyped-call]
    return Checksums(md5=hashlib.md5(content).hexdigest(), crc32c=crc, xxh128=digest_bytes(content))


@dataclass
class FakeTier(Unversioned):
    """Objects in memory. Reads are logged; they wait for `gate`, and fail as told.

    Attributes:
        reads: spans in the order in which they were asked for.
        gate: while not set, reads wait.
        gates: while the gate of a start offset is not set, reads that start there wait.
        fault: called with (revision, span) before each read; what it raises is raised.
        corrupt: how many of the next reads to the end give wrong bytes.
    """

    name: str = "fake://origin"
    objects: dict[str, tuple[Revision, bytes]] = field(default_factory=dict)
    reads: list[tuple[str, Span]] = field(default_factory=list)
    gate: trio.Event = field(default_factory=trio.Event)
    gates: dict[int, trio.Event] = field(default_factory=dict)
    fault: Any = None
    corrupt: int = 0
    in_flight: int = 0
    in_flight_peak: int = 0
    started: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def properties(self) -> TierProperties:
        return TierProperties(writable=False, preconditions=False, listable=False)

    @property
    def bytes_read(self) -> int:
        return sum(span.length_bytes for _, span in self.reads)

    def add(
        self, key: str, content: bytes, version: str = "1", *, checksums: Checksums | None = None
    ) -> Revision:
        """Put an object there; replaces an older revision."""
        sums = checksums_of(content) if checksums is None else checksums
        revision = Revision(self.name, key, len(content), version, 1_700_000_000 * 10**9, sums)
        self.objects[key] = (revision, content)
        return revision

    async def stat(self, key: str) -> Revision:
        await trio.lowlevel.checkpoint()
        if key not in self.objects:
            raise ObjectNotFound(key)
        return self.objects[key][0]

    async def list(self, prefix: str) -> AsyncIterator[ListPage]:
        await trio.lowlevel.checkpoint()
        yield ListPage((), ())

    async def read(self, revision: Revision, span: Span) -> Buffer:
        self.reads.append((revision.key, span))
        self.in_flight += 1
        self.in_flight_peak = max(self.in_flight, self.in_flight_peak)
        self.started.unpark_all()
        try:
            return await self._read(revision, span)
        finally:
            self.in_flight -= 1

    async def _read(self, revision: Revision, span: Span) -> bytes:
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        if span.start in self.gates:
            await self.gates[span.start].wait()
        if self.fault is not None:
            self.fault(revision, span)
        if revision.key not in self.objects:
            raise ObjectNotFound(f"{revision.key} is gone")
        now, content = self.objects[revision.key]
        if now.identity != revision.identity:
            raise RevisionChanged(f"{revision.key} was replaced")
        found = content[span.start : span.stop]
        if self.corrupt and span.stop == revision.size_bytes:
            self.corrupt -= 1
            return found[:-1] + bytes([found[-1] ^ 1])
        return found

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        rest, offset = memoryview(await self.read(revision, span)), span.start
        while rest:  # a disk that is nearly full takes a part first, and fails at the next call
            count = os.pwrite(descriptor, rest, offset)
            rest, offset = rest[count:], offset + count

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
        raise NotImplementedError

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        raise NotImplementedError

    async def check(self) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


def cache_in(
    directory: Any,
    *,
    metrics: Metrics | None = None,
    network: Mapping[str, Any] | None = None,
    deadline_s: float = 60.0,
    on_corrupt: Any = None,
    on_damaged: Any = None,
    limits_of: Any = None,
    **settings: Any,
) -> AbstractAsyncContextManager[Cache]:
    """Open a cache in *directory* with limits that do not matter, unless they are given."""
    limits = {"bytes_max": 2**40, "files_max": 10_000, "free_bytes_min": 0, "scrub_days": 0}
    limits |= settings
    return open_cache(
        CacheSettings(directory=str(directory), **limits),
        NetworkSettings(**(network or {})),
        metrics or Metrics(),
        deadline_s=deadline_s,
        on_corrupt=on_corrupt,
        on_damaged=on_damaged,
        limits_of=limits_of,
    )


async def read_all(cache: Cache, tier: FakeTier, revision: Revision, step: int = MIB) -> bytes:
    """Open, read from start to end, close."""
    file = await cache.open(tier, revision)
    try:
        parts = [
            bytes(await file.read(Span(start, start + step)))
            for start in range(0, revision.size_bytes, step)
        ]
    finally:
        file.close()
    return b"".join(parts)


async def keep(cache: Cache, tier: FakeTier, revision: Revision) -> None:
    """Fetch it whole and wait until it is a blob."""
    file = await cache.open(tier, revision)
    try:
        await file.complete()
    finally:
        file.close()


async def settled(cache: Cache) -> None:
    """Return when no stream is left: the end of one is told before its room is given back."""
    while cache.stats().streams:
        await trio.lowlevel.checkpoint()


def open_descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


async def closed_down_to(count: int) -> None:
    """Return when no more than *count* descriptors are open.

    A hash that nobody wants any more ends in its thread at the next block.
    """
    with trio.fail_after(30):
        while open_descriptors() > count:
            await trio.lowlevel.checkpoint()


async def times_out(file: CachedFile) -> None:
    """Assert that a read of the start of *file* waits until its deadline, and no longer."""
    with pytest.raises(TierTimeout) as caught:
        await file.read(Span(0, 10))
    assert caught.value.errno == errno.ETIMEDOUT


def without_checksums(revision: Revision) -> Revision:
    """The same revision, of which the tier says nothing."""
    return replace(revision, checksums=Checksums())
