"""Files on their way to a blob, in disk and hashing threads: written, hashed, compared, renamed."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable

from shotfs.cache.blobs import BlobStore
from shotfs.cache.partials import make_file
from shotfs.digest import Buffer, Checksums, Digest, hash_file
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)


def land(
    blobs: BlobStore, path: str, content: Buffer, digest: Digest, revision: Revision
) -> tuple[Checksums, str | None]:
    """Write, hash what was written, compare, and rename into place; returns what is wrong."""
    number = make_file(path, 0)
    try:
        try:
            written = os.pwrite(number, content, 0) if len(content) else 0
            if written < len(content):  # the disk is full: the next call says so
                os.pwrite(number, memoryview(content)[written:], written)
            found = hash_written(number, revision)
        finally:
            os.close(number)
        wrong = mismatch(found, revision.checksums)
        if wrong is None and found.xxh128 != digest:
            wrong = "the disk gave other bytes than were written"
        if wrong is None:
            blobs.admit(path, digest, revision, sync=False)
            return found, None
    except BaseException:
        unlink(path)
        raise
    unlink(path)
    return found, wrong


def unlink(path: str) -> None:
    """Remove a file that may be gone already; what cannot be removed is logged."""
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno != errno.ENOENT:
            log.warning("cannot unlink", extra={"path": path, "reason": str(error)})


def hash_written(
    number: int, revision: Revision, on_block: Callable[[], None] | None = None
) -> Checksums:
    """Hash what is on the disk, with every checksum that the tier promises."""
    promised = revision.checksums
    try:
        return hash_file(
            number,
            revision.size_bytes,
            md5=promised.md5 is not None,
            crc32c=promised.crc32c is not None,
            on_block=on_block,
        )
    except EOFError:
        # Shorter than promised: as wrong as any other content. No digest equals this one's.
        return Checksums()


def hash_partial(path: str, revision: Revision, on_block: Callable[[], None]) -> Checksums:
    """Hash a complete partial as `hash_written` does, by a descriptor of its own.

    So it needs nobody who keeps one open for a thread that the disk may hold for ever.
    """
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return hash_written(number, revision, on_block)
    finally:
        os.close(number)


def hash_path(path: str, size_bytes: int, on_block: Callable[[], None]) -> Digest | None:
    """Return the digest of a file; None: it has another size."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(number).st_size != size_bytes:
            return None
        return hash_file(number, size_bytes, on_block=on_block).xxh128
    finally:
        os.close(number)


def mismatch(found: Checksums, promised: Checksums) -> str | None:
    """Return what is wrong with the content, None: nothing."""
    if found.xxh128 is None:
        return "it is shorter than its revision says"
    for name in ("xxh128", "crc32c", "md5"):
        expected, actual = getattr(promised, name), getattr(found, name)
        if expected is not None and expected != actual:
            return f"{name} is {actual}, promised was {expected}"
    return None


def move_out(blobs: BlobStore, digest: Digest, target: str) -> None:
    """Undo `move_in`: a blob without a row would be in no account."""
    path = blobs.path(digest)
    os.rename(path, target)
    os.chmod(target, 0o600)


def move_in(
    blobs: BlobStore, source: str, digest: Digest, revision: Revision, sync: bool
) -> None:  # positional, because it is called through run_sync
    """Make a verified file a blob; see `BlobStore.admit`."""
    blobs.admit(source, digest, revision, sync=sync)
