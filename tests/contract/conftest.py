"""Fixtures of the contract suite: a place, and the tier at it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Tier
from shotfs.tiers.breaker import BreakerWatch
from shotfs.tiers.registry import open_tier
from tests.contract.cut_off import gcs_store, s3_store, store
from tests.contract.places import PLACES, Place

__all__ = ["gcs_store", "s3_store", "store"]


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """An empty place; the test's `at` says where."""
    return PLACES[request.param](request)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def tier(place: Place, metrics: Metrics) -> AsyncIterator[Tier]:
    """The tier at the place, as the service opens it."""
    opened = await open_tier(place.url, place.settings(), metrics, BreakerWatch())
    yield opened
    await opened.aclose()
