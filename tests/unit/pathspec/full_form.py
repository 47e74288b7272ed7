"""A document that uses every key of the full form, and ways to damage it."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

POLICY: dict[str, Any] = {
    "origin": "main", "tiers": ["near", "main"], "flow": "out", "immutable": "on-version-publish",
    "durability": "origin", "rewrite": "compare", "ttl": "10m", "negative_ttl": 2.5,
    "stale_if_error": "1d", "fill": "ranges",
    "mode": "0644", "directory_mode": "0777", "uid": 1000, "gid": None, "owner": "caller",
    "scratch": ["*.tmp"], "grace": "2s", "seal": "on-job-end", "retract": "admin",
    "priority": -5, "prewarm": {"frames": 4, "udims": 10},
    "retention": {"days": 30, "versions": 5},
}  # fmt: skip

FULL: dict[str, Any] = {
    "$schema": "https://example.org/path-spec.schema.json",
    "spec": "shotfs-path/1",
    "show": "ant",
    "usage": "Everything at once",
    "include": ["studio.json"],
    "roots": {
        "main": "gs://ant-main/ant",
        "near": {
            "usage": "A cache in each building",
            "url": "gs://near",
            "sites": {"lon": "gs://near-lon", "bom": "s3://near-bom/ant"},
            "defaults": {"ttl": 30, "priority": 1},
        },
    },
    "defaults": {"origin": "main", "ttl": "60s"},
    "fields": {
        "name": {"type": "str", "pattern": "[a-z]+", "usage": "Any name"},
        "layer": {"type": "enum", "choices": {"beauty": "All lights", "matte": "Mattes"}},
        "take": {"type": "int", "pad": 2, "min": 1, "max": 9, "strict": False},
        "version": {"type": "version", "scheme": "v%03d", "aliases": {"latest": {"usage": "New"}}},
        "shot": {"type": "compound", "format": "{name}-{take}"},
        "frame": {"type": "frame", "pad": 4, "negative": True},
        "view": {"type": "view", "choices": ["left", "right"]},
        "rest": {"type": "tree"},
    },
    "templates": {
        "shot_root": {"path": "render/{shot}/{version}", "abstract": True, "usage": "A shot"},
        "frames": {
            "path": "{@shot_root}/{layer}[/{view}]/{name}.{frame}.exr",
            "usage": "Frames",
            "before": ["library"],
            **POLICY,
        },
        "library": {"path": "library/{rest}", "abstract": False},
    },
    "unmatched": {"usage": "The rest", "ttl": 5, "retention": {"days": 1}},
}

KEYS = [
    "spec", "show", "usage", "include", "roots", "defaults", "fields", "templates", "unmatched",
    "url", "sites", "type", "path", "abstract", "before", "pattern", "choices", "aliases", "format",
    "min", "pad", "days", "versions", "frames", "udims", "scheme", "length", "case", *POLICY,
]  # fmt: skip
WORDS = [
    "", "x", "main", "near", "nope", "gs://x", "pass", "deny", "{name}", "{@frames}", "[a]", "a/b",
    "v%03d", "ulid", "str", "tree", "version", "shotfs-path/1", "on-close", "in", "0644", "10m",
]  # fmt: skip

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2000)
    | st.sampled_from([0.5, 1e300, -0.5])
    | st.sampled_from(WORDS)
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in *value*."""
    if isinstance(value, dict):
        inside: list[tuple[Any, Any]] = [(value, key) for key in value]
    elif isinstance(value, list):
        inside = [(value, index) for index in range(len(value))]
    else:
        return []
    return inside + [place for container, key in inside for place in places(container[key])]


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """`FULL` with one to three members replaced, removed or added."""
    made = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(1, 3))):
        found = places(made)
        if not found:
            return made
        container, key = draw(st.sampled_from(found))
        match draw(st.sampled_from(["replace", "remove", "add", "word"])):
            case "replace":
                container[key] = draw(JSON)
            case "word":
                container[key] = draw(st.sampled_from(WORDS))
            case "remove":
                del container[key]
            case "add" if isinstance(container, dict):
                container[draw(st.sampled_from(KEYS) | st.text(max_size=4))] = draw(JSON)
    return made
