"""The probe that decides whether an origin is gone, over a real store."""

from __future__ import annotations

from contextlib import suppress

import trio

from shotfs.config import Settings
from shotfs.errors import TierTimeout
from shotfs.observe.metrics import Metrics
from shotfs.tiers.breaker import BreakerWatch
from shotfs.tiers.registry import open_tier
from tests.contract.places import NETWORK
from tests.servers.faults import Fault
from tests.servers.handles import GcsBucket

ASKERS = 12
CONNECTIONS = 2


async def test_s07_objects_that_stall_take_no_place_from_the_probe(gcs: GcsBucket) -> None:
    gcs.fault(Fault("stall", operation="stat", object=".*stalled-.*", times=None))
    limits = {"connections_max": CONNECTIONS, "metadata_timeout_s": 1, "attempts_max": 1}
    settings = Settings(
        network={**NETWORK, **limits},  # type: ignore[arg-type]  # pydantic parses it
        origins={gcs.url.rstrip("/"): {"endpoint_url": gcs.endpoint, "anonymous": True}},  # type: ignore[dict-item]  # as above
    )
    watch = BreakerWatch()
    tier = await open_tier(gcs.url, settings, Metrics(), watch)
    breaker = watch.of(tier.name)
    assert breaker is not None
    failures = 0
    enough = trio.Event()

    async def ask(number: int) -> None:
        nonlocal failures
        while True:
            with suppress(TierTimeout):  # and not OriginDown
                await tier.stat(f"stalled-{number}")
            failures += 1
            if failures == 2 * ASKERS:
                enough.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        for number in range(ASKERS):
            nursery.start_soon(ask, number)
        await enough.wait()
        nursery.cancel_scope.cancel()
    assert breaker.opens_total == 0, breaker.last_error
    await tier.aclose()
