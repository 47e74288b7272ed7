"""Draining: to have as many outputs as possible safe within a deadline.

Owns the course of a drain: how long uploads may begin, when copies for the emergency place begin,
and when there is nothing more to be done. What moves, and in which order, is the publisher's; how a
copy is made is `emergency`'s. One event loop; several drains may run at once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import trio

from shotfs.errors import ShotfsError
from shotfs.publish.emergency import EmergencyPlace
from shotfs.publish.entry import SpoolEntry
from shotfs.publish.states import State

log = logging.getLogger(__name__)

EMERGENCY_SHARE = 0.3
"""Of the deadline: how much of its end is for copies, and no upload begins any more."""

EMERGENCY_S_MAX = 60.0
"""The longest that this may be."""

COPIES_AT_ONCE = 4
"""So many copies are sent at the same time: they share the link with uploads that are under way."""

ATTEMPTS_MAX = 3
"""How often one copy is tried; a tier has tried several times itself before it says no."""

LOOK_EVERY_S = 0.1
"""How often it is looked what is to be copied: a spool may hold many thousand files."""


@dataclass(slots=True, eq=False)
class Drain:
    """One drain that is running.

    Attributes:
        scope: ends it; its deadline is the drain's.
        copies: whether what is left is copied to the emergency place.
        copies_at: trio time from which everything that is left is copied; earlier only what has
            no prospect.
        writers: whether it waits for files that are open for writing.
        copying: outputs of which a copy is being made.
        copied: those of which one was made, and whether it was partial.
        failures: how often none could be made.
        closing: the last part has begun and there is something to copy: no upload begins.
        looks_at: trio time from which it is looked again what is to be copied.
    """

    scope: trio.CancelScope
    copies: bool
    copies_at: float
    writers: bool
    copying: set[SpoolEntry] = field(default_factory=set)
    copied: dict[SpoolEntry, bool] = field(default_factory=dict)
    failures: Counter[SpoolEntry] = field(default_factory=Counter)
    closing: bool = False
    looks_at: float = 0.0


class Draining:
    """Runs drains for a publisher.

    Args:
        left: returns the outputs that are not in the origin.
        moving: whether an output gets, or will soon get, nearer to the origin by itself.
        unfinished: whether somebody is writing, or about to name what he has written.
        gone: whether the origin of a root URL is not asked because it is gone.
        place: makes the copies.
        changed: told when what may begin has changed.
    """

    def __init__(
        self,
        *,
        left: Callable[[], Iterable[SpoolEntry]],
        moving: Callable[[SpoolEntry], bool],
        unfinished: Callable[[], bool],
        gone: Callable[[str], bool],
        place: EmergencyPlace,
        changed: Callable[[], None],
    ) -> None:
        self._left = left
        self._moving = moving
        self._unfinished = unfinished
        self._gone = gone
        self._place = place
        self._changed = changed
        self._running: list[Drain] = []
        self._progress = trio.Event()

    @property
    def active(self) -> bool:
        """Whether a drain runs: no grace, all slots, the smallest first."""
        return bool(self._running)

    @property
    def may_upload(self) -> bool:
        """Whether uploads may begin: not in the last part of a drain, which is for copies."""
        return not any(drain.closing for drain in self._running)

    def progressed(self) -> None:
        """Note that something has changed that a drain may wait for."""
        self._progress.set()
        self._progress = trio.Event()

    def hurry(self, deadline_s: float) -> None:
        """Let every drain that runs end within *deadline_s*."""
        now = trio.current_time()
        for drain in self._running:
            drain.scope.deadline = min(drain.scope.deadline, now + deadline_s)
            drain.copies_at = min(drain.copies_at, _copies_at(now, drain.scope.deadline))
        self.progressed()

    async def run(self, deadline_s: float, *, emergency: bool, writers: bool) -> None:
        """Return when nothing more can be done, at the latest after *deadline_s*.

        Args:
            deadline_s: how long it may take.
            emergency: copy what is left to the emergency place, if there is one.
            writers: wait for files that are open for writing.
        """
        now = trio.current_time()
        ends_at = now + deadline_s
        drain = Drain(
            trio.CancelScope(deadline=ends_at),
            copies=emergency and self._place.url is not None,
            copies_at=_copies_at(now, ends_at),
            writers=writers,
        )
        self._running.append(drain)
        self._changed()
        try:
            with drain.scope:
                async with trio.open_nursery() as nursery:
                    await self._follow(drain, nursery)
                    nursery.cancel_scope.cancel()
        finally:
            self._running.remove(drain)
            self._changed()

    async def _follow(self, drain: Drain, nursery: trio.Nursery) -> None:
        while True:
            moving = any(self._moving(entry) for entry in self._left())
            now = trio.current_time()
            wakes_at = float("inf")
            if drain.writers and not moving and self._unfinished():
                moving, wakes_at = True, now + LOOK_EVERY_S  # who gives up does not tell us
            if not moving:
                drain.copies_at = min(drain.copies_at, now)
            if drain.copies:
                looks = now >= drain.looks_at or not moving
                if looks:
                    self._start_copies(drain, nursery)
                    drain.looks_at = now + LOOK_EVERY_S
                # In the last part somebody who writes on makes no progress that we hear of.
                waits = looks and now < drain.copies_at
                wakes_at = min(wakes_at, drain.copies_at if waits else drain.looks_at)
            if not moving and not drain.copying:
                return
            with trio.move_on_at(wakes_at):
                await self._progress.wait()

    def _start_copies(self, drain: Drain, nursery: trio.Nursery) -> None:
        """Begin copies: of what has no prospect now, in the last part of the rest."""
        every = trio.current_time() >= drain.copies_at
        wanted = [
            entry
            for entry in self._left()
            if entry not in drain.copying
            and self._wants_copy(drain, entry)
            and (every or self._is_stuck(entry))
        ]
        # Whole files before halves of some; what is being uploaded may need no copy soon.
        wanted.sort(
            key=lambda entry: (
                self._place.is_partial(entry),
                entry.upload is not None,
                entry.size_bytes,
            )
        )
        for entry in wanted[: COPIES_AT_ONCE - len(drain.copying)]:
            drain.copying.add(entry)
            nursery.start_soon(self._copy, drain, entry)
        closing = every and bool(drain.copying)
        if closing != drain.closing:
            drain.closing = closing
            self._changed()

    def _wants_copy(self, drain: Drain, entry: SpoolEntry) -> bool:
        if entry.state is State.PUBLISHED or self._place.has(entry):
            return False
        if drain.failures[entry] >= ATTEMPTS_MAX:
            return False
        return drain.copied.get(entry) != self._place.is_partial(entry)

    def _is_stuck(self, entry: SpoolEntry) -> bool:
        """Whether waiting for the origin is of no use, so that its copy is made at once."""
        if entry.writers:
            return False
        bad = entry.aside or entry.state in (State.QUARANTINED, State.FAILED)
        return bad or (entry.terms is not None and self._gone(entry.terms.origin))

    async def _copy(self, drain: Drain, entry: SpoolEntry) -> None:
        partial = self._place.is_partial(entry)
        try:
            await self._place.copy(entry)
            drain.copied[entry] = partial
        except ShotfsError as error:
            log.warning("no emergency copy of %s: %s", entry.path, error.message)
            drain.failures[entry] += 1
        except Exception:  # a mistake of ours in one copy must not stop the others
            log.exception("an emergency copy of %s failed unexpectedly", entry.path)
            drain.failures[entry] = ATTEMPTS_MAX
        finally:
            drain.copying.discard(entry)
            self.progressed()


def _copies_at(now: float, ends_at: float) -> float:
    return ends_at - min(EMERGENCY_S_MAX, max(0.0, ends_at - now) * EMERGENCY_SHARE)
