"""What a small output costs its origin."""

from __future__ import annotations

from pathlib import Path

from tests.contract.cut_off import GcsStore, S3Store, gcs_store, s3_store
from tests.unit.publish.real_nodes import Node, node_at

__all__ = ["gcs_store", "s3_store"]

COUNT = 5


async def publish(node: Node) -> None:
    for number in range(COUNT):
        await node.write(b"pixels", path=f"show/sh0100/beauty.{1001 + number}.exr")
    await node.until_empty()


async def test_a_small_output_is_one_request(gcs_store: GcsStore, tmp_path: Path) -> None:
    async with node_at(tmp_path, gcs_store.place.url, gcs_store.place.origin) as node:
        await publish(node)
    assert [one.operation for one in gcs_store.bucket.requests()] == ["insert"] * COUNT


async def test_a_small_output_is_two_requests_where_the_answer_has_no_time(
    s3_store: S3Store, tmp_path: Path
) -> None:
    async with node_at(tmp_path, s3_store.place.url, s3_store.place.origin) as node:
        await publish(node)
    methods = sorted(one.split(" ")[0] for one in s3_store.seen)
    assert methods == ["HEAD"] * COUNT + ["PUT"] * COUNT
