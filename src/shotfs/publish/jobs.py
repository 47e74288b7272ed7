"""Jobs: which outputs wait for the end of their job, and what its end does.

Knows names of jobs only; whether one is alive is told from above. One event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import trio

from shotfs.errors import PathNotFound, ShotfsError, Stale
from shotfs.publish import rows
from shotfs.publish.arrival import Missing, missing
from shotfs.publish.entry import Kind, SpoolEntry
from shotfs.publish.sealing import Awaited, awaited
from shotfs.publish.spool import Before, Spool
from shotfs.publish.states import State

log = logging.getLogger(__name__)

SCRATCH_MAX = 10_000
"""Scratch files that the end of a job removes at once; the rest goes by its time."""

REMOVED_AT_ONCE = 16
"""Removals under way at the same time, so that they share the journal's commits."""

LOOKED_AT_ONCE = 1_000
"""Entries that are looked at before others get their turn of the event loop."""

Allowed = Callable[[SpoolEntry], bool]
"""Whether who says that a job has ended may say so of an output."""


@dataclass(slots=True)
class EndedJob:
    """What the end of a job did.

    Attributes:
        job: its name.
        released: outputs that waited for it, and do not any more.
        removed: scratch files that went, by their paths.
        removed_bytes: of these together.
        kept: scratch files that stay, by their paths: somebody has them open, or there were more
            than `SCRATCH_MAX`.
        refused: its outputs and scratch files that whoever said so may not touch.
    """

    job: str
    released: int = 0
    removed: list[str] = field(default_factory=list)
    removed_bytes: int = 0
    kept: list[str] = field(default_factory=list)
    refused: int = 0


class Jobs:
    """The outputs of a spool by the job that wrote them.

    Args:
        spool: whose outputs.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._core = spool.core
        self._noted: dict[str, set[SpoolEntry]] = {}
        self._wakeup = trio.Event()

    # --- what the end of a job would change ------------------------------------------------------

    def note(self, entry: SpoolEntry) -> None:
        """Look at *entry*, which has changed."""
        if not _concerns(entry):
            return
        assert entry.terms is not None
        assert entry.terms.job is not None
        self._noted.setdefault(entry.terms.job, set()).add(entry)
        self._wakeup.set()

    def watched(self) -> tuple[Mapping[str, frozenset[int]], Mapping[str, frozenset[int]]]:
        """Return the jobs whose end matters, each with the users that wrote for it.

        Returns:
            Those that outputs wait for; and those that left scratch files.
        """
        waited: dict[str, set[int]] = {}
        scratch: dict[str, set[int]] = {}
        for job, entries in list(self._noted.items()):
            entries -= {one for one in entries if not _concerns(one, job)}
            if not entries:
                del self._noted[job]
            for one in entries:
                found = scratch if one.scratch else waited
                uid = None if one.terms is None else one.terms.uid
                found.setdefault(job, set()).update(() if uid is None else (uid,))
        return _frozen(waited), _frozen(scratch)

    async def wait_watched(self) -> None:
        """Return when `watched` may say something."""
        while not self._noted:
            await self._wakeup.wait()
            self._wakeup = trio.Event()

    # --- its end ---------------------------------------------------------------------------------

    async def end(self, job: str, *, scratch: bool, allowed: Allowed = lambda _: True) -> EndedJob:
        """Let *job* have ended: its outputs are sealed after their grace.

        Args:
            job: its name.
            scratch: remove its scratch files that nobody has open, too.
            allowed: what may be touched.

        Raises:
            SpoolFull, SpoolBroken: the journal, while scratch files were removed.
        """
        report = EndedJob(job)
        doomed: list[SpoolEntry] = []
        for entry in await self._of(job):
            waits = awaited(entry) is Awaited.JOB
            if not waits and not (scratch and _removable(entry)):
                continue
            if not allowed(entry):
                report.refused += 1
            elif not waits:
                doomed.append(entry)
            elif await self._release(entry, job):
                report.released += 1
        await self._remove(doomed, report)
        return report

    async def _release(self, entry: SpoolEntry, job: str) -> bool:
        async with entry.lock:
            if entry.terms is None or entry.terms.job != job or awaited(entry) is not Awaited.JOB:
                return False
            entry.terms = replace(entry.terms, released=True)
            entry.closed_at = max(entry.closed_at, trio.current_time())
            if entry.journalled and not entry.unlinked:
                self._core.journal.post(rows.terms_changed(entry))
        self._core.table.notify(entry)
        return True

    async def _remove(self, doomed: list[SpoolEntry], report: EndedJob) -> None:
        limiter = trio.CapacityLimiter(REMOVED_AT_ONCE)
        problems: list[ShotfsError] = []

        async def one(entry: SpoolEntry) -> None:
            async with limiter:
                try:
                    await self._spool.unlink(entry.path, _still(entry))
                except (PathNotFound, Stale):
                    report.kept.append(entry.path)
                except ShotfsError as error:
                    problems.append(error)
                else:
                    report.removed.append(entry.path)
                    report.removed_bytes += entry.size_bytes

        report.kept.extend(entry.path for entry in doomed[SCRATCH_MAX:])
        async with trio.open_nursery() as nursery:
            for entry in doomed[:SCRATCH_MAX]:
                if entry.open_handles:
                    report.kept.append(entry.path)
                else:
                    nursery.start_soon(one, entry)
        report.removed.sort()
        report.kept.sort()
        if problems:
            raise problems[0]

    async def _of(self, job: str) -> list[SpoolEntry]:
        found = []
        for count, entry in enumerate(list(self._spool.entries()), 1):
            if count % LOOKED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            if entry.terms is not None and entry.terms.job == job and not entry.unlinked:
                found.append(entry)
        return found

    # --- the barrier -----------------------------------------------------------------------------

    async def missing(self, *, job: str | None, paths: Iterable[str]) -> list[Missing]:
        """Return what is not in the origin yet, oldest first.

        Args:
            job: of this job; outputs of which the job could not be told may be its, and count.
                None: whatever the job.
            paths: at or below these mount-relative paths; none: anywhere.
        """
        below = tuple(paths)
        found = []
        for count, entry in enumerate((*self._spool.entries(), *self._spool.aside()), 1):
            if count % LOOKED_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            if not _is_of(entry, job) or not _lies_below(entry.path, below):
                continue
            one = missing(entry)
            if one is not None:
                found.append(one)
        return sorted(found, key=lambda one: one.serial)


def _concerns(entry: SpoolEntry, job: str | None = None) -> bool:
    """Whether the end of its job (of *job*) would do something with *entry* now."""
    terms = entry.terms
    if terms is None or not terms.job or entry.unlinked or entry.writers or entry.aside:
        return False
    if job is not None and terms.job != job:
        return False
    return awaited(entry) is Awaited.JOB or _removable(entry)


def _removable(entry: SpoolEntry) -> bool:
    return entry.kind is Kind.FILE and entry.scratch and not entry.delete_after


def _still(entry: SpoolEntry) -> Before:
    """Return what refuses to remove anything else than *entry*, or what was opened meanwhile."""

    async def check(now: SpoolEntry) -> None:
        if now is not entry or now.open_handles:
            raise Stale(f"{now.path}: is in use again")

    return check


def _is_of(entry: SpoolEntry, job: str | None) -> bool:
    if job is None:
        return True
    if entry.terms is None:
        return False  # of a dead process, without a record
    # A conflict stays until somebody looks. One of an unknown job would hold up every job here.
    unsaid = entry.terms.job is None and not entry.aside and entry.state is not State.QUARANTINED
    return unsaid or entry.terms.job == job


def _lies_below(path: str, below: tuple[str, ...]) -> bool:
    if not below or "" in below:
        return True
    return any(path == one or path.startswith(f"{one}/") for one in below)


def _frozen(found: Mapping[str, set[int]]) -> Mapping[str, frozenset[int]]:
    return {job: frozenset(uids) for job, uids in found.items()}
