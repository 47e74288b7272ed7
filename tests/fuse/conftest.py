"""Fixtures that mount for real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.node import ShotfsNode
from tests.servers.handles import GcsBucket

NewNode = Callable[..., ShotfsNode]


@pytest.fixture
def new_node(tmp_path: Path) -> Iterator[NewNode]:
    """Return a function that makes a node (not mounted) with its own directory."""
    with ExitStack() as stack:
        count = 0

        def make(origin: str, **arguments: Any) -> ShotfsNode:
            nonlocal count
            count += 1
            node = ShotfsNode(tmp_path / f"node{count}", origin, **arguments)
            stack.callback(node.clear)
            return node

        yield make


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A directory that serves as the origin of the show."""
    path = tmp_path / "origin"
    path.mkdir()
    return path


@pytest.fixture
def node(new_node: NewNode, origin: Path) -> ShotfsNode:
    """A mounted node whose origin is a local directory."""
    return new_node(f"file://{origin}").mount()


@pytest.fixture
def gcs_node(new_node: NewNode, gcs: GcsBucket) -> ShotfsNode:
    """A mounted node whose origin is a bucket of the strict GCS server."""
    return new_node(f"gs://{gcs.bucket}/ant", settings=gcs_settings(gcs)).mount()


@pytest.fixture
def as_nobody(tmp_path: Path) -> list[str]:
    """The prefix of a command that runs as another user, who may reach the mount points."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory == Path("/tmp") or directory == Path("/"):
            break
        directory.chmod(0o755)
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def gcs_settings(gcs: GcsBucket) -> str:
    """Return the configuration of the origin *gcs*."""
    return f'[origins."gs://{gcs.bucket}"]\nendpoint_url = "{gcs.endpoint}"\nanonymous = true\n'
