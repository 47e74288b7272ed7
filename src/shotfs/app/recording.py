"""Recording: the recorder of a node, what it learns, and what the control socket can ask of both.

Runs that have ended are worked out in threads, one after the other, and kept. What was learned goes
to the origins every `record.publish_s`, and once more when the service ends. A service that is
killed loses the runs that were going on; what had ended is on the disk.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import trio

from shotfs.cache import Cache
from shotfs.config import Settings
from shotfs.control.access import Peer
from shotfs.digest import Digest
from shotfs.errors import InvalidArgument, NotPermitted, PathNotFound
from shotfs.namespace import ShowSet, TierPool
from shotfs.namespace.beside import beside_the_event_loop
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Specification
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.codec import encode
from shotfs.prewarm.recording.learning import by_path
from shotfs.prewarm.recording.outcome import Outcome, outcome_of
from shotfs.prewarm.recording.recorder import Jobs, Recorder, Started, cleaned
from shotfs.prewarm.recording.recordings import Recordings
from shotfs.prewarm.recording.run import Run
from shotfs.prewarm.recording.sharing import Shared
from shotfs.prewarm.recording.store import Store
from shotfs.prewarm.truth import Score
from shotfs.prewarm.watching import OpenWatch

log = logging.getLogger(__name__)

SWEEP_S = 5.0
"""How often it is looked whether the processes of runs are gone."""

LATE_S = 0.1
"""How long a stop waits for opens that the native thread answered: they are told in batches."""

DIGESTS_MAX = 20_000
"""Files of one run whose digest the cache is asked for, where the origin does not say it."""

TAKEN_MAX = 16
"""Manifests of stopped recordings that wait to be fetched."""

TAKEN_BYTES_MAX = 64 * 1024 * 1024
"""Of all of these."""

END_S = 10.0
"""How long the end of the service may take to share what was learned."""

LISTED_MAX = 10_000
"""Subjects that one answer lists."""


@dataclass(frozen=True, slots=True)
class _Taken:
    uid: int
    data: bytes


class NodeRecording:
    """Implements `control.record_service.RecordService`.

    Args:
        settings: of the node.
        shows: what is mounted.
        tiers: the origins.
        cache: knows digests, and gives uploads their turns.
        metrics: counts.
        read_only: nothing is written to any origin.

    Attributes:
        recordings: what was learned, here and by other nodes.
    """

    def __init__(
        self,
        settings: Settings,
        shows: ShowSet,
        tiers: TierPool,
        cache: Cache,
        metrics: Metrics,
        *,
        read_only: bool,
    ) -> None:
        self._settings = settings.record
        self._node = settings.node.name
        self._shows = shows
        self._cache = cache
        self._metrics = metrics

        def spec_of(name: str) -> Specification | None:
            show = shows.get(name)
            return None if show is None else show.spec

        self.recordings = Recordings(
            Store(
                os.path.join(settings.cache.directory, "recorded"),
                bytes_max=settings.record.bytes_max,
            ),
            Shared(tiers, cache.uploads.turn, self._node),
            publish=settings.record.publish and not read_only,
            spec_of=spec_of,
            node=self._node,
            metrics=metrics,
        )
        self._ended: list[Run] = []
        self._learning = trio.Lock()
        self._recorder = Recorder(
            Jobs(settings.record.jobs),
            files_max=settings.record.files_max,
            roles_of=self.recordings.roles_of,
            metrics=metrics,
            ended=self._ended.append,
            clock=trio.current_time,
        )
        self._taken: OrderedDict[int, _Taken] = OrderedDict()

    @property
    def watches(self) -> Sequence[OpenWatch]:
        """Who is to be told of opens: nobody, where nothing is recorded."""
        return () if self._settings.jobs == "off" else (self._recorder,)

    # --- running ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Learn from runs that end, and share it; for ever. Cancelled, it does so once more."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._sweep)
                nursery.start_soon(self._share)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(END_S):
                self._recorder.end_all()
                await self._learn_ended()
                await self.recordings.publish()

    async def _sweep(self) -> None:
        while True:
            await trio.sleep(SWEEP_S)
            self._recorder.sweep()
            self._metrics.recordings_active.set(self._recorder.run_count)
            await self._learn_ended()

    async def _share(self) -> None:
        while True:
            await trio.sleep(self._settings.publish_s)
            try:
                await self.recordings.publish()
            except Exception:  # nor what another node has written
                log.exception("recordings are not published")

    async def _learn_ended(self) -> None:
        while self._ended:
            try:
                await self._learn(self._ended[0])
            except Exception:  # what one job did must not end the mount of all
                log.exception(
                    "nothing is learned from a run", extra={"files": self._ended[0].opens}
                )
            # Not before: cancelled, it is learned when the service ends.
            del self._ended[0]

    async def _learn(self, run: Run) -> tuple[Outcome, bool]:
        async with self._learning:
            outcome = await self._outcome_of(run)
            return outcome, await self.recordings.add(outcome)

    async def _outcome_of(self, run: Run) -> Outcome:
        outcome = await trio.to_thread.run_sync(_outcome, run)
        return replace(outcome, entries=await self._with_digests(run, outcome))

    async def _with_digests(self, run: Run, outcome: Outcome) -> tuple[Entry, ...]:
        """Return the entries of *outcome*, with the digests that the cache knows."""
        found: dict[str, Digest] = {}
        unknown = [entry.path for entry in outcome.entries if entry.digest is None]
        for path in unknown[:DIGESTS_MAX]:
            digest = await self._cache.digest_of(run.files[path].revision)
            if digest is not None:
                found[path] = digest
        return tuple(
            replace(entry, digest=found[entry.path]) if entry.path in found else entry
            for entry in outcome.entries
        )

    # --- being asked -----------------------------------------------------------------------------

    def start(self, asked: Subject, *, peer: Peer, bound: bool) -> Mapping[str, Any]:
        """Record what fits *asked*; see `RecordService.start`."""
        pid = peer.pid if bound else 0
        started = self._recorder.start(cleaned(asked), uid=peer.uid, pid=pid)
        return {"number": started.number}

    async def stop(self, number: int, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Stop a recording; see `RecordService.stop`."""
        await trio.sleep(LATE_S)
        started = self._started(number)
        if peer.uid != started.uid and not admin:
            raise NotPermitted(
                f"recording {number} is another user's",
                fix="ask as that user, as root or as a member of the admin group",
            )
        runs, before = self._recorder.stop(number)
        outcomes: list[Outcome] = []
        learned = True
        # Threads and the disk only. Nobody else has these runs: a client that goes loses none.
        with trio.CancelScope(shield=True):
            for run in runs:
                outcome, known = await self._learn(run)
                outcomes.append(outcome)
                learned = learned and known
            # Learned with the recording that was stopped first.
            outcomes += [await self._outcome_of(run) for run in before]
        together: dict[str, Any] = {
            "number": number,
            "subject": asdict(outcomes[0].subject if len(outcomes) == 1 else started.asked),
            "runs": len(outcomes),
            "learned": learned and bool(outcomes),
        }
        for name in ("opens", "missed", "cold", "stall_s"):
            together[name] = round(sum(getattr(one, name) for one in outcomes), 6)
        count, size_bytes, data = await trio.to_thread.run_sync(
            _manifest, outcomes, started, self._node
        )
        self._keep(number, _Taken(started.uid, data))
        return {**together, "files": count, "bytes": size_bytes}

    def _started(self, number: int) -> Started:
        for one in self._recorder.started():
            if one.number == number:
                return one
        raise InvalidArgument(
            f"there is no recording number {number}", fix="shotfs record show lists them"
        )

    def _keep(self, number: int, taken: _Taken) -> None:
        self._taken[number] = taken
        while len(self._taken) > TAKEN_MAX or (
            len(self._taken) > 1
            and sum(len(one.data) for one in self._taken.values()) > TAKEN_BYTES_MAX
        ):
            self._taken.popitem(last=False)

    def taken(self, number: int, *, peer: Peer, admin: bool) -> bytes:
        """Return the manifest of a recording that was stopped just now."""
        taken = self._taken.get(number)
        if taken is None:
            raise PathNotFound(f"the manifest of recording {number} is not kept any more")
        if peer.uid != taken.uid and not admin:
            raise NotPermitted(f"recording {number} is another user's")
        return taken.data

    async def report(self) -> Mapping[str, Any]:
        """Return what is recorded, and what is known."""
        stored = await self.recordings.stored()
        now_s = trio.current_time()
        return {
            "jobs": self._settings.jobs,
            "publish": self._settings.publish,
            "started": [
                {
                    "number": one.number,
                    "asked": asdict(one.asked),
                    "since_s": round(now_s - one.began_s, 1),
                    "uid": one.uid,
                }
                for one in self._recorder.started()
            ],
            "active": [
                {
                    "subject": asdict(run.subject),
                    "since_s": round(now_s - run.began_s, 1),
                    "files": len(run.files),
                    "opens": run.opens,
                    "missed": run.missed,
                    "processes": len(run.pids),
                }
                for run in self._recorder.runs()
            ],
            "count": len(stored),
            "pending": sum(pending for _, pending in stored),
            "stored": [
                {**asdict(subject), "pending": pending} for subject, pending in stored[-LISTED_MAX:]
            ],
        }

    async def manifest(self, subject: Subject) -> bytes:
        """Return what is known of *subject*, as a manifest."""
        learned = await self.recordings.for_subject(subject)
        if not learned.entries:
            raise PathNotFound(
                f"nothing was recorded of shot {subject.shot!r}",
                fix="shotfs record show lists what is known; shotfs exec records a command",
            )
        return await trio.to_thread.run_sync(
            _encode, subject, {entry.path: entry for entry in learned.entries}, self._node
        )

    async def publish(self) -> Mapping[str, Any]:
        """Bring what was learned to the origins now."""
        count = await self.recordings.publish()
        return {"published": count, "pending": await self.recordings.pending_count()}

    async def remember(
        self, show: str, scores: Mapping[str, tuple[int, int]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Keep how good scanners were in *show*."""
        if self._shows.get(show) is None:
            raise InvalidArgument(
                f"no show is called {show!r}", fix=f"there are: {', '.join(self._shows.names)}"
            )
        found = [Score(name, claimed, 0, right) for name, (claimed, right) in scores.items()]
        await self.recordings.measured(show, found)
        weights = await self.recordings.weights(show)
        return {"precision": {name: round(weights.precision(name), 4) for name in scores}}


def _outcome(run: Run) -> Outcome:
    with beside_the_event_loop():
        return outcome_of(run)


def _manifest(outcomes: Sequence[Outcome], started: Started, node: str) -> tuple[int, int, bytes]:
    """Return how many files *outcomes* have together, their bytes, and the manifest of them."""
    with beside_the_event_loop():
        entries = by_path(entry for outcome in outcomes for entry in outcome.entries)
        subject = outcomes[0].subject if len(outcomes) == 1 else started.asked
        size_bytes = sum(entry.size_bytes or 0 for entry in entries.values())
        return len(entries), size_bytes, encode(subject, entries, node)


def _encode(subject: Subject, entries: Mapping[str, Entry], node: str) -> bytes:
    with beside_the_event_loop():
        return encode(subject, entries, node)
