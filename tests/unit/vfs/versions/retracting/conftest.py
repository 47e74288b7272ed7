"""Nodes whose specification lets versions be taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.unit.vfs.versioned import (
    APPROVED,
    FRAME,
    SECOND_FRAME,
    VersionNode,
    open_version_node,
    retractable,
)
from tests.unit.vfs.versions.retracting.marks import OLDER, OLDER_FRAME
from tests.unit.vfs.world import Site


@pytest.fixture
async def node(site: Site, tmp_path: Path) -> AsyncIterator[VersionNode]:
    async with open_version_node(
        tmp_path / "a", site.origin, site.clock, document=retractable()
    ) as opened:
        yield opened


@pytest.fixture
async def other(site: Site, tmp_path: Path) -> AsyncIterator[VersionNode]:
    async with open_version_node(
        tmp_path / "b", site.origin, site.clock, document=retractable()
    ) as opened:
        yield opened


@pytest.fixture
async def two(node: VersionNode) -> VersionNode:
    """The node that published v004 and then v005; `latest` and `approved` point to v005."""
    await node.make(OLDER_FRAME, b"old pixels")
    await node.seal(OLDER)
    node.clock.advance(1)
    await node.make(FRAME, b"pixels")
    await node.make(SECOND_FRAME, b"more")
    await node.seal()
    await node.move(APPROVED, "v005")
    return node
