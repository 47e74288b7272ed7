"""Budget: whether one more file may be fetched before anybody has opened it. Event loop only."""

from __future__ import annotations

from shotfs.cache import Cache
from shotfs.config.lookahead_models import LookaheadSettings
from shotfs.prewarm.finding import Found
from shotfs.prewarm.lookahead.ledger import Ledger, Track

CACHE_PARTS = 16
"""What waits to be opened takes no more than this part of the cache. New files are the first that
S3-FIFO evicts, from a tenth of the cache: more would push itself out."""

LOOK_S = 1.0
"""How often the cache and the origins are asked how they are."""


class Budget:
    """What look-ahead may spend.

    Args:
        settings: of the configuration.
        cache: must not be full.
        cache_bytes_max: its size.
        ledger: knows what waits.
    """

    def __init__(
        self, settings: LookaheadSettings, cache: Cache, cache_bytes_max: int, ledger: Ledger
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._ledger = ledger
        self._bytes_max = min(settings.bytes_max, cache_bytes_max // CACHE_PARTS)
        self._full, self._full_at_s = False, float("-inf")
        self._warned: dict[str, tuple[float, bool]] = {}

    @property
    def bytes_max(self) -> int:
        """How much may wait to be opened, of all jobs together."""
        return self._bytes_max

    def refusal(self, found: Found, track: Track, now_s: float, size_bytes: int) -> str:
        """Return why *found* is not fetched now; "": it may be.

        Args:
            found: the file.
            track: for whom.
            now_s: the event loop's clock.
            size_bytes: how much of it.
        """
        if (
            self._ledger.bytes + size_bytes > self._bytes_max
            or track.purse.bytes + size_bytes > self._settings.job_bytes_max
        ):
            return "budget"
        if self._cache_full(now_s):
            return "cache"
        if self._egress_warned(found.revision.tier, now_s):
            return "egress"
        return ""

    def _cache_full(self, now_s: float) -> bool:
        """Whether files could not be kept lately: all is pinned, or others have filled the disk."""
        if now_s - self._full_at_s >= LOOK_S:
            self._full, self._full_at_s = bool(self._cache.stats().full), now_s
        return self._full

    def _egress_warned(self, origin: str, now_s: float) -> bool:
        """Whether the budget of *origin* is used to its warning: the rest is for who waits."""
        at_s, warned = self._warned.get(origin, (float("-inf"), False))
        if now_s - at_s >= LOOK_S:
            use = self._cache.inspector.limits_of(origin).egress
            warned = use is not None and use.state != "ok"
            self._warned[origin] = (now_s, warned)
        return warned
