"""Outputs that are kept aside, as the control socket sees them; see `control.service`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from shotfs.control.access import Peer
from shotfs.control.publish_service import Outputs


class ConflictService(Protocol):
    """What can be asked of outputs that lost a race, and of partial ones.

    All of it is for root, the service's user and the admin group. Paths are relative to the mount.
    """

    def conflicts(self, which: Outputs | None) -> Sequence[Mapping[str, Any]]:
        """Return what is kept aside, oldest first, from memory; None: all of it.

        Each has ``serial``, ``path`` (where it should have gone), ``kind`` (conflict, partial),
        ``since_ns``, ``message``, ``ours`` and ``theirs`` (None where nobody was first). Ours and
        theirs have ``size_bytes``, ``digest``, ``mtime_ns`` and ``recorded`` (provenance by name);
        ours also ``written_as`` (its name, if that is another) and ``uid``, theirs ``origin``,
        ``version``, ``path`` and ``problem`` (why it is not known whole).

        Raises:
            PathNotFound: nothing that *which* means is kept aside.
        """
        ...

    async def compare(self, serial: int) -> Mapping[str, Any]:
        """Return one conflict as `conflicts` does, compared with what the origin has now.

        Reads both sides to their end. More keys: ``same``, ``first_difference`` (offset of the
        first byte that differs, or where the shorter one ends; None: there is none), and
        ``theirs.digest`` is that of the bytes that were read.

        Raises:
            PathNotFound: there is no such conflict.
            TierError: the origin could not be read.
        """
        ...

    async def content(self, serial: int, side: str) -> tuple[int, AsyncIterator[bytes]]:
        """Return size and bytes of *side*: ours, theirs.

        Raises: as `compare`, before the first byte.
        """
        ...

    async def resolve(
        self, which: Outputs, *, path: str | None, by: Peer
    ) -> Sequence[Mapping[str, Any]]:
        """Publish outputs in quarantine under other paths; nothing is overwritten.

        Args:
            which: several only where *path* is None.
            path: the new one; None: its own with the next version in it, the same for all that
                were of one version.
            by: who decides, for the log.

        Returns:
            ``serial``, ``old`` and ``new`` path of each.

        Raises:
            PathExists: something has the new path already.
            PathNotFound, InvalidArgument, TierError, and what a new file there would meet.
        """
        ...

    async def drop(self, which: Outputs, *, by: Peer) -> Sequence[Mapping[str, Any]]:
        """Remove outputs that are kept aside, for good; return them as `conflicts` does.

        Raises:
            PathNotFound: nothing that *which* means is kept aside.
        """
        ...
