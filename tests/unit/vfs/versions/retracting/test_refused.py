"""Who may take versions back, and which."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from shotfs.errors import (
    InvalidArgument,
    NotPermitted,
)
from shotfs.vfs.version_retracting import Role
from tests.unit.vfs.versioned import (
    FRAME,
    LATEST,
    VersionNode,
    open_version_node,
    retractable,
)
from tests.unit.vfs.world import Site, fails_with


@pytest.mark.parametrize(
    ("rule", "by", "admin", "delete", "message"),
    [
        ("never", "root@a", True, False, 'nobody may take it back.*"retract": "never"'),
        ("admin", "anna@a", False, False, "only an admin of this node may take it back"),
        ("publisher", "bert@b", False, False, "only anna@a or an admin may take it back"),
        ("publisher", "anna@a", False, True, "only an admin of this node may delete it"),
        ("admin", "root@a", True, True, ""),
        ("publisher", "anna@elsewhere", False, False, ""),
        ("publisher", "root@a", True, True, ""),
    ],
)
async def test_s12_who_may_take_it_back_comes_from_the_specification(
    site: Site, tmp_path: Path, rule: str, by: str, admin: bool, delete: bool, message: str
) -> None:
    async with open_version_node(
        tmp_path / "p", site.origin, site.clock, document=retractable(rule)
    ) as node:
        await node.make(FRAME)
        await node.seal(by="anna@a")
        role = Role(by, admin)
        if not message:
            assert (await node.retract(role=role, delete=delete)).files == 1
            return
        with pytest.raises(NotPermitted, match=message):
            await node.retract(role=role, delete=delete)
        assert await node.exists(FRAME)


async def test_a_read_only_mount_takes_nothing_back(
    two: VersionNode, site: Site, tmp_path: Path
) -> None:
    async with open_version_node(
        tmp_path / "r", site.origin, site.clock, read_only=True, document=retractable()
    ) as node:
        with fails_with(errno.EROFS):
            await node.retract()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("ant/render/xy_010_v009", "is not published"),
        (LATEST, "is an alias"),
        (FRAME, "is a file in a version"),
        ("ant/render", "is no version directory"),
        ("ant/plates/sky_v002.dpx", "is no version directory"),
    ],
)
async def test_only_published_versions_are_taken_back(
    two: VersionNode, path: str, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        await two.retract(path)


async def test_an_open_version_is_not_taken_back(node: VersionNode) -> None:
    await node.make(FRAME)
    with pytest.raises(InvalidArgument, match="nothing to take back"):
        await node.retract()
