"""Composition root: builds the object graph from the configuration and owns its life."""

from shotfs.app.run import run_mount, run_serve

__all__ = ["run_mount", "run_serve"]
