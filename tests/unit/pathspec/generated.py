"""A specification of thousands of templates, and paths of it. For tests and for tools/bench/spec.

Realistic kinds beside unfriendly ones: thousands of templates in one directory that only a
literal in the middle of the name, a literal glued to fields, or the choices of a field tell apart.
The paths are written by plain formatting, without the library that reads them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

WORDS = ("ant", "barn", "cliff", "dune", "ember", "fern", "gate", "hut", "isle", "jar", "kite")
VIEWS = ("left", "right")
CHANNELS = ("diffuse", "normal", "rough", "mask")

FIELDS: dict[str, Any] = {
    "name": {"type": "str", "usage": "Free name"},
    "seq": {"type": "str", "pattern": "[a-z]{2}"},
    "shotnr": {"type": "int", "pad": 4, "min": 10, "max": 9990},
    "shot": {"type": "compound", "format": "{seq}_{shotnr}"},
    "version": {"type": "version", "aliases": ["latest", "approved"]},
    "plain": {"type": "version"},
    "frame": {"type": "frame"},
    "udim": {"type": "udim"},
    "view": {"type": "view"},
    "take": {"type": "int", "pad": 2},
    "asset": {"type": "str", "pattern": "[a-z][a-z0-9]*", "exclusions": ["tmp", "test"]},
    "channel": {"type": "enum", "choices": list(CHANNELS)},
    "job": {"type": "str", "pattern": "[a-z0-9-]+", "length": {"max": 40}},
}


class Path(NamedTuple):
    """A path, the template that produces it, and its fields without compounds."""

    text: str
    template: str
    fields: dict[str, str]


class Kind(NamedTuple):
    """One kind of template: its share of all in percent, its path, its policy, its paths."""

    name: str
    share: int
    template: Callable[[int], str]
    policy: dict[str, Any]
    fields: Callable[[random.Random, int], dict[str, str]]


def _name(dice: random.Random) -> str:
    return f"{dice.choice(WORDS)}_{dice.choice(WORDS)}-{dice.randrange(10**6)}"


def _shot(dice: random.Random) -> dict[str, str]:
    return {
        "seq": dice.choice("abcd") + dice.choice("xyz"),
        "shotnr": f"{dice.randrange(10, 9991):04d}",
    }


def _version(dice: random.Random, name: str = "version") -> dict[str, str]:
    return {name: f"v{dice.randrange(1, 1500):03d}"}


def _frame(dice: random.Random) -> dict[str, str]:
    return {"frame": f"{dice.randrange(1001, 12000):04d}"}


def _middle(dice: random.Random, _: int) -> dict[str, str]:
    view = {"view": dice.choice(VIEWS)} if dice.random() < 0.5 else {}
    return {"name": _name(dice), **_version(dice, "plain"), **view, **_frame(dice)}


def _texture(dice: random.Random, _: int) -> dict[str, str]:
    udim = f"{dice.randrange(1001, 1100)}"
    asset = f"{dice.choice(WORDS)}{dice.randrange(10**5)}"
    return {"asset": asset, **_version(dice), "channel": dice.choice(CHANNELS), "udim": udim}


KINDS = (
    Kind(
        "middle",
        40,
        lambda index: f"publish/{{name}}_k{index:05d}_{{plain}}[_{{view}}].{{frame}}.exr",
        {"flow": "out", "immutable": "on-close", "owner": "caller"},
        _middle,
    ),
    Kind(
        "shot",
        20,
        lambda index: (
            f"shots/{{seq}}/{{shot}}/task{index:04d}/{{version}}/"
            f"{{shot}}_task{index:04d}_{{version}}.{{frame}}.exr"
        ),
        {"flow": "out", "immutable": "on-version-publish"},
        lambda dice, _: {**_shot(dice), **_version(dice), **_frame(dice)},
    ),
    Kind(
        "texture",
        15,
        lambda index: (
            f"assets/{{asset}}/tex{index:04d}_{{version}}/{{asset}}_{{channel}}.{{udim}}.tif"
        ),
        {"immutable": "on-close", "ttl": "1h"},
        _texture,
    ),
    Kind(
        "glued",
        10,
        lambda index: f"cache/{{seq}}c{index:04d}x{{take}}_{{frame}}.vdb",
        {"flow": "inout", "ttl": 5},
        lambda dice, _: {
            "seq": dice.choice("abcd") + dice.choice("xyz"),
            "take": f"{dice.randrange(1, 130):02d}",
            **_frame(dice),
        },
    ),
    Kind(
        "ending",
        5,
        lambda index: f"log/{{job}}.{{frame}}.t{index:04d}",
        {"flow": "out"},
        lambda dice, _: {"job": f"{dice.choice(WORDS)}-{dice.randrange(10**6)}", **_frame(dice)},
    ),
    Kind(
        "beginning",
        5,
        lambda index: f"plates/p{index:04d}_{{name}}.{{frame}}.dpx",
        {},
        lambda dice, _: {"name": _name(dice), **_frame(dice)},
    ),
    Kind(
        "choice",
        5,
        lambda index: f"looks/{{name}}.{{look{index:04d}}}.{{frame}}.json",
        {},
        lambda dice, index: {
            "name": _name(dice),
            f"look{index:04d}": f"look{index}{dice.choice('abc')}",
            **_frame(dice),
        },
    ),
)


def document(count: int) -> dict[str, Any]:
    """A document with about *count* templates."""
    fields = dict(FIELDS)
    templates: dict[str, Any] = {}
    for kind in KINDS:
        for index in range(count * kind.share // 100):
            templates[f"{kind.name}{index:05d}"] = {
                "path": kind.template(index),
                "usage": f"Files of kind {kind.name}, number {index}",
                **kind.policy,
            }
            if kind.name == "choice":
                choices = [f"look{index}{letter}" for letter in "abc"]
                fields[f"look{index:04d}"] = {"type": "enum", "choices": choices}
    return {
        "spec": "shotfs-path/1",
        "show": "ant",
        "roots": {"main": "gs://bucket/ant", "near": {"url": "s3://near/ant"}},
        "defaults": {"tiers": ["near", "main"], "negative_ttl": 2},
        "fields": fields,
        "templates": templates,
    }


def text(count: int) -> str:
    """`document` as JSON, as a person would have it."""
    return json.dumps(document(count), indent=1)


def paths(count: int, seed: int) -> Iterator[Path]:
    """Yield paths of `document`, its templates in turn and its kinds mixed, without end."""
    dice = random.Random(seed)
    numbered = [(kind, index) for kind in KINDS for index in range(count * kind.share // 100)]
    dice.shuffle(numbered)
    while True:
        for kind, index in numbered:
            fields = kind.fields(dice, index)
            yield Path(_write(kind, index, fields), f"{kind.name}{index:05d}", fields)


def _write(kind: Kind, index: int, fields: dict[str, str]) -> str:
    template = kind.template(index)
    kept, _, rest = template.partition("[")
    if rest:
        optional, _, after = rest.partition("]")
        template = kept + (optional if "view" in fields else "") + after
    return template.format_map({**fields, "shot": f"{fields.get('seq')}_{fields.get('shotnr')}"})
