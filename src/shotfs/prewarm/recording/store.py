"""Store: recordings on this node's own disk, in bounded space.

Of each subject two manifests: what is known of it (``known``), and what this node has seen and the
origin does not have yet (``pending``). They lie below ``recorded`` in the cache's directory, but
are no content: no eviction takes them. A file is there whole or not at all, and nothing is synced:
what a power failure loses is learned again. Blocks: every method is called in a thread, one at a
time.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import OrderedDict
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from shotfs.prewarm.recording.names import element_of, text_of_element

log = logging.getLogger(__name__)

FILES_MAX = 50_000
"""Manifests that are kept; those written longest ago go first, pending ones last."""

TEMPORARY = ".new"


class Kind(StrEnum):
    """What a stored manifest says."""

    KNOWN = "known"
    PENDING = "pending"


class Place(NamedTuple):
    """Where a manifest is: the show, the directory of its group, and its name in it."""

    show: str
    group: str
    name: str


class Store:
    """Manifests by place.

    Args:
        directory: made when something is written; 0700; nobody else uses it.
        bytes_max: of all together.
        files_max: likewise.
    """

    def __init__(self, directory: str, *, bytes_max: int, files_max: int = FILES_MAX) -> None:
        self._directory = directory
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._files: OrderedDict[tuple[Kind, Place], int] | None = None
        self._bytes = 0

    def read(self, kind: Kind, place: Place) -> bytes | None:
        """Return what was written; None if there is nothing."""
        try:
            with open(self._path(kind, place), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("recording not read: %s", error)
            return None

    def write(self, kind: Kind, place: Place, data: bytes) -> bool:
        """Keep *data*; what was there before goes. False: the disk refused, which is logged."""
        files = self._known_files()
        path = self._path(kind, place)
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(path + TEMPORARY, "wb") as file:
                file.write(data)
            os.replace(path + TEMPORARY, path)
        except OSError as error:
            log.warning("recording not kept: %s", error)
            with contextlib.suppress(OSError):
                os.unlink(path + TEMPORARY)
            return False
        self._bytes += len(data) - files.pop((kind, place), 0)
        files[kind, place] = len(data)
        self._trim(files)
        return True

    def remove(self, kind: Kind, place: Place) -> None:
        """Drop what was written."""
        self._bytes -= self._known_files().pop((kind, place), 0)
        with contextlib.suppress(OSError):
            os.unlink(self._path(kind, place))

    def places(self, kind: Kind, show: str | None = None) -> list[Place]:
        """Return where something is; those written last come last."""
        return [
            place
            for one, place in self._known_files()
            if one is kind and (show is None or place.show == show)
        ]

    def size_bytes(self) -> int:
        """Return how large all of them are."""
        self._known_files()
        return self._bytes

    # --- helpers ---------------------------------------------------------------------------------

    def _path(self, kind: Kind, place: Place) -> str:
        return os.path.join(
            self._directory, element_of(place.show), kind.value, place.group, place.name
        )

    def _known_files(self) -> OrderedDict[tuple[Kind, Place], int]:
        if self._files is None:
            found = sorted(self._found())
            self._files = OrderedDict((where, size) for _, where, size in found)
            self._bytes = sum(self._files.values())
        return self._files

    def _found(self) -> Iterator[tuple[int, tuple[Kind, Place], int]]:
        for directory, _, names in os.walk(self._directory):
            parts = os.path.relpath(directory, self._directory).split(os.sep)
            if len(parts) < 3 or parts[1] not in set(Kind):
                continue
            for name in names:
                path = os.path.join(directory, name)
                if name.endswith(TEMPORARY):
                    with contextlib.suppress(OSError):
                        os.unlink(path)  # the service was killed while it wrote
                    continue
                with contextlib.suppress(OSError):
                    stat = os.stat(path)
                    place = Place(text_of_element(parts[0]), "/".join(parts[2:]), name)
                    yield stat.st_mtime_ns, (Kind(parts[1]), place), stat.st_size

    def _trim(self, files: OrderedDict[tuple[Kind, Place], int]) -> None:
        for kind in (Kind.KNOWN, Kind.PENDING):
            # The newest one stays, however large: it was just written.
            for where in list(files)[:-1]:
                if self._bytes <= self._bytes_max and len(files) <= self._files_max:
                    return
                if where[0] is kind:
                    self.remove(*where)
