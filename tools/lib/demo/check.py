"""Checking the result from the outside: with plain requests, not through shotfs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import xxhash
from PIL import Image

from demo import show
from demo.bucket import PlainBucket
from demo.render import FrameResult, Pass

DIGEST_METADATA = "shotfs-xxh128"


class CheckFailed(Exception):
    """Something is not as promised; the message names the object and what differs."""


@dataclass(frozen=True, slots=True)
class CheckedFrame:
    """One frame in the bucket that is what the mount says."""

    key: str
    version: int
    layer: str
    frame: int
    size_bytes: int
    digest: str


def check_outputs(bucket: PlainBucket, passes: Sequence[Pass]) -> list[CheckedFrame]:
    """Download every frame that was rendered and compare it with what the mount says of it.

    Raises:
        CheckFailed: a frame is missing, is no picture, or has another digest.
    """
    return [
        _check(bucket, one, layer, frame)
        for one in passes
        for layer in show.LAYERS
        for frame in show.FRAMES
    ]


def check_other_node(first: Pass, other: Pass) -> int:
    """Read what *first* rendered through the mount of *other*; return how many files agree.

    Raises:
        CheckFailed: a file has other bytes there.
    """
    count = 0
    for layer in show.LAYERS:
        for frame in show.FRAMES:
            path = show.output(layer, first.version, frame)
            contents = [
                _read(f"{one.node.mountpoint}/{show.SHOW}/{path}") for one in (first, other)
            ]
            if contents[0] != contents[1]:
                raise CheckFailed(f"{path} differs between {first.node.name} and {other.node.name}")
            count += 1
    return count


def check_warm(results: Sequence[FrameResult], title: str) -> None:
    """Check that the pass *title* had everything in the cache already.

    Raises:
        CheckFailed: it fetched content, or the cache could not answer an open.
    """
    rows = [result for result in results if result.title == title]
    fetched_bytes, misses = sum(r.fetched_bytes for r in rows), sum(r.misses for r in rows)
    if fetched_bytes or misses or not rows:
        raise CheckFailed(
            f"{title}: {fetched_bytes:,} bytes were fetched again and {misses} opens were no hits; "
            "the node's log says why the cache did not keep what the pass before had read"
        )


def _check(bucket: PlainBucket, one: Pass, layer: show.Layer, frame: int) -> CheckedFrame:
    key = show.output(layer, one.version, frame)
    mounted = f"{one.node.mountpoint}/{show.SHOW}/{key}"
    resource = bucket.describe(key)
    if resource is None:
        raise CheckFailed(f"{key} is not in the bucket")
    content = bucket.download(key)
    digest = xxhash.xxh3_128(content).hexdigest()
    claims = {
        "the mount (user.shotfs.digest)": os.getxattr(mounted, "user.shotfs.digest").decode(),
        f"the object's metadata ({DIGEST_METADATA})": resource.get("metadata", {}).get(
            DIGEST_METADATA
        ),
        "the bytes read through the mount": xxhash.xxh3_128(_read(mounted)).hexdigest(),
    }
    for who, claimed in claims.items():
        if claimed != digest:
            raise CheckFailed(f"{key}: the object's bytes have digest {digest}, {who}: {claimed}")
    with Image.open(BytesIO(content)) as image:
        if image.size != (show.WIDTH, show.HEIGHT):
            raise CheckFailed(f"{key} is a picture of {image.size}, not {show.WIDTH}x{show.HEIGHT}")
        image.load()
    return CheckedFrame(key, one.version, layer.name, frame, len(content), digest)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
