"""The cache against a dictionary: whatever happens, a reader gets the bytes of its revision."""

from __future__ import annotations

import queue
import shutil
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import outcome
import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shotfs.cache import Cache, CachedFile, CacheStats, FetchClass, FileState, Fill, Verification
from shotfs.cache.index import identity_of
from shotfs.digest import Digest, digest_bytes
from shotfs.errors import CacheFull, DigestMismatch, RevisionChanged, TierUnavailable
from shotfs.tiers.base import Revision, Span
from tests.unit.cache.fakes import KIB, MIB, FakeTier, cache_in, content_of

BYTES_MAX = 4 * MIB
SIZES = (0, 1, 4096, 300 * KIB, MIB, MIB + 1, 2 * MIB + 5, 5 * MIB)
OWNERS = st.sampled_from(("ann", "kim"))
MOMENTS = st.sampled_from((1000.0, 2000.0, 3000.0))
KEYS = st.sampled_from(("a", "b", "c", "d", "e"))


class CacheModel(RuleBasedStateMachine):
    """Objects change and go, files are opened, read, fetched, adopted and closed, pinned and
    unpinned, blobs evicted and damaged; the process ends in order, or in doubt and without its
    index. What is pinned and here stays, whatever is evicted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="shotfs-model-"))
        self.tier = FakeTier()
        self.versions = 0
        self.corrupted = False
        self.contents: dict[str, bytes] = {}
        self.open: list[tuple[CachedFile, bytes]] = []
        self.pins: dict[tuple[str, str], tuple[Revision, float | None]] = {}
        self.runner = _Runner()
        self.stack = AsyncExitStack()
        try:
            self.cache: Cache = self.runner.run(self._start)
        except BaseException:
            self.runner.close()
            raise

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
    @rule(data=st.data(), fill=st.sampled_from(Fill))
    def open_file(self, data: Any, fill: Fill) -> None:
        revision = self.tier.objects[data.draw(st.sampled_from(sorted(self.tier.objects)))][0]
        file = self.runner.run(self._open, revision, fill)
        self.open.append((file, self.contents[revision.identity]))

    async def _open(self, revision: Revision, fill: Fill) -> CachedFile:
        return await self.cache.open(self.tier, revision, fill=fill)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), start=st.integers(0, 6 * MIB), length=st.integers(0, 2 * MIB))
    def read(self, data: Any, start: int, length: int) -> None:
        file, content = data.draw(st.sampled_from(self.open))
        expected = content[start : start + length]
        verified = file.state is FileState.COMPLETE or not self.corrupted
        now = file.read_now(Span(start, start + length))
        assert now is None or self._right(bytes(now), expected, verified)
        current = self._is_current(file.revision)
        try:
            found = self.runner.run(file.read, Span(start, start + length))
        except RevisionChanged:
            assert not current
        except DigestMismatch:
            assert self._stats().verify_failures > 0
        else:
            assert self._right(bytes(found), expected, verified)

    def _is_current(self, revision: Revision) -> bool:
        found = self.tier.objects.get(revision.key)
        return found is not None and found[0].identity == revision.identity

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

    # --- pins ------------------------------------------------------------------------------------

    @precondition(lambda self: self.tier.objects)
    @rule(data=st.data(), owner=OWNERS, until_s=st.one_of(st.none(), MOMENTS), evict=st.booleans())
    def pin(self, data: Any, owner: str, until_s: float | None, evict: bool) -> None:
        """Pin what is here or not, and look with *evict* whether it stays."""
        revision = self.tier.objects[data.draw(st.sampled_from(sorted(self.tier.objects)))][0]
        self.runner.run(self.cache.pin, revision, owner, until_s)
        self.pins[identity_of(revision), owner] = (revision, until_s)
        if evict:
            self._fetch_if_it_fits(revision)
            self._evict_round_what_is_pinned(None, drop=True)

    @precondition(lambda self: self.pins)
    @rule(data=st.data(), owner=OWNERS)
    def unpin(self, data: Any, owner: str) -> None:
        revision, _ = self.pins[data.draw(st.sampled_from(sorted(self.pins)))]
        found = self.runner.run(self.cache.unpin, revision, owner)
        assert found == ((identity_of(revision), owner) in self.pins)
        self.pins.pop((identity_of(revision), owner), None)

    @rule(now_s=MOMENTS)
    def expire(self, now_s: float) -> None:
        self.runner.run(self.cache._pins.expire, now_s)
        for key, (_, until_s) in tuple(self.pins.items()):
            if until_s is not None and until_s <= now_s:
                del self.pins[key]

    @rule()
    def pins_are_known(self) -> None:
        found = {(one.identity, one.owner): one.until_s for one in self.runner.run(self.cache.pins)}
        assert found == {key: until_s for key, (_, until_s) in self.pins.items()}

    @precondition(lambda self: self.pins)
    @rule(wanted=st.one_of(st.none(), st.integers(1, 2 * MIB)), drop=st.booleans())
    def evict_round_what_is_pinned(self, wanted: int | None, drop: bool) -> None:
        self._evict_round_what_is_pinned(wanted, drop=drop)

    def _evict_round_what_is_pinned(self, wanted: int | None, *, drop: bool) -> None:
        """What is pinned and here is here afterwards, whoever asks for it to go."""
        before = self.runner.run(self._pinned_here)
        if drop:
            gone = self.runner.run(self.cache.drop, before)
            assert not gone
        self.runner.run(self.cache.evict, wanted)
        assert set(before) <= {Digest(path.name) for path in self._on_disk()}

    def _fetch_if_it_fits(self, revision: Revision) -> None:
        with suppress(CacheFull, DigestMismatch):
            self.runner.run(self._fetch, revision, FetchClass.PREWARM)

    async def _pinned_here(self) -> list[Digest]:
        here = {path.name for path in self._on_disk()}
        found = []
        for revision, _ in self.pins.values():
            if await self.cache.known(revision):
                digest = await self.cache.digest_of(revision)
                if digest in here:
                    found.append(digest)
        return found

    @rule()
    def corrupt_next(self) -> None:
        self.tier.corrupt = 1
        self.corrupted = True

    @precondition(lambda self: self.tier.objects)
    @rule(data=st.data())
    def delete_object(self, data: Any) -> None:
        del self.tier.objects[data.draw(st.sampled_from(sorted(self.tier.objects)))]

    @precondition(lambda self: self.tier.objects)
    @rule(data=st.data(), fetch_class=st.sampled_from(FetchClass))
    def fetch(self, data: Any, fetch_class: FetchClass) -> None:
        key = data.draw(st.sampled_from(sorted(self.tier.objects)))
        revision = self.tier.objects[key][0]
        try:
            digest = self.runner.run(self._fetch, revision, fetch_class)
        except CacheFull:
            return
        except DigestMismatch:
            assert self.corrupted
        else:
            assert digest == digest_bytes(self.contents[revision.identity])

    async def _fetch(self, revision: Revision, fetch_class: FetchClass) -> Digest:
        return await self.cache.fetch(self.tier, revision, fetch_class=fetch_class)

    @rule(key=KEYS, size=st.sampled_from(SIZES), seed=st.integers(0, 3), lie=st.booleans())
    def adopt(self, key: str, size: int, seed: int, lie: bool) -> None:
        """Publish an output; with *lie*, one that is not what its digest says."""
        self.replace_object(key, size, seed)
        revision, content = self.tier.objects[key]
        output = self.directory / "output"
        output.write_bytes(bytes(size) if lie else content)
        adopted = self.runner.run(
            self.cache.adopt, str(output), digest_bytes(content), size, revision
        )
        assert not (adopted and lie and size)
        assert output.exists() != adopted
        assert not adopted or self.runner.run(self.cache.known, revision)

    @rule(data=st.data())
    def damage_and_verify(self, data: Any) -> None:
        """The disk flips a bit of a blob that nobody reads; verify finds that one, and no other."""
        leased = {file.digest for file, _ in self.open}
        blobs = [path for path in self._on_disk() if path.name not in leased and _size(path)]
        damaged = data.draw(st.booleans()) and bool(blobs)
        if damaged:
            _flip(min(blobs))
        run = self.runner.run(self._verify)
        # What streams in the background may have come, or have been evicted, meanwhile.
        assert run.corrupt_count <= int(damaged)
        assert run.unchecked_count == 0

    async def _verify(self) -> Verification:
        run = self.cache.verifier.start(repair=True, bytes_per_s=2**40)
        await self.cache.verifier.wait()
        return run

    @rule()
    def restart(self) -> None:
        self._close_all()
        self.runner.run(self.stack.aclose)
        self.cache = self.runner.run(self._start)

    @rule(index_lost=st.booleans())
    def restart_in_doubt(self, index_lost: bool) -> None:
        """As after a kill: nobody says that all was in order, and the index may be gone."""
        self._close_all()
        self.runner.run(self.stack.aclose)
        (self.directory / "c/clean").unlink(missing_ok=True)
        if index_lost:
            shutil.rmtree(self.directory / "c/index")
            self.pins.clear()  # they are rows
        self.cache = self.runner.run(self._start)
        # Blobs without a row count when the scan has found them, and as many others go.
        self.runner.run(self._rebuilt)

    async def _rebuilt(self) -> None:
        while self.cache._holdings.rebuilds_unfinished:
            await trio.lowlevel.checkpoint()

    def _stats(self) -> CacheStats:
        async def stats() -> CacheStats:
            await trio.lowlevel.checkpoint()
            return self.cache.stats()

        found: CacheStats = self.runner.run(stats)
        return found

    def _close_all(self) -> None:
        for file, _ in self.open:
            self.runner.run(_sync, file.close)
        self.open.clear()

    def _on_disk(self) -> list[Path]:
        return [path for path in (self.directory / "c/blobs").rglob("*") if len(path.name) == 32]

    @invariant()
    def limits_hold(self) -> None:
        # Threads go on between the steps: a blob may be evicted while it is looked at.
        sizes = [size for path in self._on_disk() if (size := _size(path)) is not None]
        assert len(sizes) <= 4
        assert sum(sizes) <= BYTES_MAX
        stats = self._stats()
        assert stats.files <= 4
        assert stats.bytes + stats.bytes_reserved <= BYTES_MAX

    def teardown(self) -> None:
        try:
            self._close_all()
            self.runner.run(self.stack.aclose)
            stats = self._stats()
        finally:
            # A loop that lives on would spoil every later example with an error of its own.
            self.runner.close()
        assert (stats.open_blobs, stats.bytes_in_flight) == (0, 0)
        # What a partial holds stays reserved: it is there when the next process starts.
        assert not stats.bytes_reserved or any((self.directory / "c/partials").iterdir())
        shutil.rmtree(self.directory)


def _size(path: Path) -> int | None:
    """Return the size of a blob; None: it is gone."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _flip(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as blob:
        first = blob.read(1)
        blob.seek(0)
        blob.write(bytes([first[0] ^ 8]))
    path.chmod(0o400)


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
