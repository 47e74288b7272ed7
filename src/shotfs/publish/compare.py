"""Is what the origin has under our key what we meant to store there?

A digest that somebody claims in an object's metadata settles nothing (semantics.md): the store's
own md5 does, otherwise the object is read back and hashed here.
"""

from __future__ import annotations

import trio
import xxhash

from shotfs.errors import PublishConflict, TierCorrupt, TierError
from shotfs.publish.entry import Content
from shotfs.tiers.base import Revision, Span, Tier

READ_BACK_BYTES = 8 * 1024 * 1024


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
