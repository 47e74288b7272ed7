"""Nodes of a show whose versions are published as a whole, over one origin in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from shotfs.namespace.manifests import key_of
from shotfs.vfs.publishing import PublishedVersion
from shotfs.vfs.version_aliases import MovedAlias
from shotfs.vfs.version_retracting import RetractedVersion, Role
from tests.unit.namespace.origin import Clock, Origin
from tests.unit.namespace.spec import MAIN
from tests.unit.vfs.world import Site, World

DOCUMENT: Mapping[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": MAIN},
    "defaults": {"origin": "main", "ttl": "10s", "negative_ttl": "5s"},
    "fields": {
        "seq": {"type": "str", "pattern": "[a-z]{2}"},
        "cut": {"type": "int", "pad": 3},
        "shot": {"type": "compound", "format": "{seq}_{cut}"},
        "version": {
            "type": "version",
            "scheme": "v%03d",
            "aliases": {"latest": {"moves": "on-publish"}, "approved": {"usage": "by the client"}},
        },
        "take": {"type": "version", "scheme": "ulid"},
        "layer": {"type": "str", "pattern": "[a-z]+"},
        "frame": {"type": "frame", "pad": 4},
    },
    "templates": {
        "shot_root": {"path": "render/{shot}_{version}", "abstract": True},
        "frames": {
            "path": "{@shot_root}/{layer}/{shot}_{version}.{frame}.exr",
            "flow": "out",
            "immutable": "on-version-publish",
            "directory_mode": "0775",
        },
        # Not published with the version, but closed with it.
        "notes": {"path": "{@shot_root}/{layer}.txt", "flow": "inout", "directory_mode": "0775"},
        "masters": {
            "path": "{@shot_root}/{layer}.mov",
            "flow": "out",
            "immutable": "on-close",
            "rewrite": "compare",
            "directory_mode": "0775",
        },
        "takes": {"path": "takes/{take}/{layer}.wav", "flow": "out"},
        "plates": {"path": "plates/{layer}_{version}.dpx"},
    },
}

SHOT = "ant/render/xy_010_v005"
FRAME = f"{SHOT}/beauty/xy_010_v005.1001.exr"
SECOND_FRAME = FRAME.replace("1001", "1002")
NOTE = f"{SHOT}/beauty.txt"
MASTER = f"{SHOT}/beauty.mov"
LATEST = "ant/render/xy_010_latest"
APPROVED = "ant/render/xy_010_approved"
MANIFEST = key_of("render/xy_010_v005")


ADMIN = Role("root@a", admin=True)


def retractable(rule: str = "admin") -> Mapping[str, Any]:
    """`DOCUMENT`, with versions that can be taken back."""
    return {**DOCUMENT, "defaults": {**DOCUMENT["defaults"], "retract": rule}}


class VersionNode(World):
    """A world that publishes versions and moves aliases."""

    async def retract(
        self, path: str = SHOT, why: str = "wrong colour", role: Role = ADMIN, **options: Any
    ) -> RetractedVersion:
        return await self.fs.retracting.retract(path, role, why=why, **options)

    async def restore(
        self, path: str = SHOT, why: str = "was right", role: Role = ADMIN
    ) -> RetractedVersion:
        return await self.fs.retracting.restore(path, role, why=why)

    async def make(self, path: str, content: bytes = b"pixels") -> None:
        """Write *path* with the directories that it needs, and wait until the origin has it."""
        await self.make_above(path)
        await self.publish(path, content)

    async def make_above(self, path: str) -> None:
        """Make the directories of *path* that are not there."""
        parts = path.split("/")
        for count in range(2, len(parts)):
            directory = "/".join(parts[:count])
            if not await self.exists(directory):
                await self.mkdir(directory)

    async def seal(self, path: str = SHOT, by: str = "anna@a", **options: Any) -> PublishedVersion:
        return await self.fs.versions.publish(
            path,
            by=by,
            **{
                "why": "",
                "move_aliases": True,
                "deadline_s": 20.0,
                "allowed": lambda _attributes: True,
                **options,
            },
        )

    async def move(self, path: str, version: str | None, **options: Any) -> MovedAlias:
        return await self.fs.aliases.move_alias(
            path,
            version,
            by="anna@a",
            **{"why": "", "force": False, "allowed": lambda _attributes: True, **options},
        )


@asynccontextmanager
async def open_version_node(
    directory: Path,
    origin: Origin,
    clock: Clock,
    *,
    read_only: bool = False,
    document: Mapping[str, Any] = DOCUMENT,
    mount: Mapping[str, str | float] | None = None,
) -> AsyncIterator[VersionNode]:
    """Start a node of its own on *origin*; its disk is *directory*."""
    directory.mkdir(exist_ok=True)  # noqa: ASYNC240 - a test's own directory
    site = Site(directory, document=document, origin=origin, clock=clock, mount=mount or {})
    async with site.open(read_only=read_only) as world:
        fs = world.fs
        for timed in (fs._finder.aliases, fs._finder.versions, fs._finder.retractions):
            timed._now_s, timed._wall_s = clock.monotonic_s, clock.wall_s
        for desk in (fs.versions, fs.reports):
            desk._wall_s = clock.wall_s
        fs.versions._monotonic_s = clock.monotonic_s
        yield VersionNode(world.node, world.origin, world.second, world.clock)


def manifest(node: VersionNode) -> dict[str, Any]:
    """The manifest of the version in the origin."""
    found = json.loads(node.origin.content(MANIFEST))
    assert isinstance(found, dict)
    return found
