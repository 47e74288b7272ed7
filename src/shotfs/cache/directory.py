"""The cache directory: its layout, its safety, its one owner.

Refuses a directory that somebody else could write: whoever can write the index could make us
serve other bytes. Synchronous; call it from a thread.

Layout::

    owner.lock          flock of the process that owns the directory; its pid as text
    clean               exists while no process owns it and everything had reached the disk
    blobs/ab/<digest>   verified content, mode 0400, never changed
    partials/           content that streams in, or waits for its next reader: `partials`
    index/              sqlite
    index.damaged-<n>   an index that could not be read, kept for one generation
    scrub.json          how far the background check of the blobs is
"""

from __future__ import annotations

import ctypes
import fcntl
import logging
import os
import shutil
import stat
from types import TracebackType
from typing import Self

from shotfs.cache.way import check_way
from shotfs.errors import CacheBusy, CacheError, CacheUnsafe

log = logging.getLogger(__name__)

_SETTING = "cache.directory"


class CacheDirectory:
    """A directory that this process owns until `release`.

    Raises:
        CacheUnsafe: others could write it, or it is not ours.
        CacheBusy: another process owns it.
        CacheError: it cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        _make_and_check(self.path)
        self._lock_descriptor = _lock(self.path)
        try:
            for name in ("blobs", "partials", "index"):
                _make_and_check(os.path.join(self.path, name), inner=True)
            self.was_clean = self._take_clean_mark()
        except BaseException:
            os.close(self._lock_descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    @property
    def blobs(self) -> str:
        """Where complete content is."""
        return os.path.join(self.path, "blobs")

    @property
    def partials(self) -> str:
        """Where content that streams in is."""
        return os.path.join(self.path, "partials")

    @property
    def index(self) -> str:
        """Where the index is."""
        return os.path.join(self.path, "index")

    @property
    def scrub_position(self) -> str:
        """Where the scrub keeps how far it is."""
        return os.path.join(self.path, "scrub.json")

    @property
    def egress(self) -> str:
        """Where it is kept how much was read from origins that bill for it."""
        return os.path.join(self.path, "egress.json")

    def move_index_aside(self) -> str:
        """Rename a damaged index, so that it can be looked at, and make an empty one.

        Only the newest damaged index is kept: a disk that damages it daily must not fill up.
        """
        for entry in os.scandir(self.path):
            if entry.name.startswith("index.damaged-"):
                shutil.rmtree(entry.path)
        aside = os.path.join(self.path, f"index.damaged-{os.stat(self.index).st_mtime_ns}")
        os.rename(self.index, aside)
        os.mkdir(self.index, 0o700)
        return aside

    def free_bytes(self) -> int:
        """Return how many bytes of the disk an unprivileged user may still write."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def flush(self) -> None:
        """Bring everything that was written here to the disk."""
        _flush_file_system(self._lock_descriptor)

    def mark_clean(self) -> None:
        """Record that everything was flushed and nothing was written since."""
        descriptor = os.open(
            os.path.join(self.path, "clean"), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600
        )
        os.fsync(descriptor)
        os.close(descriptor)
        fsync_directory(self.path)

    def release(self) -> None:
        """Let another process have it. Idempotent."""
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1

    def _take_clean_mark(self) -> bool:
        try:
            os.unlink(os.path.join(self.path, "clean"))
        except FileNotFoundError:
            return False
        # Without this a power cut could bring the mark back, and doubtful blobs would be trusted.
        fsync_directory(self.path)
        return True


def own_directory(path: str) -> CacheDirectory:
    """Return the directory *path*, which is ours now.

    Raises:
        CacheUnsafe, CacheBusy, CacheError: as `CacheDirectory`; also if its disk is full.
    """
    try:
        return CacheDirectory(path)
    except OSError as error:
        raise CacheError(
            f"cannot write the cache directory {path}: {error.strerror}",
            fix=f"free space on its disk, or set {_SETTING} to a directory on another one",
            errno=error.errno,
        ) from error


def fsync_directory(path: str) -> None:
    """Make the names in the directory *path* durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def boot_identity() -> str:
    """Return what tells one run of the kernel from the next; "" where the kernel does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as source:
            return source.read().strip()
    except OSError:
        return ""


def _flush_file_system(descriptor: int) -> None:
    """Run syncfs(2), which Python does not offer: os.sync would wait for every disk there is."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _make_and_check(path: str, *, inner: bool = False) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except FileExistsError:
        raise CacheUnsafe(
            f"{path} is not a directory", fix=f"remove it, or set {_SETTING} to another directory"
        ) from None
    except OSError as error:
        raise CacheError(
            f"cannot make the cache directory {path}: {error.strerror}",
            fix=f"make it as root: install -d -m 700 -o {_user()} {path}, or set {_SETTING}",
            errno=error.errno,
        ) from error
    real = os.path.realpath(path)
    if inner and real != os.path.join(
        os.path.realpath(os.path.dirname(path)), os.path.basename(path)
    ):
        raise CacheUnsafe(f"{path} is a symbolic link", fix=f"replace it by a directory: rm {path}")
    if not inner:
        check_way(path, _SETTING)
    _check_modes(real)


def _check_modes(real: str) -> None:
    status = os.stat(real)
    if status.st_uid != os.geteuid():
        raise CacheUnsafe(
            f"cache directory {real} belongs to uid {status.st_uid}, not to uid {os.geteuid()}",
            fix=f"chown {_user()} {real}, or set {_SETTING} to a directory of your own",
        )
    if status.st_mode & 0o077:
        raise CacheUnsafe(
            f"cache directory {real} is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
            fix=f"chmod 700 {real}   (whoever writes the cache decides what jobs read)",
        )


def _lock(path: str) -> int:
    name = os.path.join(path, "owner.lock")
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise CacheBusy(
            f"cache directory {path} is in use by process {owner}",
            fix=f"stop that service first, or set {_SETTING} to another directory",
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _user() -> str:
    return str(os.geteuid())
