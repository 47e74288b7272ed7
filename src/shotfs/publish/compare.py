"""Is what the origin has under our key what we meant to store there?

A digest that somebody claims in an object's metadata settles nothing (semantics.md): the store's
own md5 does, otherwise the object is read back and hashed here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import trio
import xxhash

from shotfs.digest import Buffer, Digest
from shotfs.errors import PublishConflict, SpoolBroken, TierCorrupt, TierError
from shotfs.publish.entry import Content
from shotfs.tiers.base import Revision, Span, Tier

READ_BACK_BYTES = 8 * 1024 * 1024

COMPARED_BYTES = 4 * 1024 * 1024
"""So much of either side is compared at a time."""


async def same_content(
    tier: Tier, revision: Revision, content: Content, limiter: trio.CapacityLimiter
) -> bool:
    """Return whether *revision* has exactly the bytes of *content*.

    Equal crc32c alone is not proof (one in four billion, and trivial to forge), so it can only
    say no; then the object is read.

    Raises:
        TierError: the object could not be read; RevisionChanged if it was replaced meanwhile.
    """
    if revision.size_bytes != content.size_bytes:
        return False
    theirs, ours = revision.checksums, content.checksums
    if theirs.crc32c is not None and theirs.crc32c != ours.crc32c:
        return False
    if theirs.md5 is not None:
        return theirs.md5 == ours.md5
    return await _digest(tier, revision, limiter) == ours.xxh128


@dataclass(frozen=True, slots=True)
class Difference:
    """How a local file and an object differ.

    Attributes:
        first: offset of the first byte that differs, or where the shorter one ends; None: none.
        ours, theirs: digests of the whole of each, of the bytes that were read.
    """

    first: int | None
    ours: Digest
    theirs: Digest


async def difference(tier: Tier, revision: Revision, path: str) -> Difference:
    """Read the file *path* and *revision* to their ends and compare them.

    Raises:
        TierError: the object could not be read.
        SpoolBroken: the file could not.
    """
    ours, theirs = xxhash.xxh3_128(), xxhash.xxh3_128()
    first: int | None = None
    offset = 0
    try:
        size_bytes = await trio.to_thread.run_sync(os.path.getsize, path)
        while offset < max(size_bytes, revision.size_bytes):
            mine = await trio.to_thread.run_sync(_read_block, path, offset)
            stop = min(offset + COMPARED_BYTES, revision.size_bytes)
            other = await tier.read(revision, Span(offset, stop)) if offset < stop else b""
            found = await trio.to_thread.run_sync(_take, ours, theirs, mine, other)
            if first is None and found is not None:
                first = offset + found
            offset += COMPARED_BYTES
    except OSError as error:
        raise SpoolBroken(f"{path}: cannot be read: {error}") from error
    return Difference(first, Digest(ours.hexdigest()), Digest(theirs.hexdigest()))


def _read_block(path: str, offset: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(descriptor, COMPARED_BYTES, offset)
    finally:
        os.close(descriptor)


def _take(
    ours: xxhash.xxh3_128, theirs: xxhash.xxh3_128, mine: Buffer, other: Buffer
) -> int | None:
    """Hash a block of either; return the first offset in it at which they differ."""
    ours.update(mine)
    theirs.update(other)
    if mine == other:
        return None
    start, stop = 0, min(len(mine), len(other))
    if mine[:stop] == other[:stop]:
        return stop
    while stop - start > 1:  # the first half that differs, again and again
        middle = (start + stop) // 2
        if mine[start:middle] == other[start:middle]:
            start = middle
        else:
            stop = middle
    return start


async def verify_upload(tier: Tier, revision: Revision, content: Content) -> None:
    """Return if the store's own figures for what we just stored are ours.

    Otherwise the object is removed, so that the next attempt does not lose against it.

    Raises:
        TierCorrupt: it was stored wrongly and is removed; try again.
        PublishConflict: it was stored wrongly and cannot be removed.
    """
    theirs, ours = revision.checksums, content.checksums
    right = (
        revision.size_bytes == content.size_bytes
        and (theirs.md5 is None or theirs.md5 == ours.md5)
        and (theirs.crc32c is None or theirs.crc32c == ours.crc32c)
    )
    if right:
        return
    problem = (
        f"{tier.name}/{revision.key}: the store reports {revision.size_bytes} bytes, md5"
        f" {theirs.md5}, crc32c {theirs.crc32c}; {content.size_bytes}, {ours.md5}, {ours.crc32c}"
        " were sent"
    )
    try:
        await tier.delete(revision.key, expect=revision)
    except TierError as error:
        raise PublishConflict(
            f"{problem}, and the object cannot be removed: {error.message}",
            fix="delete the object by hand, then publish the file again",
        ) from error
    raise TierCorrupt(f"{problem}; it was removed again")


async def _digest(tier: Tier, revision: Revision, limiter: trio.CapacityLimiter) -> str:
    digest = xxhash.xxh3_128()
    for start in range(0, revision.size_bytes, READ_BACK_BYTES):
        stop = min(start + READ_BACK_BYTES, revision.size_bytes)
        block = await tier.read(revision, Span(start, stop))
        await trio.to_thread.run_sync(digest.update, block, limiter=limiter)
    return digest.hexdigest()
