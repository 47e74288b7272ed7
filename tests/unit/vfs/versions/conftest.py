"""Two nodes over one origin, and a version that is published."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shotfs.vfs import publishing
from tests.unit.vfs.versioned import (
    FRAME,
    NOTE,
    SECOND_FRAME,
    VersionNode,
    open_version_node,
)
from tests.unit.vfs.world import Site


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else uploads in most tests, so nobody is waited for."""
    monkeypatch.setattr(publishing, "SETTLE_S", 0.0)
    monkeypatch.setattr(publishing, "LOOK_AGAIN_S", 0.001)


@pytest.fixture
async def node(site: Site, tmp_path: Path) -> AsyncIterator[VersionNode]:
    async with open_version_node(tmp_path / "a", site.origin, site.clock) as opened:
        yield opened


@pytest.fixture
async def other(site: Site, tmp_path: Path) -> AsyncIterator[VersionNode]:
    async with open_version_node(tmp_path / "b", site.origin, site.clock) as opened:
        yield opened


@pytest.fixture
async def sealed(node: VersionNode) -> VersionNode:
    """The node that published a version of two frames in one directory, and notes."""
    await node.make(FRAME, b"pixels")
    await node.make(SECOND_FRAME, b"more")
    await node.make(NOTE, b"notes")
    await node.seal()
    return node
