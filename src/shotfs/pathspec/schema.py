"""The JSON Schema of path specifications, for editors.

Written by hand where words matter, and from the readers' own key lists where a forgotten key would
matter. It accepts a little more than `load` does: editors need no proofs.
"""

from __future__ import annotations

from typing import Any

from shotfs.pathspec.documents import DOCUMENTS_MAX, FORMAT, TOP_KEYS
from shotfs.pathspec.field_table import UNMATCHED
from shotfs.pathspec.fields import TYPE_KEYS, field_schema
from shotfs.pathspec.loader import ABSTRACT_KEYS, BEFORE_MAX, TEMPLATE_KEYS, UNMATCHED_KEYS
from shotfs.pathspec.model import Durability, Fill, Flow, Immutable, Retract, Rewrite, SealOn
from shotfs.pathspec.policy import (
    BUILT_IN,
    GRACE_S_MAX,
    ID_MAX,
    KEYS,
    PREWARM_MAX,
    PRIORITY_MAX,
    RETENTION_DAYS_MAX,
    RETENTION_VERSIONS_MAX,
    SCRATCH_DEFAULT,
    SCRATCH_MAX,
    TIERS_MAX,
    TTL_S_MAX,
)
from shotfs.pathspec.roots import ROOT_DEFAULTS, ROOT_KEYS

_TEXT = {"type": "string"}
_USAGE = {**_TEXT, "description": "What it is for, in words for people."}
_NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$"
_URL = {"type": "string", "pattern": r"^[a-z][a-z0-9+.-]*://[^\s?#]+$"}
_MODE = {"type": "string", "pattern": "^0?[0-7]{3}$"}
_ID = {"type": ["integer", "null"], "minimum": 0, "maximum": ID_MAX}


def _duration(most_s: float, description: str) -> dict[str, Any]:
    return {
        "description": description,
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": most_s},
            {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})?\s*(ms|s|m|h|d)$"},
        ],
    }


def _counts(description: str, **limits: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        "properties": limits,
    }


_POLICY: dict[str, dict[str, Any]] = {
    "origin": {**_TEXT, "description": "Where the files are: the name of a root, or a URL."},
    "tiers": {
        "type": "array",
        "items": _TEXT,
        "maxItems": TIERS_MAX,
        "uniqueItems": True,
        "description": "Roots or URLs that bytes are read from, the faster first, the origin last.",
    },
    "flow": {
        "enum": list(Flow),
        "description": "in: jobs read; out: jobs write new files; inout: both.",
    },
    "immutable": {
        "enum": list(Immutable),
        "description": "on-close: once published, the bytes never change."
        " on-version-publish: once the version directory is published, nothing in it changes.",
    },
    "durability": {
        "enum": list(Durability),
        "description": "Where an output is safe when close() returns. Default: the node decides.",
    },
    "rewrite": {
        "enum": list(Rewrite),
        "description": "A rename onto a published immutable path: refused, or compared first.",
    },
    "ttl": _duration(TTL_S_MAX, "How long a known revision is trusted. Seconds, or 10m."),
    "negative_ttl": _duration(
        TTL_S_MAX, "How long a missing path stays missing. Default: 5, and 1 where jobs write."
    ),
    "stale_if_error": _duration(
        TTL_S_MAX, "How long beyond its ttl a mutable path is shown while its origin is gone."
    ),
    "fill": {
        "enum": list(Fill),
        "description": "whole: who reads a part of a file gets the rest into the cache, too."
        " ranges: never. auto: as it is read.",
    },
    "mode": {**_MODE, "description": "Permission bits of files, octal."},
    "directory_mode": {**_MODE, "description": "Permission bits of directories, octal."},
    "uid": {**_ID, "description": "Owner of the files. Default: the service's user."},
    "gid": {**_ID, "description": "Group of the files. Default: the service's group."},
    "owner": {"enum": ["service", "caller"], "description": "caller: whoever creates the file."},
    "scratch": {
        "type": "array",
        "items": {"type": "string", "pattern": "^([^/*]|[^/][^/]+)$", "maxLength": 255},
        "maxItems": SCRATCH_MAX,
        "uniqueItems": True,
        "description": "Patterns of names that are never published.",
    },
    "grace": _duration(GRACE_S_MAX, "How long after the last close a file stays open."),
    "seal": {
        "enum": list(SealOn),
        "description": "What an output waits for before it is published, besides its last close:"
        " its rename from a scratch name, or the end of its job.",
    },
    "retract": {
        "enum": list(Retract),
        "description": "Who may take a published version back: nobody, an admin of a node, or also"
        " whoever published it.",
    },
    "priority": {
        "type": "integer",
        "minimum": -PRIORITY_MAX,
        "maximum": PRIORITY_MAX,
        "description": "What moves first; higher goes first.",
    },
    "prewarm": _counts(
        "How many following frames and tiles to fetch when a file is opened; 0 for none. What is"
        " not said is learned of each job.",
        frames={"type": "integer", "minimum": 0, "maximum": PREWARM_MAX},
        udims={"type": "integer", "minimum": 0, "maximum": PREWARM_MAX},
    ),
    "retention": _counts(
        "How long files are worth keeping: days after their last change, newest versions.",
        days={"type": "number", "exclusiveMinimum": 0, "maximum": RETENTION_DAYS_MAX},
        versions={"type": "integer", "minimum": 1, "maximum": RETENTION_VERSIONS_MAX},
    ),
}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a document, main or included."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "shotfs path specification",
        "type": "object",
        "required": ["spec"],
        "additionalProperties": False,
        "properties": {key: _top(key) for key in TOP_KEYS},
        # A document without a show is there to be included, and may lack anything.
        "if": {"required": ["show"]},
        "then": {
            "anyOf": [
                {"required": ["templates"], "properties": {"templates": {"minProperties": 1}}},
                {"required": ["include"]},
                {"required": [UNMATCHED]},
            ]
        },
        "$defs": {
            **{f"field_{kind}": field_schema(kind) for kind in TYPE_KEYS},
            "template": _object({key: _template(key) for key in TEMPLATE_KEYS}, "path"),
            "abstract": _object({key: _template(key) for key in ABSTRACT_KEYS}, "path"),
            "root": {
                **_object({key: _root(key) for key in ROOT_KEYS}),
                "anyOf": [
                    {"required": ["url"]},
                    {"required": ["sites"], "properties": {"sites": {"minProperties": 1}}},
                ],
            },
        },
    }


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "additionalProperties": False,
        "properties": properties,
    }


def _top(key: str) -> dict[str, Any]:
    match key:
        case "$schema":
            return {**_TEXT, "description": "For editors; ignored."}
        case "spec":
            return {"const": FORMAT}
        case "show":
            return {
                "type": "string",
                "pattern": _NAME,
                "description": "Name of the show's directory. Only the main document needs it.",
            }
        case "usage":
            return _USAGE
        case "include":
            return {
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "maxItems": DOCUMENTS_MAX - 1,
                "uniqueItems": True,
                "description": "Documents to take over, as paths relative to this one, or URLs.",
            }
        case "roots":
            return {
                "type": "object",
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": {"anyOf": [_URL, {"$ref": "#/$defs/root"}]},
            }
        case "defaults":
            return _object({name: _policy(name) for name in KEYS})
        case "fields":
            return {
                "type": "object",
                "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,63}$", "not": {"const": UNMATCHED}},
                "additionalProperties": {
                    "oneOf": [{"$ref": f"#/$defs/field_{kind}"} for kind in TYPE_KEYS]
                },
            }
        case "templates":
            return {
                "type": "object",
                "propertyNames": {"pattern": _NAME, "not": {"const": UNMATCHED}},
                "additionalProperties": {
                    "if": {"properties": {"abstract": {"const": True}}, "required": ["abstract"]},
                    "then": {"$ref": "#/$defs/abstract"},
                    "else": {"$ref": "#/$defs/template"},
                },
            }
        case "unmatched":
            return {
                "description": "Paths outside all templates: impossible, or to be passed on.",
                "anyOf": [
                    {"enum": ["deny", "pass"]},
                    _object(
                        {key: _USAGE if key == "usage" else _policy(key) for key in UNMATCHED_KEYS}
                    ),
                ],
                "default": "deny",
            }
    raise AssertionError(f"the schema does not know the key {key}")


def _template(key: str) -> dict[str, Any]:
    match key:
        case "path":
            return {
                **_TEXT,
                "minLength": 1,
                "description": "Relative to the show: {field}, {@template}, [optional part].",
            }
        case "usage":
            return _USAGE
        case "abstract":
            return {"type": "boolean", "description": "Only to be referred to by others."}
        case "before":
            return {
                "type": "array",
                "items": _TEXT,
                "maxItems": BEFORE_MAX,
                "uniqueItems": True,
                "description": "Templates that this one wins over where both match a path.",
            }
    return _policy(key)


def _root(key: str) -> dict[str, Any]:
    match key:
        case "usage":
            return _USAGE
        case "url":
            return {**_URL, "description": "For every site without a URL of its own."}
        case "sites":
            return {
                "type": "object",
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": _URL,
                "description": "URL by site, as node.site names it.",
            }
        case "defaults":
            return {
                **_object({name: _policy(name) for name in ROOT_DEFAULTS}),
                "description": "What templates with their origin here inherit.",
            }
    raise AssertionError(f"the schema does not know the key {key}")


def _policy(key: str) -> dict[str, Any]:
    value = BUILT_IN.get(key)
    # A missing output is remembered for a shorter time than other files.
    if value is None or key in ("prewarm", "retention", "negative_ttl"):
        return _POLICY[key]
    if value == SCRATCH_DEFAULT:
        value = list(value)
    return {**_POLICY[key], "default": f"{value:04o}" if key.endswith("mode") else value}
