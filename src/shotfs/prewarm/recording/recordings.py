"""Recordings: what is known of which work needs which files; learned here and from other nodes.

What this node records is known here at once. It reaches the origin in the background, some minutes
later and one request for each subject, so that other nodes learn it; an origin that is away or
cannot be written changes nothing but that. Questions are answered from memory within `TTL_S`, from
the origin after that, and from this node's disk while the origin is away. Event loop only.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, ParamSpec, TypeVar

import trio

from shotfs.errors import InvalidArgument, ManifestInvalid, ShotfsError, TierError
from shotfs.namespace.beside import beside_the_event_loop
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Flow, Specification
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.frames import parse_frames
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.codec import decode, encode
from shotfs.prewarm.recording.generalise import generalise
from shotfs.prewarm.recording.learning import by_path, learn
from shotfs.prewarm.recording.names import (
    DIRECTORY,
    NOTHING,
    element_of,
    frame_of_name,
    group_of,
    is_element,
    name_of,
    text_of_element,
)
from shotfs.prewarm.recording.outcome import Outcome, by_frame
from shotfs.prewarm.recording.roles import Roles, roles_of
from shotfs.prewarm.recording.sharing import REFUSED, Shared
from shotfs.prewarm.recording.store import Kind, Place, Store
from shotfs.prewarm.recording.together import Learned, Together, nearest
from shotfs.prewarm.truth import Score, Weights
from shotfs.tiers.base import Revision

__all__ = ["TTL_S", "Learned", "Recordings", "origin_of"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

TTL_S = 60.0
"""How long an answer of the origin is trusted."""

KEPT_ENTRIES_MAX = 300_000
"""Entries of manifests in memory; one takes about 600 bytes."""

LISTINGS_MAX = 2_000

GROUPS_MAX = 256
"""Tasks and views of one shot that one question takes together."""

READS_AT_ONCE = 8

CONCLUDED_MAX = 10_000
"""Frames that were never recorded and are asked for together: each takes a look at five others."""

REFUSED_PAUSE_S = 3600.0
"""How long an origin that may not be written is left alone."""


class _Listing(NamedTuple):
    asked_s: float
    files: frozenset[str] = frozenset()
    directories: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Document:
    entries: dict[str, Entry]
    revision: Revision | None
    asked_s: float


def origin_of(spec: Specification) -> str | None:
    """Return the root URL of the origin that keeps the recordings of a show: that of the first
    template that is written, else of the first one.
    """
    policies = [template.policy for template in spec.templates.values()]
    written = (one.origin for one in policies if one.flow is not Flow.IN)
    return next(written, policies[0].origin if policies else None)


class Recordings:
    """Keeps what is learned, and answers what is known.

    Args:
        store: on this node's disk.
        shared: in the origins; None: nothing is shared, nor asked for.
        publish: share what this node learns.
        spec_of: from a show's name to its specification, None for an unknown show.
        node: this node's name.
        metrics: counts what becomes of recordings.
        clock: the event loop's, in seconds.
    """

    def __init__(
        self,
        store: Store,
        shared: Shared | None,
        *,
        publish: bool,
        spec_of: Callable[[str], Specification | None],
        node: str,
        metrics: Metrics,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._store = store
        self._shared = shared
        self._publish = publish and shared is not None
        self._spec_of = spec_of
        self._node = node
        self._metrics = metrics
        self._clock = clock
        self._disk = trio.CapacityLimiter(1)
        self._reads = trio.CapacityLimiter(READS_AT_ONCE)
        self._documents: OrderedDict[Place, _Document] = OrderedDict()
        self._listings: OrderedDict[str, _Listing] = OrderedDict()
        self._roles: dict[str, tuple[Specification, Roles]] = {}
        self._meanwhile: dict[Place, dict[str, Entry]] = {}
        """Of manifests that are being published: what was learned since that began."""
        self._publishing = trio.Lock()
        self._left_alone: dict[str, float] = {}

    def roles_of(self, show: str) -> Roles:
        """Return what the fields of *show* mean; nothing for an unknown show."""
        spec = self._spec_of(show)
        if spec is None:
            return Roles()
        known = self._roles.get(show)
        if known is None or known[0] is not spec:
            known = self._roles[show] = (spec, roles_of(spec))
        return known[1]

    # --- learning --------------------------------------------------------------------------------

    async def add(self, outcome: Outcome) -> bool:
        """Learn from a run. False: nobody knows of which show and shot it was, so nothing is."""
        subject = outcome.subject
        if not outcome.entries or not subject.shot or self._spec_of(subject.show) is None:
            self._metrics.recorded_runs["unknown" if outcome.entries else "empty"].inc()
            return False
        with trio.CancelScope(shield=True):
            places = await self._in_thread(self._keep, outcome, self._meanwhile)
        for place in places:
            self._documents.pop(place, None)
        self._metrics.recorded_runs["learned"].inc()
        self._metrics.recorded_files.inc(len(outcome.entries))
        return True

    def _keep(self, outcome: Outcome, meanwhile: dict[Place, dict[str, Entry]]) -> list[Place]:
        places = []
        for subject, entries in by_frame(outcome):
            place = Place(subject.show, group_of(subject), name_of(subject.frame))
            fresh = by_path(entries)
            # Pending also where nothing is published: what the origin says is known beside it.
            kinds = (Kind.KNOWN,) if self._shared is None else (Kind.KNOWN, Kind.PENDING)
            for kind in kinds:
                self._write(kind, place, subject, learn(self._read(kind, place), fresh))
            if place in meanwhile:
                meanwhile[place] = learn(meanwhile[place], fresh)
            places.append(place)
        return places

    # --- asking ----------------------------------------------------------------------------------

    async def for_subject(self, subject: Subject) -> Learned:
        """Return what *subject* will most likely read, as this node and the origin know.

        Args:
            subject: with a show and a shot. A task, frame or view of "" means all that are known;
                the frame may be several, like ``1001-1010``. The job is not looked at.

        Returns:
            For a frame that was never recorded, what its neighbours say (`generalise`). Without
            entries where nothing is known. Nothing is raised for an origin that is away.

        Raises:
            InvalidArgument: there is no such show, or no shot is named.
        """
        spec = self._spec_of(subject.show)
        if spec is None or not subject.shot:
            raise InvalidArgument(
                f"no show is called {subject.show!r}" if spec is None else "no shot is named",
                fix="name the show and the shot of which something was recorded",
            )
        origin = origin_of(spec)
        together = Together()
        for group in await self._groups(origin, subject):
            await self._add_group(together, spec, origin, group, subject)
        return await self._in_thread(together.learned, subject)

    async def _add_group(
        self,
        together: Together,
        spec: Specification,
        origin: str | None,
        group: str,
        subject: Subject,
    ) -> None:
        names, _ = await self._names(origin, subject.show, group)
        found = {one for one in map(frame_of_name, names) if one is not None}
        recorded = sorted(int(frame) for frame in found if frame)
        wanted = parse_frames(subject.frame) or frozenset(recorded)
        exact = sorted(wanted.intersection(recorded))
        others = sorted(wanted.difference(recorded)) if recorded else []
        if len(others) > CONCLUDED_MAX:
            raise InvalidArgument(
                f"{len(others)} of the frames were never recorded", fix="ask for fewer frames"
            )

        async def read(frames: Sequence[int | str]) -> list[dict[str, Entry]]:
            places = [Place(subject.show, group, name_of(str(one))) for one in frames]
            return await self._several(origin, places)

        # A few at a time, which are let go again: a shot may have hundreds of frames, each with
        # thousands of files. And in threads: they take longer than an open may wait.
        for entries in await read([""]) if "" in found else ():
            await self._in_thread(together.add, "", entries.values())
        for start in range(0, len(exact), READS_AT_ONCE):
            some = exact[start : start + READS_AT_ONCE]
            for number, entries in zip(some, await read(some), strict=True):
                await self._in_thread(together.add, str(number), entries.values())
                together.exact.add(number)
        roles = self.roles_of(subject.show)
        for number in others:
            near = nearest(number, recorded)
            recordings = {
                one: list(entries.values())
                for one, entries in zip(near, await read(near), strict=True)
            }
            concluded = await self._in_thread(generalise, recordings, spec, roles, number)
            await self._in_thread(together.add, str(number), concluded.values())
            together.concluded.add(number)

    async def _several(self, origin: str | None, places: Sequence[Place]) -> list[dict[str, Entry]]:
        found: list[dict[str, Entry]] = [{} for _ in places]

        async def read(at: int) -> None:
            async with self._reads:
                found[at] = await self._document(origin, places[at])

        async with trio.open_nursery() as nursery:
            for at in range(len(places)):
                nursery.start_soon(read, at)
        return found

    async def _groups(self, origin: str | None, subject: Subject) -> list[str]:
        shot = element_of(subject.shot)
        if subject.task:
            tasks = [element_of(subject.task)]
        else:
            _, found = await self._names(origin, subject.show, shot)
            tasks = sorted(found)
        groups: list[str] = []
        for task in tasks[:GROUPS_MAX]:
            if subject.view:
                # What was recorded without a view is for all of them.
                groups += [f"{shot}/{task}/{view}" for view in (element_of(subject.view), NOTHING)]
            else:
                _, views = await self._names(origin, subject.show, f"{shot}/{task}")
                groups += [f"{shot}/{task}/{view}" for view in sorted(views)]
        return groups[:GROUPS_MAX]

    async def _names(
        self, origin: str | None, show: str, directory: str
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Return the names of manifests and of directories in *directory*, here and there."""
        files, directories = await self._in_thread(self._names_here, show, directory)
        if self._shared is None or origin is None:
            return files, directories
        where = f"{origin}\n{directory}"
        known = self._listings.get(where)
        now_s = self._clock()
        if known is None or now_s - known.asked_s >= TTL_S:
            try:
                found = await self._shared.names(origin, f"{DIRECTORY}/{directory}")
                known = _Listing(now_s, *(frozenset(filter(is_element, one)) for one in found))
            except TierError as error:
                log.info("recordings of %s: only what is known here: %s", show, error)
                known = (known or _Listing(now_s))._replace(asked_s=now_s)
            self._listings[where] = known
            while len(self._listings) > LISTINGS_MAX:
                self._listings.popitem(last=False)
        return files | known.files, directories | known.directories

    def _names_here(self, show: str, directory: str) -> tuple[frozenset[str], frozenset[str]]:
        files: set[str] = set()
        directories: set[str] = set()
        for place in self._store.places(Kind.KNOWN, show):
            if place.group == directory:
                files.add(place.name)
            elif place.group.startswith(f"{directory}/"):
                directories.add(place.group[len(directory) + 1 :].partition("/")[0])
        return frozenset(files), frozenset(directories)

    async def _document(self, origin: str | None, place: Place) -> dict[str, Entry]:
        known = self._documents.get(place)
        now_s = self._clock()
        if known is not None and now_s - known.asked_s < TTL_S:
            self._documents.move_to_end(place)
            return known.entries
        if known is None:
            known = _Document(await self._in_thread(self._read, Kind.KNOWN, place), None, now_s)
        if self._shared is not None and origin is not None:
            key = f"{DIRECTORY}/{place.group}/{place.name}"
            try:
                found = await self._shared.read(origin, key, known.revision)
            except (TierError, ManifestInvalid) as error:
                log.info("recording %s: as it is known here: %s", key, error)
                found = None
            if found is not None:
                entries, known.revision = found
                known.entries = await self._in_thread(self._with_pending, place, entries)
        known.asked_s = now_s
        self._remember(place, known)
        return known.entries

    def _with_pending(self, place: Place, entries: dict[str, Entry]) -> dict[str, Entry]:
        """Return *entries*, of the origin, with what only this node knows; keep it here."""
        known = learn(entries, self._read(Kind.PENDING, place))
        self._write(Kind.KNOWN, place, _subject_of(place), known)
        return known

    def _remember(self, place: Place, document: _Document) -> None:
        self._documents[place] = document
        self._documents.move_to_end(place)
        count = sum(len(one.entries) for one in self._documents.values())
        while count > KEPT_ENTRIES_MAX and len(self._documents) > 1:
            count -= len(self._documents.popitem(last=False)[1].entries)

    # --- publishing ------------------------------------------------------------------------------

    async def publish(self) -> int:
        """Bring what is pending to the origins; return how many manifests went. Never raises.

        What cannot go now stays, and is tried at the next call.
        """
        if self._shared is None or not self._publish:
            return 0
        count = 0
        away: set[str] = set()
        async with self._publishing:
            for place in await self._in_thread(self._store.places, Kind.PENDING):
                spec = self._spec_of(place.show)
                origin = None if spec is None else origin_of(spec)
                if origin is None or origin in away:
                    continue
                if self._clock() < self._left_alone.get(origin, 0.0):
                    continue
                outcome = await self._publish_one(self._shared, origin, place)
                self._metrics.recordings_published[outcome].inc()
                count += outcome == "published"
                if outcome == "refused":
                    self._left_alone[origin] = self._clock() + REFUSED_PAUSE_S
                if outcome == "unavailable":
                    away.add(origin)
        return count

    async def _publish_one(self, shared: Shared, origin: str, place: Place) -> str:
        """Bring one manifest to *origin*; return what became of it."""
        fresh = await self._in_thread(self._read, Kind.PENDING, place)
        subject = _subject_of(place)
        key = f"{DIRECTORY}/{place.group}/{place.name}"
        self._meanwhile[place] = {}
        try:
            entries: dict[str, Entry] | None = None
            if fresh:
                entries, revision, _ = await shared.merge_in(origin, key, subject, fresh)
            with trio.CancelScope(shield=True):
                known = await self._in_thread(self._published, place, subject, entries)
            if fresh:
                self._remember(place, _Document(known, revision, self._clock()))
        except REFUSED as error:
            log.warning("recordings stay on this node: %s", error)
            return "refused"
        except TierError as error:
            log.info("a recording waits for its origin: %s", error)
            return "unavailable"
        except ShotfsError as error:
            log.warning("recording %s is not published: %s", key, error)
            return "failed"
        finally:
            self._meanwhile.pop(place, None)
        return "published"

    def _published(
        self, place: Place, subject: Subject, entries: dict[str, Entry] | None
    ) -> dict[str, Entry]:
        """Note that the origin has *entries*; what was learned meanwhile still waits."""
        meanwhile = self._meanwhile.get(place) or {}
        if meanwhile:
            self._write(Kind.PENDING, place, subject, meanwhile)
        else:
            self._store.remove(Kind.PENDING, place)
        if entries is None:
            return {}
        known = learn(entries, meanwhile)
        self._write(Kind.KNOWN, place, subject, known)
        return known

    # --- scanners --------------------------------------------------------------------------------

    async def weights(self, show: str) -> Weights:
        """Return what the claims of scanners were worth in *show*, as far as this node knows."""
        return await self._in_thread(self._weights, show)

    async def measured(self, show: str, scores: Iterable[Score]) -> None:
        """Keep how good scanners were in one comparison."""
        await self._in_thread(self._measured, show, list(scores))

    def _weights(self, show: str) -> Weights:
        try:
            rows = json.loads(self._store.read(Kind.KNOWN, _weights_place(show)) or b"{}")
            return Weights({name: (float(c), float(r)) for name, (c, r) in rows.items()})
        except (ValueError, TypeError, AttributeError):
            log.warning("what scanners were worth in %s is damaged, and forgotten", show)
            return Weights({})

    def _measured(self, show: str, scores: list[Score]) -> None:
        measured = self._weights(show).with_scores(scores).measured
        rows = json.dumps(dict(measured)).encode("ascii")
        self._store.write(Kind.KNOWN, _weights_place(show), rows)

    # --- what is here ----------------------------------------------------------------------------

    async def stored(self) -> list[tuple[Subject, bool]]:
        """Return what this node has manifests of, those written last at the end; and whether
        something of it is not in the origin yet.
        """

        def places() -> list[tuple[Subject, bool]]:
            pending = set(self._store.places(Kind.PENDING)) if self._publish else set()
            return [
                (_subject_of(place), place in pending)
                for place in self._store.places(Kind.KNOWN)
                if place.group.count("/") == 2
            ]

        return await self._in_thread(places)

    async def pending_count(self) -> int:
        """Return how many manifests wait for their origin."""
        if not self._publish:
            return 0
        return len(await self._in_thread(self._store.places, Kind.PENDING))

    # --- in a thread -----------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def beside() -> T:
            with beside_the_event_loop():
                return work(*args, **kwargs)

        return await trio.to_thread.run_sync(beside, limiter=self._disk)

    def _read(self, kind: Kind, place: Place) -> dict[str, Entry]:
        data = self._store.read(kind, place)
        if data is None:
            return {}
        try:
            return decode(data, "/".join(place))
        except ManifestInvalid as error:
            log.warning("recording dropped: %s", error)
            self._store.remove(kind, place)
            return {}

    def _write(
        self, kind: Kind, place: Place, subject: Subject, entries: Mapping[str, Entry]
    ) -> None:
        said = replace(subject, job="")
        self._store.write(kind, place, encode(said, entries, self._node))


def _weights_place(show: str) -> Place:
    # Beside the groups of shots, which have three elements.
    return Place(show, "scanners", "weights.json")


def _subject_of(place: Place) -> Subject:
    shot, task, view = (text_of_element(one) for one in place.group.split("/"))
    frame = frame_of_name(place.name) or ""
    return Subject(show=place.show, shot=shot, task=task, frame=frame, view=view)
