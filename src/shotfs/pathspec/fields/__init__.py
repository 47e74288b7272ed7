"""Fields: what a named part of a path may be, how it reads and how it is written."""

from shotfs.pathspec.fields.base import (
    ALIASES_MAX,
    CHOICES_MAX,
    PAD_MAX,
    TYPE_KEYS,
    Check,
    Field,
    FieldValue,
    VersionAlias,
    name_problem,
    read_field,
)

__all__ = [
    "ALIASES_MAX",
    "CHOICES_MAX",
    "PAD_MAX",
    "TYPE_KEYS",
    "Check",
    "Field",
    "FieldValue",
    "VersionAlias",
    "name_problem",
    "read_field",
]
