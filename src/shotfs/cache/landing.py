"""Files on their way to a blob, in disk and hashing threads: written, hashed, compared, renamed."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from shotfs.cache.blobs import (
    NOT_NAMED,
    NOT_UNNAMED,
    ORIGINS_ATTRIBUTE,
    BlobStore,
    origins_text,
)
from shotfs.cache.partials import make_file
from shotfs.digest import Buffer, Checksums, Digest, crc32c_of, hash_file
from shotfs.tiers.base import Revision

try:
    from shotfs.cache import _landing as _native
except ImportError:  # no compiler at installation: everything works, only slower
    NATIVE: ModuleType | None = None
else:
    NATIVE = _native

log = logging.getLogger(__name__)

DIFFERS = -1
"""What the C helper says of a file in which the disk has other bytes than were written."""


def land(
    blobs: BlobStore, path: str, content: Buffer, digest: Digest, revision: Revision
) -> tuple[Checksums, str | None]:
    """Write, hash what was written, compare, and rename into place; returns what is wrong."""
    number = make_file(path, 0)
    try:
        try:
            found = _write_and_hash(number, content, revision)
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


@dataclass(slots=True, eq=False)
class SmallFile:
    """A small file whose bytes are in memory, on its way to a blob.

    Attributes:
        content: the whole.
        digest: of *content*.
        revision: what it is of, and what it has to agree with.
        found: what is known of the blob that it became; None before, or if it is not right.
    """

    content: Buffer
    digest: Digest
    revision: Revision
    found: Checksums | None = None


def land_all(
    blobs: BlobStore, new_path: Callable[[], str], files: Sequence[SmallFile]
) -> OSError | None:
    """Make blobs of *files*, those that are what was promised; `found` says of which.

    By files that have no name before they are right: no name is no entry in a directory that all
    threads write to, nothing that a crash leaves, and one rename less (2026-11-21, ext4, 32 KiB:
    a third of what a file costs). All in one call that does without the interpreter, where the C
    helper was built.

    Args:
        blobs: where to.
        new_path: gives a name below the partials, for a disk that has no files without names and
            for content that is here already.
        files: not too many for the memory that they take.

    Returns:
        What the disk failed with; what became a blob before that needs its row all the same.
    """
    try:
        if NATIVE is not None and blobs.unnamed:
            files = _land_natively(NATIVE, blobs, files)
        for one in files:
            one.found = _land_unnamed(blobs, one)
            if one.found is None:
                found, wrong = land(blobs, new_path(), one.content, one.digest, one.revision)
                one.found = found if wrong is None else None
    except OSError as error:
        return error
    return None


def _land_natively(
    native: ModuleType, blobs: BlobStore, files: Sequence[SmallFile]
) -> list[SmallFile]:
    """Make blobs of *files* by the C helper; return those that need a name on their way.

    It compares what the disk has with `content`, byte by byte, instead of hashing it again.
    """
    right = [(one, found) for one in files if (found := _right(one)) is not None]
    results, plain = native.land(
        ORIGINS_ATTRIBUTE.encode(),
        os.fsencode(blobs.place),
        tuple(
            (
                os.fsencode(blobs.directory(one.digest)),
                os.fsencode(blobs.path(one.digest)),
                one.content,
                origins_text((one.revision,)),
            )
            for one, _ in right
        ),
    )
    if plain:
        blobs.tell_plain(ORIGINS_ATTRIBUTE)
    left = []
    for (one, found), result in zip(right, results, strict=False):
        if result == 0:
            one.found = found
        elif result == errno.EEXIST:
            left.append(one)
        elif result in NOT_UNNAMED or result in NOT_NAMED:
            blobs.unnamed = False
            return left + [other for other, _ in right[len(results) - 1 :]]
        elif result != DIFFERS:
            raise OSError(result, os.strerror(result), blobs.path(one.digest))
    return left


def _right(one: SmallFile) -> Checksums | None:
    """Return the checksums of `content`; None: it is not what was promised."""
    promised = one.revision.checksums
    found = Checksums(
        xxh128=one.digest,
        md5=None
        if promised.md5 is None
        else hashlib.md5(one.content, usedforsecurity=False).hexdigest(),
        crc32c=None if promised.crc32c is None else crc32c_of(one.content),
    )
    whole = len(one.content) == one.revision.size_bytes
    return found if whole and mismatch(found, promised) is None else None


def _land_unnamed(blobs: BlobStore, one: SmallFile) -> Checksums | None:
    """Make a blob as `_land_natively` does; None: the file needs a name, or is not right."""
    number = blobs.make_unnamed()
    if number is None:
        return None
    try:
        found = _write_and_hash(number, one.content, one.revision)
        if found.xxh128 != one.digest or mismatch(found, one.revision.checksums) is not None:
            return None
        return found if blobs.name(number, one.digest, one.revision) else None
    finally:
        os.close(number)


def _write_and_hash(number: int, content: Buffer, revision: Revision) -> Checksums:
    """Write *content*; return the checksums of what the disk has, which is what counts."""
    written = os.pwrite(number, content, 0) if len(content) else 0
    if written < len(content):  # the disk is full: the next call says so
        os.pwrite(number, memoryview(content)[written:], written)
    return hash_written(number, revision)


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
