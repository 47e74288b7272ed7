"""Versions and aliases as the control socket sees them; see `control.service`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from shotfs.control.access import Peer


class Unset(Enum):
    """Stands for an expectation that the client does not have."""

    UNSET = 0


UNSET = Unset.UNSET


class VersionService(Protocol):
    """What can be asked of versions. Paths are relative to the mount.

    *peer* and *admin* say who asks, and whether root, the service's user or the admin group.
    """

    async def show(self, path: str) -> Mapping[str, Any]:
        """Return what a version is; see `vfs.version_reports.VersionReports.show`."""
        ...

    async def next(self, path: str) -> str:
        """Return *path* with the next version in it."""
        ...

    async def version_history(self, path: str) -> Sequence[Mapping[str, str]]:
        """Return what happened to a version, oldest first: {state, at, by, why} of each."""
        ...

    async def retract(
        self,
        path: str,
        *,
        peer: Peer,
        admin: bool,
        why: str,
        delete: bool,
        alias_to: str | None,
        pinned_too: bool,
        dry_run: bool,
    ) -> Any:
        """Take a published version back: a `RetractedVersion`."""
        ...

    async def restore(self, path: str, *, peer: Peer, admin: bool, why: str) -> Any:
        """Let a version that was taken back count again: a `RetractedVersion`."""
        ...

    async def verify(self, path: str) -> Any:
        """Compare a published version's origin with its manifest: a `Verdict`."""
        ...

    async def history(self, path: str) -> Sequence[Any]:
        """Return the moves of an alias, oldest first: {version, at, by, why} of each."""
        ...

    async def publish(
        self,
        path: str,
        *,
        peer: Peer,
        admin: bool,
        why: str,
        move_aliases: bool,
        deadline_s: float,
    ) -> Any:
        """Publish a version directory: a `PublishedVersion`."""
        ...

    async def move_alias(
        self,
        path: str,
        version: str | None,
        *,
        peer: Peer,
        admin: bool,
        why: str,
        force: bool,
        expect: str | Unset | None = UNSET,
    ) -> Any:
        """Let an alias point to *version*; None: nowhere. Returns a `MovedAlias`."""
        ...
