"""What is known of aliases: the last line of a history, and for how long that counts."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace

from shotfs.digest import Checksums
from shotfs.errors import RecordInvalid, TierError
from shotfs.namespace.alias_document import Move, parse_time
from shotfs.pathspec import AliasMatch
from shotfs.tiers.base import Revision


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where an alias points.

    Attributes:
        version: text of the version.
        target: name of the sibling that the link reads.
        at_s: when it was moved there, seconds since the epoch.
        revision: of the alias's object.
    """

    version: str
    target: str
    at_s: float
    revision: Revision


@dataclass(frozen=True, slots=True)
class Known:
    """What was learned of one alias.

    Attributes:
        move: the last line of its history; None: there is none.
        revision: of the object that said so; None: there is no object.
        asked_s: when it was asked, on the monotonic clock.
        until_s: how long that counts, likewise.
        damaged: why the object could not be understood; None: it could. Remembered, because each
            look-up would read it again.
    """

    move: Move | None
    revision: Revision | None
    asked_s: float
    until_s: float
    damaged: str | None = None

    def asked_again(self, asked_s: float, match: AliasMatch) -> Known:
        """Return the same as of *asked_s*: the object has not changed."""
        somewhere = self.move is not None and self.move.version is not None
        ttl_s = match.ttl_s if somewhere else match.negative_ttl_s
        return replace(self, asked_s=asked_s, until_s=asked_s + ttl_s)


def pointer_of(known: Known, match: AliasMatch) -> Pointer | None:
    """Return where an alias points by what is *known* of it; None: nowhere.

    Raises:
        RecordInvalid: its object is damaged.
    """
    if known.damaged is not None:
        raise RecordInvalid(known.damaged)
    if known.move is None or known.move.version is None or known.revision is None:
        return None
    version = known.move.version
    target = match.target(version)
    if target in (".", ".."):
        return None
    return Pointer(version, target, parse_time(known.move.at), known.revision)


@dataclass(slots=True)
class Listed:
    """The aliases of one directory while they are looked at.

    Attributes:
        pointers: where they point, those that point somewhere.
        names: by origin, of those whose objects say where they point, be it nowhere.
        problems: why others are not known.
    """

    pointers: dict[str, Pointer] = field(default_factory=dict)
    names: dict[str, set[str]] = field(default_factory=dict)
    problems: list[TierError] = field(default_factory=list)

    def add(self, name: str, match: AliasMatch, known: Known) -> None:
        """Add what is known of one alias.

        Raises:
            RecordInvalid: its object is damaged.
        """
        pointer = pointer_of(known, match)
        if known.move is not None:
            self.names.setdefault(match.origin, set()).add(name)
        if pointer is not None:
            self.pointers[name] = pointer


def dump(known: Known) -> bytes:
    """Return what outlives a restart of an alias that has an object."""
    assert known.move is not None
    assert known.revision is not None
    revision = asdict(known.revision)
    del revision["checksums"]
    return json.dumps({"move": asdict(known.move), "revision": revision}).encode()


def restore(data: bytes) -> Known | None:
    """Return what `dump` wrote, as of long ago; None if it is not that."""
    try:
        document = json.loads(data)
        return Known(
            Move(**document["move"]),
            Revision(**document["revision"], checksums=Checksums()),
            asked_s=float("-inf"),
            until_s=float("-inf"),
        )
    except (ValueError, KeyError, TypeError):
        return None  # of another version of shotfs
