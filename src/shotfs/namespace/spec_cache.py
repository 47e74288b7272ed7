"""Specification cache: the last good documents of each show, and their compiled form, on disk.

So that a node starts while the origin of its specification is gone, and in a second where proving
would take half a minute. Everything here can be made again, so nothing here raises: what is damaged
or cannot be read is not there, and what cannot be written is logged. Blocking; call it in threads.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass

from shotfs.digest import Digest, digest_bytes
from shotfs.namespace.documents import DocumentSet

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 512 * 1024 * 1024
"""The largest file that is read; 10,000 templates compile to a tenth of it."""

COMPILED_MAX = 3
"""Compiled forms kept for each show: going back to yesterday's specification is quick."""

COPIES_MAX = 1_100
"""Copies of documents kept in all: a configuration has at most 1,000 shows, and they may move."""

_FORMAT = b"shotfs-specs/1 "


@dataclass(frozen=True, slots=True)
class Kept:
    """The last good documents of a show.

    Attributes:
        documents: as they were read.
        read_at_s: when that was, seconds since the epoch.
    """

    documents: DocumentSet
    read_at_s: float


class SpecCache:
    """The directory *directory*, which only this process uses; made 0700 when it is needed."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    # --- documents -------------------------------------------------------------------------------

    def keep(self, show: str, documents: DocumentSet, *, read_at_s: float) -> None:
        """Keep *documents*, which are in order, as the last good ones of *show*."""
        payload = {
            "show": show,
            "location": documents.location,
            "read_at_s": read_at_s,
            "texts": dict(documents.texts),
            "stamps": dict(documents.stamps),
        }
        self._write(_documents_name(show, documents.location), json.dumps(payload).encode())
        self._drop_oldest("", ".documents", COPIES_MAX)

    def last_good(self, show: str, location: str) -> Kept | None:
        """Return the last good documents of *show* whose main one is at *location*."""
        payload = self._read(_documents_name(show, location))
        if payload is None:
            return None
        try:
            kept = json.loads(payload)
            if (kept["show"], kept["location"]) != (show, location):
                return None
            texts, stamps = _texts(kept["texts"]), _texts(kept["stamps"])
            read_at_s = float(kept["read_at_s"])
        except (ValueError, TypeError, KeyError):
            log.warning("kept specification ignored: not in a form that we know")
            return None
        if location not in texts:
            return None
        return Kept(DocumentSet(location, texts, stamps), read_at_s)

    # --- compiled --------------------------------------------------------------------------------

    def compiled(self, show: str, digests: Mapping[str, Digest], site: str | None) -> bytes | None:
        """Return the compiled form of the documents with these *digests*, if it is here."""
        return self._read(_compiled_name(show, digests, site))

    def keep_compiled(
        self, show: str, digests: Mapping[str, Digest], site: str | None, compiled: bytes
    ) -> None:
        """Keep the compiled form; the oldest ones of the show go."""
        self._write(_compiled_name(show, digests, site), compiled)
        self._drop_oldest(_name_of(show), ".compiled", COMPILED_MAX)

    # --- files -----------------------------------------------------------------------------------

    def _read(self, name: str) -> bytes | None:
        path = os.path.join(self._directory, name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            with open(descriptor, "rb") as file:
                if os.fstat(descriptor).st_size > FILE_BYTES_MAX:
                    log.warning("%s is ignored: larger than %d bytes", path, FILE_BYTES_MAX)
                    return None
                head, _, payload = file.read().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as exc:
            log.warning("%s is ignored: %s", path, exc)
            return None
        if head != _FORMAT + digest_bytes(payload).encode():
            log.warning("%s is ignored: damaged, or of another version", path)
            return None
        return payload

    def _write(self, name: str, payload: bytes) -> None:
        """Write a whole file or none: under another name, then renamed."""
        path = os.path.join(self._directory, name)
        # One writer, so one name: what a crash leaves behind is written over.
        temporary = f"{path}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            os.chmod(self._directory, 0o700)
            descriptor = os.open(temporary, flags, 0o600)
            with open(descriptor, "wb") as file:
                file.write(_FORMAT + digest_bytes(payload).encode() + b"\n")
                file.write(payload)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, path)
        except OSError as exc:
            log.warning("a specification is not kept in %s: %s", self._directory, exc)
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _drop_oldest(self, prefix: str, suffix: str, kept: int) -> None:
        """Remove the files of these names that were written first, but for *kept* of them."""
        try:
            found = [
                entry
                for entry in os.scandir(self._directory)
                if entry.name.startswith(prefix) and entry.name.endswith(suffix)
            ]
            if len(found) > kept:
                found.sort(key=lambda entry: entry.stat().st_mtime_ns, reverse=True)
                for entry in found[kept:]:
                    os.unlink(entry.path)
        except OSError as exc:
            log.warning("old specifications are left in %s: %s", self._directory, exc)


def _texts(value: object) -> dict[str, str]:
    """Return *value* if it is a mapping of texts. Raises TypeError."""
    if not isinstance(value, dict):
        raise TypeError
    for name, text in value.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError
    return value


def _name_of(show: str) -> str:
    # A show's name may have 255 bytes of anything but a slash; file names must be shorter.
    return digest_bytes(show.encode())


def _documents_name(show: str, location: str) -> str:
    return f"{_name_of(show)}-{digest_bytes(location.encode())}.documents"


def _compiled_name(show: str, digests: Mapping[str, Digest], site: str | None) -> str:
    key = json.dumps([show, site, sorted(digests.items())])
    return f"{_name_of(show)}-{digest_bytes(key.encode())}.compiled"
