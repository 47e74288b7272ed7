"""The JSON Schema of path specifications, for editors.

Written by hand where words matter, and from the readers' own key lists where a forgotten key would
matter. It accepts a little more than `load` does: editors need no proofs.
"""

from __future__ import annotations

from typing import Any

from shotfs.pathspec.fields import TYPE_KEYS, field_schema
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
            **{f"field_{kind}": field_schema(kind) for kind in TYPE_KEYS},
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
