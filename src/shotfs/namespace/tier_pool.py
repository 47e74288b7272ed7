"""Tier pool: one open tier for each origin URL, shared by everything in the process."""

from __future__ import annotations

import logging

import trio

from shotfs.config import Settings
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Tier
from shotfs.tiers.registry import open_tier

log = logging.getLogger(__name__)


class TierPool:
    """Opens tiers on first use and closes them all at the end. One event loop only."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._tiers: dict[str, Tier] = {}
        self._lock = trio.Lock()

    def all(self) -> list[Tier]:
        """Return every tier that was opened, in the order of opening."""
        return list(self._tiers.values())

    def opened(self, url: str) -> Tier | None:
        """Return the tier of *url* if it was opened before. Does not wait."""
        return self._tiers.get(url)

    async def get(self, url: str) -> Tier:
        """Return the tier of the origin *url*, opened now if it is the first use.

        Raises:
            Unsupported: nothing can open this kind of URL.
            TierError: as `tiers.base.Tier`.
        """
        tier = self._tiers.get(url)
        if tier is not None:
            return tier
        async with self._lock:
            tier = self._tiers.get(url)
            if tier is None:
                tier = self._tiers[url] = await open_tier(url, self._settings, self._metrics)
                log.info("origin opened", extra={"origin": tier.name})
        return tier

    async def aclose(self) -> None:
        """Close every tier. Errors are logged: there is nothing left to save by raising."""
        tiers, self._tiers = list(self._tiers.values()), {}
        for tier in tiers:
            with trio.CancelScope(shield=True), trio.move_on_after(5):
                try:
                    await tier.aclose()
                except Exception:
                    log.exception("closing an origin failed", extra={"origin": tier.name})
