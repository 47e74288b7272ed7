"""Tier pool: one open tier for each origin URL, shared by everything in the process."""

from __future__ import annotations

import functools
import logging
from typing import Protocol

import trio

from shotfs.config import Settings
from shotfs.errors import ShotfsError
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Policy
from shotfs.tiers.base import Revision, Tier
from shotfs.tiers.breaker import BreakerWatch
from shotfs.tiers.keys import parse_root
from shotfs.tiers.nearest import Near, NearestTier
from shotfs.tiers.registry import open_near_tier, open_tier

log = logging.getLogger(__name__)


@functools.lru_cache(maxsize=10_000)
def tier_name(url: str) -> str:
    """Return the name of the tier that a pool gives for the root *url*."""
    return parse_root(url).name


class TierSource(Protocol):
    """Gives tiers by their URLs; `TierPool` does."""

    def opened(self, url: str) -> Tier | None:
        """Return the tier of *url* if it was opened before. Does not wait."""
        ...

    async def get(self, url: str) -> Tier:
        """Return the tier of the root *url*. Raises as `TierPool.get`."""
        ...


class TierPool:
    """Opens tiers on first use and closes them all at the end. One event loop only.

    Attributes:
        breakers: of the origins. They open only while somebody runs `breakers.run`.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._tiers: dict[str, Tier] = {}
        self._nears: dict[str, Near | None] = {}
        self._readers: dict[tuple[str, ...], NearestTier] = {}
        self._lock = trio.Lock()
        self.breakers = BreakerWatch()

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
                tier = self._tiers[url] = await open_tier(
                    url, self._settings, self._metrics, self.breakers
                )
                log.info("origin opened", extra={"origin": tier.name})
        return tier

    def opened_reader(self, policy: Policy) -> Tier | None:
        """As `reader`, if everything was opened before. Does not wait."""
        if len(policy.tiers) == 1:
            return self._tiers.get(policy.origin)
        return self._readers.get(policy.tiers)

    async def reader(self, policy: Policy) -> Tier:
        """Return the origin of *policy*; its bytes come from the policy's faster tiers if they can.

        Raises: as `get`, for the origin. A faster tier that cannot be opened is left out.
        """
        origin = await self.get(policy.origin)
        urls = policy.tiers[:-1]
        if not urls:
            return origin
        nears = [near for url in urls if (near := await self.near(url)) is not None]
        return self._readers.setdefault(policy.tiers, NearestTier(origin, nears))

    def serving(self, policy: Policy, revision: Revision) -> str:
        """Return the name of the tier that the bytes of *revision* are read from."""
        reader = self._readers.get(policy.tiers)
        return revision.tier if reader is None else reader.serving(revision)

    def distrust(self, revision: Revision) -> None:
        """Read *revision* from its origin only: bytes of it were wrong."""
        for reader in self._readers.values():
            if reader.name == revision.tier:
                reader.distrust(revision)

    def opened_near(self, url: str) -> Near | None:
        """Return the faster tier of *url* if it was opened before. Does not wait."""
        return self._nears.get(url)

    async def near(self, url: str) -> Near | None:
        """Return the faster tier of *url*; None if it cannot be opened, which the log says."""
        async with self._lock:
            if url not in self._nears:
                self._nears[url] = await self._open_near(url)
        return self._nears[url]

    async def _open_near(self, url: str) -> Near | None:
        try:
            tier = await open_near_tier(url, self._settings, self._metrics)
        except ShotfsError as exc:
            log.warning("faster tier %s is left out: %s", url, exc)
            return None
        log.info("faster tier opened", extra={"origin": tier.name})
        return Near(tier, self._metrics)

    async def aclose(self) -> None:
        """Close every tier. Errors are logged: there is nothing left to save by raising."""
        nears = [near.tier for near in self._nears.values() if near is not None]
        tiers = [*self._tiers.values(), *nears]
        self._tiers, self._nears, self._readers = {}, {}, {}
        for tier in tiers:
            with trio.CancelScope(shield=True), trio.move_on_after(5):
                try:
                    await tier.aclose()
                except Exception:
                    log.exception("closing an origin failed", extra={"origin": tier.name})
