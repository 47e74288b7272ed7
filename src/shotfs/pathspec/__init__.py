"""Path specifications: which paths exist, what their fields mean, which policy each has. Pure."""

from shotfs.pathspec.explain import Explanation, FieldMeaning, Miss, PathKind, Setting
from shotfs.pathspec.loader import load
from shotfs.pathspec.model import (
    DirectoryMatch,
    Durability,
    Flow,
    Immutable,
    Policy,
    Resolution,
    Rewrite,
    Template,
)
from shotfs.pathspec.schema import json_schema
from shotfs.pathspec.specification import Specification

__all__ = [
    "DirectoryMatch",
    "Durability",
    "Explanation",
    "FieldMeaning",
    "Flow",
    "Immutable",
    "Miss",
    "PathKind",
    "Policy",
    "Resolution",
    "Rewrite",
    "Setting",
    "Specification",
    "Template",
    "json_schema",
    "load",
]
