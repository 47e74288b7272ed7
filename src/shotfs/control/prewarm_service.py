"""Prewarms as the control socket sees them; see `control.service`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from shotfs.control.access import Peer
from shotfs.prewarm.manifest import Entry
from shotfs.prewarm.manifest.files import Files


class Mode(StrEnum):
    """What becomes of the files that targets stand for."""

    FETCH = "fetch"
    DRY_RUN = "dry-run"
    CHECK = "check"
    """As DRY_RUN; a name of its own for who lists what runs."""
    EVICT = "evict"


@dataclass(frozen=True, slots=True)
class Order:
    """What a prewarm shall do.

    Attributes:
        mode: with the files.
        targets: paths relative to the mount, templates with fields, shots; entries of manifests
            come later, one page after another.
        frames: only what these frames need; "" for all.
        task: only what this task needs; "" for all.
        views: only what these views need; () for all.
        tier: where to: ``local``.
        bytes_max: how much it may fetch; None: no limit.
        files_max: likewise.
        deadline_s: how long it may take from its start, in seconds; None: as long as it needs.
        pin: owner of a pin of each file; "": none.
        label: what people call it, for lists.
        in_order: entries come sorted by path, each once, and are looked at as they come: nothing
            is kept of them. For `CHECK` and `DRY_RUN` of manifests alone, without limits.
    """

    mode: Mode = Mode.FETCH
    targets: tuple[str, ...] = ()
    frames: str = ""
    task: str = ""
    views: tuple[str, ...] = ()
    tier: str = "local"
    bytes_max: int | None = None
    files_max: int | None = None
    deadline_s: float | None = None
    pin: str = ""
    label: str = ""
    in_order: bool = False


class PrewarmService(Protocol):
    """What can be asked of prewarms. *peer* and *admin* say who asks."""

    async def begin(self, order: Order, *, peer: Peer, admin: bool) -> int:
        """Return the number of a new prewarm, which waits for entries and `start`.

        Raises:
            InvalidArgument: a target is nothing that is known.
            NotPermitted: pins and evictions are for the admin.
            CacheBusy: there are too many, of this user or in all.
            Unsupported: there is no such tier.
        """
        ...

    async def add(self, number: int, entries: Sequence[Entry], *, peer: Peer, admin: bool) -> None:
        """Want *entries* of a manifest, too.

        Raises:
            PathNotFound: there is no such prewarm of this user.
            InvalidArgument: it was started already, or wants too much; they are not in order.
        """
        ...

    async def add_files(self, number: int, files: Files, *, peer: Peer, admin: bool) -> None:
        """As `add`, of path, digest and size alone."""
        ...

    async def start(self, number: int, *, peer: Peer, admin: bool) -> None:
        """Let it run. Raises as `add`."""
        ...

    async def show(self, number: int, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Return how far it is, or how it ended.

        Raises:
            PathNotFound: there is none of this number, or it ended long ago.
        """
        ...

    async def list(self, *, peer: Peer, admin: bool) -> Sequence[Mapping[str, Any]]:
        """Return those that wait, run or ended lately, the newest last: his own, the admin all."""
        ...

    async def cancel(self, number: int, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """End it; return as `show`. What has come stays. Ended already: nothing changes."""
        ...
