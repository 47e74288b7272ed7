"""`ServiceFiles`: what lies where, for scans on hosts without a mount: the service is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from shotfs.prewarm.scanners.expansion import Facts
from shotfs.prewarm.scanners.local_files import LocalFiles

if TYPE_CHECKING:
    from shotfs.localizing import Localizer

BELOW_MAX = 100_000
"""Files below a directory whose names are asked for."""

Answer = TypeVar("Answer")


class ServiceFiles:
    """`expansion.Files`: paths of shows come from the service, all others from this host.

    A scene that is to be read is copied here first, as `shotfs localize` does it.
    """

    def __init__(self, localizer: Localizer) -> None:
        from shotfs.localizing.connection import Connection

        self._localizer = localizer
        self._connection = Connection(localizer.socket)
        self._here = LocalFiles()

    def local(self, path: str) -> str:
        """Return a path on this host with the content of *path*.

        Raises:
            ShotfsError: there is no such file, or it could not be brought.
        """
        if not self._is_shows(path):
            return path
        return _asked(lambda: self._localizer.localize(path))

    def names(self, directory: str) -> list[str]:
        """Return the names of files and directories in *directory*.

        Raises:
            ShotfsError: nobody can be asked, or there are more than `BELOW_MAX` files below it.
        """
        from shotfs.localizing import NotThere

        if not self._is_shows(directory):
            return self._here.names(directory)
        inside = self._localizer.inside(directory)
        try:
            answer = _asked(lambda: self._connection.files(inside, "", BELOW_MAX), NotThere)
        except NotThere:
            return []
        below = answer["path"] + "/"
        paths = [str(file["path"]) for file in answer["files"]]
        found = {path[len(below) :].partition("/")[0] for path in paths if path.startswith(below)}
        return sorted(found)

    def facts(self, path: str) -> Facts | None:
        """Return the size and time of the file *path*; None: there is none.

        Raises:
            ShotfsError: nobody can be asked.
        """
        from shotfs.localizing import LocalizeFailed, NotThere

        if not self._is_shows(path):
            return self._here.facts(path)
        inside = self._localizer.inside(path)
        try:
            answer = _asked(lambda: self._connection.files(inside, "", 1), LocalizeFailed)
        except NotThere:
            return None
        except LocalizeFailed as exc:
            if "there are more than 1 file" in exc.message:
                return None  # a directory
            raise _ours(exc) from exc
        for file in answer["files"]:
            if file["path"] == answer["path"]:
                return Facts(int(file["size_bytes"]), int(file["mtime_ns"]))
        return None

    def _is_shows(self, path: str) -> bool:
        return any(path.startswith(f"{prefix}/") for prefix in self._localizer.prefixes)


def _asked(question: Callable[[], Answer], *kept: type[Exception]) -> Answer:
    """Return the answer to *question*; what fails is an error of ours, but for *kept*."""
    from shotfs.localizing import LocalizeFailed

    try:
        return question()
    except kept:
        raise
    except LocalizeFailed as exc:
        raise _ours(exc) from exc


def _ours(failure: Exception) -> Exception:
    from shotfs.errors import ShotfsError

    return ShotfsError(str(failure))
