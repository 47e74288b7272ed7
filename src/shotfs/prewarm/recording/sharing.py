"""Sharing: recordings in the origin, where the other nodes of a show find them.

One object for each subject, at ``.shotfs/recorded/SHOT/TASK/VIEW/FRAME.jsonl``: a manifest that any
tool can read. It is replaced with a precondition, so two nodes that learned at the same time both
count: who comes second reads again, merges, and tries once more. Event loop only; manifests are
coded in threads.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import trio

from shotfs.errors import (
    AccessDenied,
    ManifestInvalid,
    PreconditionFailed,
    RecordInvalid,
    TierReadOnly,
    TierUnavailable,
)
from shotfs.namespace.beside import beside_the_event_loop
from shotfs.namespace.listing import list_origin
from shotfs.namespace.own_objects import put_own, read_own, stat_own
from shotfs.namespace.tier_pool import TierSource
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.codec import BYTES_MAX, decode, encode
from shotfs.prewarm.recording.learning import by_path, learn
from shotfs.tiers.base import Revision, Tier

ATTEMPTS = 8
"""How often an object is merged again because another node was faster."""

PAUSE_S = 0.2
"""Before the second attempt; each time twice as long, and by chance up to twice that."""

KEPT_SHARE = 0.9
"""Of what fits, when too much is known of one subject: so that it fits the next time, too."""

Turn = Callable[[str, int, str], AbstractAsyncContextManager[None]]
"""(origin, bytes, what) -> a turn among the uploads; `UploadTurns.turn`."""


class Shared:
    """Reads and replaces the objects of recordings.

    Args:
        tiers: the origins.
        turn: gives uploads their turns: class publish, behind all that somebody waits for.
        node: who writes them.
        wall_s: the time of day, seconds since the epoch.
    """

    def __init__(
        self,
        tiers: TierSource,
        turn: Turn,
        node: str,
        *,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._tiers = tiers
        self._turn = turn
        self._node = node
        self._wall_s = wall_s
        self._coding = trio.CapacityLimiter(1)

    async def names(self, origin: str, directory: str) -> tuple[set[str], set[str]]:
        """Return the names of objects and of directories in *directory*; none where the origin
        cannot be listed.

        Raises:
            TierError: as the origin says.
        """
        tier = await self._tiers.get(origin)
        if not tier.properties.listable:
            return set(), set()
        listing = await list_origin(tier, origin, directory)
        return set(listing.objects), set(listing.prefixes)

    async def read(
        self, origin: str, key: str, known: Revision | None = None
    ) -> tuple[dict[str, Entry], Revision] | None:
        """Return what *key* says, and which revision; None if there is none, or still *known*.

        Raises:
            ManifestInvalid: it is damaged.
            RecordInvalid: it is too large.
            TierError: as the origin says.
        """
        tier = await self._tiers.get(origin)
        revision = await stat_own(tier, key)
        if revision is None or revision == known:
            return None
        return await self._read(tier, revision)

    async def _read(
        self, tier: Tier, revision: Revision
    ) -> tuple[dict[str, Entry], Revision] | None:
        found = await read_own(tier, revision, bytes_max=BYTES_MAX)
        if found is None:
            return None
        data, revision = found
        where = f"{tier.name}/{revision.key}"
        return await trio.to_thread.run_sync(_decode, data, where, limiter=self._coding), revision

    async def merge_in(
        self, origin: str, key: str, subject: Subject, fresh: Mapping[str, Entry]
    ) -> tuple[dict[str, Entry], Revision, int]:
        """Add *fresh* to what *key* says; return what it then says, and how often somebody else
        was faster. A damaged object, or one that nobody could read, is replaced.

        Raises:
            AccessDenied, TierReadOnly: nobody may write there.
            TierError: as the origin says; it may or may not have been done.
        """
        tier = await self._tiers.get(origin)
        if not tier.properties.writable:
            raise TierReadOnly(f"{tier.name} cannot be written")
        for attempt in range(ATTEMPTS):
            revision = await stat_own(tier, key)
            found = None
            if revision is not None:
                try:
                    found = await self._read(tier, revision)
                except (ManifestInvalid, RecordInvalid):
                    found = {}, revision
            known, expect = ({}, None) if found is None else found
            entries, data = await trio.to_thread.run_sync(
                _merged, known, fresh, replace(subject, job=""), self._node, limiter=self._coding
            )
            try:
                async with self._turn(tier.name, len(data), key):
                    made = await put_own(tier, key, data, expect=expect, at_s=self._wall_s())
            except PreconditionFailed:
                # By chance: a hundred frames of one shot may end in the same second.
                await trio.sleep(PAUSE_S * 2**attempt * random.uniform(1, 2))  # noqa: S311 - no secret
                continue
            return entries, made, attempt
        raise TierUnavailable(f"{tier.name}/{key}: is replaced faster than it can be merged")


REFUSED = (AccessDenied, TierReadOnly)
"""What a person would have to mend: it is not tried again soon."""


def _decode(data: bytes, where: str) -> dict[str, Entry]:
    with beside_the_event_loop():
        return decode(data, where)


def _merged(
    known: Mapping[str, Entry], fresh: Mapping[str, Entry], subject: Subject, node: str
) -> tuple[dict[str, Entry], bytes]:
    with beside_the_event_loop():
        entries = learn(known, fresh)
        data = encode(subject, entries, node)
        while len(data) > BYTES_MAX:
            # Nobody would read it. What is opened least goes.
            count = int(len(entries) * KEPT_SHARE * BYTES_MAX / len(data))
            kept = sorted(entries.values(), key=lambda one: -one.confidence)[:count]
            entries = by_path(kept)
            data = encode(subject, entries, node)
        return entries, data
