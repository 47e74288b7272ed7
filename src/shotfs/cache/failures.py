"""What goes wrong while a revision comes in, in words; and one request's failure as a value."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from shotfs.errors import (
    CacheError,
    CacheFull,
    CacheStalled,
    DigestMismatch,
    RevisionChanged,
    ShotfsError,
    TierTimeout,
)
from shotfs.tiers.base import Revision, Span
from shotfs.tiers.claims import Claims

log = logging.getLogger(__name__)


RATE_MIN_BYTES_PER_S = 64 * 1024
"""A request slower than this, beyond the deadline, is given up: something is stuck. Tiers watch
the progress of their requests themselves; this is the net below."""


async def failure_of(
    read: Callable[[], Awaitable[None]],
    revision: Revision,
    length_bytes: int,
    deadline_s: float,
    claims: Claims,
) -> ShotfsError | OSError | None:
    """Run one request; return why it failed, None: it did not.

    Args:
        read: the request. An OSError means the local disk.
        revision: what it is about.
        length_bytes: how much it brings.
        deadline_s: how long it may take without bringing anything.
        claims: get what the answer says of the whole.
    """
    limit_s = deadline_s + length_bytes / RATE_MIN_BYTES_PER_S
    try:
        with trio.fail_after(limit_s), claims.listening():
            await read()
    except (ShotfsError, OSError) as error:
        return error
    except trio.TooSlowError:
        where = f"{revision.tier}/{revision.key}"
        return TierTimeout(f"{where}: a request took over {limit_s:.0f} s")
    except Exception as error:  # one broken file must not end the mount
        log.exception("fetch failed unexpectedly", extra={"key": revision.key})
        return CacheError(f"{revision.key}: {error!r}")
    return None


def wrong_bytes(revision: Revision, attempts: int) -> DigestMismatch:
    """Return the error for content that was wrong as often as it was fetched."""
    return DigestMismatch(
        f"{revision.tier}/{revision.key}: the bytes that arrived do not match"
        f" what the origin promises (tried {attempts} times)",
        fix="check the object in the origin: its content, md5, crc32c or xxh128 is wrong",
    )


def changed(revision: Revision, cause: ShotfsError) -> RevisionChanged:
    """Return the error for an object that was replaced or deleted.

    A deleted object is ENOENT to whoever looks for it, and stale to whoever has it open.
    """
    error = RevisionChanged(
        f"{revision.tier}/{revision.key} changed while it was read: {cause.message}",
        fix="open the file again",
    )
    error.__cause__ = cause
    return error


def no_progress(revision: Revision, span: Span, limit_s: float) -> TierTimeout:
    """Return the error for a range of which nothing came."""
    return TierTimeout(
        f"{revision.tier}/{revision.key}: no byte of"
        f" [{span.start}, {span.stop}) came within {limit_s:g} s",
        fix="see `shotfs status`; mount.request_deadline_s is the limit",
    )


def disk_stalled(what: str, limit_s: float) -> CacheStalled:
    """Return the error for a file that the cache's disk does not give or take.

    Args:
        what: key or path of the file.
        limit_s: for how long nothing happened.
    """
    return CacheStalled(
        f"{what}: the cache's disk made no progress within {limit_s:g} s",
        fix="look at the disk of cache.directory; mount.request_deadline_s is the limit",
    )


def no_room(revision: Revision) -> CacheFull:
    """Return the error for content that is not kept."""
    return CacheFull(
        f"{revision.key}: the cache has no room to keep it",
        fix="raise cache.bytes_max, or lower cache.free_bytes_min",
    )
