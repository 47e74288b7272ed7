"""Large files: the parts come that were read of the file before."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.cache import Fill as CacheFill
from shotfs.cache.blocks import BLOCK_BYTES
from shotfs.pathspec import Fill
from shotfs.prewarm.lookahead import fetching
from shotfs.prewarm.lookahead.large import LargeFiles, covers, joined
from shotfs.prewarm.manifest.entry import Entry, Source, Use
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.recordings import Learned
from shotfs.prewarm.watching import Opened, Reader
from shotfs.tiers.base import Span
from tests.unit.prewarm.lookahead.conftest import Job, LookAheadWorld

SIZE = 4 * 1024 * 1024
HEAD_BYTES = 2 * BLOCK_BYTES
HEAD, TAIL = Span(0, 200_000), Span(SIZE - 100_000, SIZE)
PLATES = [f"030/plate/bg.{frame}.exr" for frame in range(1001, 1011)]
TILED = [f"030/tiled/wall.{frame}.tex" for frame in range(1001, 1006)]


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shotfs.prewarm.lookahead.large.WHOLE_BYTES_MAX", SIZE // 2)
    monkeypatch.setattr("shotfs.prewarm.lookahead.large.HEAD_BYTES", HEAD_BYTES)


def add(ahead: LookAheadWorld, *paths: str) -> None:
    for number, path in enumerate(paths):
        ahead.add(path, content=bytes([number]) * SIZE)


async def read(ahead: LookAheadWorld, path: str, job: Job, *spans: Span) -> None:
    """Open *path*, as a tool that reads large files, and read *spans* once all is settled."""
    found, cache = await ahead.found(path), ahead.world.node.cache
    reader = Reader(job.pid, job.name, job.subject)
    now_s = trio.current_time()
    notes = ahead.lookahead.opened(
        Opened(found.path, found.revision, found.resolution, reader, now_s, warm=False)
    )
    await ahead.settled()
    assert notes is not None
    file = await cache.open(found.tier, found.revision, fill=CacheFill.RANGES)
    for span in spans:
        await file.read(span)
        notes.read(span.start, span.stop, 0.0)
    file.close()
    notes.closed()
    await ahead.settled()


async def held(ahead: LookAheadWorld, *paths: str) -> list[int]:
    await ahead.settled()
    parts = ahead.world.node.cache.parts
    return [parts.held_bytes((await ahead.found(path)).revision) for path in paths]


def refused(ahead: LookAheadWorld) -> set[str]:
    return {reason for (reason,), n in ahead.world.node.metrics.lookahead_refused.values() if n}


async def test_what_was_read_of_one_frame_is_fetched_of_the_next_and_no_more(
    ahead: LookAheadWorld,
) -> None:
    add(ahead, *PLATES)
    await read(ahead, PLATES[0], ahead.frame(1001))
    assert await held(ahead, *PLATES[1:5]) == [HEAD_BYTES] * 3 + [0], "only the head is known"
    await read(ahead, PLATES[0], ahead.frame(1001), HEAD, TAIL)
    assert await held(ahead, *PLATES[1:5]) == [HEAD_BYTES + BLOCK_BYTES] * 3 + [0]
    await read(ahead, PLATES[1], ahead.frame(1002), HEAD, TAIL)
    # What was read counts as useful, the rest of the blocks does not.
    report = ahead.report
    assert (report.useful_files, report.wasted_files) == (1, 0)
    read_bytes = HEAD.length_bytes + TAIL.length_bytes
    assert report.useful_bytes == read_bytes
    assert report.wasted_bytes == HEAD_BYTES + BLOCK_BYTES - read_bytes
    assert await held(ahead, *PLATES[2:6]) == [HEAD_BYTES + BLOCK_BYTES] * 3 + [0]


async def test_a_reader_of_parts_that_came_asks_the_origin_for_nothing(
    ahead: LookAheadWorld,
) -> None:
    add(ahead, *PLATES)
    await read(ahead, PLATES[0], ahead.frame(1001), HEAD, TAIL)
    assert await held(ahead, PLATES[1]) == [HEAD_BYTES + BLOCK_BYTES]
    found, cache = await ahead.found(PLATES[1]), ahead.world.node.cache
    asked = len(ahead.world.origin.asked)
    file = await cache.open(found.tier, found.revision, fill=CacheFill.RANGES)
    try:
        for span in (HEAD, TAIL):
            assert bytes(await file.read(span)) == bytes([1]) * span.length_bytes
    finally:
        file.close()
    assert ahead.world.origin.asked[asked:] == []


async def test_a_template_of_ranges_never_comes_whole(ahead: LookAheadWorld) -> None:
    add(ahead, *TILED)
    most = Span(BLOCK_BYTES, SIZE - BLOCK_BYTES)
    await read(ahead, TILED[0], ahead.frame(1001), most)
    assert await held(ahead, *TILED[1:3]) == [SIZE - BLOCK_BYTES, 0], "the head was fetched before"
    await read(ahead, TILED[1], ahead.frame(1002), most)
    assert await held(ahead, *TILED[2:4]) == [most.length_bytes, 0]


async def test_recordings_say_which_parts_the_first_frame_here_reads(
    ahead: LookAheadWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(ahead, *PLATES)
    ahead.add("library/scene")
    use = Use(ranges=((SIZE - 10, SIZE),))
    entry = Entry(
        f"ant/{PLATES[0]}", size_bytes=SIZE, frames="1001", sources=(Source.RECORDED,), use=use
    )

    async def for_subject(subject: Subject) -> Learned:
        return Learned(subject, (entry,))

    monkeypatch.setattr(ahead.world.node.recording.recordings, "for_subject", for_subject)
    await ahead.frame(1003).opens("library/scene")
    assert await held(ahead, PLATES[2]) == [BLOCK_BYTES]


async def test_only_so_many_files_wait_in_parts(
    ahead: LookAheadWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "IN_PARTS_MAX", 2)
    add(ahead, *PLATES)
    await read(ahead, PLATES[0], ahead.frame(1001))
    assert await held(ahead, *PLATES[1:4]) == [HEAD_BYTES, HEAD_BYTES, 0]
    assert refused(ahead) == {"crowd"}


async def test_parts_that_wait_are_not_taken_for_evicted(
    ahead: LookAheadWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(ahead, *PLATES[:2])
    await read(ahead, PLATES[0], ahead.frame(1001))
    monkeypatch.setattr(fetching, "SWEEP_S", 0.0)
    fetches, cache = ahead.lookahead._fetches, ahead.world.node.cache
    assert fetches is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetches._sweep)
        for _ in range(50):
            await trio.lowlevel.checkpoint()
        assert (ahead.report.waiting_files, ahead.report.wasted_files) == (1, 0)
        await cache._partials.drop_all()
        await ahead.world.until(lambda: ahead.report.wasted_files == 1)
        nursery.cancel_scope.cancel()
    assert ahead.report.wasted_bytes == HEAD_BYTES


# --- what is wanted: pure ------------------------------------------------------------------------


def spans(*pairs: tuple[int, int]) -> tuple[Span, ...]:
    return tuple(Span(start * BLOCK_BYTES, stop * BLOCK_BYTES) for start, stop in pairs)


def test_what_lies_near_the_end_is_taken_from_the_end() -> None:
    large = LargeFiles()
    ranges = large.file("s", "a", SIZE).ranges
    ranges.add(0, 10)
    ranges.add(SIZE - 10, SIZE)
    blocks = SIZE // BLOCK_BYTES
    assert large.wanted("s", Fill.AUTO, SIZE) == spans((0, 1), (blocks - 1, blocks))
    larger = SIZE + 3 * BLOCK_BYTES
    assert large.wanted("s", Fill.AUTO, larger) == spans((0, 1), (blocks + 2, blocks + 3))


def test_who_reads_a_quarter_gets_the_next_one_whole() -> None:
    large = LargeFiles()
    ranges = large.file("s", "a", SIZE).ranges
    ranges.add(0, SIZE // 4 - 1)
    assert large.wanted("s", Fill.AUTO, SIZE) is not None
    ranges.add(SIZE - 1, SIZE)
    assert large.wanted("s", Fill.AUTO, SIZE) is None
    assert large.wanted("s", Fill.RANGES, SIZE) is not None
    assert large.wanted("s", Fill.WHOLE, SIZE) is None
    assert large.wanted("other", Fill.AUTO, SIZE // 2) is None


def test_the_fullest_of_the_last_files_counts() -> None:
    large = LargeFiles()
    for path, blocks in (("a", 6), ("b", 4), ("c", 3), ("d", 2), ("e", 1)):
        large.file("s", path, SIZE).ranges.add(0, blocks * BLOCK_BYTES)
    assert large.wanted("s", Fill.AUTO, SIZE) == spans((0, 4))
    # Published again with another size: what was read of the old one says nothing.
    large.file("s", "b", SIZE - 1)
    assert large.wanted("s", Fill.AUTO, SIZE) == spans((0, 3))
    # Many frames are opened at once: what is known is not given up for what nobody has read.
    for frame in range(100):
        large.file("s", f"opened.{frame}", SIZE)
    assert large.wanted("s", Fill.AUTO, SIZE) == spans((0, 3))
    large.file("t", "a", 4 * SIZE).ranges.add(SIZE, SIZE + 1)
    assert large.wanted("t", Fill.AUTO, SIZE) == spans((0, 2)), "it begins behind the end"


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=60),
    st.integers(SIZE // 2 + 1, 2 * SIZE),
)
def test_parts_are_blocks_in_order_within_the_file(
    read_ranges: list[tuple[int, int]], size_bytes: int
) -> None:
    large = LargeFiles()
    file = large.file("s", "a", SIZE)
    for start, stop in read_ranges:
        file.ranges.add(start, stop)
    parts = large.wanted("s", Fill.RANGES, size_bytes)
    assert parts
    edges = [edge for part in parts for edge in (part.start, part.stop)]
    assert edges == sorted(set(edges))
    assert all(not edge % BLOCK_BYTES or edge == size_bytes for edge in edges)
    assert all(0 <= edge <= size_bytes for edge in edges)
    assert len(parts) <= 32
    if size_bytes == SIZE and file.length_bytes:
        assert covers(parts, joined(file.ranges.all(), SIZE))
