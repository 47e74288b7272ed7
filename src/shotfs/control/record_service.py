"""Recordings as the control socket sees them; see `control.service`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from shotfs.control.access import Peer
from shotfs.prewarm.manifest.subject import Subject


class RecordService(Protocol):
    """What can be asked of recordings of what jobs open."""

    def start(self, asked: Subject, *, peer: Peer, bound: bool) -> Mapping[str, Any]:
        """Record what fits *asked* ("" in a field is anything) from now on.

        Args:
            asked: what; the whole of it "" is everything that is opened.
            peer: who wants it.
            bound: it ends with the process that wants it, if nobody stops it before.

        Returns:
            ``number``, to stop it by.

        Raises:
            InvalidArgument: nothing is recorded here, or too many are started.
        """
        ...

    async def stop(self, number: int, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Stop it, and learn from what it saw.

        Returns:
            ``number``, ``subject`` (as far as it is known now), ``files``, ``bytes``, ``opens``,
            ``missed``, ``cold``, ``stall_s``, ``runs`` and ``learned`` (whether it was possible to
            tell of which shot it was). Its manifest can be asked for by the number, for a while.

        Raises:
            InvalidArgument: there is no such recording.
            NotPermitted: somebody else started it.
        """
        ...

    def taken(self, number: int, *, peer: Peer, admin: bool) -> bytes:
        """Return the manifest of a recording that was stopped a moment ago.

        Raises:
            PathNotFound: there is none, or none any more.
            NotPermitted: somebody else started it.
        """
        ...

    async def report(self) -> Mapping[str, Any]:
        """Return ``jobs`` (which are recorded), ``started`` (by hand), ``active`` (runs that go
        on), ``stored`` (subjects that are known here) and ``pending`` (manifests that wait for
        their origin).
        """
        ...

    async def manifest(self, subject: Subject) -> bytes:
        """Return what is known of *subject*, as a manifest.

        Raises:
            InvalidArgument: there is no such show, or no shot is named.
            PathNotFound: nothing is known of it.
        """
        ...

    async def publish(self) -> Mapping[str, Any]:
        """Bring what was learned to the origins now: ``published`` and ``pending``."""
        ...

    async def remember(
        self, show: str, scores: Mapping[str, tuple[int, int]]
    ) -> Mapping[str, Mapping[str, float]]:
        """Keep how good scanners were in *show*: how many files each claimed, and how many of
        those were read. Returns ``precision`` of each scanner, as prewarm uses it from now on.

        Raises:
            InvalidArgument: there is no such show.
        """
        ...
