"""Outputs as the control socket sees them; see `control.service`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shotfs.control.access import Peer


@dataclass(frozen=True, slots=True)
class Outputs:
    """Which outputs a request means; at least one of them is said.

    Attributes:
        serial: the number of one output in this node's spool; None: not said by number.
        path: relative to the mount: the outputs of that name, and all below a directory; None:
            not said by path.
    """

    serial: int | None = None
    path: str | None = None


class PublishService(Protocol):
    """What can be asked of outputs on their way to the origin. Paths are relative to the mount."""

    async def stat(self, path: str, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Return whether *path* is safe in its origin: a `vfs.safety.Safety`.

        Raises:
            NotPermitted: who asks may not search a directory above it.
        """
        ...

    async def show(self, which: Outputs) -> Sequence[Mapping[str, Any]]:
        """Return everything that is known of outputs that are not in the origin, oldest first.

        Each as `Service.queue` has it, and ``what`` and ``says`` (how far it is), ``data_file``,
        ``template`` and what its policy says, ``recorded`` (provenance), ``writing`` (processes
        that have it open for writing: ``pid``, ``name``, ``uid``, ``how``), ``history`` (uploads:
        ``at_ns``, ``seconds``, ``failure``, ``message``), ``conflict`` (as `ConflictService`).

        Raises:
            PathNotFound: there is no such output in the spool.
        """
        ...

    async def retry(self, which: Outputs | None) -> Mapping[str, Any]:
        """Try outputs again now that wait for their next attempt; None: all of them.

        Returns:
            ``retried`` (how many), ``items`` (those that were named and are not tried, as
            `Service.queue` has them), each with ``why_not``.

        Raises:
            PathNotFound: there is no such output in the spool.
        """
        ...

    async def missing(
        self, *, job: str | None, paths: Sequence[str], peer: Peer, admin: bool
    ) -> Mapping[str, Any]:
        """Return which outputs of this node are not in the origin yet.

        Args:
            job: of this render job, and those of which the job is not known; None: of any.
            paths: at or below these; none: anywhere.
            peer: who asks. He is told names of his own outputs only, and the number of all.
            admin: he is told all names.

        Returns:
            ``count``, ``bytes``, ``stuck`` (how many do not get there by themselves), ``unknown``
            (how many are of an unknown job) and ``items``: the first of them, each with ``path``,
            ``serial``, ``state``, ``size_bytes``, ``job``, ``uid``, ``why`` and ``stuck``.

        Raises:
            NoTemplate: no template can produce one of *paths*.
            NotPermitted: one of them is an alias, or below one.
        """
        ...

    async def finish(self, job: str, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        """Let *job* have ended: seal what waits for that, remove its scratch files.

        Args:
            job: its name.
            peer: who says so: of his own outputs he may.
            admin: he may of all.

        Returns:
            ``job``, ``released`` (outputs), ``removed``, ``removed_bytes`` and ``kept`` (scratch
            files), ``removed_paths`` and ``kept_paths`` (the first of them), ``refused``: how many
            outputs and scratch files are another user's.

        Raises:
            NotPermitted: all that there is of the job is another user's.
        """
        ...
