"""Kept listings: what directories held when they were listed last, for when nobody can be asked.

A listing in memory answers for its time to live, and a restart forgets it. These are on this node's
disk, and only looked at while an origin is away; the caller says what they are worth then. A
listing is whole or not there: half of one would be a wrong answer to "which frames are there".
Nothing here is the truth, so nothing is synced; what a crash loses costs an answer in an outage.
"""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict
from typing import Any

import trio

from shotfs.digest import Checksums, Digest
from shotfs.namespace.beside import beside_the_event_loop
from shotfs.namespace.listing import Listing, OriginListing
from shotfs.namespace.records import Records
from shotfs.namespace.tier_pool import tier_name
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

BYTES_MAX = 256 * 1024 * 1024
"""Of all kept listings on the disk; those written longest ago go first."""

ENTRIES_MAX = 50_000
"""A directory with more entries is not kept: 10 MB to write for each change in it."""

UNWRITTEN_ENTRIES_MAX = 200_000
"""Entries of listings, and changes, that wait to be written; beyond it the oldest are dropped."""

FLUSH_S = 5.0
"""How often they are written. A directory that files are published into is written once a flush."""

REWRITE_S = 60.0
"""A listing that says what the last one said is written this often at most: its time moves on."""

WRITTEN_MAX = 10_000
"""Directories of which is remembered what was written last."""

_Changes = dict[str, Revision | None]


class KeptListings:
    """The last listing of each directory, with what this node did since.

    Args:
        records: where they are; used by nobody else.
    """

    def __init__(self, records: Records) -> None:
        self._records = records
        self._unwritten: OrderedDict[str, Listing] = OrderedDict()
        self._entries = 0
        self._changes: OrderedDict[str, _Changes] = OrderedDict()
        self._written: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._flushing = trio.Lock()

    def note(self, path: str, listing: Listing) -> None:
        """Keep *listing* of the directory *path*; it reaches the disk within `FLUSH_S`."""
        self._changes.pop(path, None)
        self._forget_unwritten(path)
        if len(listing) > ENTRIES_MAX:
            listing = Listing((), 0.0, 0.0)  # what is on the disk is older than this
        self._unwritten[path] = listing
        self._entries += 1 + len(listing)
        while self._entries > UNWRITTEN_ENTRIES_MAX:
            self._forget_unwritten(next(iter(self._unwritten)))

    def changed(self, path: str, revision: Revision | None) -> None:
        """Note that this node published *revision* as *path*; None: *path* is gone."""
        parent, _, name = path.rpartition("/")
        self._change(parent, name, revision)
        while revision is not None and parent:
            parent, _, name = parent.rpartition("/")
            self._change(parent, f"{name}/", revision)

    def _change(self, directory: str, name: str, revision: Revision | None) -> None:
        self._changes.setdefault(directory, {})[name] = revision
        if len(self._changes[directory]) > ENTRIES_MAX:
            self._changes[directory] = {}
            self.note(directory, Listing((), 0.0, 0.0))
        if len(self._changes) > UNWRITTEN_ENTRIES_MAX:
            self._changes.popitem(last=False)

    def _forget_unwritten(self, path: str) -> None:
        dropped = self._unwritten.pop(path, None)
        if dropped is not None:
            self._entries -= 1 + len(dropped)

    async def get(self, path: str) -> Listing | None:
        """Return the last listing of the directory *path*, with what this node did since."""
        listing = self._unwritten.get(path)
        if listing is None:
            data = await self._records.read(path)
            listing = None if data is None else await trio.to_thread.run_sync(_decode, path, data)
            listing = self._unwritten.get(path, listing)  # one may have come meanwhile
        if listing is None or not listing.parts:
            return None
        return _corrected(listing, self._changes.get(path, {}))

    async def run(self) -> None:
        """Write for ever. Run in a nursery; cancel to stop, which writes once more."""
        try:
            while True:
                await trio.sleep(FLUSH_S)
                # Cancelled halfway, it would lose what it has taken and not written yet.
                with trio.CancelScope(shield=True):
                    await self.flush()
        finally:
            with trio.CancelScope(shield=True):
                await self.flush()

    async def flush(self) -> None:
        """Write what was noted."""
        async with self._flushing:
            for path in list(self._changes):
                await self._flush_changes(path)
            while self._unwritten:
                path, listing = next(iter(self._unwritten.items()))
                await self._write(path, listing)
                if self._unwritten.get(path) is listing:
                    self._forget_unwritten(path)

    async def _flush_changes(self, path: str) -> None:
        listing = await self.get(path)
        changes = self._changes.pop(path, {})
        if listing is not None and path not in self._unwritten:
            # Not written once a frame: as of the time of the listing, and with what is new.
            await self._write(path, _corrected(listing, changes))
        elif path in self._unwritten and listing is not None:
            waiting = self._unwritten[path]
            self._forget_unwritten(path)
            self._unwritten[path] = _corrected(waiting, changes)
            self._entries += 1 + len(self._unwritten[path])

    async def _write(self, path: str, listing: Listing) -> None:
        if not listing.parts:
            await self._records.forget(path)
            self._written.pop(path, None)
            return
        data, seen = await trio.to_thread.run_sync(_encode, listing)
        before = self._written.get(path)
        same = before is not None and before[0] == seen
        if before is not None and same and 0 <= listing.listed_at_s - before[1] < REWRITE_S:
            return
        await self._records.write(path, data)
        self._written[path] = (seen, listing.listed_at_s)
        self._written.move_to_end(path)
        if len(self._written) > WRITTEN_MAX:
            self._written.popitem(last=False)


def open_kept_listings(cache_directory: str) -> KeptListings:
    """Return what is kept in the directory of `cache.directory`, which only this process uses."""
    return KeptListings(Records(os.path.join(cache_directory, "listings"), bytes_max=BYTES_MAX))


def _corrected(listing: Listing, changes: _Changes) -> Listing:
    """Return *listing* with *changes*, which are of whichever tier has such a part."""
    if not changes:
        return listing
    parts = []
    for part in listing.parts:
        made = OriginListing(part.origin, dict(part.objects), set(part.prefixes))
        for name, revision in changes.items():
            made.correct(name, revision, tier=tier_name(part.origin))
        parts.append(made)
    return Listing(tuple(parts), listing.listed_s, listing.listed_at_s)


def _encode(listing: Listing) -> tuple[bytes, int]:
    """Return the listing as JSON, and a number that is the same for the same content."""
    with beside_the_event_loop():
        parts = [
            {
                "origin": part.origin,
                "prefixes": sorted(part.prefixes),
                "objects": [
                    [
                        one.tier, one.key, one.size_bytes, one.version, one.mtime_ns,
                        one.checksums.md5, one.checksums.crc32c, one.checksums.xxh128, one.pin,
                    ]
                    for _, one in sorted(part.objects.items())
                ],
            }
            for part in listing.parts
        ]  # fmt: skip
        content = json.dumps(parts, ensure_ascii=True)
        head = json.dumps({"listed_at_s": listing.listed_at_s})
        return f"{head}\n{content}".encode("ascii"), hash(content)


def _decode(path: str, data: bytes) -> Listing | None:
    """Return the listing; None for what another version of shotfs may have written."""
    try:
        with beside_the_event_loop():
            head, _, content = data.partition(b"\n")
            parts = tuple(_part(one) for one in json.loads(content))
            return Listing(parts, float("-inf"), float(json.loads(head)["listed_at_s"]))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        log.warning("kept listing ignored: %s", error, extra={"path": path})
        return None


def _part(one: dict[str, Any]) -> OriginListing:
    made = OriginListing(str(one["origin"]), {}, set(map(str, one["prefixes"])))
    for tier, key, size_bytes, version, mtime_ns, md5, crc32c, xxh128, pin in one["objects"]:
        sums = Checksums(md5=md5, crc32c=crc32c, xxh128=Digest(xxh128) if xxh128 else None)
        name = key.rpartition("/")[2]
        made.objects[name] = Revision(tier, key, size_bytes, version, mtime_ns, sums, pin)
    return made
