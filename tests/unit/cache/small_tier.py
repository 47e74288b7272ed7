"""A tier in memory that reads small objects together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from shotfs.cache.batches import BATCH_FILES_MAX
from shotfs.digest import Buffer
from shotfs.tiers.arrival import is_waited_for
from shotfs.tiers.base import Revision
from tests.unit.cache.fakes import KIB, FakeTier, content_of


@dataclass
class SmallTier(FakeTier):
    """A tier that reads small objects together.

    Attributes:
        batches: the keys of each batch, in the order in which they were asked for.
        batch_gate: while not set, batches wait.
        batch_fault: what every batch raises.
        come: how many of a batch come at most, before time is up.
        last_fails: the one after these cannot be read.
        wrong: keys that come with wrong bytes.
        waited_for: what `is_waited_for` said at the end of each batch.
    """

    batches: list[list[str]] = field(default_factory=list)
    batch_gate: trio.Event = field(default_factory=trio.Event)
    batch_fault: Exception | None = None
    come: int = BATCH_FILES_MAX
    last_fails: bool = False
    wrong: set[str] = field(default_factory=set)
    waited_for: list[bool] = field(default_factory=list)
    asked: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.batch_gate.set()

    async def read_small(self, revisions: Sequence[Revision]) -> Sequence[Buffer | None]:
        self.batches.append([one.key for one in revisions])
        self.asked.unpark_all()
        await self.batch_gate.wait()
        await trio.lowlevel.checkpoint()
        self.waited_for.append(is_waited_for())
        if self.batch_fault is not None:
            raise self.batch_fault
        contents: list[Buffer | None] = [
            self.objects[one.key][1][:-1] + b"?"
            if one.key in self.wrong
            else self.objects[one.key][1]
            for one in revisions[: self.come]
        ]
        return [*contents, None] if self.last_fails else contents

    def add_many(self, count: int, size_bytes: int = KIB) -> list[Revision]:
        return [self.add(f"s{n}", content_of(size_bytes + n, n)) for n in range(count)]
