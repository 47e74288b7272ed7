"""Rival: what the origin has where an output of ours should have gone, as far as we could see.

Kept with the output in quarantine, so that after a restart, and while the origin is away, people
still see who was first. Claims of the store and of whoever published it; nothing decides by them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import trio

from shotfs.errors import ObjectNotFound, ShotfsError
from shotfs.publish.entry import dump_revision, load_revision
from shotfs.tiers.base import Revision, Tier

LOOK_S = 5.0
"""How long the origin may take to tell who was first; the file is in quarantine without, too."""

RECORDED_MAX = 32
RECORDED_CHARACTERS_MAX = 1_000
"""So many names are kept of what somebody else recorded, each cut off there."""


@dataclass(frozen=True, slots=True)
class Rival:
    """What stands in our place.

    Attributes:
        found_ns: when it was found, nanoseconds since the epoch.
        revision: the object; None where there is none, or nobody could say.
        recorded: what whoever stored it recorded with it (`Tier.recorded`).
        path: where it shows, if that is not the path of our output.
        problem: why it is not known, or not whole; "" where it is.
    """

    found_ns: int
    revision: Revision | None = None
    recorded: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    problem: str = ""


async def look(tier: Tier, key: str, now_ns: int, *, within_s: float = LOOK_S) -> Rival:
    """Return what *tier* has under *key*; never raises, and answers within *within_s* seconds."""
    revision: Revision | None = None
    problem = f"the origin did not say within {within_s:g} s what it has"
    try:
        with trio.move_on_after(within_s):
            revision = await tier.stat(key)
            recorded = await tier.recorded(revision)
            return Rival(now_ns, revision, _bounded(recorded))
    except ObjectNotFound:
        return Rival(now_ns, problem="the origin has nothing there")
    except ShotfsError as error:
        problem = error.message
    return Rival(now_ns, revision, problem=problem)


def _bounded(recorded: Mapping[str, str]) -> dict[str, str]:
    named = sorted(recorded.items())[:RECORDED_MAX]
    return {
        name[:RECORDED_CHARACTERS_MAX]: value[:RECORDED_CHARACTERS_MAX] for name, value in named
    }


def dump_error(message: str | None, rival: Rival | None) -> str | None:
    """Return the text for the column `error`: the message, with a rival as JSON."""
    if rival is None:
        return message
    document = {
        "message": message,
        "found_ns": rival.found_ns,
        "revision": dump_revision(rival.revision),
        "recorded": dict(rival.recorded),
        "path": rival.path,
        "problem": rival.problem,
    }
    return json.dumps({"rival": document})


def load_error(text: str | None) -> tuple[str | None, Rival | None]:
    """Return what `dump_error` was given. A message that looks like JSON stays a message."""
    if text is None or not text.startswith('{"rival": '):
        return text, None
    try:
        document: dict[str, Any] = json.loads(text)["rival"]
        message: str | None = document["message"]
        return message, Rival(
            int(document["found_ns"]),
            load_revision(document["revision"]),
            dict(document["recorded"]),
            str(document["path"]),
            str(document["problem"]),
        )
    except (ValueError, KeyError, TypeError):
        return text, None
