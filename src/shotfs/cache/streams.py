"""Streams: the table of what is coming in, and what becomes of it when nobody reads it any more.

One live stream a revision, however many read it. Event loop only.
"""

from __future__ import annotations

import trio

from shotfs.cache.access import Fill
from shotfs.cache.keeper import Fetching, Keeper
from shotfs.cache.phase import ENDED
from shotfs.cache.reader import Reader
from shotfs.cache.stream import Stream
from shotfs.errors import ShotfsError
from shotfs.tiers.base import Revision, Tier

GRACE_S = 5.0
"""What is under way for a large file goes on for this long after its last reader closed it:
applications close and open again."""

REJECTED_S = 10.0
"""How long content that was wrong twice is not asked for again."""


class Streams:
    """What is coming in.

    Args:
        fetching: how streams fetch.
        nursery: where streams live.
    """

    def __init__(self, fetching: Fetching, nursery: trio.Nursery) -> None:
        self._fetching = fetching
        self._nursery = nursery
        self._streams: dict[str, Stream] = {}
        self._left_s: dict[Stream, float] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, identity: str) -> bool:
        return identity in self._streams

    def get(self, identity: str) -> Stream | None:
        """Return the stream of a revision, live or just ended."""
        return self._streams.get(identity)

    def live(self) -> list[Stream]:
        """Return all streams that have not ended."""
        return [stream for stream in self._streams.values() if stream.phase not in ENDED]

    def rejection(self, identity: str) -> ShotfsError | None:
        """Return why the content is not asked for now: it was wrong twice; None: it may be."""
        stream = self._streams.get(identity)
        return stream.error if stream is not None and stream.rejected else None

    def join(
        self, tier: Tier, revision: Revision, identity: str, keeper: Keeper, reader: Reader
    ) -> Stream:
        """Return the stream of *revision*, with one more reader; started if there is none."""
        stream = self._streams.get(identity)
        if stream is None or (stream.phase in ENDED and not stream.rejected):
            stream = Stream(
                tier, revision, self._fetching, keeper,
                in_ranges=reader.fill is Fill.RANGES,
                # Its file may still be on its way into the table of those that wait.
                after=None if stream is None else stream.finished,
            )  # fmt: skip
            self._streams[identity] = stream
            self._nursery.start_soon(self._run, identity, stream)
        self._left_s.pop(stream, None)
        stream.join(reader)
        return stream

    def leave(self, stream: Stream, reader: Reader) -> None:
        """Take one reader away, and decide what becomes of a stream that nobody has open."""
        live = stream.phase not in ENDED
        if live and stream.started and reader.wants_it_finished(stream.revision.size_bytes):
            stream.finish()
        stream.leave(reader)
        if stream.readers:
            return
        if not live:
            stream.close_descriptor()
        elif not stream.started or (not stream.finishing and not reader.opened):
            stream.pause()
        elif not stream.finishing:
            self._left_s[stream] = trio.current_time()
            self._nursery.start_soon(self._pause_later, stream)

    async def keep_nothing(self) -> None:
        """Give up every file that is coming in: others need the disk."""
        for stream in tuple(self._streams.values()):
            stream.keep_nothing()

    async def pause_idle(self) -> None:
        """Pause what nobody reads and nobody wants finished."""
        for stream in tuple(self._left_s):
            if stream in self._left_s:  # nobody came back while another one ended
                stream.pause()
                await stream.finished.wait()

    async def stop(self) -> None:
        """End all streams; what came of large files is kept."""
        for stream in tuple(self._streams.values()):
            stream.pause()
        for stream in tuple(self._streams.values()):
            await stream.finished.wait()

    async def _run(self, identity: str, stream: Stream) -> None:
        try:
            await stream.run()
            if stream.rejected:
                # Each open would fetch it twice more; a wall of nodes would do so all day.
                await trio.sleep(REJECTED_S)
        finally:
            self._left_s.pop(stream, None)
            if self._streams.get(identity) is stream:
                del self._streams[identity]

    async def _pause_later(self, stream: Stream) -> None:
        await trio.sleep(GRACE_S)
        left_s = self._left_s.get(stream)
        if left_s is not None and trio.current_time() - left_s >= GRACE_S:
            stream.pause()
