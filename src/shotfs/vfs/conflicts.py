"""Conflicts: publishing an output that lost a race under another path. Nothing is overwritten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shotfs.errors import InvalidArgument, ObjectNotFound, PathExists
from shotfs.namespace import TierPool
from shotfs.publish import Spool, SpoolEntry, State
from shotfs.publish.provenance import moved
from shotfs.vfs import paths
from shotfs.vfs.attributes import Caller
from shotfs.vfs.changes import Changes
from shotfs.vfs.finder import NodeFinder
from shotfs.vfs.nodes import Directory, Missing
from shotfs.vfs.terms import Terms
from shotfs.vfs.version_reports import VersionReports


class ConflictDesk:
    """Gives quarantined outputs other paths, under the rules that hold for a new file there.

    Args:
        finder: what lies under a path.
        terms: who may write where.
        changes: makes directories.
        reports: knows which version comes next.
        spool: outputs of this node.
        tiers: the origins.
    """

    def __init__(
        self,
        finder: NodeFinder,
        terms: Terms,
        changes: Changes,
        reports: VersionReports,
        *,
        spool: Spool,
        tiers: TierPool,
    ) -> None:
        self._finder = finder
        self._terms = terms
        self._changes = changes
        self._reports = reports
        self._spool = spool
        self._tiers = tiers

    async def next_paths(self, entries: Sequence[SpoolEntry]) -> list[str]:
        """Return the path of each with the next version in it; of one version all get the same.

        Raises: as `VersionReports.next`.
        """
        return await self._reports.next_all([wanted_path(entry) for entry in entries])

    async def publish_as(self, entry: SpoolEntry, path: str) -> None:
        """Let the quarantined *entry* be published as *path*: create-only, as any new file.

        Directories that are missing above it are made here, for the owner of the output.

        Raises:
            PathExists: something lies there, here or in the origin.
            InvalidArgument: it is the path that it lost, or *entry* is not in quarantine.
            NoTemplate, ReadOnly, NotPermitted, PublishedImmutable: nobody may write there.
            TierError: the origin could not say what lies there.
            SpoolFull, SpoolBroken, OutputBusy, Stale: as `Spool.release`.
        """
        if entry.state is not State.QUARANTINED or entry.terms is None:
            raise InvalidArgument(
                f"output {entry.serial} is {entry.state}: only what lost a race gets another path",
                fix="copy a partial file out with `shotfs publish conflicts save`, and look at it",
            )
        if path == wanted_path(entry):
            raise InvalidArgument(
                f"{path}: is the path whose race it lost; nothing is overwritten",
                fix="name another path, or use --next-version",
            )
        resolution = self._terms.writable_file(path)
        if resolution.scratch:
            raise InvalidArgument(f"{path}: is a scratch name, which is never published")
        await self._terms.check_unsealed(path, now=True)
        if not isinstance(await self._finder.find(path), Missing):
            raise PathExists(f"{path}: exists already; nothing is overwritten")
        terms = self._terms.of(path, resolution, None)
        await self._must_be_free(path, terms.origin, terms.key)
        await self._make_way(path, Caller(entry.uid, entry.gid, 0))
        terms = replace(moved(entry.terms, terms), released=True, grace_s=0.0)
        await self._spool.release(entry, path, terms)

    async def _must_be_free(self, path: str, origin: str, key: str) -> None:
        """Ask the origin now: what was remembered of it may be old."""
        tier = await self._tiers.get(origin)
        try:
            await tier.stat(key)
        except ObjectNotFound:
            return
        raise PathExists(f"{path}: the origin has it already; nothing is overwritten")

    async def _make_way(self, path: str, caller: Caller) -> None:
        """Make the directories above *path* that are missing."""
        above = ""
        for name in path.split("/")[:-1]:
            above = paths.join(above, name)
            node = await self._finder.find(above)
            if isinstance(node, Missing):
                await self._changes.make_directory(above, 0o755, caller)
            elif not isinstance(node, Directory):
                raise PathExists(f"{above}: is no directory")


def wanted_path(entry: SpoolEntry) -> str:
    """Return where *entry* should have been published."""
    rival = entry.rival
    return rival.path if rival is not None and rival.path else entry.path
