"""The cache against a dictionary: whatever happens, a reader gets the bytes of its revision."""

from __future__ import annotations

import queue
import shutil
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import outcome
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shotfs.cache import Cache, CachedFile, FileState
from shotfs.errors import DigestMismatch, RevisionChanged, TierUnavailable
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of

BYTES_MAX = 4 * MIB
SIZES = (0, 1, 4096, 300 * KIB, MIB, MIB + 1, 2 * MIB + 5, 5 * MIB)
KEYS = st.sampled_from(("a", "b", "c", "d", "e"))


class CacheModel(RuleBasedStateMachine):
    """Objects change, files are opened, read and closed, blobs evicted, the process restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="shotfs-model-"))
        self.tier = FakeTier()
        self.versions = 0
        self.corrupted = False
        self.contents: dict[str, bytes] = {}
        self.open: list[tuple[CachedFile, bytes]] = []
        self.runner = _Runner()
        self.stack = AsyncExitStack()
        self.cache: Cache = self.runner.run(self._start)

    async def _start(self) -> Cache:
        context = cache_in(
            self.directory / "c", bytes_max=BYTES_MAX, files_max=4, network={"connections_max": 3}
        )
        return await self.stack.enter_async_context(context)

    @rule(key=KEYS, size=st.sampled_from(SIZES), seed=st.integers(0, 3))
    def replace_object(self, key: str, size: int, seed: int) -> None:
        self.versions += 1
        revision = self.tier.add(key, content_of(size, seed), str(self.versions))
        self.contents[revision.identity] = content_of(size, seed)

    @precondition(lambda self: self.tier.objects)
    @rule(data=st.data())
    def open_file(self, data: Any) -> None:
        revision = self.tier.objects[data.draw(st.sampled_from(sorted(self.tier.objects)))][0]
        file = self.runner.run(self.cache.open, self.tier, revision)
        self.open.append((file, self.contents[revision.identity]))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), start=st.integers(0, 6 * MIB), length=st.integers(0, 2 * MIB))
    def read(self, data: Any, start: int, length: int) -> None:
        file, content = data.draw(st.sampled_from(self.open))
        expected = content[start : start + length]
        verified = file.state is FileState.COMPLETE or not self.corrupted
        now = file.read_now(Span(start, start + length))
        assert now is None or self._right(bytes(now), expected, verified)
        current = self.tier.objects[file.revision.key][0].identity == file.revision.identity
        try:
            found = self.runner.run(file.read, Span(start, start + length))
        except RevisionChanged:
            assert not current
        except DigestMismatch:
            assert self.cache.stats().verify_failures > 0
        else:
            assert self._right(bytes(found), expected, verified)

    def _right(self, found: bytes, expected: bytes, verified: bool) -> bool:
        """S6: until the whole is verified, a range has what the origin sent (one wrong byte)."""
        return found == expected or (not verified and found[:-1] == expected[:-1])

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def close_file(self, data: Any) -> None:
        file, _ = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.runner.run(_sync, file.close)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def fail_once(self, data: Any) -> None:
        file, content = data.draw(st.sampled_from(self.open))

        def down(_: Revision, span: Span) -> None:
            raise TierUnavailable("down")

        self.tier.fault = down
        try:
            found = self.runner.run(file.read, Span(0, MIB))
        except (TierUnavailable, RevisionChanged, DigestMismatch):
            return
        finally:
            self.tier.fault = None
        assert self._right(bytes(found), content[:MIB], not self.corrupted)

    @rule(wanted=st.one_of(st.none(), st.integers(1, 2 * MIB)))
    def evict(self, wanted: int | None) -> None:
        self.runner.run(self.cache.evict, wanted)

    @rule()
    def corrupt_next(self) -> None:
        self.tier.corrupt = 1
        self.corrupted = True

    @rule()
    def restart(self) -> None:
        for file, _ in self.open:
            self.runner.run(_sync, file.close)
        self.open.clear()
        self.runner.run(self.stack.aclose)
        self.cache = self.runner.run(self._start)

    @invariant()
    def limits_hold(self) -> None:
        stats = self.cache.stats()
        on_disk = [path for path in (self.directory / "c/blobs").rglob("*") if path.is_file()]
        assert len(on_disk) <= 4
        assert sum(path.stat().st_size for path in on_disk) <= BYTES_MAX
        assert stats.files <= 4
        assert stats.bytes + stats.bytes_reserved <= BYTES_MAX

    def teardown(self) -> None:
        for file, _ in self.open:
            self.runner.run(_sync, file.close)
        self.runner.run(self.stack.aclose)
        self.runner.close()
        stats = self.cache.stats()
        assert (stats.open_blobs, stats.bytes_reserved, stats.bytes_in_flight) == (0, 0, 0)
        shutil.rmtree(self.directory)


async def _sync(function: Any) -> None:
    function()
    await trio.lowlevel.checkpoint()


class _Runner:
    """A trio loop that lives between the steps of the machine, as a guest of this thread."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._send, self._receive = trio.open_memory_channel[Any](1)
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._jobs.put,
            done_callback=self._jobs.put,
        )

    async def _main(self) -> None:
        async for function, arguments, outcomes in self._receive:
            outcomes.append(await outcome.acapture(function, *arguments))

    def run(self, function: Any, *arguments: Any) -> Any:
        outcomes: list[outcome.Outcome[Any]] = []
        self._send.send_nowait((function, arguments, outcomes))
        while not outcomes:
            self._jobs.get(timeout=30)()
        return outcomes[0].unwrap()

    def close(self) -> None:
        self._send.close()
        while True:
            job = self._jobs.get(timeout=30)
            if not callable(job):
                job.unwrap()
                return
            job()


CacheModel.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestCacheModel = CacheModel.TestCase
