"""The worlds of the vfs tests, seen from above."""

from tests.unit.vfs.conftest import site, world

__all__ = ["site", "world"]
