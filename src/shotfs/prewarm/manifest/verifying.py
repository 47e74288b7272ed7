"""Verifying: whether files are what a manifest says. Blocking; the values are for others, too."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from shotfs.digest import Digest
from shotfs.prewarm.manifest.completing import in_threads, look
from shotfs.prewarm.manifest.entry import Entry


class Verdict(StrEnum):
    """What was found of an entry."""

    SAME = "same"
    """It is there, and has the digest that the manifest says."""
    SIZE_ONLY = "size only"
    """It is there with the right size; its digest is not known here, or not in the manifest."""
    PRESENT = "present"
    """It is there; the manifest says neither digest nor size."""
    SIZE = "other size"
    DIGEST = "other bytes"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    """Nobody could say: its origin does not answer, or it may not be read."""


GOOD = frozenset({Verdict.SAME, Verdict.SIZE_ONLY, Verdict.PRESENT})


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found of an entry.

    Attributes:
        entry: of the manifest.
        verdict: what it is.
        reason: a few words more; "" where the verdict says all.
        local: its bytes are on this node; None where that was not asked.
    """

    entry: Entry
    verdict: Verdict
    reason: str = ""
    local: bool | None = None


def compared(entry: Entry, size_bytes: int, digest: Digest | None) -> Checked:
    """Return what *entry* is, of a file of that size and digest (None: not known)."""
    if entry.size_bytes not in (None, size_bytes):
        return Checked(entry, Verdict.SIZE, f"{size_bytes} bytes, not {entry.size_bytes}")
    if entry.digest is not None and digest is not None:
        if entry.digest == digest:
            return Checked(entry, Verdict.SAME)
        return Checked(entry, Verdict.DIGEST, f"{digest}, not {entry.digest}")
    known = entry.size_bytes is not None
    return Checked(entry, Verdict.SIZE_ONLY if known else Verdict.PRESENT)


def verified(entries: Iterable[Entry], root: str, *, read: bool) -> Iterator[Checked]:
    """Yield what the files below *root* are, in the order of *entries*.

    Args:
        entries: to look at.
        root: where the files lie, at the manifest's paths.
        read: read those whose digest the manifest says and whose size is right.
    """

    def work(entry: Entry) -> Checked:
        try:
            seen = look(root, entry.path, read=False)
            if read and entry.digest is not None and entry.size_bytes in (None, seen.size_bytes):
                seen = look(root, entry.path, read=True)
        except OSError as exc:
            gone = exc.errno in (errno.ENOENT, errno.ENOTDIR)
            verdict = Verdict.MISSING if gone else Verdict.UNREADABLE
            return Checked(entry, verdict, exc.strerror or "")
        except ValueError as exc:  # half of a surrogate pair that no name on a disk can have
            return Checked(entry, Verdict.MISSING, str(exc))
        return compared(entry, seen.size_bytes, seen.digest)

    for _, checked in in_threads(entries, work):
        yield checked
