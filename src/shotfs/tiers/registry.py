"""From a URL to its tier: the one place that knows which adapter serves which scheme.

A new kind of tier is one module and one line in `_ADAPTERS`. Adapters import their heavy
libraries when they are first asked for something, not here.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from shotfs.config import Settings
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Tier
from shotfs.tiers.breaker import Breaker, BreakerTier, BreakerWatch
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.keys import parse_root
from shotfs.tiers.retry import Retrier, RetryingTier
from shotfs.tiers.traced import TracedTier


def _gcs(origin: Origin) -> Tier:
    from shotfs.tiers.cloud.gcs import GcsTier

    return GcsTier(origin)


def _s3(origin: Origin) -> Tier:
    from shotfs.tiers.cloud.s3 import S3Tier

    return S3Tier(origin)


def _local(origin: Origin) -> Tier:
    from shotfs.tiers.cloud.local import LocalTier

    return LocalTier(origin)


def _http(origin: Origin) -> Tier:
    from shotfs.tiers.cloud.http import HttpTier

    return HttpTier(origin)


def _generic(origin: Origin) -> Tier:
    from shotfs.tiers.cloud.generic import GenericTier

    return GenericTier(origin)


_ADAPTERS: dict[str, Callable[[Origin], Tier]] = {
    "gs": _gcs,
    "s3": _s3,
    "file": _local,
    "http": _http,
    "https": _http,
}


def open_adapter(url: str, settings: Settings) -> Tier:
    """Return the bare adapter of *url*: no retries, no metrics.

    Raises:
        Unsupported: nothing can open this kind of URL.
    """
    root = parse_root(url)
    origin = Origin(root, settings.origin_for(root.name), settings.network)
    return _ADAPTERS.get(root.scheme, _generic)(origin)


async def open_tier(
    url: str, settings: Settings, metrics: Metrics, watch: BreakerWatch | None = None
) -> Tier:
    """Return the tier of the root *url*, with retries and metrics. Nothing is connected yet.

    In a thread, because the implementation of a foreign kind of URL may take long to import.

    Args:
        url: of the root.
        settings: of this node.
        metrics: where requests are counted.
        watch: probes for its breaker; None: it has none, which suits commands that end soon.

    Raises:
        Unsupported: nothing can open this kind of URL.
    """
    adapter = await trio.to_thread.run_sync(open_adapter, url, settings)
    tier: Tier = TracedTier(adapter, metrics)
    if watch is not None:
        breaker = Breaker(tier.name, tier.check, settings.network, metrics, suspect=watch.suspected)
        watch.add(breaker)
        tier = BreakerTier(tier, breaker)
    return RetryingTier(tier, Retrier(tier.name, settings.network, metrics))


async def open_near_tier(url: str, settings: Settings, metrics: Metrics) -> Tier:
    """As `open_tier`, without retries: for a faster tier, whose readers can go to the origin."""
    adapter = await trio.to_thread.run_sync(open_adapter, url, settings)
    return TracedTier(adapter, metrics)
