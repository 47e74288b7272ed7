"""Half-written files: what becomes of an output whose writer was killed before it closed it.

Nobody was told that such a file is safe, so it is never published. An immutable one loses its name,
so that the frame can be rendered again; its bytes stay in `aside/`, listed. A mutable one that was
closed before keeps its name: it may be the only copy of what was closed then.
"""

from __future__ import annotations

import os

import trio

from shotfs.publish import rows
from shotfs.publish.core import Core, log, now_ns
from shotfs.publish.entry import SpoolEntry
from shotfs.publish.happenings import Happening
from shotfs.publish.states import Event, State

KILLED = "partial: its writer was killed before it closed the file"


def cut_off(entry: SpoolEntry) -> None:
    """Note that a writer of *entry* was killed; the next close by anybody else undoes it.

    Nothing is cut off of what was closed and not written since, nor of files that are never
    published: their names say already that they may be unfinished.
    """
    if entry.clean or entry.pristine or entry.scratch or entry.state is not State.OPEN:
        return
    entry.abandoned = True
    entry.error = KILLED


async def end(core: Core, entry: SpoolEntry) -> None:
    """Put *entry*, half-written and closed by its last writer, where it belongs.

    The caller holds its lock.

    Raises:
        SpoolFull, SpoolBroken: the journal. It is not published, and recovery does the rest.
    """
    if entry.state is not State.OPEN:
        return
    if entry.closed_once and not entry.immutable:
        entry.error = f"{KILLED}; it is published when somebody opens it for writing and closes it"
        return
    with trio.CancelScope(shield=True):
        if entry.size_bytes == 0 and not entry.closed_once:
            if entry.journalled:
                await core.journal.commit(*rows.removed(entry.serial))
            core.take_name(entry)
        else:
            await _set_aside(core, entry)


async def _set_aside(core: Core, entry: SpoolEntry) -> None:
    old_path = core.data_path(entry)
    # It is not published under its new name, so what it was to replace under others stays.
    core.table.set_delete_after(entry, ())
    core.table.apply(entry, Event.FAIL)
    entry.error = KILLED
    entry.ctime_ns = now_ns()  # it is kept for spool.scratch_ttl_s from now
    await core.journal.commit(rows.flushed(entry, writing=True), rows.state_changed(entry))
    entry.journalled = True
    core.table.discard(entry)
    entry.aside = True
    core.table.set_aside(entry)
    await trio.to_thread.run_sync(os.rename, old_path, core.data_path(entry), limiter=core.disk)
    log.warning("%s is not published: %s", entry.path, entry.error)
    core.tell(Happening.FAILED, entry)
