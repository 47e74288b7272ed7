"""A node over origins in memory for each test: see `tests.unit.vfs.world`."""

from __future__ import annotations

from tests.unit.vfs.conftest import site, world

__all__ = ["site", "world"]
