"""Streams: the table of what is coming in, and what becomes of it when nobody reads it any more.

One live stream a revision, however many read it. Event loop only.
"""

from __future__ import annotations

from collections import OrderedDict

import trio

from shotfs.cache.admission import Admission
from shotfs.cache.index import identity_of
from shotfs.cache.phase import ENDED
from shotfs.cache.room import Room
from shotfs.cache.scheduling import FetchClass
from shotfs.cache.stream import Fetching, Stream
from shotfs.errors import ShotfsError
from shotfs.tiers.base import Revision, Tier

FINISH_BYTES_MAX = 64 * 1024 * 1024
"""A stream up to this size is finished although everybody closed it."""

GRACE_S = 5.0
"""A larger stream goes on for this long after its last reader closed it."""

REJECTED_S = 10.0
"""How long content that was wrong twice is not asked for again."""

IDLE_STREAMS_MAX = 64
"""Unfinished large streams that wait for their next reader."""


class Streams:
    """What is coming in.

    Args:
        fetching: how streams fetch.
        room: says when idle streams must go.
        nursery: where streams live.
    """

    def __init__(self, fetching: Fetching, room: Room, nursery: trio.Nursery) -> None:
        self._fetching = fetching
        self._room = room
        self._nursery = nursery
        self._streams: dict[str, Stream] = {}
        self._idle: OrderedDict[str, Stream] = OrderedDict()

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
        self,
        tier: Tier,
        revision: Revision,
        identity: str,
        keeper: Admission,
        fetch_class: FetchClass,
    ) -> Stream:
        """Return the stream of *revision*, with one more reader; started if there is none."""
        stream = self._streams.get(identity)
        if stream is None or (stream.phase in ENDED and not stream.rejected):
            stream = Stream(tier, revision, self._fetching, keeper)
            self._streams[identity] = stream
            self._nursery.start_soon(self._run, identity, stream)
        stream.readers += 1
        stream.fetch_class = min(stream.fetch_class, fetch_class)
        self._idle.pop(identity, None)
        return stream

    def leave(self, identity: str, stream: Stream) -> None:
        """Take one reader away, and decide what becomes of a stream that nobody has open."""
        stream.readers -= 1
        if stream.readers:
            return
        if stream.phase in ENDED:
            stream.close_descriptor()
        elif not stream.started:
            stream.abandon()
        elif stream.revision.size_bytes <= FINISH_BYTES_MAX:
            stream.start_fill()
        else:
            self._nursery.start_soon(self._set_idle, identity, stream)

    async def drop_idle_for(self, size_bytes: int) -> None:
        """Drop unfinished streams that nobody reads until *size_bytes* fit, or none is left."""
        while self._idle and not self._room.shortage(size_bytes).none:
            await self._drop(next(iter(self._idle.values())))

    async def drop_idle(self) -> None:
        """Drop every unfinished stream that nobody reads."""
        for stream in tuple(self._idle.values()):
            await self._drop(stream)

    async def stop(self) -> None:
        """End all streams."""
        for stream in tuple(self._streams.values()):
            stream.abandon()
            await stream.finished.wait()

    async def _run(self, identity: str, stream: Stream) -> None:
        try:
            await stream.run()
            if stream.rejected:
                # Each open would fetch it twice more; a wall of nodes would do so all day.
                await trio.sleep(REJECTED_S)
        finally:
            if self._streams.get(identity) is stream:
                del self._streams[identity]
            self._idle.pop(identity, None)

    async def _set_idle(self, identity: str, stream: Stream) -> None:
        await trio.sleep(GRACE_S)
        if stream.readers or stream.phase in ENDED:
            return
        stream.stop_fill()
        self._idle[identity] = stream
        if len(self._idle) > IDLE_STREAMS_MAX:
            await self._drop(next(iter(self._idle.values())))

    async def _drop(self, stream: Stream) -> None:
        self._idle.pop(identity_of(stream.revision), None)
        stream.abandon()
        await stream.finished.wait()
