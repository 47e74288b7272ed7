"""A plain directory as a store: the blocking half of file://. Call it from worker threads.

Raises OSError as the operating system does, and our errors where a promise is broken.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat as modes
from collections.abc import Iterator
from dataclasses import dataclass

import xxhash

from shotfs.digest import Checksums, Digest, digest_bytes, parse_digest
from shotfs.errors import TierCorrupt, TierError
from shotfs.tiers.cloud.threads import Call
from shotfs.tiers.keys import is_key

RESERVED = ".shotfs-"
"""Names that start so are ours: never listed, never keys."""

DIGEST_ATTRIBUTE = "user.shotfs.xxh128"

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
        self.root = os.path.realpath(root)

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

    def open(self, key: str) -> int:
        """Return a descriptor of *key* for reading."""
        # O_NONBLOCK: a FIFO with such a name must not block the thread.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(self._inside(key), flags)
        if not modes.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
        return descriptor

    def names(self, prefix: str) -> list[str]:
        """Return the names in the directory *prefix* in key order; none if there is none."""
        try:
            with os.scandir(self._inside(prefix) if prefix else self.root) as entries:
                names = [entry.name for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            if self.exists():
                return []
            raise
        shown = (name for name in names if not name.startswith(RESERVED) and is_key(name))
        return sorted(shown, key=str.encode)

    def look(self, prefix: str, names: list[str]) -> tuple[list[tuple[str, Found]], list[str]]:
        """Return the regular files and the directories among *names* of *prefix*."""
        files, directories = [], []
        for name in names:
            key = f"{prefix}/{name}" if prefix else name
            # Gone since, a dangling link, or one that leads out of the root.
            try:
                status = os.stat(self._inside(key))
            except OSError as exc:
                if exc.errno not in _ABSENT:
                    raise
                continue
            if modes.S_ISREG(status.st_mode):
                files.append((key, _found(status)))
            elif modes.S_ISDIR(status.st_mode):
                directories.append(name)
        return files, directories

    def _inside(self, key: str) -> str:
        """Return the real path of *key*, links followed; FileNotFoundError outside the root."""
        path = os.path.realpath(os.path.join(self.root, key))
        reserved = any(part.startswith(RESERVED) for part in key.split("/"))
        if reserved or not path.startswith(self.root.rstrip("/") + "/"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
        return path

    # --- writing ---------------------------------------------------------------------------------

    def put(
        self,
        key: str,
        source: bytes | str,
        expect: str | None,
        sums: Checksums,
        mtime_ns: int,
        call: Call,
    ) -> Found | None:
        """Store *source*; return what was made, or None if *expect* does not hold.

        Args:
            key: where.
            source: the bytes, or the path of a file.
            expect: the version that is replaced; None to create only.
            sums: of which the digest is compared and recorded.
            mtime_ns: what the file will have.
            call: told of each block, asked before the name appears.

        Raises:
            SourceFailed: the source cannot be read.
            TierCorrupt: the bytes are not those that *sums* are of.
            Abandoned: nobody waits for it any more.
        """
        path = self._writable(key)
        temporary = os.path.join(os.path.dirname(path), f"{RESERVED}tmp-{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, _FILE_MODE)
        try:
            size, found = _copy_in(source, descriptor, call)
            if sums.xxh128 not in (None, found):
                raise TierCorrupt(f"{path}: digest {found}, promised was {sums.xxh128}")
            made = _finish(descriptor, size, sums.xxh128, mtime_ns)
            put = self._create if expect is None else self._replace
            won = put(temporary, path, expect or "", made, call)
        finally:
            os.close(descriptor)
            # After a replace the name is gone already.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        if won:
            _sync_directory(os.path.dirname(path))
        return made if won else None

    def delete(self, key: str, expect: str | None) -> bool:
        """Delete *key*; return False, and leave it, if it is not the version *expect*."""
        path = os.path.join(self.root, key)
        with self._locked():
            if expect is not None and self.stat(key).version != expect:
                return False
            self.stat(key)
            os.unlink(path)
        _sync_directory(os.path.dirname(path))
        return True

    def _writable(self, key: str) -> str:
        """Return the path where *key* is written; its directory exists afterwards."""
        if any(part.startswith(RESERVED) for part in key.split("/")):
            raise TierError(f"{key}: names that start with {RESERVED} are ours", errno=errno.EINVAL)
        if not self.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.root)
        parent, _, name = key.rpartition("/")
        above = os.path.realpath(os.path.join(self.root, parent))
        if not (above + "/").startswith(self.root.rstrip("/") + "/"):
            raise PermissionError(errno.EACCES, "a link leads out of the root", key)
        try:
            os.makedirs(above, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as exc:
            raise TierError(
                f"{self.root}/{key}: a part of the path is a file", errno=errno.ENOTDIR
            ) from exc
        path = os.path.join(above, name)
        if os.path.isdir(path):
            raise TierError(f"{path} is a directory", errno=errno.EISDIR)
        return path

    def _create(self, temporary: str, path: str, _: str, made: Found, call: Call) -> bool:
        call.begin()
        try:
            os.link(temporary, path)
        except FileExistsError:
            # A file server may have done it and lost the answer: then the name is our inode.
            return os.stat(path, follow_symlinks=False).st_ino == made.inode
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            return self._create_without_links(temporary, path)
        return True

    def _create_without_links(self, temporary: str, path: str) -> bool:
        with self._locked():
            if os.path.lexists(path):
                return False
            os.rename(temporary, path)
            return True

    def _replace(self, temporary: str, path: str, expect: str, _: Found, call: Call) -> bool:
        with self._locked():
            call.begin()
            try:
                real = self._inside(os.path.relpath(path, self.root))
                if _found(os.stat(real)).version != expect:
                    return False
            except FileNotFoundError:
                return False
            # The link's target, so that a link stays one.
            os.replace(temporary, real)
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


def _finish(descriptor: int, size: int, digest: Digest | None, mtime_ns: int) -> Found:
    """Give the file its attributes, durable, and return what is there now."""
    os.utime(descriptor, ns=(mtime_ns, mtime_ns))
    status = os.fstat(descriptor)
    if status.st_size != size:
        raise TierCorrupt(f"wrote {size} bytes, the file has {status.st_size}")
    if digest is not None:
        # With mtime and size, because somebody may write into the file in place later.
        value = f"{digest} {status.st_mtime_ns} {status.st_size}".encode()
        try:
            os.setxattr(descriptor, DIGEST_ATTRIBUTE, value)
        except OSError as exc:
            if exc.errno not in _NO_ATTRIBUTES:
                raise
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


def _recorded_digest(descriptor: int, status: os.stat_result) -> Digest | None:
    try:
        value = os.getxattr(descriptor, DIGEST_ATTRIBUTE).decode("ascii", "replace")
    except OSError as exc:
        if exc.errno in _NO_ATTRIBUTES:
            return None
        raise
    digest, _, rest = value.partition(" ")
    if rest != f"{status.st_mtime_ns} {status.st_size}":
        return None
    with contextlib.suppress(ValueError):
        return parse_digest(digest)
    return None


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
