"""Attributes: what chmod, chown and utime do to an output, and when they are refused."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from shotfs.errors import InvalidArgument, PublishedImmutable
from shotfs.publish import rows
from shotfs.publish.core import Core, now_ns
from shotfs.publish.entry import SpoolEntry


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants an output to have; None leaves as it is."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None


async def set_attributes(core: Core, entry: SpoolEntry, wanted: Wanted) -> None:
    """Give *entry* what is *wanted*; see `Spool.set_attributes`."""
    _check_time(entry.path, wanted.atime_ns)
    _check_time(entry.path, wanted.mtime_ns)
    async with entry.lock:
        mode = entry.mode if wanted.mode is None else wanted.mode & 0o7777
        uid = entry.uid if wanted.uid is None else wanted.uid
        gid = entry.gid if wanted.gid is None else wanted.gid
        if entry.immutable and entry.perhaps_in_origin:
            mtime_ns = entry.mtime_ns if wanted.mtime_ns is None else wanted.mtime_ns
            if (mode, uid, gid, mtime_ns) == (entry.mode, entry.uid, entry.gid, entry.mtime_ns):
                return  # Python's `copy` sets the mode that a file has already
            raise PublishedImmutable(
                f"{entry.path}: is, or may be, in the origin already; its attributes are fixed",
                fix="give its template a grace, for programs that set them after the close",
            )
        # Else the time that is set now would be taken for an old one.
        core.lending.measure(entry)
        mtime_ns = entry.mtime_ns if wanted.mtime_ns is None else wanted.mtime_ns
        ctime_ns = now_ns()
        await core.end_pristine(entry)
        with trio.CancelScope(shield=True):
            if entry.journalled and not entry.unlinked:
                await core.journal.commit(
                    rows.attributes_changed(
                        entry.serial,
                        mode=mode,
                        uid=uid,
                        gid=gid,
                        mtime_ns=mtime_ns,
                        ctime_ns=ctime_ns,
                    )
                )
            entry.mode, entry.uid, entry.gid = mode, uid, gid
            entry.mtime_ns, entry.ctime_ns = mtime_ns, ctime_ns
            entry.atime_ns = entry.atime_ns if wanted.atime_ns is None else wanted.atime_ns


def _check_time(path: str, time_ns: int | None) -> None:
    if time_ns is not None and not -(2**63) <= time_ns < 2**63:
        raise InvalidArgument(f"{path}: the time {time_ns} ns does not fit in 64 bits")
