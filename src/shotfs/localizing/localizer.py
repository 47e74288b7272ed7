"""`Localizer`: from a path of a show to a local one. Standard library only; Python 3.9.

Settings come from the environment, because an application's Python cannot read our configuration:

- SHOTFS_CONTROL__SOCKET: control socket of the service; default /run/shotfs/control.sock.
- SHOTFS_LOCALIZE_DIR: where localized files lie; default /var/tmp/shotfs-localized-UID.
- SHOTFS_LOCALIZE_PREFIX: where paths of shows begin, several with ``:`` between; default /shows.
- SHOTFS_LOCALIZE_BYTES_MAX: how much that directory may hold; default 100GiB.
- SHOTFS_LOCALIZE_FREE_MIN: how much its disk must keep free; default 1GiB.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from .connection import Connection
from .copying import copy, write_all
from .failures import LocalizeFailed, NotOurs, RevisionGone, ServiceAway
from .tree import File, Tree

SOCKET_DEFAULT = "/run/shotfs/control.sock"
PREFIX_DEFAULT = "/shows"
BYTES_MAX_DEFAULT = "100GiB"
FREE_BYTES_MIN_DEFAULT = "1GiB"

AT_ONCE = 8
"""Files that one call brings at the same time; the service bounds connections by user."""

FILES_MAX = 10_000
"""Files of one call, unless it says otherwise."""

REMEMBERED_S_MAX = 3600.0
FAILED_S = 5.0
"""How long it is remembered that something is not there: applications ask again and again."""

REMEMBERED_MAX = 100_000

REVISIONS_TRIED = 3
"""How often a path may change while it is fetched."""

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Localized:
    """What was brought.

    Attributes:
        path: the local path, with the tokens that were asked with; of a directory, that directory.
        files: local paths of all files, in the order of their names.
        size_bytes: of all of them.
        fetched: how many had to be brought now.
        fetched_bytes: likewise.
        missing: frames that were asked for and are not there, like ``1003,1005``; "" for none.
    """

    path: str
    files: tuple[str, ...]
    size_bytes: int
    fetched: int
    fetched_bytes: int
    missing: str


@dataclass(frozen=True)
class _Known:
    """What was answered before: a result or a failure, and until when that counts."""

    until_s: float
    found: Localized | None
    failure: LocalizeFailed | None


class Localizer:
    """Brings files here; safe from several threads.

    Args:
        socket: control socket of the service.
        into: where localized files lie.
        prefixes: where absolute paths of shows begin.
        bytes_max: how much *into* may hold.
        free_bytes_min: how much its disk must keep free.

    What is None comes from the environment.
    """

    def __init__(
        self,
        socket: str | None = None,
        into: str | None = None,
        prefixes: Sequence[str] | None = None,
        *,
        bytes_max: int | None = None,
        free_bytes_min: int | None = None,
    ) -> None:
        environ = os.environ
        self.socket = socket or environ.get("SHOTFS_CONTROL__SOCKET") or SOCKET_DEFAULT
        place = into or environ.get("SHOTFS_LOCALIZE_DIR")
        self.tree = Tree(
            place or f"/var/tmp/shotfs-localized-{os.geteuid()}",  # noqa: S108 - checked there
            bytes_max=_setting("SHOTFS_LOCALIZE_BYTES_MAX", bytes_max, BYTES_MAX_DEFAULT),
            free_bytes_min=_setting(
                "SHOTFS_LOCALIZE_FREE_MIN", free_bytes_min, FREE_BYTES_MIN_DEFAULT
            ),
        )
        if prefixes is None:
            prefixes = (environ.get("SHOTFS_LOCALIZE_PREFIX") or PREFIX_DEFAULT).split(":")
        self.prefixes = tuple(one.rstrip("/") for one in prefixes if one.strip("/"))
        self._connection = Connection(self.socket)
        self._known: dict[tuple[str, str], _Known] = {}
        self._guard = threading.Lock()

    def localize(self, path: str, frames: str = "") -> str:
        """Return a local path that has what *path* has; as `fetch` otherwise."""
        return self.fetch(path, frames).path

    def inside(self, path: str) -> str:
        """Return *path* relative to the mount, like ``ant/plates/a.exr``.

        Raises:
            NotOurs: it is no path of a show.
        """
        text = os.fspath(path)
        if text.startswith("/"):
            for prefix in self.prefixes:
                if text.startswith(f"{prefix}/"):
                    text = text[len(prefix) + 1 :]
                    break
            else:
                raise NotOurs(
                    f"{text}: is not below {', '.join(self.prefixes)}",
                    "name where paths of shows begin: SHOTFS_LOCALIZE_PREFIX=/shows",
                )
        text = os.path.normpath(text)
        if text in ("", ".", "..") or text.startswith(("../", "/")):
            raise NotOurs(f"{path}: is no path of a show")
        return text

    def fetch(self, path: str, frames: str = "", *, limit: int = FILES_MAX) -> Localized:
        """Bring what *path* stands for, and return it.

        Args:
            path: below one of the prefixes, or relative to the mount. Of a directory all files
                below it are brought; of a path with tokens (``plate.####.exr``, ``oak.<UDIM>.tx``)
                the whole sequence.
            frames: only these of a sequence, like ``1001-1010``; "" for all.
            limit: how many files at most.

        Raises:
            NotOurs: it is no path of a show.
            NotThere: there is no such file.
            ServiceAway: nobody can be asked; what never changes and is here is found even then.
            TreeFull: there is no room.
            LocalizeFailed: anything else.
        """
        inside = self.inside(path)
        known = self._remembered(inside, frames)
        if known is not None:
            return known
        try:
            found, ttl_s = self._fetch(inside, frames, limit)
        except ServiceAway:
            place = "" if frames else self.tree.keeps(inside)
            if not place:
                raise
            return Localized(place, (place,), os.path.getsize(place), 0, 0, "")
        except LocalizeFailed as failure:
            self._remember(inside, frames, _Known(time.monotonic() + FAILED_S, None, failure))
            raise
        ttl_s = min(ttl_s, REMEMBERED_S_MAX)
        self._remember(inside, frames, _Known(time.monotonic() + ttl_s, found, None))
        return found

    def release(self, paths: Iterable[str] = ()) -> tuple[int, int]:
        """Remove localized files at and below *paths*; none: all.

        Returns:
            How many files that were, and how many bytes.
        """
        with self._guard:
            self._known.clear()
        count = size_bytes = 0
        for path in [self.inside(path) for path in paths] or [""]:
            files, file_bytes = self.tree.remove(path)
            count += files
            size_bytes += file_bytes
        return count, size_bytes

    # --- bringing --------------------------------------------------------------------------------

    def _fetch(self, path: str, frames: str, limit: int) -> tuple[Localized, float]:
        answer = self._connection.files(path, frames, limit)
        files = [File.of(one) for one in answer["files"]]
        self.tree.prepare()
        places = tuple(self.tree.place(file.path) for file in files)
        waiting = [file for file in files if not self.tree.holds(file)]
        shares = bool(answer["shares"])
        if len(waiting) > 1:
            with ThreadPoolExecutor(min(AT_ONCE, len(waiting))) as pool:
                results = list(pool.map(lambda file: self._bring_or_say(file, shares), waiting))
        else:
            results = [self._bring_or_say(file, shares) for file in waiting]
        self._raise_first(
            [result for result in results if isinstance(result, LocalizeFailed)], len(files)
        )
        brought = [result for result in results if isinstance(result, File)]
        found = Localized(
            self.tree.place(str(answer["path"])),
            places,
            sum(file.size_bytes for file in files),
            len(brought),
            sum(file.size_bytes for file in brought),
            str(answer["missing"]),
        )
        return found, min((file.ttl_s for file in files), default=0.0)

    def _bring_or_say(self, file: File, shares: bool) -> object:
        """Return the file that was brought, None if it was there, or why it was not."""
        try:
            return self._bring(file, shares)
        except LocalizeFailed as failure:
            failure.failed = ((file.path, failure.message),)
            return failure

    def _bring(self, file: File, shares: bool) -> File | None:
        for _ in range(REVISIONS_TRIED):
            try:
                brought = self.tree.add(file, partial(self._fill, file, shares))
            except RevisionGone:
                answer = self._connection.files(file.path, "", 1)
                file = File.of(answer["files"][0])
                continue
            return file if brought else None
        raise LocalizeFailed(
            f"{file.path}: changed {REVISIONS_TRIED} times while it was fetched", "try again"
        )

    def _fill(self, file: File, shares: bool, target: int) -> None:
        if shares:
            told = self._connection.blob(file.path, file.revision)
            source = _open_blob(told, file.size_bytes)
            if source is not None:
                try:
                    copy(source, target, file.size_bytes)
                except EOFError as error:
                    raise LocalizeFailed(f"{file.path}: {error}") from error
                finally:
                    os.close(source)
                return
        self._connection.content(file.path, file.revision, lambda block: write_all(target, block))

    @staticmethod
    def _raise_first(failures: list[LocalizeFailed], count: int) -> None:
        if not failures:
            return
        first = failures[0]
        if count > 1:
            first = type(first)(
                f"{len(failures)} of {count} files could not be localized; {first.message}",
                first.fix,
                tuple(one for failure in failures for one in failure.failed),
            )
        raise first

    # --- remembering -----------------------------------------------------------------------------

    def _remembered(self, path: str, frames: str) -> Localized | None:
        known = self._known.get((path, frames))
        if known is None or time.monotonic() > known.until_s:
            return None
        if known.failure is not None:
            raise known.failure
        assert known.found is not None
        # Somebody may have removed some of it meanwhile.
        return known.found if all(map(os.path.exists, known.found.files)) else None

    def _remember(self, path: str, frames: str, known: _Known) -> None:
        with self._guard:
            while len(self._known) >= REMEMBERED_MAX:
                del self._known[next(iter(self._known))]
            self._known[path, frames] = known


def _open_blob(told: dict[str, object], size_bytes: int) -> int | None:
    """Open what the service says; None where it is not there, or not that, as in a container."""
    place = told.get("path")
    if not isinstance(place, str):
        return None
    try:
        source = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    status = os.fstat(source)
    if (status.st_dev, status.st_ino, status.st_size) == (
        told.get("device"), told.get("inode"), size_bytes,
    ):  # fmt: skip
        return source
    os.close(source)
    return None


def _setting(name: str, given: int | None, default: str) -> int:
    if given is not None:
        return given
    text = os.environ.get(name) or default
    found = re.fullmatch(r"([0-9]{1,18})\s*(?:([KMGT])(?:iB)?)?", text.strip())
    if found is None:
        raise LocalizeFailed(f"{name}={text}: is no size", "write bytes, or like 200GiB")
    return int(found.group(1)) * _UNITS[found.group(2) or ""]
