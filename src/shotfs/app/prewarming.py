"""Prewarms of the service: who may have how many, what each wants, and how far it is.

A prewarm is begun, gets the entries of manifests page by page into a file of its own, and is then
started; the targets that the service itself knows (paths, shots, templates) are looked up when it
runs. A few run at the same time, the others wait in the order of their start. Nothing of it
outlives the service: what has come is here, so the same command goes on where it was.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

import trio

from shotfs.app.node import Node
from shotfs.app.permissions import READ, may, may_reach
from shotfs.cache import Asker
from shotfs.control.access import Peer
from shotfs.control.prewarm_service import Mode, Order
from shotfs.errors import (
    CacheBusy,
    InvalidArgument,
    NotPermitted,
    PathNotFound,
    ShotfsError,
    Unsupported,
)
from shotfs.prewarm.counting import FileCounter
from shotfs.prewarm.engine import PAGE_ENTRIES, Prewarmer, Progress, Stop, Terms
from shotfs.prewarm.feed import Feed
from shotfs.prewarm.finding import Found, Visible
from shotfs.prewarm.manifest import Entry
from shotfs.prewarm.manifest.files import Files, files_of
from shotfs.prewarm.plan import Plan
from shotfs.prewarm.supply import Supply
from shotfs.prewarm.targets import Recordings, Sources, Target, Wanted, parse_target

log = logging.getLogger(__name__)

RUNNING_MAX = 2
"""Prewarms that run at the same time: more would only share the same connections."""

UNFINISHED_MAX = 64
UNFINISHED_PER_USER_MAX = 8
"""Prewarms that collect, wait or run: in all, and of one user who is no admin."""

KEPT = 64
"""Prewarms that ended of which is known how."""

COLLECTING_S = 120.0
"""A prewarm that got nothing for so long before its start is given up: its command is gone."""

READY_S = 5.0
"""How long a prewarm waits for a service that has just come up."""

FEED_ENTRIES = 1_000
"""Entries that are looked at together where nothing is fetched: one question to the catalog."""

PUBLIC = ("state", "mode", "seconds", "files", "done_files", "bytes", "done_bytes", "failed_files")
"""What everybody is told of a prewarm."""

GIB = 1024**3


class State(StrEnum):
    """How far a prewarm is."""

    COLLECTING = "collecting"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(slots=True, eq=False)
class _Job:
    """One prewarm."""

    number: int
    order: Order
    peer: Peer
    admin: bool
    targets: tuple[Target, ...]
    plan: Plan
    progress: Progress = field(default_factory=Progress)
    state: State = State.COLLECTING
    touched_s: float = field(default_factory=trio.current_time)
    began_at_s: float = field(default_factory=time.time)
    wanted: int | None = None
    started_s: float | None = None
    ended_s: float | None = None
    error: ShotfsError | None = None
    evicted: dict[str, int] = field(default_factory=dict)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    adding: trio.Lock = field(default_factory=trio.Lock)
    feed: Feed | None = None
    """Of entries that come in order: they are looked at as they come."""


class NodePrewarming:
    """Implements `control.prewarm_service.PrewarmService` on a `Node`.

    Args:
        node: where files come to.
        recordings: what jobs read; None: nobody records.
    """

    def __init__(self, node: Node, recordings: Recordings | None) -> None:
        self._node = node
        self._finder = node.filesystem.prewarm_finder
        self._sources = Sources(self._finder, node.shows, recordings)
        self._engine = Prewarmer(node.cache, self._finder)
        self._counter = FileCounter(self._engine, node.cache, self._finder)
        self._directory = os.path.join(node.settings.cache.directory, "prewarm")
        self._jobs: dict[int, _Job] = {}
        self._numbers = itertools.count(1)
        self._turns = trio.CapacityLimiter(RUNNING_MAX)
        self._disk = trio.CapacityLimiter(1)
        self._ready = trio.Event()
        self._running: trio.Nursery | None = None

    async def run(self) -> None:
        """Run what is started, until cancelled."""
        # What a service left that was killed.
        await trio.to_thread.run_sync(_remove_tree, self._directory)
        try:
            async with trio.open_nursery() as nursery:
                self._running = nursery
                self._ready.set()
                while True:
                    await trio.sleep(COLLECTING_S / 4)
                    self._give_up()
        finally:
            self._running = None
            for job in self._jobs.values():
                if job.state is not State.ENDED:
                    job.plan.close()

    # --- what is asked ---------------------------------------------------------------------------

    async def begin(self, order: Order, *, peer: Peer, admin: bool) -> int:
        """See `control.prewarm_service.PrewarmService.begin`."""
        if not admin and (order.pin or order.mode is Mode.EVICT):
            raise NotPermitted(
                "pins and evictions change what others have: they are for the admin group",
                fix="leave --pin out; or use sudo, or join the group of control.admin_group",
            )
        self._check_tier(order.tier)
        if order.in_order:
            _check_in_order(order)
        with trio.move_on_after(READY_S):
            await self._ready.wait()
        self._checked_nursery()
        # In a thread: a shot's name is compared with each directory of a specification.
        targets = await trio.to_thread.run_sync(self._parsed, order.targets, limiter=self._disk)
        # Nothing is awaited from here: others may have begun meanwhile, or the service have ended.
        nursery = self._checked_nursery()
        self._check_count(peer, admin=admin)
        number = next(self._numbers)
        plan = Plan(os.path.join(self._directory, f"{number}.sqlite"))
        job = self._jobs[number] = _Job(number, order, peer, admin, targets, plan)
        if order.in_order:
            job.feed = Feed()
            nursery.start_soon(self._run, job)
        self._forget_oldest()
        return number

    async def add(self, number: int, entries: Sequence[Entry], *, peer: Peer, admin: bool) -> None:
        """See `control.prewarm_service.PrewarmService.add`."""
        job = self._collecting(number, peer, admin=admin)
        async with job.adding:
            self._collecting(number, peer, admin=admin)
            job.touched_s = trio.current_time()
            if job.feed is None:
                await self._want(job, entries)
            else:
                await job.feed.add(files_of(entries))

    async def add_files(self, number: int, files: Files, *, peer: Peer, admin: bool) -> None:
        """See `control.prewarm_service.PrewarmService.add_files`."""
        job = self._collecting(number, peer, admin=admin)
        if job.feed is None:
            await self.add(number, files.entries(), peer=peer, admin=admin)
            return
        async with job.adding:
            self._collecting(number, peer, admin=admin)
            job.touched_s = trio.current_time()
            await job.feed.add(files)

    async def start(self, number: int, *, peer: Peer, admin: bool) -> None:
        """See `control.prewarm_service.PrewarmService.start`."""
        job = self._collecting(number, peer, admin=admin)
        nursery = self._checked_nursery()
        if job.feed is None:
            job.state = State.WAITING
            nursery.start_soon(self._run, job)
            return
        job.state, job.wanted = State.RUNNING, job.feed.count
        job.feed.end()

    async def show(self, number: int, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """See `control.prewarm_service.PrewarmService.show`."""
        return self._report(self._job(number, peer, admin=admin))

    async def list(self, *, peer: Peer, admin: bool) -> Sequence[Mapping[str, Any]]:
        """See `control.prewarm_service.PrewarmService.list`."""
        own = [one for one in self._jobs.values() if admin or one.peer.uid == peer.uid]
        return [self._summary(one) for one in own]

    async def cancel(self, number: int, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """See `control.prewarm_service.PrewarmService.cancel`."""
        job = self._job(number, peer, admin=admin)
        job.scope.cancel()
        if job.state is State.COLLECTING:
            async with job.adding:
                self._end(job, Stop.CANCELLED)
        return self._report(job)

    def running(self) -> Mapping[str, Any]:
        """Return those that wait or run, by number, for status and top, which all users see: whose
        they are and what they fetch is not told.
        """
        return {
            str(one.number): {name: self._summary(one)[name] for name in PUBLIC}
            for one in self._jobs.values()
            if one.state in (State.WAITING, State.RUNNING)
        }

    def _parsed(self, texts: Sequence[str]) -> tuple[Target, ...]:
        return tuple(target for text in texts for target in parse_target(text, self._node.shows))

    # --- limits and rights -----------------------------------------------------------------------

    def _check_tier(self, tier: str) -> None:
        if tier == "local":
            return
        if tier != "pmem":
            raise InvalidArgument(f"{tier[:40]!r} is no tier", fix="use local or pmem")
        raise Unsupported(
            "no template of this mount has a PMEM tier that this node can write to",
            fix="prewarm into the local cache: --tier local",
        )

    def _checked_nursery(self) -> trio.Nursery:
        if self._running is None:
            raise CacheBusy("the service is not ready, or ends", fix="try again when it runs")
        return self._running

    def _check_count(self, peer: Peer, *, admin: bool) -> None:
        unfinished = [one for one in self._jobs.values() if one.state is not State.ENDED]
        own = sum(one.peer.uid == peer.uid for one in unfinished)
        if len(unfinished) >= UNFINISHED_MAX or (not admin and own >= UNFINISHED_PER_USER_MAX):
            raise CacheBusy(
                f"there are {own} prewarms of uid {peer.uid}, {len(unfinished)} in all",
                fix="wait for one, or cancel one: shotfs prewarm --list",
            )

    def _job(self, number: int, peer: Peer, *, admin: bool) -> _Job:
        job = self._jobs.get(number)
        if job is None or not (admin or job.peer.uid == peer.uid):
            raise PathNotFound(
                f"there is no prewarm {number} of yours",
                fix="it ended long ago, or before the service was restarted: run it again, what is"
                " here already is left out",
            )
        return job

    def _collecting(self, number: int, peer: Peer, *, admin: bool) -> _Job:
        job = self._job(number, peer, admin=admin)
        if job.state is not State.COLLECTING:
            raise InvalidArgument(f"prewarm {number} was started or ended already")
        return job

    def _visible(self, job: _Job) -> Visible | None:
        """Return what tells which directories the user of *job* may search, as the kernel would."""
        if job.admin:
            return None
        return may_reach(job.peer, self._finder.directory_attributes)

    def _terms(self, job: _Job) -> Terms:
        order = job.order
        read = may(job.peer, READ, admin=False)

        def readable(found: Found) -> bool:
            return read(self._finder.file_attributes(found))

        async def pin(found: Sequence[Found]) -> None:
            revisions = [one.revision for one in found]
            await self._node.cache.pin_all(revisions, order.pin, None)

        async def evict(found: Sequence[Found]) -> None:
            dropped = await self._node.filesystem.cached_paths.drop(one.revision for one in found)
            for name, count in asdict(dropped).items():
                job.evicted[name] = job.evicted.get(name, 0) + count

        deadline_s = order.deadline_s
        return Terms(
            Asker(job.peer.pid, f"prewarm {job.number}", order.pin),
            bytes_max=order.bytes_max,
            files_max=order.files_max,
            deadline_s=float("inf") if deadline_s is None else trio.current_time() + deadline_s,
            visible=self._visible(job),
            readable=None if job.admin else readable,
            fetch=order.mode is Mode.FETCH,
            found=evict if order.mode is Mode.EVICT else pin if order.pin else None,
            pins=bool(order.pin),
        )

    # --- running ---------------------------------------------------------------------------------

    async def _run(self, job: _Job) -> None:
        try:
            with job.scope:
                if job.feed is not None:
                    # Takes nobody's turn: it may have to wait for who sends.
                    await self._count(job, job.feed)
                    return
                async with self._turns:
                    job.state = State.RUNNING
                    job.started_s = trio.current_time()
                    await self._work(job)
        except Exception as error:  # noqa: BLE001 - logged there; it must not end the mount
            job.error = _failure(error, job.number)
        finally:
            if job.feed is not None:
                job.feed.close()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(job.plan.close, limiter=self._disk)
            self._end(job, Stop.CANCELLED if job.scope.cancelled_caught else None)

    async def _work(self, job: _Job) -> None:
        order, terms = job.order, self._terms(job)
        wanted, supply = Wanted(order.frames, order.task, order.views), Supply(job.plan, self._disk)

        async def look_up() -> None:
            for target in job.targets:
                source = self._sources.entries(target, wanted, terms.visible)
                async with aclosing(source) as entries:
                    await supply.fill(entries)
            job.wanted = await trio.to_thread.run_sync(job.plan.count, limiter=self._disk)

        if job.targets and not _is_limited(order):
            async with supply.filled_by(look_up) as pages:
                await self._engine.run(pages, terms, job.progress)
            return
        with trio.CancelScope(deadline=terms.deadline_s) as scope:
            await look_up()
        if scope.cancelled_caught:
            job.progress.stopped = Stop.DEADLINE
            return
        await self._engine.run(self._pages(job), terms, job.progress)

    async def _count(self, job: _Job, feed: Feed) -> None:
        job.started_s = trio.current_time()
        pages, terms = feed.pages(FEED_ENTRIES), self._terms(job)
        await self._counter.run(pages, terms, job.progress)

    async def _pages(self, job: _Job) -> AsyncGenerator[Sequence[Entry], None]:
        pages = job.plan.pages(PAGE_ENTRIES)
        while True:
            page = await trio.to_thread.run_sync(next, pages, None, limiter=self._disk)
            if page is None:
                return
            yield page

    async def _want(self, job: _Job, entries: Sequence[Entry]) -> None:
        """Add *entries* of a manifest, those that are asked for."""
        order = job.order
        if order.frames or order.task or order.views:
            wanted = Wanted(order.frames, order.task, order.views)
            entries = [one for one in entries if self._sources.admits(one, wanted)]
        await self._plan(job, await self._sources.weighted(entries))

    async def _plan(self, job: _Job, entries: Sequence[Entry]) -> None:
        if entries:
            await trio.to_thread.run_sync(job.plan.add, entries, limiter=self._disk)

    def _end(self, job: _Job, stopped: Stop | None) -> None:
        if job.state is State.COLLECTING:
            job.plan.close()
        job.state, job.ended_s = State.ENDED, trio.current_time()
        job.progress.ended = True
        if stopped is not None and job.progress.stopped is None:
            job.progress.stopped = stopped
        self._forget_oldest()

    def _give_up(self) -> None:
        """End prewarms whose commands went away before they were started."""
        now_s = trio.current_time()
        for job in list(self._jobs.values()):
            idle = now_s - job.touched_s > COLLECTING_S and not job.adding.locked()
            if job.state is State.COLLECTING and idle:
                job.scope.cancel()
                self._end(job, Stop.CANCELLED)

    def _forget_oldest(self) -> None:
        ended = [one.number for one in self._jobs.values() if one.state is State.ENDED]
        for number in ended[: max(0, len(ended) - KEPT)]:
            del self._jobs[number]

    # --- telling ---------------------------------------------------------------------------------

    def _summary(self, job: _Job) -> dict[str, Any]:
        progress = job.progress
        return {
            "number": job.number,
            "state": job.state,
            "mode": job.order.mode,
            "label": job.order.label or ", ".join(job.order.targets)[:200],
            "uid": job.peer.uid,
            "pid": job.peer.pid,
            "began_at_s": job.began_at_s,
            "seconds": self._seconds(job),
            "wanted": job.wanted,
            "entries": progress.entries,
            "files": progress.files,
            "bytes": progress.bytes,
            "done_files": progress.here_files + progress.fetched_files,
            "done_bytes": progress.here_bytes + progress.fetched_bytes,
            "failed_files": progress.failed_files,
            "stopped": progress.stopped,
        }

    def _report(self, job: _Job) -> dict[str, Any]:
        progress, error = job.progress, job.error
        return {
            **self._summary(job),
            "here_files": progress.here_files,
            "here_bytes": progress.here_bytes,
            "fetched_files": progress.fetched_files,
            "fetched_bytes": progress.fetched_bytes,
            "missing_bytes": sum(progress.missing.values()),
            "stale_files": progress.stale_files,
            "absent": {str(name): count for name, count in progress.absent.items()},
            "problems": [asdict(one) for one in progress.problems],
            "templates": {name: asdict(one) for name, one in progress.templates.items()},
            "cost": self._cost(progress),
            "evicted": job.evicted or None,
            "reason": progress.reason or None,
            "error": None
            if error is None
            else {"error": type(error).__name__, "message": error.message, "fix": error.fix},
        }

    def _seconds(self, job: _Job) -> float | None:
        if job.started_s is None:
            return None
        ended_s = trio.current_time() if job.ended_s is None else job.ended_s
        return round(ended_s - job.started_s, 3)

    def _cost(self, progress: Progress) -> float | None:
        """Return what reading what was missing costs; None where an origin has no price."""
        settings, cost = self._node.settings, 0.0
        for origin, size_bytes in progress.missing.items():
            section = settings.section_for(origin)
            price = None if section is None else settings.origins[section].egress_price_per_gib
            if price is None:
                return None
            cost += size_bytes / GIB * price
        return cost


def _failure(error: Exception, number: int) -> ShotfsError:
    """Return what was raised on purpose, also where several tasks worked; all else is logged."""
    while isinstance(error, ExceptionGroup):
        error = (error.subgroup(ShotfsError) or error).exceptions[0]
    if isinstance(error, ShotfsError):
        return error
    log.error("prewarm %d failed unexpectedly", number, exc_info=error)
    return ShotfsError(f"the service failed: {type(error).__name__}; its log says why")


def _is_limited(order: Order) -> bool:
    """Whether it fetches nothing, or may end before all is here: then the order of all counts."""
    limits = (order.bytes_max, order.files_max, order.deadline_s)
    return order.mode is not Mode.FETCH or any(one is not None for one in limits)


def _check_in_order(order: Order) -> None:
    plain = Order(mode=order.mode, tier=order.tier, label=order.label, in_order=True)
    if order != plain or order.mode not in (Mode.CHECK, Mode.DRY_RUN):
        raise InvalidArgument(
            "'in_order' is for a check or a dry run of entries alone, of all of them",
            fix="leave it out: then entries are planned first",
        )


def _remove_tree(directory: str) -> None:
    shutil.rmtree(directory, ignore_errors=True)
