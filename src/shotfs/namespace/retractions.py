"""Retractions: which published versions were taken back, and taking them back.

What is asked is one listing for each directory that has versions, once for each time to live and
however many ask; each object is read when it is new. While an origin is slow or away what was known
last counts, on this node, also after a restart. Lines are added with a precondition, so of two who
do it at once neither overwrites the other's. One event loop.
"""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import trio

from shotfs.errors import (
    PreconditionFailed,
    RecordInvalid,
    TierError,
    TierUnavailable,
    VersionBusy,
)
from shotfs.namespace.alias_document import BYTES_MAX, TEXT_MAX, parse_time, time_text
from shotfs.namespace.aliases import KNOWN_ALIAS_WAIT_S, UNREACHABLE_PAUSE_S
from shotfs.namespace.own_objects import put_own, read_own, stat_own
from shotfs.namespace.records import Records
from shotfs.namespace.retraction_document import (
    Retraction,
    Standing,
    dump,
    encode,
    key_of,
    line_of,
)
from shotfs.namespace.retraction_objects import decoded, in_force, objects_in, read_history
from shotfs.namespace.single_flight import SingleFlight
from shotfs.namespace.tier_pool import TierSource
from shotfs.tiers.base import Revision, Tier

log = logging.getLogger(__name__)

DIRECTORIES_MAX = 20_000
"""Directories of which it is remembered what was taken back in them."""

READS_AT_ONCE = 16
"""Objects of one directory that are read at the same time."""

ADD_ATTEMPTS = 10
"""How often a line is tried again because somebody else added one meanwhile."""

_Key = tuple[str, str, str]
"""Root URL of the origin, directory, and name of the one version in it that was asked for: "" is
all of them, as it is where the origin can be listed."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """What was learned of one version: its line in force, or why the object says none."""

    revision: str
    line: Retraction | None
    asked_s: float
    damaged: str | None = None

    def hiding(self) -> Retraction | None:
        if self.damaged is not None:
            raise RecordInvalid(self.damaged)
        return self.line if self.line is not None and self.line.hides else None


@dataclass(slots=True)
class _Known:
    """The marks of one directory by name of the version, as of when, and until when unasked."""

    asked_s: float
    marks: dict[str, _Mark] = field(default_factory=dict)
    pause_s: float = float("-inf")


class Retractions:
    """Answers which versions were taken back, and takes them back.

    A version is named as in `Versions`.

    Args:
        tiers: whom to ask.
        nursery: where questions run; it must outlive every caller.
        records: where answers outlive a restart.
        monotonic_s: a clock for times to live that a test may replace.
        wall_s: the time of day, seconds since the epoch; likewise.
        at_ns: which moment is seen, nanoseconds since the epoch, for ever; None: today.
    """

    def __init__(
        self,
        tiers: TierSource,
        nursery: trio.Nursery,
        records: Records,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        wall_s: Callable[[], float] = time.time,
        at_ns: int | None = None,
    ) -> None:
        self._tiers = tiers
        self._records = records
        self._now_s = monotonic_s
        self._wall_s = wall_s
        self._at_ns = at_ns
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._questions: SingleFlight[_Key, _Known] = SingleFlight(nursery)

    # --- asking ----------------------------------------------------------------------------------

    async def of(self, origin: str, version: str, ttl_s: float) -> Retraction | None:
        """Return why *version* is not to be seen, as of at most *ttl_s* seconds ago; None: it is.

        While the origin is away: what was known last; None, if nothing was.

        Raises:
            RecordInvalid: its object is damaged.
            TierError: the origin answers, and not this.
        """
        directory, _, name = version.rpartition("/")
        known = await self._marks(await self._key(origin, directory, name), ttl_s)
        mark = known.marks.get(name)
        return None if mark is None else mark.hiding()

    async def within(self, origin: str, directory: str, ttl_s: float) -> frozenset[str]:
        """Return the names in *directory* of versions that were taken back; as `of`.

        What is damaged is not among them. Nothing is, if the origin cannot be listed.
        """
        key = await self._key(origin, directory, "")
        marks = (await self._marks(key, ttl_s)).marks
        hidden = (name for name, one in marks.items() if not one.damaged and one.hiding())
        return frozenset(hidden)

    async def ask(self, origin: str, version: str) -> Retraction | None:
        """Return the last line of *version*'s history as it is now; None: it has no history.

        Raises:
            TierError: the origin could not answer.
            RecordInvalid: its object is damaged.
        """
        asked_s = self._now_s()
        history, revision = await self._read_history(origin, version)
        await self._note(origin, version, revision, in_force(history, self._at_ns), asked_s)
        return history[-1] if history else None

    async def ask_within(self, origin: str, directory: str) -> None:
        """Ask now what was taken back in *directory*; nothing, if the origin cannot be listed.

        Raises:
            TierError: the origin could not answer.
        """
        key = await self._key(origin, directory, "")
        await self._questions.do(key, lambda: self._ask(key))

    async def history(self, origin: str, version: str) -> tuple[Retraction, ...]:
        """Return every line of *version*'s history, oldest first; asks its origin.

        Raises: as `ask`.
        """
        return (await self._read_history(origin, version))[0]

    def fresh_for_s(self, origin: str, version: str, ttl_s: float, *, max_s: float) -> float:
        """Return how long the last answer about *version* may still be trusted, in seconds."""
        if self._at_ns is not None:
            return max_s
        directory, _, name = version.rpartition("/")
        known = self._known.get((origin, directory, "")) or self._known.get(
            (origin, directory, name)
        )
        left_s = ttl_s if known is None else self._until_s(known, ttl_s) - self._now_s()
        return max(0.0, min(max_s, ttl_s, left_s))

    def remembered(self) -> dict[str, Retraction]:
        """Return the versions that are known to be taken back, from memory; asks nobody."""
        return {
            _join(directory, name): one.line
            for (_, directory, _), known in self._known.items()
            for name, one in known.marks.items()
            if one.line is not None and one.line.hides
        }

    async def _key(self, origin: str, directory: str, name: str) -> _Key:
        tier = self._tiers.opened(origin) or await self._tiers.get(origin)
        return origin, directory, "" if tier.properties.listable else name

    def _until_s(self, known: _Known, ttl_s: float) -> float:
        return max(known.asked_s + ttl_s, known.pause_s)

    async def _marks(self, key: _Key, ttl_s: float) -> _Known:
        known = self._known.get(key)
        if self._at_ns is not None:
            ttl_s = float("inf")
        if known is None:
            known = await self._recalled(key)
        elif self._now_s() < self._until_s(known, ttl_s):
            return known
        try:
            if known is None:
                return await self._questions.do(key, lambda: self._ask(key))
            with trio.move_on_after(KNOWN_ALIAS_WAIT_S):
                return await self._questions.do(key, lambda: self._ask(key))
        except TierUnavailable as exc:
            log.info("taken for granted: %s", exc.message, extra={"path": key[1]})
        latest = self._known.setdefault(key, known or _Known(float("-inf")))
        latest.pause_s = self._now_s() + UNREACHABLE_PAUSE_S
        return latest

    async def _ask(self, key: _Key) -> _Known:
        origin, directory, name = key
        tier = await self._tiers.get(origin)
        asked_s = self._now_s()
        found = await self._objects(tier, key)
        before = self._known.get(key)
        known = _Known(asked_s)
        problems: list[TierError] = []
        limiter = trio.CapacityLimiter(READS_AT_ONCE)

        async def learn(name: str, revision: Revision) -> None:
            try:
                async with limiter:
                    mark = await self._read(tier, _join(directory, name), revision, asked_s)
                if mark is not None:
                    known.marks[name] = mark
            except TierError as exc:
                problems.append(exc)

        async with trio.open_nursery() as nursery:
            for name, revision in found.items():
                old = None if before is None else before.marks.get(name)
                if old is not None and old.revision == revision.version:
                    known.marks[name] = replace(old, asked_s=asked_s)
                else:
                    nursery.start_soon(learn, name, revision)
        if problems:
            raise problems[0]  # half an answer would show what was taken back
        latest = self._known.get(key)
        if latest is not None:
            # What this node did while the origin was thinking.
            newer = {name: one for name, one in latest.marks.items() if one.asked_s > asked_s}
            known.marks.update(newer)
        await self._remember(key, known)
        return known

    async def _objects(self, tier: Tier, key: _Key) -> Mapping[str, Revision]:
        origin, directory, name = key
        if not name:
            return await objects_in(tier, origin, directory)
        revision = await stat_own(tier, key_of(_join(directory, name)))
        return {} if revision is None else {name: revision}

    async def _read(
        self, tier: Tier, version: str, revision: Revision, asked_s: float
    ) -> _Mark | None:
        found = await read_own(tier, revision, bytes_max=BYTES_MAX)
        if found is None:
            return None
        data, revision = found
        try:
            history = await decoded(data, f"{tier.name}/{revision.key}", version)
        except RecordInvalid as exc:
            log.warning("%s", exc.message, extra={"path": version})
            return _Mark(revision.version, None, asked_s, str(exc))
        return _Mark(revision.version, in_force(history, self._at_ns), asked_s)

    async def _read_history(
        self, origin: str, version: str
    ) -> tuple[tuple[Retraction, ...], Revision | None]:
        return await read_history(await self._tiers.get(origin), version)

    # --- remembering -----------------------------------------------------------------------------

    async def _note(
        self,
        origin: str,
        version: str,
        revision: Revision | None,
        line: Retraction | None,
        asked_s: float,
    ) -> None:
        """Correct what is known of the directory of *version* by what was learned of it alone."""
        directory, _, name = version.rpartition("/")
        key = await self._key(origin, directory, name)
        before = self._known.get(key)
        if before is None:
            return  # the others in its directory are not known: they will be asked for together
        old = before.marks.get(name)
        if old is not None and old.asked_s > asked_s:
            return
        known = _Known(before.asked_s, dict(before.marks), before.pause_s)
        known.marks.pop(name, None)
        if revision is not None:
            known.marks[name] = _Mark(revision.version, line, asked_s)
        await self._remember(key, known)

    async def _remember(self, key: _Key, known: _Known) -> None:
        before = self._known.get(key)
        old = {} if before is None else _lines(before)
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > DIRECTORIES_MAX:
            self._known.popitem(last=False)
        lines = _lines(known)
        if lines == old:
            return
        for name, (_, line) in lines.items():
            if old.get(name) != lines[name]:
                log.warning("%s: %s", _join(key[1], name), line, extra={"path": key[1]})
        kept = {name: [version, dump(line)] for name, (version, line) in lines.items()}
        await self._records.write(self._record(key), json.dumps(kept).encode())

    async def _recalled(self, key: _Key) -> _Known | None:
        """Return what an earlier run knew, as of long ago."""
        data = await self._records.read(self._record(key))
        if data is None:
            return None
        long_ago_s = float("-inf")
        known = _Known(long_ago_s)
        try:
            for name, (version, row) in json.loads(data).items():
                known.marks[str(name)] = _Mark(str(version), line_of(row), long_ago_s)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None  # of another version of shotfs
        return self._known.setdefault(key, known)

    def _record(self, key: _Key) -> str:
        return f"retracted {self._at_ns or ''} {key[0]} {_join(key[1], key[2])}"

    # --- taking back -----------------------------------------------------------------------------

    async def add(
        self,
        origin: str,
        version: str,
        choose: Callable[[Retraction | None], Standing | None],
        *,
        by: str,
        why: str,
    ) -> tuple[Retraction | None, bool]:
        """Add a line to the history of *version*.

        Args:
            origin: root URL of its origin.
            version: its directory below that.
            choose: returns from the line that is in force what becomes of the version; None:
                nothing is added. May raise.
            by: who says so.
            why: kept in the history.

        Returns:
            The line that is in force, and whether it is new.

        Raises:
            VersionBusy: others do the same, faster than this node can.
            TierError: the origin could not answer; the line may be there or not.
        """
        tier = await self._tiers.get(origin)
        mine: Retraction | None = None
        for _ in range(ADD_ATTEMPTS):
            asked_s = self._now_s()
            history, revision = await self._read_history(origin, version)
            last = history[-1] if history else None
            # An answer may have been lost. Others may have gone on since; that counts.
            done = mine is not None and mine in history
            standing = None if done else choose(last)
            if standing is not None:
                at = self._next_time(last)
                mine = Retraction(standing, at, by[:TEXT_MAX], why[:TEXT_MAX])
                content = encode(version, (*history, mine))
                try:
                    revision = await put_own(
                        tier, key_of(version), content, expect=revision, at_s=parse_time(at)
                    )
                except PreconditionFailed:
                    continue
                last, done, asked_s = mine, True, self._now_s()
            await self._note(origin, version, revision, last, asked_s)
            return last, done
        raise VersionBusy(f"{version}: others change its history faster than this node can")

    def _next_time(self, last: Retraction | None) -> str:
        """Return the time of day, but later than *last*: another node's clock may be ahead."""
        now = time_text(self._wall_s())
        if last is None or now > last.at:
            return now
        return time_text(parse_time(last.at) + 1e-6)


def _lines(known: _Known) -> dict[str, tuple[str, Retraction]]:
    return {name: (one.revision, one.line) for name, one in known.marks.items() if one.line}


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory and name else directory or name
