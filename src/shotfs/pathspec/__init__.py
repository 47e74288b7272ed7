"""Path specifications: which paths exist, what their fields mean, which policy each has. Pure."""

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
from shotfs.pathspec.specification import Specification

__all__ = [
    "DirectoryMatch",
    "Durability",
    "Flow",
    "Immutable",
    "Policy",
    "Resolution",
    "Rewrite",
    "Specification",
    "Template",
    "load",
]
