"""Versions: what the control socket can ask of them, and who may."""

from __future__ import annotations

import pwd
from collections.abc import Mapping, Sequence
from typing import Any

import trio

from shotfs.app.node import Node
from shotfs.app.permissions import WRITE, may
from shotfs.control.access import Peer
from shotfs.control.version_service import UNSET, Unset
from shotfs.fuse.mount import Mount
from shotfs.namespace import aliases
from shotfs.vfs.version_retracting import RetractedVersion, Role


class NodeVersions:
    """Implements `control.version_service.VersionService` on a `Node`.

    Args:
        node: what is asked.
        mount: its mount, whose kernel forgets what changed; None for `shotfs serve`.
    """

    def __init__(self, node: Node, mount: Mount | None) -> None:
        self._node = node
        self._mount = mount

    async def show(self, path: str) -> Mapping[str, Any]:
        """Return what a version is."""
        return await self._node.filesystem.reports.show(path)

    async def next(self, path: str) -> str:
        """Return *path* with the next version in it."""
        return await self._node.filesystem.reports.next(path)

    async def version_history(self, path: str) -> Sequence[Mapping[str, str]]:
        """Return what happened to a version, oldest first."""
        return await self._node.filesystem.reports.history(path)

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
    ) -> RetractedVersion:
        """Take a published version back."""
        done = await self._node.filesystem.retracting.retract(
            path,
            Role(await self._name_of(peer), admin),
            why=why,
            delete=delete,
            alias_to=alias_to,
            pinned_too=pinned_too,
            dry_run=dry_run,
        )
        if not dry_run:
            await self._changed(done)
        return done

    async def restore(self, path: str, *, peer: Peer, admin: bool, why: str) -> RetractedVersion:
        """Let a version that was taken back count again."""
        role = Role(await self._name_of(peer), admin)
        done = await self._node.filesystem.retracting.restore(path, role, why=why)
        await self._changed(done)
        return done

    async def _changed(self, done: RetractedVersion) -> None:
        """Make the kernel look again where something else is now."""
        if self._mount is not None:
            await self._mount.forget_tree(done.path)
            await self._mount.forget_names([alias.path for alias in done.aliases])

    async def verify(self, path: str) -> Any:
        """Compare a published version's origin with its manifest."""
        return await self._node.filesystem.reports.verify(path)

    async def history(self, path: str) -> Sequence[Any]:
        """Return the moves of an alias, oldest first."""
        return await self._node.filesystem.aliases.history(path)

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
        """Publish a version directory."""
        published = await self._node.filesystem.versions.publish(
            path,
            by=await self._name_of(peer),
            why=why,
            move_aliases=move_aliases,
            deadline_s=deadline_s,
            allowed=may(peer, WRITE, admin=admin),
        )
        if self._mount is not None:
            await self._mount.forget_tree(path)
            await self._mount.forget_names([alias.path for alias in published.aliases])
        return published

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
        """Let an alias point to *version*; None: nowhere."""
        moved = await self._node.filesystem.aliases.move_alias(
            path,
            version,
            by=await self._name_of(peer),
            why=why,
            force=force,
            allowed=may(peer, WRITE, admin=admin),
            expect=aliases.UNSET if isinstance(expect, Unset) else expect,
        )
        if self._mount is not None:
            await self._mount.forget_names([path])
        return moved

    async def _name_of(self, peer: Peer) -> str:
        """Return who asks, as histories and manifests name him."""
        user = await trio.to_thread.run_sync(_user_name, peer.uid)
        return f"{user}@{self._node.settings.node.name}"


def _user_name(uid: int) -> str:
    """Return the name of *uid*; blocks: it may come from a directory service."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
