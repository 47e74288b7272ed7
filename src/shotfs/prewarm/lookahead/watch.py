"""The look-ahead: is told of opens, concludes what will be opened next, has it fetched.

`opened` is in the way of an open, so it only puts a note into a queue; one task reads that and
thinks. `guesses` concludes, `fetching` fetches, `budget` says what that may cost, `ledger` whether
the guesses were right.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import trio

from shotfs.cache import Cache
from shotfs.config import Settings
from shotfs.errors import ShotfsError
from shotfs.namespace.shows import ShowSet
from shotfs.observe.metrics import Metrics
from shotfs.prewarm.finding import Finder
from shotfs.prewarm.lookahead.budget import Budget
from shotfs.prewarm.lookahead.fetching import Fetches
from shotfs.prewarm.lookahead.guesses import Guesses
from shotfs.prewarm.lookahead.large import LargeFiles, LargeRead, comes_in_parts
from shotfs.prewarm.lookahead.ledger import Ledger, LookAheadReport
from shotfs.prewarm.lookahead.recorded import Recordings
from shotfs.prewarm.lookahead.shapes import Shapes
from shotfs.prewarm.watching import Created, Opened, Reader, ReadNotes, WholeFile
from shotfs.tiers.base import Span

log = logging.getLogger(__name__)

NOTES_MAX = 16_384
"""Opens that wait to be thought about; of more the oldest are not learned from."""

NOTES_AT_ONCE = 32
"""Opens that are thought about in one go: about a millisecond of the event loop."""


class LookAhead:
    """Watches opens and fetches ahead. An `OpenWatch`; `run` must run.

    Args:
        settings: of the node.
        shows: whose specifications say where frames and tiles stand.
        cache: where files go.
        metrics: counts what came of it.
    """

    def __init__(self, settings: Settings, shows: ShowSet, cache: Cache, metrics: Metrics) -> None:
        self._enabled = settings.lookahead.enabled
        self._cache = cache
        self._metrics = metrics
        self._shapes = Shapes(shows)
        self._large = LargeFiles()
        self._ledger = Ledger(metrics)
        self._budget = Budget(settings.lookahead, cache, settings.cache.bytes_max, self._ledger)
        self._notes: deque[Opened] = deque(maxlen=NOTES_MAX)
        self._wake = trio.Event()
        self._fetches: Fetches | None = None
        self._thinking = False

    @property
    def idle(self) -> bool:
        """Whether nothing that was told waits to be thought about, looked at or fetched."""
        fetches_idle = self._fetches is None or self._fetches.idle
        return not self._notes and not self._thinking and fetches_idle

    @property
    def wants(self) -> bool:
        """Whether it is switched on."""
        return self._enabled

    def opened(self, opened: Opened) -> ReadNotes | None:
        """Note an open. Of large files it is watched what of them is read."""
        self._notes.append(opened)
        self._wake.set()
        size_bytes, policy = opened.revision.size_bytes, opened.resolution.template.policy
        if not comes_in_parts(policy.fill, size_bytes):
            return None
        shape = self._shapes.of(opened.path, opened.resolution).shape.key
        return LargeRead(
            self._large.file(shape, opened.path, size_bytes),
            partial(self._was_read, opened),
            partial(self._learned, shape),
            partial(self._was_closed, opened.path),
        )

    def _was_read(self, opened: Opened, start: int, stop: int) -> None:
        self._ledger.read(opened.path, opened.revision, Span(start, stop), trio.current_time())

    def _was_closed(self, path: str) -> None:
        self._ledger.closed(path, trio.current_time())

    def _learned(self, shape: str) -> None:
        if self._fetches is not None:
            self._fetches.learned(shape)

    def opened_again(
        self, reader: Reader, files: Sequence[WholeFile], at_s: Sequence[float]
    ) -> None:
        """Note opens that were answered without the event loop."""
        self._notes.extend(
            Opened(file.path, file.revision, file.resolution, reader, when, warm=True)
            for file, when in zip(files, at_s, strict=True)
        )
        self._wake.set()

    def tell_changes(self, changed: Callable[[], None]) -> None:
        """Nothing changes: it is switched on or off when the service starts."""

    def created(self, created: Created) -> None:
        """Outputs tell nothing that opens do not."""

    async def run(self, finder: Finder, recordings: Recordings | None = None) -> None:
        """Think and fetch, for ever.

        Args:
            finder: says what a path is.
            recordings: what others have read; None: only what this node sees.
        """
        if not self._enabled:
            return
        fetches = self._fetches = Fetches(
            finder, self._cache, self._budget, self._ledger, self._metrics, self._large
        )
        guesses = Guesses(finder, fetches, self._ledger, self._shapes, self._large, recordings)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetches.run)
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                self._thinking = True
                while self._notes:
                    for _ in range(min(NOTES_AT_ONCE, len(self._notes))):
                        await _follow(guesses, self._notes.popleft())
                    await trio.lowlevel.checkpoint()
                guesses.trim()
                self._thinking = False

    def report(self) -> LookAheadReport:
        """Return what it does and what came of it."""
        return self._ledger.report(
            trio.current_time(), enabled=self._enabled, bytes_max=self._budget.bytes_max
        )


async def _follow(guesses: Guesses, opened: Opened) -> None:
    try:
        await guesses.follow(opened)
    except (ShotfsError, ArithmeticError) as error:
        log.debug("look-ahead cannot follow", extra={"path": opened.path, "reason": str(error)})
    except Exception:  # a guess must not end the mount
        log.exception("look-ahead failed unexpectedly", extra={"path": opened.path})
