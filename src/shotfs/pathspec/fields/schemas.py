"""The JSON Schema of each field type, for editors; it accepts a little more than the readers do."""

from __future__ import annotations

from typing import Any

from shotfs.pathspec.fields.base import CHOICES_MAX
from shotfs.pathspec.fields.frames import FRAME_PAD, SUBFRAME_DIGITS_MAX
from shotfs.pathspec.fields.kinds import TYPE_KEYS
from shotfs.pathspec.fields.numbers import PAD_MAX, RANGE_DIGITS_MAX
from shotfs.pathspec.fields.text import CASES, LENGTH_MAX
from shotfs.pathspec.fields.tiles import STYLES, UV_TILES_MAX
from shotfs.pathspec.fields.times import DEFAULT_FORMAT, FORMAT_LENGTH_MAX, UUID_FORMS
from shotfs.pathspec.fields.versions import (
    ALIAS_PATTERN,
    ALIASES_MAX,
    BY_HAND,
    DEFAULT_SCHEME,
    ON_PUBLISH,
    SCHEME_PATTERN,
)
from shotfs.pathspec.fields.views import FORMS

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_USAGE: Schema = {**_TEXT, "description": "What it is for, in words for people."}
_TEXTS: Schema = {"type": "array", "items": _TEXT, "maxItems": CHOICES_MAX, "uniqueItems": True}
_ALIAS_NAME: Schema = {**_TEXT, "pattern": f"^{ALIAS_PATTERN}$"}
_NUMBER: Schema = {
    "type": "integer",
    "minimum": 1 - 10**RANGE_DIGITS_MAX,
    "maximum": 10**RANGE_DIGITS_MAX - 1,
}


def _whole(least: int, most: int, **more: Any) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most, **more}


def _object(properties: Schema, *required: str) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "additionalProperties": False,
        "properties": properties,
    }


def _choices(one: Schema) -> Schema:
    return {
        "description": "The texts; as an object, each with what it means.",
        "anyOf": [
            {**_TEXTS, "minItems": 1},
            {
                "type": "object",
                "additionalProperties": one,
                "minProperties": 1,
                "maxProperties": CHOICES_MAX,
            },
        ],
    }


_KEYS: dict[str, Schema] = {
    "pattern": {**_TEXT, "description": "A regular expression of the linear subset."},
    "choices": _choices(_TEXT),
    "exclusions": {**_TEXTS, "description": "Texts that are refused."},
    "length": {
        "description": "Characters: exactly, or from min to max.",
        "anyOf": [
            _whole(1, LENGTH_MAX),
            _object({"min": _whole(1, LENGTH_MAX), "max": _whole(1, LENGTH_MAX)}),
        ],
    },
    "case": {"enum": list(CASES), "description": "What letters must be. Default: any."},
    "pad": _whole(1, PAD_MAX, description="Fewest digits, as in %04d: a sign counts as one."),
    "strict": {"type": "boolean", "description": "Refuse numbers with other padding (default)."},
    "negative": {"type": "boolean", "description": "Allow numbers below 0."},
    "min": {**_NUMBER, "description": "The lowest number."},
    "max": {**_NUMBER, "description": "The highest number."},
    "subframes": {
        "description": "Digits behind the point: up to so many, or exactly (fixed).",
        "anyOf": [
            _whole(1, SUBFRAME_DIGITS_MAX),
            _object(
                {"digits": _whole(1, SUBFRAME_DIGITS_MAX), "fixed": {"type": "boolean"}}, "digits"
            ),
        ],
    },
    "scheme": {
        **_TEXT,
        "pattern": f"^{SCHEME_PATTERN}$",
        "default": DEFAULT_SCHEME,
        "description": "Numbers like v%03d, ulid, or site-ulid (which begins with the site).",
    },
    "aliases": {
        "description": "Names that point to one version; as an object, each with what it means.",
        "anyOf": [
            {
                "type": "array",
                "items": _ALIAS_NAME,
                "maxItems": ALIASES_MAX,
                "uniqueItems": True,
            },
            {
                "type": "object",
                "propertyNames": _ALIAS_NAME,
                "maxProperties": ALIASES_MAX,
                "additionalProperties": _object(
                    {"usage": _USAGE, "moves": {"enum": [ON_PUBLISH, BY_HAND]}}
                ),
            },
        ],
    },
    "style": {
        "enum": list(STYLES),
        "default": STYLES[0],
        "description": "udim: 1001. uvtile: u1_v1 is the first tile. uv0: u0_v0 is.",
    },
    "tiles": {
        **_object({"u": _whole(1, UV_TILES_MAX), "v": _whole(1, UV_TILES_MAX)}),
        "description": "How many columns (u) and rows (v) there may be.",
    },
}

_OWN_KEYS: dict[tuple[str, str], Schema] = {
    ("view", "choices"): _choices(
        {"anyOf": [_TEXT, _object({"short": _TEXT, "usage": _USAGE})]},
    ),
    ("view", "form"): {
        "enum": list(FORMS),
        "default": FORMS[0],
        "description": "Which names stand in the path: left (Nuke's %V), or l (its %v).",
    },
    ("frame", "pad"): {**_KEYS["pad"], "default": FRAME_PAD},
    ("uuid", "form"): {
        "enum": list(UUID_FORMS),
        "default": UUID_FORMS[0],
        "description": "hyphens: 8-4-4-4-12 digits. hex: 32 digits.",
    },
    ("timestamp", "format"): {
        **_TEXT,
        "maxLength": FORMAT_LENGTH_MAX,
        "default": DEFAULT_FORMAT,
        "description": "Of %Y %y %m %d %j %H %M %S %f and literal text, like %Y%m%d_%H%M%S.",
    },
    ("compound", "format"): {**_TEXT, "description": "Fields and literals, like {seq}_{cut}."},
}
"""Keys that mean something else for one type than for others."""

_REQUIRED = {"compound": ["format"], "enum": ["choices"]}


def field_schema(kind: str) -> Schema:
    """Return the JSON Schema of a field of type *kind*."""
    return {
        "type": "object",
        "required": ["type", *_REQUIRED.get(kind, [])],
        "additionalProperties": False,
        "properties": {
            "type": {"const": kind},
            "usage": _USAGE,
            **{key: _OWN_KEYS.get((kind, key)) or _KEYS[key] for key in TYPE_KEYS[kind]},
        },
    }
