"""Manifests: what a frame needs, or made."""

from shotfs.prewarm.manifest.entry import Entry, Source, Use
from shotfs.prewarm.manifest.subject import Subject

__all__ = ["Entry", "Source", "Subject", "Use"]
