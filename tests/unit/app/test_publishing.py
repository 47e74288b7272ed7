"""Outputs of a whole node: what is shown of them, tried again, and counted."""

from __future__ import annotations

import pytest

from shotfs.app.publishing import NodePublishing
from shotfs.control.access import Peer
from shotfs.control.publish_service import Outputs
from shotfs.errors import AccessDenied, PathNotFound
from tests.unit.namespace.spec import FRAME, SHOT
from tests.unit.vfs.world import World

ME = Peer(uid=0, gid=0, pid=7, groups=frozenset())


def publishing_of(world: World) -> NodePublishing:
    return NodePublishing(world.node, None)


async def refused(world: World) -> int:
    """Write a frame that the origin refuses; return its serial."""

    def refuse(operation: str, key: str) -> None:
        if operation == "put":
            raise AccessDenied(f"{key}: may not be written")

    world.origin.fault = refuse
    await world.mkdir(SHOT)
    await world.write(FRAME, b"frame")
    entry = world.spooled(FRAME)
    assert entry is not None
    await world.until(lambda: entry.state == "failed" and entry.retry_at is not None)
    return entry.serial


async def test_a_refused_output_is_shown_with_its_attempts(world: World) -> None:
    serial = await refused(world)
    (shown,) = await publishing_of(world).show(Outputs(serial=serial))
    assert (shown["path"], shown["state"], shown["template"]) == (FRAME, "failed", "frames")
    (attempt,) = shown["history"]
    assert (attempt["failure"], "may not be" in attempt["message"]) == ("permission", True)
    assert shown["retry_s"] > 1
    assert shown["recorded"]["shotfs-show"] == "ant"
    (below,) = await publishing_of(world).show(Outputs(path=SHOT))
    assert below["serial"] == serial


async def test_a_refused_output_is_tried_again_at_once_when_somebody_says_so(world: World) -> None:
    serial = await refused(world)
    world.origin.come_up()
    assert (await publishing_of(world).retry(Outputs(serial=serial)))["retried"] == 1
    await world.published(FRAME)
    with pytest.raises(PathNotFound):
        await publishing_of(world).retry(Outputs(serial=serial))


async def test_what_cannot_be_tried_says_why_not(world: World) -> None:
    await world.mkdir(SHOT)
    handle = await world.create(FRAME)
    await handle.write(0, b"frame")
    told = await publishing_of(world).retry(Outputs(path=FRAME))
    assert told["retried"] == 0
    assert told["items"][0]["why_not"]
    assert (await publishing_of(world).retry(None)) == {"retried": 0, "items": []}
    await handle.close()


async def test_the_queue_is_measured_when_somebody_looks(world: World) -> None:
    publishing = publishing_of(world)
    await refused(world)
    publishing.refresh_gauges()
    figures = world.node.metrics.snapshot()
    assert figures["shotfs_queue_files{state=failed}"] == 1
    assert figures["shotfs_queue_bytes{state=failed}"] == 5
    assert figures["shotfs_queue_files{state=quarantined}"] == 0
    assert figures["shotfs_queue_oldest_seconds"] > 0
    assert figures["shotfs_publish_failures_total{class=permission}"] >= 1
    assert figures["shotfs_publish_seconds_count{step=seal}"] == 1
    assert publishing.troubles() == {"conflicts": 0, "failed": 1, "partial": 0}
    world.origin.come_up()
    await publishing.retry(None)
    await world.published(FRAME)
    publishing.refresh_gauges()
    figures = world.node.metrics.snapshot()
    assert figures["shotfs_queue_oldest_seconds"] == 0
    assert figures["shotfs_upload_bytes_total"] == 5
    assert figures["shotfs_uploads_in_flight"] == 0


async def test_whether_a_file_is_safe_is_told_to_who_may_look_there(world: World) -> None:
    await world.mkdir(SHOT)
    await world.publish(FRAME, b"frame")
    told = await publishing_of(world).stat(FRAME, peer=ME, admin=True)
    assert (told["safe"], told["path"]) == (True, FRAME)
