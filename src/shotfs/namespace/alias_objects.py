"""Reading the objects of aliases: what the origin has, decoded beside the event loop if large."""

from __future__ import annotations

import trio

from shotfs.namespace.alias_document import BYTES_MAX, Move, decode
from shotfs.namespace.own_objects import read_own, stat_own
from shotfs.tiers.base import Revision, Tier

DECODED_INLINE_BYTES_MAX = 128 * 1024
"""The largest alias object that is decoded in the event loop; that takes about 2 ms."""


async def read_history(tier: Tier, key: str) -> tuple[tuple[Move, ...], Revision | None]:
    """Return the moves that an alias's object remembers, oldest first; () and None: there is none.

    Raises:
        TierError: the origin could not answer.
        RecordInvalid: the object is damaged.
    """
    revision = await stat_own(tier, key)
    found = None if revision is None else await read_own(tier, revision, bytes_max=BYTES_MAX)
    if found is None:
        return (), None
    return await decoded(found[0], f"{tier.name}/{key}"), found[1]


async def decoded(data: bytes, where: str) -> tuple[Move, ...]:
    """As `alias_document.decode`, without stopping the event loop."""
    if len(data) <= DECODED_INLINE_BYTES_MAX:
        return decode(data, where)
    return await trio.to_thread.run_sync(decode, data, where)
