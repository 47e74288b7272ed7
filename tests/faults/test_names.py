"""A store whose name has no address for a while."""

from __future__ import annotations

import errno

import pytest

from tests.faults.conftest import IMPATIENT
from tests.faults.field import Seen, read
from tests.faults.surroundings import Surroundings
from tests.fuse.conftest import NewNode
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel


def _node_of(gcs: GcsBucket, new_node: NewNode) -> ShotfsNode:
    endpoint = f"http://store.invalid:{gcs.server.port}"
    origin = f'[origins."gs://{gcs.bucket}"]\nendpoint_url = "{endpoint}"\nanonymous = true\n'
    return new_node(f"gs://{gcs.bucket}/ant", settings=IMPATIENT + origin)


def test_s07_a_store_without_an_address_is_enetdown_and_cached_files_work(
    new_node: NewNode, gcs: GcsBucket, surroundings: Surroundings
) -> None:
    for name in ("warm", "cold", "unseen"):
        gcs.put(f"ant/library/{name}.png", name.encode())
    surroundings.resolve_names(found=True)
    node = _node_of(gcs, new_node).mount()
    library = node.show / "library"
    assert read(library / "warm.png") == Seen(b"warm", 0)
    assert (library / "cold.png").stat().st_size == 4

    surroundings.resolve_names(found=False)
    # Connections that are open need no address: the server closes them, as it does after a time.
    gcs.server.go_down()
    gcs.server.come_up()
    assert read(library / "warm.png") == Seen(b"warm", 0)
    for name in ("cold.png", "unseen.png"):
        assert read(library / name) == Seen(b"", errno.ENETDOWN)

    surroundings.resolve_names(found=True)
    for name in ("warm", "cold", "unseen"):
        wait_until(lambda name=name: read(library / f"{name}.png") == Seen(name.encode(), 0))


def test_s07_a_node_mounts_while_its_store_has_no_address_yet(
    new_node: NewNode, gcs: GcsBucket, surroundings: Surroundings
) -> None:
    gcs.put("ant/library/oak.png", b"oak")
    node = _node_of(gcs, new_node).mount()
    path = node.show / "library/oak.png"
    assert read(path) == Seen(b"", errno.ENETDOWN)
    node.wait_logged("WARN", "origin unreachable", "store.invalid")
    surroundings.resolve_names(found=True)
    wait_until(lambda: read(path) == Seen(b"oak", 0))
