"""A plain directory as a store: the blocking half of file://. Call it from worker threads.

Raises OSError as the operating system does, and our errors where a promise is broken.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat as modes
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

import xxhash

from shotfs.digest import Checksums, Digest, digest_bytes, parse_digest
from shotfs.errors import TierCorrupt, TierError
from shotfs.tiers.cloud.beneath import LeadsOut, Place, located
from shotfs.tiers.cloud.recorded import DIGEST_KEY
from shotfs.tiers.cloud.temporaries import sweep, temporary
from shotfs.tiers.cloud.threads import Call
from shotfs.tiers.keys import is_key

RESERVED = ".shotfs-"
"""Names that start so are ours: never listed, never keys."""

DIGEST_ATTRIBUTE = "user.shotfs.xxh128"
METADATA_ATTRIBUTE = "user.shotfs.metadata"

_LOCK_NAME = f"{RESERVED}lock"
_COPY_BYTES = 1024 * 1024
_SYNC_BYTES = 64 * 1024 * 1024  # so that the last fsync is no long silence
_FILE_MODE = 0o666  # the umask of the service decides
_NO_ATTRIBUTES = frozenset(
    {errno.ENOTSUP, errno.ENODATA, errno.EPERM, errno.EACCES, errno.ENOSPC, errno.E2BIG}
)
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


class SourceFailed(Exception):
    """Wraps the OSError of the source of a put, to tell it from those of the directory."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file: what the file system says of it."""

    size_bytes: int
    mtime_ns: int
    inode: int
    digest: Digest | None = None

    @property
    def version(self) -> str:
        """Another one for other bytes, as far as a plain file can tell."""
        return f"{self.inode}-{self.mtime_ns}-{self.size_bytes}"


def _found(status: os.stat_result, digest: Digest | None = None) -> Found:
    return Found(status.st_size, status.st_mtime_ns, status.st_ino, digest)


class Directory:
    """Files below one root. Holds no state; any thread may call it."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)

    def exists(self) -> bool:
        """Tell whether the root is a directory."""
        return os.path.isdir(self.root)

    def check(self) -> None:
        """Raise OSError if the root cannot be listed."""
        with os.scandir(self.root):
            return

    # --- reading ---------------------------------------------------------------------------------

    def stat(self, key: str) -> Found:
        """Return what *key* is. Raises FileNotFoundError if it is no regular file in the root."""
        descriptor = self.open(key)
        try:
            status = os.fstat(descriptor)
            return _found(status, _recorded_digest(descriptor, status))
        finally:
            os.close(descriptor)

    def recorded(self, key: str) -> tuple[Found, dict[str, str]]:
        """Return what *key* is, and what was recorded with it when it was put."""
        descriptor = self.open(key)
        try:
            status = os.fstat(descriptor)
            found = _found(status, _recorded_digest(descriptor, status))
            text = _attribute(descriptor, METADATA_ATTRIBUTE, status)
        finally:
            os.close(descriptor)
        metadata: dict[str, str] = {}
        with contextlib.suppress(ValueError):
            document = json.loads(text or "{}")
            if isinstance(document, dict):
                metadata = {str(name): str(value) for name, value in document.items()}
        return found, metadata | ({} if found.digest is None else {DIGEST_KEY: found.digest})

    def open(self, key: str) -> int:
        """Return a descriptor of *key* for reading."""
        # O_NONBLOCK: a FIFO with such a name must not block the thread.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        with self._located(key) as place:
            descriptor = os.open(place.name, flags | os.O_NOFOLLOW, dir_fd=place.directory)
        if not modes.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
        return descriptor

    def names(self, prefix: str) -> list[str]:
        """Return the names in the directory *prefix* in key order; none if there is none."""
        descriptor = self._open_directory(prefix)
        if descriptor is None:
            return []
        try:
            with os.scandir(descriptor) as entries:
                names = [entry.name for entry in entries]
        finally:
            os.close(descriptor)
        shown = (name for name in names if not name.startswith(RESERVED) and is_key(name))
        return sorted(shown, key=str.encode)

    def look(self, prefix: str, names: list[str]) -> tuple[list[tuple[str, Found]], list[str]]:
        """Return the regular files and the directories among *names* of *prefix*."""
        files: list[tuple[str, Found]] = []
        directories: list[str] = []
        descriptor = self._open_directory(prefix)
        if descriptor is None:
            return files, directories
        try:
            for name in names:
                key = f"{prefix}/{name}" if prefix else name
                try:
                    status = self._status(descriptor, name, key)
                except OSError as exc:
                    # Gone since, a dangling link, or one that leads out of the root.
                    if exc.errno not in _ABSENT:
                        raise
                    continue
                if modes.S_ISREG(status.st_mode):
                    files.append((key, _found(status)))
                elif modes.S_ISDIR(status.st_mode):
                    directories.append(name)
        finally:
            os.close(descriptor)
        return files, directories

    def _status(self, directory: int, name: str, key: str) -> os.stat_result:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not modes.S_ISLNK(status.st_mode):
            return status
        with self._located(key) as place:
            return _status_at(place)

    def _open_directory(self, prefix: str) -> int | None:
        """Return a descriptor of the directory *prefix*, None if there is none in the root."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        if not prefix:
            return os.open(self.root, flags)
        try:
            with self._located(prefix) as place:
                return os.open(place.name, flags | os.O_NOFOLLOW, dir_fd=place.directory)
        except (FileNotFoundError, NotADirectoryError):
            if self.exists():
                return None
            raise

    def _located(self, key: str, *, follow: bool = True) -> AbstractContextManager[Place]:
        if _is_reserved(key):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
        return located(self.root, key, follow=follow)

    # --- writing ---------------------------------------------------------------------------------

    def put(
        self,
        key: str,
        source: bytes | str,
        expect: str | None,
        sums: Checksums,
        mtime_ns: int,
        call: Call,
        metadata: Mapping[str, str],
    ) -> Found | None:
        """Store *source*; return what was made, or None if *expect* does not hold.

        Args:
            key: where.
            source: the bytes, or the path of a file.
            expect: the version that is replaced; None to create only.
            sums: of which the digest is compared and recorded.
            mtime_ns: what the file will have.
            call: told of each block, asked before the name appears.
            metadata: recorded where the file system has room for it.

        Raises:
            SourceFailed: the source cannot be read.
            TierCorrupt: the bytes are not those that *sums* are of.
            Abandoned: nobody waits for it any more.
        """
        # A replace goes to the link's target, so that a link stays one.
        with self._writable(key, follow=expect is not None) as place:
            with temporary(place.directory, key, _FILE_MODE) as (made_as, descriptor):
                size, found = _copy_in(source, descriptor, call)
                if sums.xxh128 not in (None, found):
                    raise TierCorrupt(f"{self.root}/{key}: {found}, promised was {sums.xxh128}")
                made = _finish(descriptor, size, sums.xxh128, mtime_ns, metadata)
                put = self._create if expect is None else self._replace
                won = put(made_as, place, expect or "", made, call)
            if won:
                _sync_directory(place)
            return made if won else None

    def sweep(self, key: str) -> None:
        """Remove what puts of *key* left whose service was killed."""
        for follow in (False, True):  # of those that create, and of those that replace
            try:
                with self._located(key, follow=follow) as place:
                    sweep(place.directory, key)
            except (FileNotFoundError, NotADirectoryError):
                continue  # nothing was ever put there

    def delete(self, key: str, expect: str | None) -> bool:
        """Delete *key*; return False, and leave it, if it is not the version *expect*."""
        with self._located(key, follow=False) as place, self._locked():
            now = self.stat(key).version
            if expect is not None and now != expect:
                return False
            os.unlink(place.name, dir_fd=place.directory)
            _sync_directory(place)
        return True

    @contextlib.contextmanager
    def _writable(self, key: str, *, follow: bool) -> Iterator[Place]:
        """Find where *key* is written; its directory exists afterwards."""
        if _is_reserved(key):
            raise TierError(f"{key}: names that start with {RESERVED} are ours", errno=errno.EINVAL)
        with contextlib.ExitStack() as stack:
            try:
                place = stack.enter_context(located(self.root, key, make=True, follow=follow))
            except LeadsOut as exc:
                raise PermissionError(errno.EACCES, "a link leads out of the root", key) from exc
            except NotADirectoryError as exc:
                raise TierError(
                    f"{self.root}/{key}: a part of the path is a file", errno=errno.ENOTDIR
                ) from exc
            if place.name == "." or _is_directory(place):
                raise TierError(f"{self.root}/{key} is a directory", errno=errno.EISDIR)
            yield place

    def _create(self, temporary: Place, place: Place, _: str, made: Found, call: Call) -> bool:
        call.begin()
        where = {"src_dir_fd": temporary.directory, "dst_dir_fd": place.directory}
        try:
            os.link(temporary.name, place.name, **where, follow_symlinks=False)
        except FileExistsError:
            # A file server may have done it and lost the answer: then the name is our inode.
            return _status_at(place).st_ino == made.inode
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            return self._create_without_links(temporary, place)
        return True

    def _create_without_links(self, temporary: Place, place: Place) -> bool:
        with self._locked():
            try:
                _status_at(place)
            except FileNotFoundError:
                _rename(temporary, place)
                return True
            return False

    def _replace(self, temporary: Place, place: Place, expect: str, _: Found, call: Call) -> bool:
        with self._locked():
            call.begin()
            try:
                if _found(_status_at(place)).version != expect:
                    return False
            except FileNotFoundError:
                return False
            _rename(temporary, place)
            return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        # A file and not the directory itself: NFS locks only what is open for writing.
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(os.path.join(self.root, _LOCK_NAME), flags, _FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def _copy_in(source: bytes | str, descriptor: int, call: Call) -> tuple[int, Digest]:
    """Write the source; return its length and the digest of what was written."""
    if isinstance(source, bytes):
        return _write_all(descriptor, memoryview(source), 0), digest_bytes(source)
    return _copy(source, descriptor, call)


def _finish(
    descriptor: int,
    size: int,
    digest: Digest | None,
    mtime_ns: int,
    metadata: Mapping[str, str],
) -> Found:
    """Give the file its attributes, durable, and return what is there now."""
    os.utime(descriptor, ns=(mtime_ns, mtime_ns))
    status = os.fstat(descriptor)
    if status.st_size != size:
        raise TierCorrupt(f"wrote {size} bytes, the file has {status.st_size}")
    # With mtime and size, because somebody may write into the file in place later.
    stamp = f"{status.st_mtime_ns} {status.st_size}"
    if digest is not None:
        _set_attribute(descriptor, DIGEST_ATTRIBUTE, f"{digest} {stamp}")
    if metadata:
        _set_attribute(descriptor, METADATA_ATTRIBUTE, f"{json.dumps(dict(metadata))} {stamp}")
    os.fsync(descriptor)
    return _found(status, digest)


def _copy(source: str, descriptor: int, call: Call) -> tuple[int, Digest]:
    try:
        reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise SourceFailed(exc) from exc
    digest = xxhash.xxh3_128()
    size_bytes = os.fstat(reader).st_size
    offset = 0
    try:
        while True:
            call.moved()
            try:
                data = os.pread(reader, _COPY_BYTES, offset)
            except OSError as exc:
                raise SourceFailed(exc) from exc
            if not data:
                break
            digest.update(data)
            offset += _write_all(descriptor, memoryview(data), offset)
            if offset % _SYNC_BYTES == 0:
                os.fdatasync(descriptor)
        if offset != size_bytes:
            raise TierCorrupt(f"{source} had {size_bytes} bytes and gave {offset}")
        return offset, Digest(digest.hexdigest())
    finally:
        os.close(reader)


def _write_all(descriptor: int, data: memoryview, offset: int) -> int:
    length = len(data)
    while data:
        count = os.pwrite(descriptor, data, offset)
        data = data[count:]
        offset += count
    return length


def _set_attribute(descriptor: int, name: str, value: str) -> None:
    try:
        os.setxattr(descriptor, name, value.encode())
    except OSError as exc:
        if exc.errno not in _NO_ATTRIBUTES:
            raise


def _attribute(descriptor: int, name: str, status: os.stat_result) -> str | None:
    """Return an attribute of ours; None without one, or where the file was changed since."""
    try:
        value = os.getxattr(descriptor, name).decode("ascii", "replace")
    except OSError as exc:
        if exc.errno in _NO_ATTRIBUTES:
            return None
        raise
    text, separator, _ = value.rpartition(f" {status.st_mtime_ns} {status.st_size}")
    return text if separator and value == f"{text}{separator}" else None


def _recorded_digest(descriptor: int, status: os.stat_result) -> Digest | None:
    with contextlib.suppress(ValueError):
        return parse_digest(_attribute(descriptor, DIGEST_ATTRIBUTE, status) or "")
    return None


def _is_reserved(key: str) -> bool:
    return any(part.startswith(RESERVED) for part in key.split("/"))


def _status_at(place: Place) -> os.stat_result:
    return os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)


def _is_directory(place: Place) -> bool:
    try:
        return modes.S_ISDIR(_status_at(place).st_mode)
    except FileNotFoundError:
        return False


def _rename(source: Place, target: Place) -> None:
    os.replace(source.name, target.name, src_dir_fd=source.directory, dst_dir_fd=target.directory)


def _sync_directory(place: Place) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    descriptor = os.open(".", flags, dir_fd=place.directory)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
