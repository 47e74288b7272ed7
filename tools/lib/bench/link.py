"""A network link between loopback ports: a rate that all connections share, and a delay.

    python -m bench.link PORT TARGET_PORT BYTES_PER_S ROUND_TRIP_S

What the kernel's netem would do, which is not everywhere. Answers are paced by one clock for all
connections, each of which sends one piece in turn (fair queueing), and arrive half a round trip
later; requests are delayed by the other half. The handshake of TCP is not delayed. The proxy of the
tests (`tests/servers/proxy.py`) breaks connections; this one only has to be fast and even: it
carries 100 MB/s with a tenth of a core.
"""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass

import trio

PIECE_BYTES = 128 * 1024
BURST_S = 0.005
"""How far the link may catch up when we woke up late: trio's sleeps are exact to a millisecond."""

PIECES_UNDERWAY_MAX = 256
"""Pieces of one connection that travel at once: 32 MiB, more than any rate times delay here."""


@dataclass(slots=True)
class _Travelling:
    arrives_s: float
    piece: bytes


class Link:
    """The link; `run` serves it."""

    def __init__(self, target_port: int, bytes_per_s: float, round_trip_s: float) -> None:
        self._target_port = target_port
        self._bytes_per_s = bytes_per_s
        self._delay_s = round_trip_s / 2
        self._turn = trio.Lock()  # first come, first served
        self._free_at_s = 0.0

    async def run(self, port: int) -> None:
        """Forward *port*, for ever."""
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1", backlog=1024)
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, client: trio.SocketStream) -> None:
        try:
            async with await trio.open_tcp_stream("127.0.0.1", self._target_port) as server:
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._pump, client, server, False)
                    nursery.start_soon(self._pump, server, client, True)
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            await client.aclose()  # one end went away: so does the other

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, paced: bool) -> None:
        put, get = trio.open_memory_channel[_Travelling](PIECES_UNDERWAY_MAX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver, get, sink)
            async with put:
                while piece := await source.receive_some(PIECE_BYTES):
                    sent_s = await self._send(len(piece)) if paced else trio.current_time()
                    await put.send(_Travelling(sent_s + self._delay_s, bytes(piece)))

    async def _send(self, length_bytes: int) -> float:
        """Wait for the link to be free, and for it to have sent so much; return when it had."""
        async with self._turn:
            earliest_s = max(self._free_at_s, trio.current_time() - BURST_S)
            self._free_at_s = earliest_s + length_bytes / self._bytes_per_s
            await trio.sleep_until(self._free_at_s)
            return self._free_at_s

    async def _deliver(
        self, get: trio.MemoryReceiveChannel[_Travelling], sink: trio.SocketStream
    ) -> None:
        async for travelling in get:
            await trio.sleep_until(travelling.arrives_s)
            await sink.send_all(travelling.piece)
        await sink.send_eof()


if __name__ == "__main__":
    trio.run(Link(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])).run, int(sys.argv[1]))
