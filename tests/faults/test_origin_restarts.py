"""A store that is started anew while a node reads from it: the same port, its connections reset."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.conftest import IMPATIENT
from tests.faults.field import MIB, Reader, Seen, content, of_content, read
from tests.fuse.conftest import NewNode
from tests.fuse.node import ShotfsNode
from tests.servers.handles import GcsBucket
from tests.servers.http_proxy import HttpProxy, Rule

pytestmark = pytest.mark.kernel

PATIENT = "attempts_max = 50\nrange_bytes = 1048576\n"
"""More attempts than a restart lasts, however the pauses between them fall."""


@pytest.fixture
def network(gcs: GcsBucket, http_proxy: Callable[[int], HttpProxy]) -> HttpProxy:
    return http_proxy(gcs.server.port)


@pytest.fixture
def node(gcs: GcsBucket, network: HttpProxy, new_node: NewNode) -> ShotfsNode:
    settings = IMPATIENT.replace("attempts_max = 2\n", PATIENT)
    settings += f'[origins."gs://{gcs.bucket}"]\nendpoint_url = "{network.endpoint}"\n'
    node = new_node(f"gs://{gcs.bucket}/ant", settings=settings + "anonymous = true\n")
    return node.mount()


def _restart(network: HttpProxy) -> None:
    network.go_down()
    network.come_up()


@pytest.mark.parametrize("at", [0, 3 * MIB // 2, 3 * MIB - 1])
def test_s07_a_restart_while_a_file_streams_in_is_not_noticed(
    node: ShotfsNode, gcs: GcsBucket, network: HttpProxy, at: int
) -> None:
    data = content("movie", 3 * MIB)
    gcs.put("ant/library/movie.mov", data)
    hold = network.rule(Rule("stall", of_content, at=at))
    with Reader(node.show / "library/movie.mov") as reader:
        hold.wait_hits()
        _restart(network)
        hold.release()
        assert reader.seen() == Seen(data, 0)


def test_s07_a_restart_while_a_path_is_looked_up_is_not_noticed(
    node: ShotfsNode, gcs: GcsBucket, network: HttpProxy
) -> None:
    gcs.put("ant/library/oak.png", b"oak")
    hold = network.rule(Rule("stall"))
    with Reader(node.show / "library/oak.png") as reader:
        hold.wait_hits()
        _restart(network)
        hold.release()
        assert reader.seen() == Seen(b"oak", 0)


def test_s05_a_restart_while_an_output_is_published_publishes_it_once(
    node: ShotfsNode, gcs: GcsBucket, network: HttpProxy
) -> None:
    frame = node.show / "render/xy_1_100_030_00_v005/beauty.1001.exr"
    frame.parent.mkdir()
    # The answer is held: the store may have taken the frame, and the node cannot know.
    hold = network.rule(Rule("stall", lambda head: head.method == "POST"))
    frame.write_bytes(b"frame")
    hold.wait_hits()
    _restart(network)
    hold.release()
    node.wait_published()
    assert gcs.read("ant/render/xy_1_100_030_00_v005/beauty.1001.exr") == b"frame"
    assert read(frame) == Seen(b"frame", 0)
    assert len(gcs.names()) == 1
