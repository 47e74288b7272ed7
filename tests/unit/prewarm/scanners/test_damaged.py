"""Damaged scenes of the structured formats: cut off, bits turned, mixed up. Nothing but
`ScanFailed` comes of them, and what was named before still counts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("pxr", reason="usd-core is not installed")

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners import registry, usd
from shotfs.prewarm.scanners.base import Scope
from tests.scenes import usd_stage
from tests.unit.prewarm.scanners.test_ocio import V1, V2

MATERIAL = (
    '<?xml version="1.0"?><materialx version="1.39"><xi:include href="b.mtlx" '
    'xmlns:xi="http://www.w3.org/2001/XInclude"/><input type="filename" value="a.&lt;UDIM&gt;"/>'
    '<token name="t" value="v"/><input type="filename" value="[t].exr"/></materialx>'
)
TIMELINE = (
    '{"OTIO_SCHEMA": "Timeline.1", "tracks": {"OTIO_SCHEMA": "Stack.1", "children": ['
    '{"OTIO_SCHEMA": "Track.1", "kind": "Video", "children": [{"OTIO_SCHEMA": "Clip.2", '
    '"media_references": {"DEFAULT_MEDIA": {"OTIO_SCHEMA": "ExternalReference.1", '
    '"target_url": "a.mov"}}, "active_media_reference_key": "DEFAULT_MEDIA"}]}]}}'
)


def truncated(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def turned(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 20)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def shuffled(data: bytes, chance: random.Random) -> bytes:
    first, second = sorted(chance.randrange(len(data)) for _ in range(2))
    return data[second:] + data[first:second] * chance.randrange(4) + data[:first]


@pytest.fixture(scope="module")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("shows")
    usd_stage.build(str(directory))
    return directory


@pytest.mark.parametrize("damage", [truncated, turned, shuffled])
@pytest.mark.parametrize("name", ["materialx", "otio", "ocio", "usda", "usdc", "usdz"])
def test_damaged_scenes_fail_in_the_one_way(
    tmp_path: Path, layers: Path, name: str, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    whole = {
        "materialx": [MATERIAL.encode()],
        "otio": [TIMELINE.encode()],
        "ocio": [V1.encode(), V2.encode()],
        "usda": [(layers / "assets/chair/chair.usda").read_bytes()],
        "usdc": [(layers / "shot/layout.usdc").read_bytes()],
        "usdz": [(layers / "assets/lamp/lamp.usdz").read_bytes()],
    }[name]
    scanner = registry.usable("usd" if name.startswith("usd") else name)
    path = tmp_path / f"x.{name}"
    failures: list[ScanFailed] = []
    for seed in range(15 if name.startswith("usd") else 100):
        chance = random.Random(f"{name} {damage.__name__} {seed}")
        path.write_bytes(damage(chance.choice(whole), chance))
        try:
            for edge in scanner.scan(str(path), Scope(frames="1001", in_place=seed % 2 == 0)):
                assert isinstance(edge.target, str)
        except ScanFailed as exc:
            failures.append(exc)
    assert failures
    assert all(str(path) in str(failure) for failure in failures)
    usd.end_workers()
