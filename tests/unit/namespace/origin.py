"""An origin in memory: objects with generations, requests that are counted, gates and faults.

It keeps the tier contract; `test_origin.py` runs the contract's own tests against it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import trio

from shotfs.digest import Buffer, Checksums, digest_bytes
from shotfs.errors import (
    ObjectNotFound,
    PreconditionFailed,
    RevisionChanged,
    TierUnavailable,
    Unsupported,
)
from shotfs.tiers.base import ListPage, Revision, Span, TierProperties
from shotfs.tiers.breaker import BreakerWatch

MTIME_NS = 1_700_000_000 * 10**9


@dataclass
class Origin:
    """Objects in memory.

    Attributes:
        asked: (operation, key) in the order in which the requests began.
        gates: while the gate of an operation is not set, requests of that kind wait.
        fault: called with operation and key before each answer; what it raises is raised.
        page_entries: entries of one page of a listing.
        versioned: it keeps what is replaced or deleted, and can be asked for it.
        clock_ns: its clock; goes on by 1,000 with each change.
        past: (time, key, revision or None if deleted, content) of every change.
    """

    name: str = "mem://main/ant"
    objects: dict[str, tuple[Revision, bytes]] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    gates: dict[str, trio.Event] = field(default_factory=dict)
    fault: Callable[[str, str], None] = lambda _operation, _key: None
    page_entries: int = 1000
    listable: bool = True
    one_by_one: bool = False
    trees: bool = False
    checksummed: bool = True
    closed: bool = False
    generation: int = 0
    versioned: bool = False
    clock_ns: int = 1_000
    past: list[tuple[int, str, Revision | None, bytes]] = field(default_factory=list)
    _began: dict[str, trio.Event] = field(default_factory=dict)

    # --- what a test does ------------------------------------------------------------------------

    def add(self, key: str, content: bytes = b"") -> Revision:
        """Put an object there, as another node would."""
        self.generation += 1
        sums = Checksums(xxh128=digest_bytes(content)) if self.checksummed else Checksums()
        revision = Revision(
            self.name, key, len(content), str(self.generation), MTIME_NS + self.generation, sums
        )
        self.objects[key] = (revision, content)
        self._happened(key, revision, content)
        return revision

    def remove(self, key: str) -> None:
        """Delete an object, as another node would."""
        del self.objects[key]
        self._happened(key, None, b"")

    def _happened(self, key: str, revision: Revision | None, content: bytes) -> None:
        self.clock_ns += 1_000
        self.past.append((self.clock_ns, key, revision, content))

    def content(self, key: str) -> bytes:
        """What is stored under *key*."""
        return self.objects[key][1]

    def count(self, operation: str | None = None, key: str | None = None) -> int:
        """How many requests began."""
        return sum(
            (operation is None or operation == one) and (key is None or key == what)
            for one, what in self.asked
        )

    def gate(self, operation: str) -> trio.Event:
        """Make requests of that kind wait until the returned event is set."""
        self.gates[operation] = trio.Event()
        self._began[operation] = trio.Event()
        return self.gates[operation]

    async def reached(self, operation: str) -> None:
        """Return when a request has arrived at the gate of *operation*."""
        await self._began[operation].wait()

    def go_down(self) -> None:
        """Answer nothing but errors."""

        def down(operation: str, key: str) -> None:
            raise TierUnavailable(f"{self.name}/{key}: {operation}: nobody answers")

        self.fault = down

    def come_up(self) -> None:
        """Answer again."""
        self.fault = lambda _operation, _key: None

    async def _request(self, operation: str, key: str) -> None:
        self.asked.append((operation, key))
        await trio.lowlevel.checkpoint()
        gate = self.gates.get(operation)
        if gate is not None:
            self._began[operation].set()
            await gate.wait()
        self.fault(operation, key)

    # --- the contract ----------------------------------------------------------------------------

    @property
    def properties(self) -> TierProperties:
        return TierProperties(
            writable=True,
            preconditions=True,
            listable=self.listable,
            lists_one_by_one=self.one_by_one,
            lists_trees=self.trees,
            history=self.versioned,
        )

    async def stat(self, key: str) -> Revision:
        found = self.objects.get(key)  # as of now, however long the answer takes
        await self._request("stat", key)
        if found is None:
            raise ObjectNotFound(f"{self.name}/{key}: no such object")
        return found[0]

    def list(self, prefix: str) -> AsyncGenerator[ListPage, None]:
        now = {key: revision for key, (revision, _) in self.objects.items()}
        return self._pages("list", prefix, now)

    async def list_from(self, start: str) -> ListPage:
        keys = sorted(key for key in self.objects if key >= start)[: self.page_entries]
        found = tuple(self.objects[key][0] for key in keys)  # as of now
        await self._request("list_from", start)
        return ListPage(found, ())

    async def keeps_versions(self) -> bool:
        await self._request("keeps_versions", "")
        return self.versioned

    async def stat_at(self, key: str, at_ns: int) -> Revision:
        await self._request("stat_at", key)
        found = self._as_of(at_ns).get(key)
        if found is None:
            raise ObjectNotFound(f"{self.name}/{key}: no such object at {at_ns}")
        return found

    def list_at(self, prefix: str, at_ns: int) -> AsyncGenerator[ListPage, None]:
        return self._pages("list_at", prefix, self._as_of(at_ns))

    def _as_of(self, at_ns: int) -> dict[str, Revision]:
        if not self.versioned:
            raise Unsupported(f"{self.name} keeps no versions")
        then = {key: revision for when_ns, key, revision, _ in self.past if when_ns <= at_ns}
        return {key: revision for key, revision in then.items() if revision is not None}

    async def _pages(
        self, operation: str, prefix: str, objects: Mapping[str, Revision]
    ) -> AsyncGenerator[ListPage, None]:
        start = f"{prefix}/" if prefix else ""
        below = {
            key: revision
            for key, revision in sorted(objects.items())
            if key.startswith(start) and key != start
        }
        await self._request(operation, prefix)
        rows: list[Revision | str] = []
        for key, revision in below.items():
            name, slash, _ = key.removeprefix(start).partition("/")
            if not slash:
                rows.append(revision)
            elif name not in rows:
                rows.append(name)
        for first in range(0, len(rows), self.page_entries):
            page = rows[first : first + self.page_entries]
            if first:
                await self._request("page", prefix)
            yield ListPage(
                tuple(row for row in page if isinstance(row, Revision)),
                tuple(row for row in page if isinstance(row, str)),
            )

    async def recorded(self, revision: Revision) -> Mapping[str, str]:
        await self._request("recorded", revision.key)
        found = self.objects.get(revision.key)
        if found is None:
            raise ObjectNotFound(f"{revision.key} is gone")
        if found[0].version != revision.version:
            raise RevisionChanged(f"{revision.key} was replaced")
        return self.metadata.get(revision.key, {})

    async def read(self, revision: Revision, span: Span) -> Buffer:
        await self._request("read", revision.key)
        found = self.objects.get(revision.key)
        if self.versioned:
            kept = (
                (one, content)
                for _, _, one, content in self.past
                if one is not None and one.version == revision.version
            )
            found = next(kept, found)
        if found is None:
            raise ObjectNotFound(f"{revision.key} is gone")
        if found[0].version != revision.version:
            raise RevisionChanged(f"{revision.key} was replaced")
        if span.stop > revision.size_bytes:
            raise ValueError(f"{span} of an object of {revision.size_bytes} bytes")
        return found[1][span.start : span.stop]

    async def read_to_file(self, revision: Revision, span: Span, descriptor: int) -> None:
        os.pwrite(descriptor, await self.read(revision, span), span.start)

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
        await self._request("put", key)
        content = source if isinstance(source, bytes) else _bytes_of(source)
        found = self.objects.get(key)
        if expect is None and found is not None:
            raise PreconditionFailed(f"{self.name}/{key} exists already")
        if expect is not None and (found is None or found[0].version != expect.version):
            raise PreconditionFailed(f"{key}: is another revision")
        self.metadata[key] = dict(metadata)
        return self.add(key, content)

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        await self._request("delete", key)
        if key not in self.objects:
            raise ObjectNotFound(f"{key}: no such object")
        if expect is not None and self.objects[key][0].version != expect.version:
            raise PreconditionFailed(f"{key}: is another revision")
        self.remove(key)

    async def check(self) -> None:
        await self._request("check", "")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed = True


@dataclass
class Pool:
    """Stands for `TierPool`: origins that are there from the start."""

    origins: dict[str, Origin]
    breakers: BreakerWatch = field(default_factory=BreakerWatch)

    def all(self) -> list[Origin]:
        return list(self.origins.values())

    def opened(self, url: str) -> Origin | None:
        return self.origins.get(url)

    async def get(self, url: str) -> Origin:
        await trio.lowlevel.checkpoint()
        return self.origins[url]


@dataclass
class Clock:
    """Two clocks that stand still unless told otherwise."""

    now_s: float = 1_000.0
    wall_offset_s: float = 1_700_000_000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return self.now_s + self.wall_offset_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


def _bytes_of(path: str) -> bytes:
    return Path(path).read_bytes()


async def names_of(origin: Origin, prefix: str = "") -> list[str]:
    """Names that a listing gives, sorted."""
    names: list[str] = []
    async with aclosing(origin.list(prefix)) as pages:
        async for page in pages:
            names += [revision.key.rpartition("/")[2] for revision in page.objects]
            names += page.prefixes
    return sorted(names)
