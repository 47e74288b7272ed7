"""Roles: which fields of a specification name the shot, the task, the frame and the view. Pure.

Frames and views have types of their own. Shot and task are known by their names, as in the words of
the production: a specification that calls them otherwise is not understood, and then only what the
environment of a job says counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shotfs.pathspec import Specification
from shotfs.prewarm.manifest.frames import NUMBER_MAX

SHOT_NAMES = ("shot",)
TASK_NAMES = ("task", "layer")


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of the fields that have a role, the first that a path has counts."""

    shot: tuple[str, ...] = ()
    task: tuple[str, ...] = ()
    frame: tuple[str, ...] = ()
    view: tuple[str, ...] = ()


def roles_of(spec: Specification) -> Roles:
    """Return the roles of the fields of *spec*."""
    kinds = {name: field.kind for name, field in spec.fields.items()}
    return Roles(
        shot=tuple(name for name in SHOT_NAMES if name in kinds),
        task=tuple(name for name in TASK_NAMES if name in kinds),
        frame=tuple(name for name, kind in kinds.items() if kind == "frame"),
        view=tuple(name for name, kind in kinds.items() if kind == "view"),
    )


def text_of(fields: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the text of the first of *names* that *fields* has; "" for none."""
    for name in names:
        text = fields.get(name)
        if text:
            return text
    return ""


def frame_of(fields: Mapping[str, str], roles: Roles) -> int | None:
    """Return the frame of a path with *fields*, the whole part of one with parts; None for none.

    A number that no manifest can name (20261122013000) is none.
    """
    text = text_of(fields, roles.frame)
    try:
        frame = int(text.partition(".")[0]) if text else None
    except ValueError:
        return None
    return None if frame is None or abs(frame) > NUMBER_MAX else frame
