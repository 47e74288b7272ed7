"""Path specifications: which paths exist, what their fields mean, which policy each has. Pure."""

from shotfs.pathspec.documents import include_locations
from shotfs.pathspec.explain import Explanation, FieldMeaning, PathKind, Setting
from shotfs.pathspec.loader import load
from shotfs.pathspec.mismatch import Miss
from shotfs.pathspec.model import (
    RESERVED,
    AliasMatch,
    DirectoryMatch,
    Durability,
    Fill,
    Flow,
    Immutable,
    Lookahead,
    Policy,
    Resolution,
    Retention,
    Retract,
    Rewrite,
    SealOn,
    Template,
)
from shotfs.pathspec.schema import json_schema
from shotfs.pathspec.specification import Specification

__all__ = [
    "RESERVED",
    "AliasMatch",
    "DirectoryMatch",
    "Durability",
    "Explanation",
    "FieldMeaning",
    "Fill",
    "Flow",
    "Immutable",
    "Lookahead",
    "Miss",
    "PathKind",
    "Policy",
    "Resolution",
    "Retention",
    "Retract",
    "Rewrite",
    "SealOn",
    "Setting",
    "Specification",
    "Template",
    "include_locations",
    "json_schema",
    "load",
]
