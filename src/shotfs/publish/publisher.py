"""Publisher: takes closed outputs from the spool to their origins, and never gives up.

Decides when: the seal after the grace, the upload, the next attempt. Knows nothing of the kernel.
Each output moves in a task of its own, a bounded number at a time; one that waits for its next
attempt holds no slot, so that a bad one blocks no other.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable

import trio

from shotfs.config import NetworkSettings
from shotfs.digest import Digest
from shotfs.errors import OutputBusy, PublishConflict, ShotfsError, Stale
from shotfs.observe.metrics import Metrics
from shotfs.publish import sealing
from shotfs.publish.attempts import Attempt, failure_of, with_attempt
from shotfs.publish.begun import Aborter
from shotfs.publish.core import now_ns
from shotfs.publish.draining import Draining
from shotfs.publish.emergency import EmergencyPlace
from shotfs.publish.entry import Kind, SpoolEntry
from shotfs.publish.happenings import Happening
from shotfs.publish.jobs import Jobs
from shotfs.publish.queue_item import QueueItem, item_of
from shotfs.publish.removal import Removed, Remover
from shotfs.publish.schedule import Work
from shotfs.publish.spool import Spool
from shotfs.publish.states import State
from shotfs.publish.table import unpublished
from shotfs.publish.upload import SealOf, Tiers, Uploader, UploadTurn, all_open, at_once
from shotfs.tiers.base import Revision

log = logging.getLogger(__name__)

RETRY_S_MAX = 60.0
"""The longest pause between two attempts; also the pause after a refusal (permission, bucket)."""

BUSY_S = 1.0
"""How long until it is asked again whether an output can still be written without us."""

RENAME_S = 2.0
"""Within which a renderer that has closed its scratch file gives it its name; a drain before a stop
waits that long for it."""

EXPIRY_EVERY_S = 3600.0
"""How often scratch files are looked through for old ones."""

Adopt = Callable[[str, Digest, int, Revision], Awaitable[bool]]
"""`Cache.adopt`: (path, digest, size_bytes, revision) -> whether the cache has it now."""

Published = Callable[[SpoolEntry, Revision], Awaitable[None]]
Conflict = Callable[[SpoolEntry], None]


class Publisher:
    """Publishes what a spool holds; `run` does the work.

    Args:
        spool: what to drain.
        tiers: opens or finds the tier of a root URL.
        adopt: takes a published data file into the cache.
        published: told of each new object before its spool entry goes; may be told of the same
            one again after a crash.
        settings: connections and back-off.
        metrics: counts outcomes.
        conflict: told of each entry that went into quarantine.
        removed: told of each path whose object was removed from the origin.
        seal_of: says whether a version that is published as a whole still takes files.
        scratch_ttl_s: how long untouched scratch files, and partial ones of dead processes, stay.
        turn: waits until an upload may be sent: reads that somebody waits for go first.
        emergency: root URL where a drain copies what is left; None: nowhere.
        node: this node's name, under which these copies lie.
        gone: whether the origin of a root URL is known not to answer.
        jitter: returns numbers in [0, 1).

    Attributes:
        jobs: the outputs by the job that wrote them.
    """

    def __init__(
        self,
        spool: Spool,
        tiers: Tiers,
        adopt: Adopt,
        published: Published,
        settings: NetworkSettings,
        metrics: Metrics,
        *,
        conflict: Conflict | None = None,
        removed: Removed = lambda _path: None,
        seal_of: SealOf = all_open,
        scratch_ttl_s: float = 86400.0,
        turn: UploadTurn = at_once,
        emergency: str | None = None,
        node: str = "",
        gone: Callable[[str], bool] = lambda _url: False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._core = spool.core
        self._adopt = adopt
        self._published = published
        self._conflict = conflict
        self._settings = settings
        self._metrics = metrics
        self._scratch_ttl_s = scratch_ttl_s
        self._jitter = jitter
        self._aborter = Aborter(spool.core, tiers)
        self._uploader = Uploader(spool.core, tiers, metrics, seal_of, turn, self._aborter)
        self._remover = Remover(spool.core, tiers, removed, seal_of)
        self.jobs = Jobs(spool)
        self._work = Work()
        self._place = EmergencyPlace(spool.core, tiers, emergency, node, metrics)
        self._draining = Draining(
            left=self._left,
            moving=self._moving,
            unfinished=self._unfinished,
            gone=gone,
            place=self._place,
            changed=self._drain_changed,
        )

    # --- what others call ------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Seal and publish until cancelled. What is not finished then is resumed at next start."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._expire_for_ever)
            nursery.start_soon(self._aborter.run)
            task_status.started()
            while True:
                for entry in self._core.table.take_changed():
                    self._schedule(entry)
                self._start_due(nursery)
                with trio.move_on_at(self._next_due()):
                    await self._core.table.wait_changed()

    async def publish_now(self, entry: SpoolEntry) -> Revision:
        """Seal *entry* and return when it is in the origin (durability: origin).

        Handles that are open now cannot write any more. On an error other than a conflict the
        file stays in the queue and `run` goes on trying.

        Raises:
            PublishConflict: the origin has other bytes; ours are in quarantine.
            TierError, SpoolFull, SpoolBroken: the real reason why it is not in the origin.
            Stale: it was changed or removed meanwhile, or nobody wrote it to its end.
        """
        async with entry.lock:
            if entry.half_written or entry.pristine:
                raise Stale(f"{entry.path}: nobody has written it to its end")
            if sealing.awaited(entry) is sealing.Awaited.RENAME:
                raise Stale(f"{entry.path}: waits for its rename")
            if entry.state is State.OPEN and not entry.unlinked:
                await self._seal(entry)
                entry.finished_handles += 1
        try:
            return await self._publish_once(entry)
        except ShotfsError as error:
            if entry.state in (State.SEALED, State.FAILED):
                self._put_off(entry, error)
            raise
        finally:
            self._core.table.notify(entry)

    async def remove_objects(self, entry: SpoolEntry) -> None:
        """Remove what the origin has of *entry*; for `Spool.unlink`.

        Absent objects and those that somebody else replaced are no error.

        Raises:
            TierError: some of it is there still.
        """
        await self._remover.remove_all(entry)
        await self.forget_copies(entry)  # else a rescue would bring it back

    async def remove_earlier(self, entry: SpoolEntry) -> None:
        """Remove what the origin has under earlier names of a published *entry*, now.

        Raises:
            TierError: some is there still; `run` goes on trying.
        """
        async with entry.lock:
            await self._remover.remove_old(entry)

    async def _publish_once(self, entry: SpoolEntry) -> Revision:
        """Upload, or wait for the upload that `run` has begun."""
        while True:
            if entry.upload is not None:
                await entry.upload.done.wait()
            elif entry.state is State.PUBLISHED and entry.revision is not None:
                return entry.revision
            elif entry.state is State.QUARANTINED:
                raise PublishConflict(f"{entry.path}: is in quarantine: {entry.error}")
            else:
                try:
                    return await self._publish(entry)
                except Stale:
                    if entry.upload is None and entry.state is not State.PUBLISHED:
                        raise

    async def drain(
        self, deadline_s: float, *, emergency: bool = False, writers: bool = False
    ) -> list[QueueItem]:
        """Seal and upload everything that is closed, without grace; needs `run` to be running.

        The most files possible shall be safe at the end: the smallest go first (`Schedule`), on
        all connections.

        Args:
            deadline_s: how long it may take.
            emergency: copy what is left to the emergency place (`Draining`).
            writers: wait for files that are open for writing, too.

        Returns:
            What is not in the origin after *deadline_s*, or earlier when nothing more can be done:
            written to at the moment, refused, quarantined, failed.
        """
        for entry in self._left():
            if entry.content is not None and entry.retry_at is not None:
                entry.retry_at = trio.current_time()
        await self._draining.run(deadline_s, emergency=emergency, writers=writers)
        return self.queue()

    def waits(self) -> bool:
        """Whether anything is on its way to its origin."""
        return any(unpublished(entry) for entry in self._spool.entries())

    async def forget_copies(self, entry: SpoolEntry) -> None:
        """Remove the emergency copies of *entry*, as far as that can be done now."""
        try:
            await self._place.forget(entry)
        except ShotfsError as error:
            log.warning("%s: its emergency copies stay: %s", entry.path, error.message)

    def hurry(self, deadline_s: float) -> None:
        """Let drains that run end within *deadline_s*: the node goes earlier than was said."""
        self._draining.hurry(deadline_s)

    def _drain_changed(self) -> None:
        """A drain began, ended, or lets uploads begin, or not: everything is looked at again."""
        self._work.set_smallest_first(self._draining.active)
        for entry in list(self._spool.entries()):
            self._core.table.notify(entry)

    def _unfinished(self) -> bool:
        """Whether somebody writes, or has just closed a scratch file, which he may rename."""
        since = trio.current_time() - RENAME_S
        return any(
            entry.kind is Kind.FILE
            and (entry.writers or (entry.scratch and entry.closed_at > since))
            for entry in self._spool.entries()
        )

    def _left(self) -> list[SpoolEntry]:
        entries = [entry for entry in self._spool.entries() if unpublished(entry)]
        entries.extend(self._spool.aside())
        return entries

    def queue(self) -> list[QueueItem]:
        """Return every output that is not in the origin, oldest first."""
        now = now_ns()
        return [item_of(entry, now) for entry in sorted(self._left(), key=_serial)]

    def item(self, entry: SpoolEntry) -> QueueItem:
        """Return *entry* as `queue` has it."""
        return item_of(entry, now_ns())

    def retry(self, entry: SpoolEntry) -> str | None:
        """Try *entry* again now, which waits for its next attempt; return why not, if not."""
        if entry.state is State.QUARANTINED:
            return "the origin has other bytes under this path: no attempt would change that"
        if entry.aside or (entry.state is State.FAILED and entry.content is None):
            return "it is not whole: nobody closed it after its last write"
        if entry.upload is not None or entry in self._work:
            return "it is being sent now"
        if entry.retry_at is None:
            return "it waits for no attempt"
        entry.retry_at = trio.current_time()
        self._core.table.notify(entry)
        return None

    # --- scheduling ------------------------------------------------------------------------------

    def _schedule(self, entry: SpoolEntry) -> None:
        self.jobs.note(entry)
        self._work.plan(entry, self._due_at(entry))

    def _due_at(self, entry: SpoolEntry) -> float | None:
        """Return when there is something to do for *entry*; None: not before it changes."""
        if entry in self._work or entry.unlinked or entry.aside or entry.terms is None:
            return None
        retry_at = entry.retry_at or 0.0
        if entry.scratch:
            return retry_at if entry.delete_after else None
        match entry.state:
            case State.OPEN:
                return sealing.due_at(entry, draining=self._draining.active)
            case State.SEALED:
                return retry_at
            case State.FAILED if entry.content is not None:
                return retry_at
            case State.PUBLISHED if entry.open_handles == 0 or entry.delete_after:
                return retry_at
            case _:
                return None

    def _start_due(self, nursery: trio.Nursery) -> None:
        now, slots = trio.current_time(), self._slots
        while self._draining.may_upload and (entry := self._work.take(now, slots)) is not None:
            due = self._due_at(entry)
            if due is not None and due <= now:
                self._work.begin(entry)
                nursery.start_soon(self._advance, entry)
            else:
                self._schedule(entry)

    def _next_due(self) -> float:
        """Return when to look again, if nothing happens before."""
        return self._work.next_due(self._slots) if self._draining.may_upload else float("inf")

    @property
    def _slots(self) -> int:
        """How many uploads may be under way at once."""
        # Half of the connections is for reads, which applications wait for. Not in a drain.
        connections = self._settings.connections_max
        return connections if self._draining.active else max(1, connections // 2)

    def _moving(self, entry: SpoolEntry) -> bool:
        """Whether a drain should wait for *entry*."""
        if entry.state in (State.SEALED, State.UPLOADING):
            return entry.publishable
        done = entry.state is State.PUBLISHED and not entry.delete_after
        return not done and self._due_soon(entry)

    def _due_soon(self, entry: SpoolEntry) -> bool:
        due = self._due_at(entry)
        return entry in self._work or (due is not None and due <= trio.current_time())

    # --- moving one output -----------------------------------------------------------------------

    async def _advance(self, entry: SpoolEntry) -> None:
        """Take *entry* as far as it goes now; never raises an Exception."""
        try:
            await self._step(entry)
        except Stale as error:
            log.debug("%s", error.message)
        except OutputBusy as error:
            entry.retry_at = trio.current_time() + BUSY_S
            entry.error = error.message
        except ShotfsError as error:
            if entry.state is not State.QUARANTINED:
                self._put_off(entry, error)
        except Exception:  # a mistake of ours in one output must not stop the others
            log.exception("publishing %s failed unexpectedly", entry.path)
            entry.retry_at = trio.current_time() + RETRY_S_MAX
        finally:
            self._work.end(entry)
            self._core.table.notify(entry)
            self._draining.progressed()

    async def _step(self, entry: SpoolEntry) -> None:
        if entry.scratch:
            await self._remove_old(entry)  # its new name is none that is ever published
            return
        if entry.state is State.OPEN:
            async with entry.lock:
                if sealing.may_seal(entry, draining=self._draining.active):
                    await self._seal(entry)
            return  # what is next has a slot of its own
        if entry.state in (State.SEALED, State.FAILED) and not entry.unlinked:
            await self._publish(entry)
        if entry.state is State.PUBLISHED:
            await self._retire(entry)

    async def _seal(self, entry: SpoolEntry) -> None:
        began_s = trio.current_time()
        await self._core.seal(entry)
        self._metrics.publish_seconds["seal"].observe(trio.current_time() - began_s)

    async def _publish(self, entry: SpoolEntry) -> Revision:
        entry.retry_at = None
        try:
            revision = await self._attempt(entry)
        except PublishConflict as error:
            log.warning("conflict: %s: %s", entry.path, error.message)
            if self._conflict is not None and entry.state is State.QUARANTINED:
                self._conflict(entry)
            raise
        log.info("published %s as %s/%s", entry.path, revision.tier, revision.key)
        async with entry.lock:
            # Who unlinked it in the meantime has told that it is gone; that stays the last word.
            if entry.revision is revision and not entry.unlinked:
                await self._announce(entry, revision)
        return revision

    async def _attempt(self, entry: SpoolEntry) -> Revision:
        """Upload once, and remember how that ended."""
        began_ns, began_s = now_ns(), trio.current_time()
        error: ShotfsError | None = None
        self._metrics.uploads_in_flight.inc()
        try:
            revision = await self._uploader.upload(entry)
            self._metrics.upload_bytes.inc(revision.size_bytes)
            entry.told = None
        except Stale:
            raise  # nothing was tried, or it ended because somebody wrote on
        except ShotfsError as failed:
            error = failed
            self._metrics.publish_failures[failure_of(failed)].inc()
            raise
        else:
            return revision
        finally:
            self._metrics.uploads_in_flight.dec()
            seconds = trio.current_time() - began_s
            self._metrics.publish_seconds["upload"].observe(seconds)
            if error is not None or entry.revision is not None:
                failure = None if error is None else failure_of(error)
                message = "" if error is None else error.message
                attempt = Attempt(began_ns, seconds, failure, message)
                entry.history = with_attempt(entry.history, attempt)

    async def _announce(self, entry: SpoolEntry, revision: Revision) -> None:
        """Journal the success and tell of it. A failure here is repeated by `_retire`."""
        try:
            await self._core.save_state(entry)
            await self._published(entry, revision)
        except ShotfsError as error:
            log.warning("%s is published but not recorded yet: %s", entry.path, error.message)
            return
        entry.announced = entry.revision is revision
        self._core.tell(Happening.PUBLISHED, entry)

    def _put_off(self, entry: SpoolEntry, error: ShotfsError) -> None:
        """Plan the next attempt. What heals by itself is tried soon, a refusal once a minute."""
        pause_s = RETRY_S_MAX
        if error.retryable:
            pause_s = min(pause_s, self._settings.backoff_s * 2.0 ** min(entry.attempts, 16))
        pause_s *= 0.5 + 0.5 * self._jitter()
        entry.retry_at = trio.current_time() + pause_s
        entry.error = error.message
        failure = failure_of(error)
        if entry.state is State.OPEN:
            self._metrics.publish_failures[failure].inc()  # it could not even be hashed
        if not error.retryable and entry.told is not failure:
            self._core.tell(Happening.FAILED, entry)
            entry.told = failure  # not again at each attempt
        self._metrics.published["retried" if error.retryable else "refused"].inc()
        log.warning("%s is not published yet: %s", entry.path, error.message)

    async def _retire(self, entry: SpoolEntry) -> None:
        """Give a published file that nobody has open to the cache, then forget it."""
        if not entry.announced and entry.revision is not None:
            await self._announce(entry, entry.revision)
        if entry.announced:
            await self._remove_old(entry)
            await self._place.forget(entry)
        async with entry.lock:
            if entry.state is not State.PUBLISHED or entry.open_handles or entry.unlinked:
                return
            if not entry.announced or entry.revision is None or entry.digest is None:
                entry.retry_at = trio.current_time() + RETRY_S_MAX
                return
            entry.leaving = True
            try:
                path = self._core.data_path(entry)
                await self._adopt(path, entry.digest, entry.size_bytes, entry.revision)
                with trio.CancelScope(shield=True):
                    await self._core.retire(entry)
            finally:
                entry.leaving = False

    async def _remove_old(self, entry: SpoolEntry) -> None:
        entry.attempts += bool(entry.delete_after)
        await self._remover.remove_old(entry)

    # --- what nobody wants any more --------------------------------------------------------------

    async def _expire_for_ever(self) -> None:
        while True:
            await trio.sleep(EXPIRY_EVERY_S)
            try:
                await self._spool.expire(now_ns() - int(self._scratch_ttl_s * 1e9))
            except ShotfsError as error:
                log.warning("old scratch files were not removed: %s", error.message)


def _serial(entry: SpoolEntry) -> int:
    return entry.serial
