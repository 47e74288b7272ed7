"""Where the version is in a path."""

from __future__ import annotations

import json

import pytest

from shotfs.pathspec import Specification, load
from shotfs.pathspec.places import version_place


@pytest.fixture(scope="module")
def spec() -> Specification:
    document = {
        "spec": "shotfs-path/1",
        "show": "ant",
        "roots": {"main": "gs://main/ant"},
        "defaults": {"origin": "main"},
        "fields": {
            "shot": {"type": "str", "pattern": "[a-z]{2}_[0-9]{3}"},
            "version": {"type": "version", "scheme": "v%03d", "aliases": ["latest"]},
            "take": {"type": "version", "scheme": "ulid"},
            "name": {"type": "compound", "format": "{shot}_{version}"},
            "layer": {"type": "str", "pattern": "[a-z]+"},
            "rest": {"type": "tree"},
        },
        "templates": {
            "frames": {"path": "render/{name}/{layer}/{name}.exr"},
            "plates": {"path": "plates/{layer}_{version}.dpx"},
            "takes": {"path": "{take}.wav"},
            "library": {"path": "library/{rest}"},
            "deep": {"path": "deep/{layer}/{version}[/{layer}]/x.txt"},
        },
    }
    return load(json.dumps(document), source="spec.json", show="ant")


@pytest.mark.parametrize(
    ("path", "version", "sibling", "rest"),
    [
        ("render/xy_010_v005", "v005", "render/xy_010_latest", ""),
        ("render/xy_010_v005/beauty", "v005", "render/xy_010_latest", "beauty"),
        (
            "render/xy_010_v005/beauty/xy_010_v005.exr",
            "v005",
            "render/xy_010_latest",
            "beauty/xy_010_v005.exr",
        ),
        ("plates/sky_v1000.dpx", "v1000", "plates/sky_latest.dpx", ""),
        ("01ARZ3NDEKTSV4RRFFQ69G5FAV.wav", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "latest.wav", ""),
        ("deep/a/v001/a/x.txt", "v001", "deep/a/latest", "a/x.txt"),
        ("deep/a/v001/x.txt", "v001", "deep/a/latest", "x.txt"),
    ],
)
def test_finds_the_first_version(
    spec: Specification, path: str, version: str, sibling: str, rest: str
) -> None:
    place = version_place(spec, path)
    assert place is not None
    assert place.version == version
    assert place.sibling("latest") == sibling
    assert place.rest == rest
    assert path == (f"{place.path}/{rest}" if rest else place.path)


@pytest.mark.parametrize("path", ["", "render", "library/v001/x", "render/xy_010_latest", "x/v001"])
def test_finds_none_where_there_is_none(spec: Specification, path: str) -> None:
    assert version_place(spec, path) is None


def test_knows_the_versions_among_siblings(spec: Specification) -> None:
    place = version_place(spec, "plates/sky_v001.dpx")
    assert place is not None
    assert place.version_of("sky_v002.dpx") == "v002"
    for other in ("sea_v002.dpx", "sky_v002.exr", "sky_latest.dpx", "sky_.dpx", "sky_v2.dpx"):
        assert place.version_of(other) is None
