"""Fixtures for pages that show a mount."""

from tests.fuse.conftest import new_node  # noqa: F401  # pytest finds fixtures by their names here
