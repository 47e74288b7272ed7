"""Fields: what a named part of a path may be, how it reads and how it is written."""

from shotfs.pathspec.fields.base import (
    CHOICES_MAX,
    Check,
    Codec,
    Field,
    FieldValue,
    Length,
    Tile,
    VersionAlias,
    element_problem,
    name_problem,
)
from shotfs.pathspec.fields.kinds import TYPE_KEYS, read_field, restore_field
from shotfs.pathspec.fields.numbers import PAD_MAX
from shotfs.pathspec.fields.schemas import field_schema
from shotfs.pathspec.fields.versions import ALIASES_MAX, next_version, version_key

__all__ = [
    "ALIASES_MAX",
    "CHOICES_MAX",
    "PAD_MAX",
    "TYPE_KEYS",
    "Check",
    "Codec",
    "Field",
    "FieldValue",
    "Length",
    "Tile",
    "VersionAlias",
    "element_problem",
    "field_schema",
    "name_problem",
    "next_version",
    "read_field",
    "restore_field",
    "version_key",
]
