"""Small objects that shotfs itself keeps in an origin, below `RESERVED`: read and put whole."""

from __future__ import annotations

from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import ObjectNotFound, RecordInvalid, RevisionChanged, TierUnavailable
from shotfs.tiers.base import Revision, Span, Tier

READ_ATTEMPTS = 5
"""How often an object is looked up again because it was replaced before it was read."""


async def stat_own(tier: Tier, key: str) -> Revision | None:
    """Return the newest revision of *key*; None if there is none.

    Raises:
        TierError: as the tier says.
    """
    try:
        return await tier.stat(key)
    except ObjectNotFound:
        return None


async def read_own(
    tier: Tier, revision: Revision, *, bytes_max: int
) -> tuple[bytes, Revision] | None:
    """Return the content of an object and the revision that has it, the newest if it changes.

    Args:
        tier: where it is.
        revision: what was seen of it.
        bytes_max: the largest that is read.

    Returns:
        None if it was deleted meanwhile.

    Raises:
        RecordInvalid: it is larger than *bytes_max*.
        TierError: as the tier says.
    """
    newest: Revision | None = revision
    for _ in range(READ_ATTEMPTS):
        if newest is None:
            return None
        if newest.size_bytes > bytes_max:
            raise RecordInvalid(
                f"{tier.name}/{newest.key}: {newest.size_bytes} bytes, at most {bytes_max} are read"
            )
        try:
            return bytes(await tier.read(newest, Span(0, newest.size_bytes))), newest
        except (ObjectNotFound, RevisionChanged):
            newest = await stat_own(tier, newest.key)
    raise TierUnavailable(f"{tier.name}/{revision.key}: is replaced faster than it can be read")


async def put_own(
    tier: Tier, key: str, content: bytes, *, expect: Revision | None, at_s: float
) -> Revision:
    """Store *content*; create-only, or in place of exactly the revision *expect*.

    Args:
        tier: where.
        key: below its root.
        content: the whole object.
        expect: None creates.
        at_s: the time of day, seconds since the epoch.

    Raises:
        PreconditionFailed: another revision is there.
        TierError: as the tier says; the object may or may not be there.
    """
    return await tier.put(
        key,
        content,
        expect=expect,
        checksums=Checksums(xxh128=digest_bytes(content)),
        mtime_ns=int(at_s * 1e9),
        metadata={},
    )
