"""Prewarms for tests of the control socket: remembers what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shotfs.control.access import Peer
from shotfs.control.prewarm_service import Order
from shotfs.errors import PathNotFound
from shotfs.prewarm.manifest import Entry
from shotfs.prewarm.manifest.files import Files


@dataclass
class FakePrewarming:
    """Has the prewarms that it was given; fetches nothing."""

    orders: list[Order] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    started: list[int] = field(default_factory=list)

    async def begin(self, order: Order, *, peer: Peer, admin: bool) -> int:
        self.orders.append(order)
        return len(self.orders)

    async def add(self, number: int, entries: Sequence[Entry], *, peer: Peer, admin: bool) -> None:
        self.entries += entries

    async def add_files(self, number: int, files: Files, *, peer: Peer, admin: bool) -> None:
        self.entries += files.entries()

    async def start(self, number: int, *, peer: Peer, admin: bool) -> None:
        self.started.append(number)

    async def show(self, number: int, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        if number > len(self.orders):
            raise PathNotFound(f"there is no prewarm {number} of yours")
        return {"number": number, "state": "ended"}

    async def list(self, *, peer: Peer, admin: bool) -> Sequence[Mapping[str, Any]]:
        return [{"number": number + 1} for number in range(len(self.orders))]

    async def cancel(self, number: int, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        return await self.show(number, peer=peer, admin=admin)
