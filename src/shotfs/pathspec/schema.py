"""The JSON Schema of path specifications, for editors.

Written by hand where words matter, and from the readers' own key lists where a forgotten key would
matter. It accepts a little more than `load` does: editors need no proofs.
"""

from __future__ import annotations

from typing import Any

from shotfs.pathspec.fields import ALIASES_MAX, CHOICES_MAX, PAD_MAX, TYPE_KEYS
from shotfs.pathspec.loader import FORMAT, TOP_KEYS
from shotfs.pathspec.model import Durability, Flow, Immutable, Rewrite
from shotfs.pathspec.policy import BUILT_IN, KEYS, PRIORITY_MAX, SCRATCH_DEFAULT, SCRATCH_MAX

_TEXT = {"type": "string"}
_USAGE = {**_TEXT, "description": "What it is for, in words for people."}
_DURATION = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)$"},
    ]
}
_MODE = {"type": "string", "pattern": "^0?[0-7]{3}$"}
_ID = {"type": ["integer", "null"], "minimum": 0}
_CHOICES = {
    "description": "The texts; as an object, each with what it means.",
    "anyOf": [
        {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": CHOICES_MAX},
        {"type": "object", "additionalProperties": _TEXT, "minProperties": 1},
    ],
}
_ALIAS_NAME = {**_TEXT, "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,63}$"}
_LENGTH = {"type": "integer", "minimum": 1, "maximum": 255}

_POLICY: dict[str, dict[str, Any]] = {
    "origin": {**_TEXT, "description": "Where the files are: the name of a root, or a URL."},
    "flow": {
        "enum": list(Flow),
        "description": "in: jobs read; out: jobs write new files; inout: both.",
    },
    "immutable": {
        "enum": list(Immutable),
        "description": "on-close: once published, the bytes never change.",
    },
    "durability": {
        "enum": list(Durability),
        "description": "Where an output is safe when close() returns. Default: the node decides.",
    },
    "rewrite": {
        "enum": list(Rewrite),
        "description": "A rename onto a published immutable path: refused, or compared first.",
    },
    "ttl": {**_DURATION, "description": "How long a known revision is trusted. Seconds, or 10m."},
    "negative_ttl": {**_DURATION, "description": "How long a missing path stays missing."},
    "mode": {**_MODE, "description": "Permission bits of files, octal."},
    "directory_mode": {**_MODE, "description": "Permission bits of directories, octal."},
    "uid": {**_ID, "description": "Owner of the files. Default: the service's user."},
    "gid": {**_ID, "description": "Group of the files. Default: the service's group."},
    "owner": {"enum": ["service", "caller"], "description": "caller: whoever creates the file."},
    "scratch": {
        "type": "array",
        "items": _TEXT,
        "maxItems": SCRATCH_MAX,
        "description": "Patterns of names that are never published.",
    },
    "grace": {**_DURATION, "description": "How long after the last close a file stays open."},
    "priority": {
        "type": "integer",
        "minimum": -PRIORITY_MAX,
        "maximum": PRIORITY_MAX,
        "description": "What moves first; higher goes first.",
    },
}

_FIELD_KEYS: dict[str, dict[str, Any]] = {
    "pattern": {**_TEXT, "description": "A regular expression of the linear subset."},
    "choices": _CHOICES,
    "exclusions": {"type": "array", "items": _TEXT, "description": "Texts that are refused."},
    "length": {
        "description": "Characters: exactly, or from min to max.",
        "anyOf": [
            _LENGTH,
            {
                "type": "object",
                "properties": {"min": _LENGTH, "max": _LENGTH},
                "additionalProperties": False,
            },
        ],
    },
    "case": {"enum": ["any", "lower", "upper"]},
    "pad": {"type": "integer", "minimum": 1, "maximum": PAD_MAX, "description": "Digits."},
    "strict": {"type": "boolean", "description": "Refuse numbers with other padding (default)."},
    "negative": {"type": "boolean", "description": "Allow a minus sign."},
    "min": {"type": "integer"},
    "max": {"type": "integer"},
    "scheme": {"type": "string", "pattern": "^[^/]*%0[0-9]+d$", "description": "Like v%03d."},
    "aliases": {
        "description": "Names that point to one version; as an object, each with what it means.",
        "anyOf": [
            {"type": "array", "items": _ALIAS_NAME, "maxItems": ALIASES_MAX},
            {
                "type": "object",
                "propertyNames": _ALIAS_NAME,
                "maxProperties": ALIASES_MAX,
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {"usage": _USAGE, "moves": {"enum": ["on-publish", "by-hand"]}},
                },
            },
        ],
    },
    "format": {**_TEXT, "description": "Fields and literals, like {seq}_{cut}."},
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a document."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "shotfs path specification",
        "type": "object",
        "required": ["spec", "show", "templates"],
        "additionalProperties": False,
        "properties": {key: _top(key) for key in TOP_KEYS},
        "$defs": {
            **{f"field_{kind}": _field(kind, keys) for kind, keys in TYPE_KEYS.items()},
            "template": {
                "type": "object",
                "required": ["path"],
                "additionalProperties": False,
                "properties": {
                    "path": {**_TEXT, "description": "Relative to the show's directory."},
                    "usage": _USAGE,
                    **{key: _policy(key) for key in KEYS},
                },
            },
        },
    }


def _top(key: str) -> dict[str, Any]:
    match key:
        case "spec":
            return {"const": FORMAT}
        case "show":
            return {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$"}
        case "usage":
            return _USAGE
        case "roots":
            return {"type": "object", "additionalProperties": _TEXT}
        case "defaults":
            return {
                "type": "object",
                "additionalProperties": False,
                "properties": {name: _policy(name) for name in KEYS},
            }
        case "fields":
            return {
                "type": "object",
                "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,63}$"},
                "additionalProperties": {
                    "oneOf": [{"$ref": f"#/$defs/field_{kind}"} for kind in TYPE_KEYS]
                },
            }
        case "templates":
            return {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"$ref": "#/$defs/template"},
            }
    raise AssertionError(f"the schema does not know the key {key}")


def _policy(key: str) -> dict[str, Any]:
    value = BUILT_IN.get(key)
    if value is None:
        return _POLICY[key]
    if value == SCRATCH_DEFAULT:
        value = list(value)
    return {**_POLICY[key], "default": f"{value:04o}" if key.endswith("mode") else value}


def _field(kind: str, keys: tuple[str, ...]) -> dict[str, Any]:
    required = {"compound": ["format"], "enum": ["choices"]}.get(kind, [])
    return {
        "type": "object",
        "required": ["type", *required],
        "additionalProperties": False,
        "properties": {
            "type": {"const": kind},
            "usage": _USAGE,
            **{key: _FIELD_KEYS[key] for key in keys},
        },
    }
