"""Blob files: content named by its digest, with the origins that it came from beside it.

Synchronous; call it from a disk thread. Knows nothing of the index: a blob describes itself by
extended attributes, so that a lost index is rebuilt from the blobs alone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from shotfs.cache.directory import fsync_directory
from shotfs.digest import Checksums, Digest, parse_digest
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

ORIGINS_ATTRIBUTE = "user.shotfs.origins"
"""JSON list of the revisions whose content this is, the newest last."""

SOUND_ATTRIBUTE = "user.shotfs.sound"
"""Decimal size in bytes, set before an fsync that covered the content: a blob that has it
and that size survives a power cut, a blob that lacks it is hashed before it is served again."""

ORIGINS_BYTES_MAX = 2048
"""ext4 keeps all attributes of a file in one block of 4 KiB beside its inode."""

FSYNC_BYTES_MIN = 16 * 1024 * 1024
"""Content from here on is fsynced before it is admitted; smaller content is hashed again on its
first open after a power cut. An fsync costs milliseconds whatever the size and would bring 3,000
small files a second down to a few hundred; hashing less than 16 MiB costs less than 20 ms."""

_UNNAMED = os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC

NOT_UNNAMED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
"""How a file system says that it has no files without names."""

NOT_NAMED = (errno.ENOENT, errno.EXDEV, errno.EPERM, errno.EACCES, errno.ENOTDIR)
"""What a link fails with where /proc is missing, or may not be followed."""


@dataclass(frozen=True, slots=True)
class FoundBlob:
    """What a blob on disk says of itself. `sound`: its content is known to be on the disk."""

    digest: Digest
    size_bytes: int
    sound: bool
    origins: tuple[Revision, ...]


class BlobStore:
    """The directory ``blobs/``; 256 subdirectories, made when first needed.

    Attributes:
        unnamed: this disk has files without names, as far as is known.
        place: where these are made. One directory for all: a file system keeps the inodes of one
            side by side, and looks for free ones there, which takes long in many directories
            (ext4, after many deletions).
    """

    def __init__(self, directory: str) -> None:
        self._directory = self.place = directory
        self._told = False
        self.unnamed = True
        self._origins_lock = threading.Lock()

    def path(self, digest: Digest) -> str:
        """Return where the blob is, or would be."""
        return f"{self._directory}/{digest[:2]}/{digest}"

    def directory(self, digest: Digest) -> str:
        """Return the directory of `path`, which may have to be made."""
        return f"{self._directory}/{digest[:2]}"

    def exists(self, digest: Digest) -> bool:
        """Whether the blob is on the disk."""
        return os.path.exists(self.path(digest))

    def admit(
        self,
        source: str,
        digest: Digest,
        revision: Revision,
        *,
        sync: bool,
        descriptor: int | None = None,
    ) -> None:
        """Make the verified file *source* the blob *digest*: all of it or nothing.

        Args:
            source: on the same disk; gone afterwards. Nobody writes to it any more.
            digest: of the content of *source*.
            revision: what the content is of; joined to the origins of an equal blob that exists.
            sync: the content must survive a power cut without being hashed again.
            descriptor: of *source*, if the caller has it open and made it with mode 0600.

        Raises:
            OSError: *source* is still there, the blob is as it was.
        """
        target = self.path(digest)
        # Of two files of the same content that come at once, both stay named. Not while a disk is
        # waited for: of large files the same name is forgotten seldom, and costs nothing.
        with contextlib.nullcontext() if sync else self._origins_lock:
            self._describe_and_rename(source, target, revision, sync=sync, descriptor=descriptor)
        if sync:
            fsync_directory(os.path.dirname(target))

    def _describe_and_rename(
        self, source: str, target: str, revision: Revision, *, sync: bool, descriptor: int | None
    ) -> None:
        if descriptor is not None:
            self._describe(descriptor, target, revision, sync=sync)
        else:
            descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
            try:
                # Only root may set attributes of a file that its mode lets nobody write.
                os.fchmod(descriptor, 0o600)
                self._describe(descriptor, target, revision, sync=sync)
            finally:
                os.close(descriptor)
        try:
            os.rename(source, target)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # another thread was faster
                os.mkdir(os.path.dirname(target), 0o700)
            os.rename(source, target)

    def make_unnamed(self) -> int | None:
        """Make a file that may become a blob and has no name; return its descriptor.

        Closed without `name`, it is gone, also after a crash. None: this disk has no such files.
        """
        if not self.unnamed:
            return None
        try:
            return os.open(self.place, _UNNAMED, 0o600)
        except OSError as error:
            if error.errno not in NOT_UNNAMED:
                raise
            self.unnamed = False
            return None

    def name(self, descriptor: int, digest: Digest, revision: Revision) -> bool:
        """Make the verified file of `make_unnamed` the blob; False: an equal one is here.

        Also False, from then on, where a file without a name cannot get one. Nothing is brought to
        the disk: after a power cut the content is hashed again.

        Raises:
            OSError: the blob is as it was.
        """
        self._set_origins(descriptor, (revision,))
        os.fchmod(descriptor, 0o400)
        try:
            try:
                self._link(descriptor, digest)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):  # another thread was faster
                    os.mkdir(self.directory(digest), 0o700)
                self._link(descriptor, digest)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NOT_NAMED:
                raise
            self.unnamed = False
            return False
        return True

    def _link(self, descriptor: int, digest: Digest) -> None:
        # Python has the kernel follow the link in /proc only if it is given a directory, too;
        # the path is absolute, so any descriptor will do.
        os.link(
            f"/proc/self/fd/{descriptor}",
            self.path(digest),
            src_dir_fd=descriptor,
            follow_symlinks=True,
        )

    def remove(self, digest: Digest) -> bool:
        """Unlink a blob; False: it was not there."""
        try:
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return False
        return True

    @contextlib.contextmanager
    def cutting_off(self, digest: Digest) -> Iterator[None]:
        """Remove a damaged blob in the block; nobody reads on afterwards who has it open.

        The kernel may be reading it by itself (passthrough), and nothing can make it answer EIO.
        So it is left nothing to read: it finds the end of the file, and a page that is mapped is
        gone (SIGBUS).
        """
        path = self.path(digest)
        try:
            os.chmod(path, 0o600)
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                log.warning("cannot cut a damaged blob off", extra={"reason": str(error)})
            yield
            return
        try:
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def size_bytes(self, digest: Digest) -> int:
        """Return what a blob takes of the disk; 0: it is gone, or the disk does not say."""
        try:
            return os.stat(self.path(digest)).st_size
        except OSError:
            return 0

    def subdirectories(self) -> list[str]:
        """Return the names of the directories that hold blobs, at most 256, sorted."""
        return sorted(entry.name for entry in os.scandir(self._directory) if entry.is_dir())

    def digests(self, after: str = "") -> Iterator[Digest]:
        """Yield the digests of all blobs above *after*, in their order.

        One directory is in memory at a time; what comes or goes meanwhile may be missed.
        """
        for name in self.subdirectories():
            if name < after[:2]:
                continue
            with os.scandir(f"{self._directory}/{name}") as entries:
                found = sorted(entry.name for entry in entries if entry.name > after)
            for digest in found:
                with contextlib.suppress(ValueError):
                    yield parse_digest(digest)

    def origins(self, digest: Digest) -> tuple[Revision, ...]:
        """Return the revisions whose content the blob is, the newest last; () if it is gone.

        The oldest are left out where there are more than `ORIGINS_BYTES_MAX` hold.
        """
        return _origins_of(self.path(digest))

    def add_origin(self, digest: Digest, revision: Revision) -> None:
        """Note that the blob is the content of *revision*, too.

        What fails is logged: the note serves only who rebuilds an index.
        """
        path = self.path(digest)
        try:
            with self._origins_lock:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    # Only root may set attributes of a file that its mode lets nobody write.
                    os.fchmod(descriptor, 0o600)
                    try:
                        self._set_origins(descriptor, (*_origins_of(path), revision))
                    finally:
                        os.fchmod(descriptor, 0o400)
                finally:
                    os.close(descriptor)
        except FileNotFoundError:
            return  # evicted meanwhile
        except OSError as error:
            log.warning("cannot note an origin", extra={"path": path, "reason": str(error)})

    def scan(self, subdirectory: str) -> Iterator[FoundBlob]:
        """Yield the blobs of one subdirectory; unlink what is no blob."""
        with os.scandir(f"{self._directory}/{subdirectory}") as entries:
            for entry in entries:
                try:
                    found = _describe(entry)
                except FileNotFoundError:
                    continue  # evicted while we looked
                if found is not None:
                    yield found
                elif entry.is_file(follow_symlinks=False):
                    log.warning("removed a file that is no blob", extra={"path": entry.path})
                    os.unlink(entry.path)

    def _describe(self, descriptor: int, target: str, revision: Revision, *, sync: bool) -> None:
        """Write on the file what it is, and let nobody write to it any more."""
        self._set_origins(descriptor, (*_origins_of(target), revision))
        if sync:
            size = str(revision.size_bytes).encode()
            self._set_attribute(descriptor, SOUND_ATTRIBUTE, size)
        os.fchmod(descriptor, 0o400)
        if sync:
            os.fsync(descriptor)

    def _set_origins(self, descriptor: int, origins: tuple[Revision, ...]) -> None:
        """Record *origins*; the oldest are left out where they do not fit."""
        text = origins_text(origins)
        if text:
            self._set_attribute(descriptor, ORIGINS_ATTRIBUTE, text)

    def _set_attribute(self, descriptor: int, name: str, value: bytes) -> None:
        """Set an attribute; a disk that has none still caches, it only cannot rebuild its index."""
        try:
            os.setxattr(descriptor, name, value)
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.E2BIG, errno.ERANGE):
                raise
            self.tell_plain(name)

    def tell_plain(self, name: str) -> None:
        """Log, once, that the disk did not keep the attribute *name*."""
        if not self._told:
            self._told = True
            log.warning("the cache's disk keeps no extended attributes", extra={"attribute": name})


def origins_text(origins: tuple[Revision, ...]) -> bytes:
    """Return what a blob says of its *origins*, without the oldest where they do not fit."""
    unique = {origin.identity: origin for origin in origins}
    rows = [
        [origin.tier, origin.key, origin.version, origin.size_bytes, origin.mtime_ns]
        for origin in unique.values()
    ]
    while rows:
        text = json.dumps(rows, separators=(",", ":")).encode()
        if len(text) <= ORIGINS_BYTES_MAX:
            return text
        rows.pop(0)
    return b""


def copy_file(source: str, target: str) -> None:
    """Copy the content of *source* to the new file *target*, in the kernel where it can.

    Raises:
        OSError: *target* is gone again.
    """
    try:
        shutil.copyfile(source, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        raise


def _describe(entry: os.DirEntry[str]) -> FoundBlob | None:
    try:
        digest = parse_digest(entry.name)
        status = entry.stat(follow_symlinks=False)
        sound = os.getxattr(entry.path, SOUND_ATTRIBUTE) == str(status.st_size).encode()
    except ValueError:
        return None
    except FileNotFoundError:
        raise
    except OSError:
        sound = False
    return FoundBlob(digest, status.st_size, sound, _origins_of(entry.path))


def _origins_of(path: str) -> tuple[Revision, ...]:
    try:
        return _parse_origins(os.getxattr(path, ORIGINS_ATTRIBUTE))
    except OSError:
        return ()


def _parse_origins(text: bytes) -> tuple[Revision, ...]:
    try:
        return tuple(
            Revision(str(tier), str(key), int(size), str(version), int(mtime), Checksums())
            for tier, key, version, size, mtime in json.loads(text)
        )
    except (ValueError, TypeError):
        return ()
