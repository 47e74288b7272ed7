"""The compiled form answers as the loaded specification does, and nothing else is ever read."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotfs.digest import digest_bytes
from shotfs.pathspec import Policy, Specification, load
from shotfs.pathspec.compiled import dump, restore

from .documents import dna, document

FIELDS: dict[str, Any] = {
    "shot": {"type": "compound", "format": "{seq}_{number}", "usage": "Full name"},
    "seq": {"type": "str", "pattern": "[a-z]{2}", "exclusions": ["xx"]},
    "number": {"type": "int", "pad": 3, "min": 10, "max": 900},
    "version": {"type": "version", "aliases": {"latest": {"usage": "Newest"}, "ok": {}}},
    "layer": {"type": "enum", "choices": {"beauty": "All", "matte": "Mattes"}},
    "frame": {"type": "frame", "negative": True},
    "view": {"type": "view"},
    "when": {"type": "timestamp"},
    "rest": {"type": "tree"},
    "name": {"type": "str", "length": {"max": 20}},
}
SHARED = {
    "spec": "shotfs-path/1",
    "fields": {"name": {"type": "str", "usage": "Shared name"}},
    "templates": {"note": {"path": "notes/{name}.{when}.txt", "ttl": "2m"}},
}
FULL = document(
    {
        "frames": {
            "path": "render/{shot}_{version}/{layer}[/{view}]/{shot}_{version}.{frame}.png",
            "flow": "out",
            "immutable": "on-version-publish",
            "scratch": ["*.tmp"],
            "prewarm": {"frames": 3},
            "retention": {"days": 2.5, "versions": 4},
            "owner": "caller",
            "directory_mode": "0777",
            "usage": "Frames; \u00fcberall",
        },
        "log": {"path": "render/{shot}_{version}/log.txt", "flow": "inout", "durability": "node"},
        "any": {"path": "lib/{rest}", "tiers": ["near", "main"], "before": ["one"], "uid": 7},
        "one": {"path": "lib/{seq}/[{name}.]json", "rewrite": "compare"},
    },
    FIELDS,
    include=["shared.json"],
    roots={"main": "gs://bucket/ant", "near": {"url": "s3://n", "sites": {"lon": "s3://lon/n"}}},
    defaults={"origin": "main", "grace": "2s", "mode": "0640"},
    unmatched={"ttl": 3, "flow": "inout", "origin": "main"},
)
PATHS = [
    "",
    "render",
    "render/ab_010_v001",
    "render/ab_010_latest",
    "render/ab_010_ok",
    "render/ab_010_v001/beauty/ab_010_v001.0001.png",
    "render/ab_010_v001/beauty/left/ab_010_v001.-001.png",
    "render/ab_010_v001/beauty/x.tmp",
    "render/xx_010_v001/beauty/xx_010_v001.0001.png",
    "render/ab_010_v001/log.txt",
    "lib",
    "lib/ab/x.json",
    "lib/ab/json",
    "lib/a/b/c",
    "notes/a.20261121_060000.txt",
    "notes/a.20261399_060000.txt",
    "elsewhere/x",
    "elsewhere",
    ".shotfs/x",
    "a//b",
]


def full(site: str | None = None) -> Specification:
    text = json.dumps(FULL, indent=1)
    return load(
        text, source="a/ant.json", site=site, documents={"a/shared.json": json.dumps(SHARED)}
    )


def again(spec: Specification) -> Specification | None:
    return restore(dump(spec), documents=dict(spec.documents), site=spec.site)


def same(one: Specification, other: Specification, path: str) -> None:
    assert one.resolve(path) == other.resolve(path)
    directory, _, name = path.rpartition("/")
    assert one.resolve_in(directory)(path) == one.resolve(path)
    templates_of = one.templates_in(directory)
    template = None if templates_of is None else templates_of([name])[0]
    if template is not None:
        found = one.resolve(path)
        assert found is not None
        assert (found.template, found.scratch, found.version_depth) == (template, False, None)
    assert one.directory(path) == other.directory(path)
    assert one.alias(path) == other.alias(path)
    assert one.implied_children(path) == other.implied_children(path)
    assert one.explain(path) == other.explain(path)


@pytest.mark.parametrize("site", [None, "lon", ""])
def test_restored_specification_answers_like_the_loaded_one(site: str | None) -> None:
    loaded = full(site)
    restored = again(loaded)
    assert restored is not None
    for name in ("show", "source", "site", "digest", "documents", "usage", "origins", "warnings"):
        assert getattr(restored, name) == getattr(loaded, name)
    assert dict(restored.templates) == dict(loaded.templates)
    assert dict(restored.field_sources) == dict(loaded.field_sources)
    for path in PATHS:
        same(loaded, restored, path)
    assert {loaded.explain(path).kind for path in PATHS} >= set(type(loaded.explain("").kind)) - {
        kind for kind in type(loaded.explain("").kind) if kind.value == "reserved"
    }
    frames = {"shot": "ab_010", "version": 1, "layer": "matte", "frame": -5}
    path = restored.format("frames", frames)
    assert path == loaded.format("frames", frames)
    assert restored.parse(path) == loaded.parse(path)
    with_view = restored.format("frames", {**frames, "view": "left"})
    assert with_view == loaded.format("frames", {**frames, "view": "left"})


def test_restored_fields_are_those_that_were_loaded() -> None:
    loaded = full()
    restored = again(loaded)
    assert restored is not None
    assert list(restored.fields) == list(loaded.fields)
    for name, field in loaded.fields.items():
        for one in dataclasses.fields(field):
            if one.compare and one.name not in ("check", "codec"):
                assert getattr(restored.fields[name], one.name) == getattr(field, one.name)


def test_every_policy_value_comes_back() -> None:
    loaded = full()
    restored = again(loaded)
    assert restored is not None
    for name, template in loaded.templates.items():
        for one in dataclasses.fields(Policy):
            value = getattr(restored.templates[name].policy, one.name)
            assert value == getattr(template.policy, one.name)
            assert type(value) is type(getattr(template.policy, one.name))


def test_example_of_the_documentation_comes_back() -> None:
    loaded = dna()
    restored = again(loaded)
    assert restored is not None
    path = "render/xy_1_100_030_00_v005/beauty/xy_1_100_030_00_v005.1001.png"
    same(loaded, restored, path)


def test_compiling_again_gives_the_same_bytes() -> None:
    loaded = full()
    restored = again(loaded)
    assert restored is not None
    assert dump(restored) == dump(loaded)


def test_other_documents_or_sites_are_not_read() -> None:
    loaded = full("lon")
    data, documents = dump(loaded), dict(loaded.documents)
    assert restore(data, documents=documents, site="lon") is not None
    assert restore(data, documents=documents, site=None) is None
    assert restore(data, documents=documents, site="bom") is None
    changed = {**documents, "a/shared.json": digest_bytes(b"x")}
    assert restore(data, documents=changed, site="lon") is None
    assert restore(data, documents={"a/ant.json": documents["a/ant.json"]}, site="lon") is None
    assert restore(data, documents={}, site="lon") is None


def test_other_versions_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = full()
    data = dump(loaded)
    monkeypatch.setattr("shotfs.pathspec.compiled._version", lambda: "99.0")
    assert restore(data, documents=dict(loaded.documents), site=None) is None


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_form_is_not_read(data: st.DataObject) -> None:
    loaded = _DAMAGED.setdefault("spec", full())
    form = _DAMAGED.setdefault("form", dump(loaded))
    place = data.draw(st.integers(0, len(form) - 1))
    damaged = data.draw(
        st.sampled_from(
            [
                form[:place],
                form[:place]
                + bytes([form[place] ^ (1 << data.draw(st.integers(0, 7)))])
                + form[place + 1 :],
                form[:place] + b"\0" * 8 + form[place + 8 :],
                form + b" ",
                form[place:],
            ]
        )
    )
    assert damaged == form or restore(damaged, documents=dict(loaded.documents), site=None) is None


_DAMAGED: dict[str, Any] = {}


@given(st.binary(max_size=100))
@settings(max_examples=50, deadline=None)
def test_anything_else_is_not_read(noise: bytes) -> None:
    assert restore(noise, documents={}, site=None) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"site": null, "documents": []}',
        b'{"site": null, "documents": {}, "fields": 3}',
        b'{"site": null, "documents": [], "fields": [["a", "{", 1]]}',
        b'{"site": null, "documents": [], "fields": [["a", "{}", 1]]}',
        b"\xff",
    ],
)
def test_foreign_content_behind_a_right_checksum_is_not_read(body: bytes) -> None:
    header = dump(full()).split(b"\n")[0].rpartition(b" ")[0]
    data = header + b" " + digest_bytes(body).encode() + b"\n" + body
    assert restore(data, documents={}, site=None) is None
