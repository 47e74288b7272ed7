"""A node that publishes to a real store; ``python -m`` writes one large output and publishes it.

``python -m tests.unit.publish.real_nodes DIRECTORY URL ORIGIN [POINT]`` (ORIGIN: its settings as
JSON) runs until it is killed, or kills itself at the named point.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from shotfs.config import Settings
from shotfs.observe.metrics import Metrics
from shotfs.publish import Publisher, PublishTerms, Spool, SpoolEntry
from shotfs.publish.begun import EntrySession
from shotfs.tiers.base import Revision
from shotfs.tiers.registry import open_tier
from shotfs.tiers.sessions import Token
from tests.contract.places import NETWORK, PART_BYTES
from tests.unit.publish.fakes import breathe, spool_in

SIZE = 2 * PART_BYTES + 700_000
PATH = "show/sh0100/beauty.1001.exr"


def content(seed: int = 0) -> bytes:
    """What a large output holds: three parts, of which none is like another."""
    return b"".join(bytes([(seed + one) % 251]) * PART_BYTES for one in range(3))[:SIZE]


@dataclass
class Node:
    """A spool and a publisher that runs."""

    spool: Spool
    publisher: Publisher
    url: str
    conflicts: list[SpoolEntry] = field(default_factory=list)

    def terms(self, path: str, *, immutable: bool = True) -> PublishTerms:
        """Terms under which *path* is published at once."""
        return PublishTerms("frame", self.url, path.partition("/")[2], immutable=immutable)

    async def write(self, data: bytes, *, path: str = PATH, immutable: bool = True) -> SpoolEntry:
        """Write *path* and close it."""
        terms = self.terms(path, immutable=immutable)
        file = await self.spool.create(path, mode=0o644, uid=1, gid=2, terms=terms)
        await file.write(0, data)
        await file.flush()
        await file.close()
        return file.entry

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when *condition* holds."""
        while not condition():
            await breathe()

    async def until_empty(self) -> None:
        """Return when every output is in the origin, and no upload is to be given up."""
        entries = self.spool.entries
        await self.until(lambda: not [one for one in entries() if one.publishable])
        await self.until(lambda: not len(self.spool.core.given_up))


@asynccontextmanager
async def node_at(directory: Path, url: str, origin: Mapping[str, Any]) -> AsyncIterator[Node]:
    """Run a node on the spool in *directory*; it is stopped at the end as by a service's end."""
    settings = Settings(
        network={**NETWORK, "attempts_max": 1},  # type: ignore[arg-type]  # pydantic parses it
        origins={url: origin},  # type: ignore[dict-item]  # as above
    )
    metrics = Metrics()
    tier = await open_tier(url, settings, metrics)
    conflicts: list[SpoolEntry] = []

    async def tiers(_url: str) -> Any:
        return tier

    async def adopt(*_: object) -> bool:
        return False

    async def published(_entry: SpoolEntry, _revision: Revision) -> None:
        await trio.lowlevel.checkpoint()

    async with spool_in(directory, metrics) as spool:
        publisher = Publisher(
            spool, tiers, adopt, published, settings.network, metrics, conflict=conflicts.append
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(publisher.run)
            yield Node(spool, publisher, url, conflicts)
            nursery.cancel_scope.cancel()
    await tier.aclose()


def die_before(is_reached: Callable[[Token | None], bool]) -> None:
    """Be killed, as by kill -9, before the journal has a token that *is_reached*."""
    save = EntrySession.save

    async def killed(self: EntrySession, token: Token | None) -> None:
        if is_reached(token):
            os.kill(os.getpid(), signal.SIGKILL)
        await save(self, token)

    EntrySession.save = killed  # type: ignore[method-assign]


POINTS: dict[str, Callable[[Token | None], bool]] = {
    "before_the_intent": lambda token: token is not None,
    "before_the_name": lambda token: bool(token and token["upload_id"]),
    "before_the_end": lambda token: token is None,
}


async def main(directory: Path, url: str, origin: Mapping[str, Any], point: str = "") -> None:
    """Write one large output, and publish it for ever, or up to *point*."""
    if point:
        die_before(POINTS[point])
    async with node_at(directory, url, origin) as node:
        await node.write(content())
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), *sys.argv[4:])
