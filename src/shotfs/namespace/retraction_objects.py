"""Reading the objects that say what was taken back: one, or all of a directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import trio

from shotfs.namespace.alias_document import BYTES_MAX, parse_time
from shotfs.namespace.alias_objects import DECODED_INLINE_BYTES_MAX
from shotfs.namespace.listing import list_origin
from shotfs.namespace.own_objects import read_own, stat_own
from shotfs.namespace.retraction_document import DIRECTORY, Retraction, decode, key_of
from shotfs.tiers.base import Revision, Tier


async def read_history(tier: Tier, version: str) -> tuple[tuple[Retraction, ...], Revision | None]:
    """Return what became of *version*, oldest first; () and None: nobody ever took it back.

    Raises:
        TierError: the origin could not answer.
        RecordInvalid: the object is damaged.
    """
    revision = await stat_own(tier, key_of(version))
    found = None if revision is None else await read_own(tier, revision, bytes_max=BYTES_MAX)
    if found is None:
        return (), None
    return await decoded(found[0], f"{tier.name}/{key_of(version)}", version), found[1]


async def objects_in(tier: Tier, origin: str, directory: str) -> Mapping[str, Revision]:
    """Return the objects of versions directly in *directory* by their names; one listing.

    Empty where the origin cannot be listed.

    Raises:
        TierError: the origin could not answer.
    """
    if not tier.properties.listable:
        return {}
    listing = await list_origin(tier, origin, f"{DIRECTORY}/{directory}".removesuffix("/"))
    return {
        name.removesuffix(".json"): revision
        for name, revision in listing.objects.items()
        if name.endswith(".json")
    }


def in_force(history: Sequence[Retraction], at_ns: int | None) -> Retraction | None:
    """Return the line that counts: the last one, or the last of a moment.

    Args:
        history: oldest first.
        at_ns: the moment, nanoseconds since the epoch; None: now.
    """
    if at_ns is not None:
        history = [line for line in history if parse_time(line.at) * 10**9 <= at_ns]
    return history[-1] if history else None


async def decoded(data: bytes, where: str, version: str) -> tuple[Retraction, ...]:
    """As `retraction_document.decode`, without stopping the event loop."""
    if len(data) <= DECODED_INLINE_BYTES_MAX:
        return decode(data, where, version)
    return await trio.to_thread.run_sync(decode, data, where, version)
