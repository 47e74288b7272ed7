"""Version aliases as applications see them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shotfs.errors import InvalidArgument, NotPermitted, PathNotFound
from shotfs.vfs import Change, Kind, Missing
from tests.unit.namespace.origin import Clock, Origin
from tests.unit.vfs.versioned import APPROVED, FRAME, LATEST, SHOT, VersionNode, open_version_node
from tests.unit.vfs.world import ARTIST, Site, fails_with

pytestmark = pytest.mark.usefixtures("site")


async def link(node: VersionNode, path: str = LATEST) -> str | None:
    found = await node.fs.lookup(path)
    return None if isinstance(found, Missing) else await node.fs.read_link(path)


async def test_an_alias_is_a_symbolic_link_to_its_sibling(node: VersionNode) -> None:
    node.origin.add(FRAME.removeprefix("ant/"), b"pixels")
    await node.move(LATEST, "v005")
    found = await node.fs.attributes(LATEST)
    assert found.kind is Kind.SYMLINK
    assert await node.fs.read_link(LATEST) == "xy_010_v005"
    assert found.size_bytes == len("xy_010_v005")
    assert found.ttl_s == pytest.approx(10.0)
    assert found.mtime_ns == pytest.approx(node.clock.wall_s() * 1e9, abs=1e9)


async def test_s16_an_alias_keeps_its_inode_until_it_is_moved(
    node: VersionNode, other: VersionNode
) -> None:
    await node.move(LATEST, "v005", force=True)
    first = await node.fs.attributes(LATEST)
    seen = await other.fs.attributes(LATEST)
    assert (seen.identity, seen.mtime_ns) == (first.identity, first.mtime_ns)
    await node.move(LATEST, "v006", force=True)
    assert (await node.fs.attributes(LATEST)).identity != first.identity


async def test_an_alias_that_was_never_set_or_points_nowhere_is_missing(node: VersionNode) -> None:
    found = await node.fs.lookup(LATEST)
    assert isinstance(found, Missing)
    assert found.ttl_s == pytest.approx(5.0)
    await node.move(LATEST, "v005", force=True)
    await node.move(LATEST, None)
    assert isinstance(await node.fs.lookup(LATEST), Missing)
    assert "xy_010_latest" not in await node.names("ant/render")


async def test_moves_are_seen_by_other_nodes_within_the_ttl(
    node: VersionNode, other: VersionNode, site: Site
) -> None:
    await node.move(LATEST, "v005", force=True)
    assert await link(other) == "xy_010_v005"
    await node.move(LATEST, "v006", force=True)
    site.clock.advance(4)
    assert await link(other) == "xy_010_v005"
    assert (await other.fs.attributes(LATEST)).ttl_s == pytest.approx(6.0)
    site.clock.advance(6.1)
    assert await link(other) == "xy_010_v006"


async def test_listings_show_aliases_beside_the_versions(
    node: VersionNode, other: VersionNode
) -> None:
    node.origin.add(FRAME.removeprefix("ant/"), b"pixels")
    await node.move(LATEST, "v005")
    await node.move(APPROVED, "v005")
    shown = dict(await other.entries("ant/render"))
    assert list(shown) == ["xy_010_approved", "xy_010_latest", "xy_010_v005"]
    assert shown["xy_010_latest"] == await other.fs.attributes(LATEST)
    assert shown["xy_010_v005"].kind is Kind.DIRECTORY


async def test_a_listing_costs_one_request_more_only_where_aliases_may_lie(
    node: VersionNode,
) -> None:
    node.origin.add(FRAME.removeprefix("ant/"), b"pixels")
    node.origin.asked.clear()
    await node.names("ant/render")
    assert sorted(node.origin.asked) == [("list", ".shotfs/aliases/render"), ("list", "render")]
    node.origin.asked.clear()
    await node.names(f"{SHOT}/beauty")
    lists = [key for operation, key in node.origin.asked if operation == "list"]
    assert not any("aliases" in key for key in lists)


async def test_the_kernel_believes_a_listing_that_misses_an_alias_only_as_long_as_it_counts(
    node: VersionNode, other: VersionNode, site: Site
) -> None:
    node.origin.add(FRAME.removeprefix("ant/"), b"pixels")
    await other.names("ant/render")
    site.clock.advance(3)
    found = await other.fs.lookup(LATEST)
    assert isinstance(found, Missing)
    assert found.ttl_s == pytest.approx(2.0)
    await node.move(LATEST, "v005")
    site.clock.advance(2.1)
    assert await link(other) == "xy_010_v005"


async def test_s09_paths_that_no_alias_can_have_cost_nothing(node: VersionNode) -> None:
    node.origin.asked.clear()
    for path in (
        "ant/render/xy_010_newest",
        "ant/render/xy_latest",
        "ant/render/XY_010_latest",
        "ant/takes/latest",
        "ant/.shotfs",
        "ant/.shotfs/aliases/render/xy_010_latest.json",
        f"{LATEST}/beauty",
    ):
        found = await node.fs.lookup(path)
        assert isinstance(found, Missing), path
        assert not found.possible, path
    assert node.origin.asked == []
    assert ".shotfs" not in await node.names("ant")


async def test_an_alias_of_files_names_a_file(node: VersionNode) -> None:
    node.origin.add("plates/sky_v002.dpx", b"plate")
    with pytest.raises(NotPermitted, match="flow 'in'"):
        await node.move("ant/plates/sky_latest.dpx", "v002")


# --- changes -------------------------------------------------------------------------------------


async def test_nothing_in_the_mount_changes_an_alias(node: VersionNode) -> None:
    await node.move(LATEST, "v005", force=True)
    fs = node.fs
    await fs.make_directory(SHOT, 0o755, ARTIST)
    await fs.make_directory(f"{SHOT}/beauty", 0o755, ARTIST)
    await node.write(FRAME)
    refused = fails_with(errno.EPERM)
    with refused:
        await fs.unlink(LATEST)
    with refused:
        await fs.rename(LATEST, APPROVED)
    with refused:
        await fs.rename(FRAME, LATEST)
    with refused:
        await fs.rename(SHOT, LATEST)
    with refused:
        await fs.create(LATEST, 0o644, os.O_WRONLY, ARTIST)
    with refused:
        await fs.create(APPROVED, 0o644, os.O_WRONLY, ARTIST)
    with refused:
        await fs.make_directory(LATEST, 0o755, ARTIST)
    with refused:
        await fs.make_symlink(APPROVED, "xy_010_v005", ARTIST)
    with refused:
        await fs.change(LATEST, Change(mode=0o600))
    with refused:
        await fs.change(LATEST, Change(mtime_ns=1))
    with fails_with(errno.ENOTDIR):
        await fs.remove_directory(LATEST)
    with fails_with(errno.ELOOP):
        await fs.open(LATEST, os.O_RDONLY)
    assert await link(node) == "xy_010_v005"
    same = await fs.attributes(LATEST)
    assert (await fs.change(LATEST, Change(uid=same.uid))).identity == same.identity


async def test_the_refusal_names_the_command(node: VersionNode) -> None:
    await node.move(LATEST, "v005", force=True)
    with pytest.raises(NotPermitted, match=f"shotfs version alias {LATEST}"):
        await node.fs.unlink(LATEST)
    with pytest.raises(NotPermitted, match=f"shotfs version alias {APPROVED}"):
        await node.fs.make_symlink(APPROVED, "xy_010_v005", ARTIST)


async def test_extended_attributes_say_what_it_is(node: VersionNode) -> None:
    await node.move(LATEST, "v005", force=True)
    assert await node.fs.extended_attribute(LATEST, "user.shotfs.state") == "alias"
    origin = await node.fs.extended_attribute(LATEST, "user.shotfs.origin")
    assert origin.endswith("/.shotfs/aliases/render/xy_010_latest.json")


# --- moving --------------------------------------------------------------------------------------


async def test_a_version_is_named_by_its_text_or_by_its_directory(node: VersionNode) -> None:
    node.origin.add(FRAME.removeprefix("ant/"), b"pixels")
    assert (await node.move(APPROVED, "xy_010_v005")).version == "v005"
    assert (await node.move(APPROVED, "v005")).moved is False


@pytest.mark.parametrize("version", ["5", "v5", "latest", "xy_011_v005", "../v005", "", "v005/x"])
async def test_only_versions_of_the_field_are_taken(node: VersionNode, version: str) -> None:
    with pytest.raises(InvalidArgument, match='no version of the field "version"'):
        await node.move(APPROVED, version, force=True)


async def test_a_version_that_does_not_exist_is_refused_unless_forced(node: VersionNode) -> None:
    with pytest.raises(PathNotFound, match="xy_010_v009"):
        await node.move(APPROVED, "v009")
    assert (await node.move(APPROVED, "v009", force=True)).moved


@pytest.mark.parametrize("path", [SHOT, "ant/render/xy_010_newest", "ant", "bee/x_latest"])
async def test_only_aliases_are_moved(node: VersionNode, path: str) -> None:
    with pytest.raises(InvalidArgument, match="not the path of a version alias"):
        await node.move(path, "v005")


async def test_s12_an_alias_is_moved_by_who_may_write_its_directory(node: VersionNode) -> None:
    seen: list[int] = []

    def nobody(attributes: object) -> bool:
        seen.append(attributes.mode)  # type: ignore[attr-defined]  # Attributes
        return False

    with pytest.raises(NotPermitted, match="mode 0775"):
        await node.move(APPROVED, "v005", force=True, allowed=nobody)
    assert seen == [0o775]


async def test_a_read_only_mount_moves_nothing(site: Site, tmp_path: Path) -> None:
    async with open_version_node(tmp_path / "c", site.origin, site.clock, read_only=True) as node:
        with fails_with(errno.EROFS):
            await node.move(APPROVED, "v005", force=True)


async def test_s07_aliases_and_their_targets_survive_a_restart_without_the_origin(
    tmp_path: Path, site: Site
) -> None:
    origin: Origin = site.origin
    clock: Clock = site.clock
    async with open_version_node(tmp_path / "d", origin, clock) as node:
        await node.make(FRAME)
        await node.seal()
        assert await node.read(FRAME) == b"pixels"
        assert await link(node) == "xy_010_v005"
    origin.go_down()
    async with open_version_node(tmp_path / "d", origin, clock) as node:
        assert await link(node) == "xy_010_v005"
        assert await node.read(FRAME) == b"pixels"


async def test_s07_a_directory_that_holds_aliases_is_listed_after_a_restart_without_the_origin(
    tmp_path: Path, site: Site
) -> None:
    async with open_version_node(tmp_path / "d", site.origin, site.clock) as node:
        await node.make(FRAME)
        await node.seal()
        listed = await node.names("ant/render")
        assert "xy_010_latest" in listed
    site.origin.go_down()
    async with open_version_node(tmp_path / "d", site.origin, site.clock) as node:
        assert await node.names("ant/render") == listed
