"""Scrub: every blob is hashed once in some days, slowly, so that what a disk forgets is found.

A pass goes through the blobs in the order of their digests. Those are as good as random, so the
blobs of each moment are spread evenly over a pass: what comes behind the position is new and was
hashed when it came, and what is before it has its turn, whatever is evicted meanwhile. How far the
pass should be follows from the time since it began; the position survives restarts in a small file.
Event loop only.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import trio

from shotfs.cache.blob_check import Outcome
from shotfs.cache.verify import Rate, Verifier
from shotfs.digest import parse_digest
from shotfs.observe.metrics import Metrics

log = logging.getLogger(__name__)

DAY_S = 86_400.0

LOOK_S = 10.0
"""How often a scrub that is ahead of its time looks whether it is due again."""

PAUSE_S = 1.0
"""How long it steps back when somebody wants the disk."""

PATIENCE_SHARE = 0.1
"""A pass that is behind by more than this share of its days goes on under load, too: on a node that
is never idle nothing would be scrubbed."""

SAVE_S = 60.0
"""How often the position is written: that much is hashed twice after a kill."""

_DIGITS = 32
_END = "f" * _DIGITS


@dataclass(slots=True)
class Pass:
    """One pass over the cache.

    Attributes:
        after: digest of the blob that was checked last; "" at the beginning.
        began_s: when it began, seconds since the epoch.
    """

    after: str = ""
    began_s: float = 0.0

    @property
    def share(self) -> float:
        """How far it is, from 0 to 1."""
        return int(self.after, 16) / 16**_DIGITS if self.after else 0.0


class Scrub:
    """Hashes the cache again and again. `run` is its life.

    Args:
        verifier: does the work.
        path: file that keeps the position.
        days: in how many days each blob is hashed once.
        bytes_per_s: how fast it may read, also to catch up.
        busy: whether somebody wants the disk now.
        metrics: where to count.
        wall_s: the time of day, seconds since the epoch; a test may replace it.
    """

    def __init__(
        self,
        verifier: Verifier,
        path: str,
        *,
        days: float,
        bytes_per_s: int,
        busy: Callable[[], bool],
        metrics: Metrics,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._verifier = verifier
        self._path = path
        self._pass_s = days * DAY_S
        self._bytes_per_s = bytes_per_s
        self._busy = busy
        self._metrics = metrics
        self._wall_s = wall_s
        self._saved_at = 0.0
        self.now = Pass()

    async def run(self) -> None:
        """Scrub for ever; cancel to stop. The position is kept."""
        self.now = await trio.to_thread.run_sync(_load, self._path)
        if not self.now.began_s:
            self.now.began_s = self._wall_s()
        try:
            while True:
                await self._one_pass()
        finally:
            with trio.CancelScope(shield=True):
                await self._save()

    async def _one_pass(self) -> None:
        walk = self._verifier.walk(self.now.after)
        rate = Rate(self._bytes_per_s)
        try:
            while True:
                await self._turn()
                part = await self._verifier.advance(walk, rate)
                if part is None:
                    break
                for one in part.checked:
                    if one.outcome is Outcome.CORRUPT:
                        await self._verifier.found_corrupt(one, "scrub", drop=True)
                    self.now.after = one.digest
                self._metrics.cache_scrub_position.set(self.now.share)
                if trio.current_time() - self._saved_at >= SAVE_S:
                    await self._save()
        except OSError as error:
            # Nothing is lost: the next look begins where this one ended.
            log.warning("the scrub cannot read the cache", extra={"reason": str(error)})
            await trio.sleep(SAVE_S)
            return
        finally:
            walk.close()
        await self._finish()

    async def _finish(self) -> None:
        """Begin the next pass, when the days of this one are over."""
        if self.now.after != _END:
            self._metrics.cache_scrub_passes.inc()
            self.now.after = _END
            await self._save()
        while self._due() < 1:  # noqa: ASYNC110  # the time of day has no event
            await trio.sleep(LOOK_S)
        self.now = Pass(began_s=self._wall_s())
        self._metrics.cache_scrub_position.set(0)
        await self._save()

    async def _turn(self) -> None:
        """Return when the next slice is due and nobody else wants the disk."""
        while True:
            behind = self._due() - self.now.share
            if behind <= 0:
                await trio.sleep(LOOK_S)
            elif behind < PATIENCE_SHARE and self._busy():
                await trio.sleep(PAUSE_S)
            else:
                return

    def _due(self) -> float:
        """Return how far the pass should be by now; 1 or more: at its end."""
        elapsed_s = self._wall_s() - self.now.began_s
        if elapsed_s < 0:
            # The clock went back: what was done stays done, and the rest takes its time.
            elapsed_s = self.now.share * self._pass_s
            self.now.began_s = self._wall_s() - elapsed_s
        return elapsed_s / self._pass_s

    async def _save(self) -> None:
        self._saved_at = trio.current_time()
        try:
            await trio.to_thread.run_sync(_store, self._path, self.now)
        except OSError as error:
            log.warning("the scrub's position was not written", extra={"reason": str(error)})


def _load(path: str) -> Pass:
    """Return the pass that was interrupted; a new one if that is not known."""
    try:
        with open(path, encoding="ascii") as source:
            stored = json.load(source)
        found = Pass(stored["after"], float(stored["began_s"]))
        if found.after:
            parse_digest(found.after)
    except (OSError, ValueError, TypeError, KeyError):
        return Pass()
    return found


def _store(path: str, state: Pass) -> None:
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="ascii") as target:
        json.dump(asdict(state), target)
    os.replace(temporary, path)
