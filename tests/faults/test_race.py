"""S18: eight nodes write the same hundred frames; the origin decides, no lock server.

Half of the frames are the same bytes on every node, as when a job was dispatched twice; of the
others each node has its own. All are closed before any is uploaded, then all nodes drain at once.
"""

from __future__ import annotations

import copy
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shotfs.control.client import Client
from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC, ShotfsNode
from tests.servers.handles import GcsBucket, S3Bucket
from tests.servers.s3 import ACCESS_KEY, SECRET_KEY

pytestmark = pytest.mark.kernel

NODES, FRAMES = 8, 100
SHOT = "render/xy_1_100_030_00_v005"
DRAIN_S = 90.0


def spec() -> dict[str, Any]:
    document = copy.deepcopy(SPEC)
    document["templates"]["frames"]["grace"] = "1h"  # until somebody drains
    return document


def name_of(frame: int) -> str:
    return f"{SHOT}/beauty.{1001 + frame}.exr"


def content_of(node: int, frame: int) -> bytes:
    return f"frame {frame}, by {'all' if frame % 2 else node}".encode() * 300


def is_shared(frame: int) -> bool:
    return frame % 2 == 1


def write(node: ShotfsNode, number: int) -> None:
    (node.show / SHOT).mkdir()
    for frame in range(FRAMES):
        (node.show / name_of(frame)).write_bytes(content_of(number, frame))


def race(nodes: Iterable[ShotfsNode]) -> list[dict[str, Any]]:
    """Mount, write and drain on every node at once; return what remains on each."""

    def drain(node: ShotfsNode) -> dict[str, Any]:
        with Client(node.socket) as client:
            return client.drain(DRAIN_S)

    with ThreadPoolExecutor(NODES) as threads:
        mounted = list(threads.map(lambda node: node.mount(), nodes))
        list(threads.map(write, mounted, range(NODES)))
        return list(threads.map(drain, mounted))


def check(
    nodes: list[ShotfsNode], remaining: list[dict[str, Any]], stored: Callable[[str], bytes]
) -> None:
    """Each frame has one winner, and every other node keeps its own bytes."""
    winners = {}
    for frame in range(FRAMES):
        found = stored(name_of(frame))
        if is_shared(frame):
            assert found == content_of(0, frame)
        else:
            (winners[frame],) = [
                number for number in range(NODES) if content_of(number, frame) == found
            ]
    for number, report in enumerate(remaining):
        lost = {f"ant/{name_of(frame)}" for frame, winner in winners.items() if winner != number}
        assert {item["path"] for item in report["items"]} == lost
        assert {item["state"] for item in report["items"]} <= {"quarantined"}
        kept = Counter(
            (nodes[number].directory / "cache/spool/quarantine" / name).read_bytes()
            for name in os.listdir(nodes[number].directory / "cache/spool/quarantine")
        )
        assert kept == Counter(
            content_of(number, frame) for frame, winner in winners.items() if winner != number
        )
    # Every node reads the winner's bytes, also under the name that it lost.
    for node in nodes:
        for frame in range(0, FRAMES, 7):
            assert (node.show / name_of(frame)).read_bytes() == stored(name_of(frame))


def test_s18_eight_nodes_write_the_same_frames_on_gcs(new_node: NewNode, gcs: GcsBucket) -> None:
    gcs.keep_versions()
    nodes = [
        new_node(f"gs://{gcs.bucket}/ant", spec=spec(), settings=gcs_settings(gcs))
        for _ in range(NODES)
    ]
    remaining = race(nodes)
    check(nodes, remaining, lambda name: gcs.read(f"ant/{name}"))
    objects = gcs.server.store.bucket(gcs.bucket).objects
    assert sorted(objects) == sorted(f"ant/{name_of(frame)}" for frame in range(FRAMES))
    assert all(len(versions) == 1 for versions in objects.values()), "one was overwritten"


def test_s18_eight_nodes_write_the_same_frames_on_s3(
    new_node: NewNode, s3: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RACE_KEY", ACCESS_KEY)
    monkeypatch.setenv("RACE_SECRET", SECRET_KEY)
    enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    s3.server.request("PUT", f"/{s3.bucket}?versioning", enabled).raise_for_status()
    settings = (
        f'[origins."s3://{s3.bucket}"]\nendpoint_url = "{s3.endpoint}"\nregion = "us-east-1"\n'
        'access_key_env = "RACE_KEY"\nsecret_key_env = "RACE_SECRET"\n'
    )
    nodes = [
        new_node(f"s3://{s3.bucket}/ant", spec=spec(), settings=settings) for _ in range(NODES)
    ]
    remaining = race(nodes)

    def stored(name: str) -> bytes:
        return s3.server.request("GET", f"/{s3.bucket}/ant/{name}").content

    check(nodes, remaining, stored)
    listing = s3.server.request("GET", f"/{s3.bucket}?versions").text
    keys = re.findall(r"<Version>.*?<Key>(.*?)</Key>", listing, re.DOTALL)
    assert sorted(keys) == sorted(f"ant/{name_of(frame)}" for frame in range(FRAMES))
    assert "<DeleteMarker>" not in listing
