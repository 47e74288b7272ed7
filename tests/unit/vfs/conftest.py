"""A world for each test: see `world.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.namespace.origin import Origin
from tests.unit.vfs.world import Site, World


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Disk and origins of a node that is not started yet."""
    site = Site(tmp_path)

    async def open_tier(url: str, *_: Any) -> Origin:
        return {one.name: one for one in (site.origin, site.second)}[url]

    monkeypatch.setattr("shotfs.namespace.tier_pool.open_tier", open_tier)
    return site


@pytest.fixture
async def world(site: Site) -> AsyncIterator[World]:
    """A node that runs."""
    async with site.open() as opened:
        yield opened
