"""Published versions that are taken back, and restored."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from shotfs.errors import (
    InvalidArgument,
    NotPermitted,
    PathNotFound,
    PublishedImmutable,
    TierUnavailable,
    VersionBusy,
)
from shotfs.namespace.pinning import walking
from shotfs.namespace.pins import PinHead, PinWriter
from shotfs.namespace.retraction_document import key_of
from shotfs.publish import SpoolEntry, State
from shotfs.vfs import Missing
from shotfs.vfs.version_retracting import Role
from shotfs.vfs.version_targets import target_of
from tests.unit.namespace.spec import MAIN
from tests.unit.vfs.versioned import (
    APPROVED,
    FRAME,
    LATEST,
    SECOND_FRAME,
    SHOT,
    VersionNode,
    open_version_node,
    retractable,
)
from tests.unit.vfs.world import ARTIST, Site, fails_with

MARK = key_of("render/xy_010_v005")
OLDER = "ant/render/xy_010_v004"
OLDER_FRAME = f"{OLDER}/beauty/xy_010_v004.1001.exr"


@pytest.fixture
async def node(site: Site, tmp_path: Path) -> AsyncIterator[VersionNode]:
    async with open_version_node(
        tmp_path / "a", site.origin, site.clock, document=retractable()
    ) as opened:
        yield opened


@pytest.fixture
async def other(site: Site, tmp_path: Path) -> AsyncIterator[VersionNode]:
    async with open_version_node(
        tmp_path / "b", site.origin, site.clock, document=retractable()
    ) as opened:
        yield opened


@pytest.fixture
async def two(node: VersionNode) -> VersionNode:
    """The node that published v004 and then v005; `latest` and `approved` point to v005."""
    await node.make(OLDER_FRAME, b"old pixels")
    await node.seal(OLDER)
    node.clock.advance(1)
    await node.make(FRAME, b"pixels")
    await node.make(SECOND_FRAME, b"more")
    await node.seal()
    await node.move(APPROVED, "v005")
    return node


async def link(node: VersionNode, path: str = LATEST) -> str | None:
    found = await node.fs.lookup(path)
    return None if isinstance(found, Missing) else await node.fs.read_link(path)


def mark(node: VersionNode) -> list[dict[str, str]]:
    found = json.loads(node.origin.content(MARK))["history"]
    assert isinstance(found, list)
    return found


# --- what is seen --------------------------------------------------------------------------------


async def test_a_version_that_was_taken_back_is_gone_at_once_where_it_was_done(
    two: VersionNode,
) -> None:
    assert await two.read(FRAME) == b"pixels"
    done = await two.retract()
    assert (done.state, done.by, done.why, done.already) == (
        "retracted", "root@a", "wrong colour", False,
    )  # fmt: skip
    assert (done.files, done.bytes) == (2, 10)
    for path in (SHOT, f"{SHOT}/beauty", FRAME):
        assert not await two.exists(path)
    assert await two.names("ant/render") == [
        "xy_010_approved", "xy_010_latest", "xy_010_v004",
    ]  # fmt: skip
    with pytest.raises(PathNotFound):
        await two.fs.snapshot(f"{SHOT}/beauty")
    assert FRAME.removeprefix("ant/") in two.origin.objects  # S1: nothing is touched


async def test_other_nodes_miss_it_after_the_ttl(two: VersionNode, other: VersionNode) -> None:
    assert await other.read(FRAME) == b"pixels"
    assert "xy_010_v005" in await other.names("ant/render")
    assert (await other.fs.attributes(FRAME)).ttl_s == pytest.approx(10.0)
    await two.retract()
    two.clock.advance(9)
    assert await other.read(FRAME) == b"pixels"
    assert (await other.fs.attributes(SHOT)).ttl_s == pytest.approx(1.0)
    two.clock.advance(1.1)
    assert not await other.exists(FRAME)
    assert not await other.exists(SHOT)
    assert "xy_010_v005" not in await other.names("ant/render")


async def test_refresh_shows_it_at_once(two: VersionNode, other: VersionNode) -> None:
    assert await other.read(FRAME) == b"pixels"
    await two.retract()
    report = await other.fs.refresher.refresh(
        SHOT, tree=False, may_search=lambda _: True, may_read=lambda _: True
    )
    assert [(one.path, one.what) for one in report.changes] == [(SHOT, "gone")]
    assert any("taken back by root@a" in note for note in report.notes)
    assert not await other.exists(FRAME)


async def test_refresh_of_the_directory_above_shows_it_at_once(
    two: VersionNode, other: VersionNode
) -> None:
    assert "xy_010_v005" in await other.names("ant/render")
    await two.retract()
    await other.fs.refresher.refresh(
        "ant/render", tree=False, may_search=lambda _: True, may_read=lambda _: True
    )
    assert "xy_010_v005" not in await other.names("ant/render")


async def test_refresh_of_an_alias_shows_at_once_where_it_went(
    two: VersionNode, other: VersionNode
) -> None:
    assert await link(other) == "xy_010_v005"
    await two.retract()
    report = await other.fs.refresher.refresh(
        LATEST, tree=False, may_search=lambda _: True, may_read=lambda _: True
    )
    assert report.notes == [f"{LATEST} points to xy_010_v004, not xy_010_v005"]
    assert await link(other) == "xy_010_v004"


async def test_s11_who_has_a_file_open_reads_on(two: VersionNode) -> None:
    handle = await two.open(FRAME)
    await two.retract()
    assert bytes(await handle.read(0, 100)) == b"pixels"
    assert handle.attributes().size_bytes == len(b"pixels")
    await handle.close()
    assert not await two.exists(FRAME)


async def test_nothing_is_asked_where_nobody_may_take_versions_back(
    site: Site, tmp_path: Path
) -> None:
    async with open_version_node(tmp_path / "n", site.origin, site.clock) as node:
        await node.make(FRAME, b"pixels")
        await node.seal()
        node.origin.asked.clear()
        site.clock.advance(1_000)
        assert await node.exists(FRAME)
        assert (await node.fs.attributes(FRAME)).ttl_s > 10
        assert not any(".shotfs/retracted" in key for _, key in node.origin.asked)


async def test_it_costs_one_listing_for_each_ttl_however_many_versions_there_are(
    two: VersionNode,
) -> None:
    two.clock.advance(100)
    two.origin.asked.clear()
    for path in (FRAME, SECOND_FRAME, SHOT, OLDER, OLDER_FRAME):
        assert await two.exists(path)
    assert two.origin.asked == [("list", ".shotfs/retracted/render")]


async def test_s07_what_was_taken_back_stays_so_over_a_restart_without_the_origin(
    two: VersionNode, site: Site, tmp_path: Path
) -> None:
    async with open_version_node(
        tmp_path / "c", site.origin, site.clock, document=retractable()
    ) as node:
        assert await node.read(OLDER_FRAME) == b"old pixels"
        await two.retract()
        await node.names("ant/render")
        site.clock.advance(11)
        assert not await node.exists(FRAME)
    site.origin.go_down()
    async with open_version_node(
        tmp_path / "c", site.origin, site.clock, document=retractable()
    ) as node:
        assert not await node.exists(FRAME)
        assert await node.read(OLDER_FRAME) == b"old pixels"


async def test_s07_a_slow_origin_leaves_it_as_it_was_known(
    two: VersionNode, autojump_clock: trio.testing.MockClock
) -> None:
    assert await two.read(FRAME) == b"pixels"
    two.clock.advance(11)
    two.origin.gate("list")
    assert await two.exists(FRAME)


async def test_a_damaged_mark_is_an_error_below_its_version_only(two: VersionNode) -> None:
    two.origin.add(MARK, b"{}")
    two.clock.advance(11)
    with fails_with(errno.EIO):
        await two.fs.lookup(FRAME)
    assert await two.exists(OLDER_FRAME)
    assert "xy_010_v004" in await two.names("ant/render")


async def test_a_view_of_an_earlier_time_still_has_it(
    two: VersionNode, site: Site, tmp_path: Path
) -> None:
    two.clock.advance(5)
    before = two.clock.wall_s()
    two.clock.advance(5)
    await two.retract()
    after = two.clock.wall_s() + 1
    live = {"at_without_versions": "live"}
    for at_s, seen in ((before, True), (after, False)):
        async with open_version_node(
            tmp_path / f"at{at_s}",
            site.origin,
            site.clock,
            document=retractable(),
            mount={"at": _iso(at_s), **live},
        ) as past:
            assert await past.exists(FRAME) is seen
            assert ("xy_010_v005" in await past.names("ant/render")) is seen


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()


async def test_pin_create_leaves_it_out_and_refuses_it_by_name(two: VersionNode) -> None:
    await two.retract()
    show = two.node.shows.get("ant")
    assert show is not None

    async def pinned(*paths: str) -> list[str]:
        async with walking(show.spec, two.node.tiers, paths, None) as walk:
            found = []
            while (one := await walk.next()) is not None:
                found.append(f"ant/{one.path}")
            return found

    assert await pinned("render") == [OLDER_FRAME]
    for path in (SHOT, FRAME):
        with pytest.raises(PathNotFound, match="taken back by root@a"):
            await pinned(path.removeprefix("ant/"))
    await two.restore()
    assert FRAME in await pinned("render")


async def test_s11_a_job_that_pinned_it_keeps_it_and_can_see_what_became_of_it(
    two: VersionNode, site: Site, tmp_path: Path
) -> None:
    seal = await two.fs._finder.versions.ask(MAIN, "render/xy_010_v005")
    assert seal.snapshot is not None
    pin = tmp_path / "job.pin.json"
    trees = ("render/xy_010_v005",)
    head = PinHead("ant", "f" * 32, "2026-11-21T06:00:00Z", "anna@a", None, trees)
    with PinWriter(str(pin), head) as writer:
        for name in sorted(seal.snapshot):
            revision = seal.snapshot.find(name)
            assert revision is not None
            writer.add(revision.key, revision, revision.tier)
    await two.retract()
    async with open_version_node(
        tmp_path / "j", site.origin, site.clock, document=retractable(), mount={"pin": str(pin)}
    ) as job:
        assert await job.read(FRAME) == b"pixels"
        state = await job.fs.extended_attribute(FRAME, "user.shotfs.state")
        assert state == "retracted"
        report = await job.fs.path_reports.why(
            FRAME, may_search=lambda _: True, may_read=lambda _: True
        )
        assert "what this mount pins stays" in report.reasons[0]


# --- aliases -------------------------------------------------------------------------------------


async def test_an_alias_that_follows_goes_back_to_what_was_published_before(
    two: VersionNode, other: VersionNode
) -> None:
    assert await link(other) == "xy_010_v005"
    done = await two.retract()
    assert [(one.path, one.version, one.moved) for one in done.aliases] == [(LATEST, "v004", True)]
    assert await link(two) == "xy_010_v004"
    history = await two.fs.aliases.history(LATEST)
    assert history[-1].why == "v005 was taken back: wrong colour"
    two.clock.advance(11)
    assert await link(other) == "xy_010_v004"


async def test_an_alias_that_is_moved_by_hand_stays_and_leads_nowhere(two: VersionNode) -> None:
    done = await two.retract()
    assert done.staying == (APPROVED,)
    assert await link(two, APPROVED) == "xy_010_v005"
    assert not await two.exists(SHOT)


async def test_an_alias_without_an_older_version_points_nowhere(node: VersionNode) -> None:
    await node.make(FRAME)
    await node.seal()
    done = await node.retract()
    assert [one.version for one in done.aliases] == [None]
    assert await link(node) is None


async def test_an_alias_skips_what_was_taken_back_before(two: VersionNode) -> None:
    await two.retract(OLDER)
    done = await two.retract()
    assert [one.version for one in done.aliases] == [None]


async def test_an_alias_finds_a_version_that_it_never_pointed_to(node: VersionNode) -> None:
    await node.make(OLDER_FRAME)
    await node.seal(OLDER, move_aliases=False)
    await node.make(FRAME)
    await node.seal()
    assert [one.version for one in (await node.retract()).aliases] == ["v004"]


async def test_the_version_that_aliases_go_to_can_be_named(two: VersionNode) -> None:
    third = "ant/render/xy_010_v003"
    await two.make(f"{third}/beauty/xy_010_v003.1001.exr")
    await two.seal(third, move_aliases=False)
    with pytest.raises(PathNotFound, match="xy_010_v009"):
        await two.retract(alias_to="v009")
    with pytest.raises(InvalidArgument, match="what is taken back"):
        await two.retract(alias_to="v005")
    assert [one.version for one in (await two.retract(alias_to="v003")).aliases] == ["v003"]


async def test_no_alias_can_be_moved_to_it_but_by_force(two: VersionNode) -> None:
    await two.retract()
    with pytest.raises(PathNotFound, match="taken back by root@a"):
        await two.move(LATEST, "v005")
    assert (await two.move(APPROVED, "v005", force=True)).version == "v005"


async def test_an_alias_that_a_publish_moves_to_it_meanwhile_does_not_stay(
    two: VersionNode, other: VersionNode
) -> None:
    """One node takes v005 back while another, repeating its publish, moves the alias there."""
    await two.move(LATEST, "v004")
    done: list[str | None] = []

    async def repeat() -> None:
        finder = other.fs._finder
        seal = await finder.versions.ask(MAIN, "render/xy_010_v005")
        target = target_of(finder, SHOT)
        moved = await other.fs.aliases.follow(target, seal, "bert@b", "", already=False)
        done.extend(one.version for one in moved)

    gate = two.origin.gate("put")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(repeat)
        await two.origin.reached("put")
        del two.origin.gates["put"]
        await two.retract()  # finds the alias at v004: nothing to do
        gate.set()
    assert done == ["v004"]
    assert [one.version for one in await two.fs.aliases.history(LATEST)][-2:] == ["v005", "v004"]


# --- for ever ------------------------------------------------------------------------------------


async def test_its_number_is_never_given_again(two: VersionNode) -> None:
    await two.retract(delete=True)
    assert not [key for key in two.origin.objects if key.startswith("render/xy_010_v005")]
    assert await two.fs.reports.next(OLDER) == "ant/render/xy_010_v006"


async def test_nothing_is_published_as_it_again(two: VersionNode, other: VersionNode) -> None:
    await two.retract()
    with pytest.raises(PublishedImmutable, match="taken back by root@a") as caught:
        await other.seal()
    assert "shotfs version restore" in (caught.value.fix or "")
    refused = fails_with(errno.EPERM)
    for one in (two, other):
        with refused:
            await one.fs.create(f"{SHOT}/beauty/xy_010_v005.1003.exr", 0o644, os.O_WRONLY, ARTIST)
        with refused:
            await one.fs.make_directory(SHOT, 0o755, ARTIST)
    with pytest.raises(PublishedImmutable, match="nothing is published as it again"):
        await two.fs.make_directory(SHOT, 0o755, ARTIST)


async def test_s04_an_output_that_comes_too_late_for_it_is_kept_in_quarantine(
    two: VersionNode, other: VersionNode
) -> None:
    """Also if it is what the version had: with --delete there is no other copy."""
    version = "ant/render/xy_010_v007"
    path = f"{version}/beauty/xy_010_v007.1001.exr"
    await other.make_above(path)
    handle = await other.create(path)
    await handle.write(0, b"late")
    await two.make(path, b"late")
    await two.seal(version)
    await two.retract(version, delete=True)
    await handle.flush()
    await handle.close()
    await other.until(lambda: bool(_quarantined(other)))
    (entry,) = _quarantined(other)
    assert (entry.path, "taken back by root@a" in (entry.error or "")) == (path, True)
    assert path.removeprefix("ant/") not in other.origin.objects


def _quarantined(node: VersionNode) -> list[SpoolEntry]:
    entries = (*node.node.spool.entries(), *node.node.spool.aside())
    return [one for one in entries if one.state is State.QUARANTINED]


# --- and again -----------------------------------------------------------------------------------


async def test_restored_it_is_what_it_was(two: VersionNode, other: VersionNode) -> None:
    before = await two.fs.attributes(FRAME)
    await two.retract()
    two.clock.advance(20)
    assert not await other.exists(FRAME)
    done = await two.restore()
    assert (done.state, done.already) == ("restored", False)
    assert [(one.version, one.moved) for one in done.aliases] == [("v005", True)]
    assert (await two.fs.attributes(FRAME)).identity == before.identity
    assert "xy_010_v005" in await two.names("ant/render")
    two.clock.advance(11)
    assert await other.read(FRAME) == b"pixels"
    assert await link(other) == "xy_010_v005"
    assert [(one["state"], one["why"]) for one in mark(two)] == [
        ("retracted", "wrong colour"), ("restored", "was right"),
    ]  # fmt: skip


async def test_an_alias_that_was_moved_since_does_not_come_back(two: VersionNode) -> None:
    await two.retract()
    await two.make("ant/render/xy_010_v006/beauty/xy_010_v006.1001.exr")
    await two.seal("ant/render/xy_010_v006")
    assert [(one.version, one.moved) for one in (await two.restore()).aliases] == [("v006", False)]


async def test_what_was_not_taken_back_cannot_be_restored(two: VersionNode) -> None:
    with pytest.raises(InvalidArgument, match="was not taken back"):
        await two.restore()
    await two.retract()
    await two.restore()
    assert (await two.restore()).already


async def test_it_is_not_restored_without_its_bytes(two: VersionNode) -> None:
    await two.retract()
    two.origin.remove(FRAME.removeprefix("ant/"))
    with pytest.raises(NotPermitted, match="1 of its files are missing"):
        await two.restore()
    assert not await two.exists(FRAME)


async def test_repeated_it_is_told_who_was_first(two: VersionNode) -> None:
    await two.retract()
    again = await two.retract(why="once more", role=Role("bert@b", admin=True))
    assert (again.already, again.by, again.why) == (True, "root@a", "wrong colour")
    assert len(mark(two)) == 1


# --- deleting ------------------------------------------------------------------------------------


async def test_deleting_removes_what_the_manifest_names_and_nothing_else(two: VersionNode) -> None:
    foreign = f"{SHOT}/beauty/xy_010_v005.1009.exr".removeprefix("ant/")
    two.origin.add(foreign, b"late")
    replaced = SECOND_FRAME.removeprefix("ant/")
    two.origin.add(replaced, b"other bytes")
    done = await two.retract(delete=True)
    assert (done.state, done.deleted, done.kept) == ("deleted", 1, 2)
    assert done.named == (
        ("changed", "beauty/xy_010_v005.1002.exr"), ("extra", "beauty/xy_010_v005.1009.exr"),
    )  # fmt: skip
    left = [key for key in two.origin.objects if key.startswith("render/xy_010_v005")]
    assert sorted(left) == sorted([foreign, replaced])
    assert [one["state"] for one in mark(two)] == ["deleting", "deleted"]
    with pytest.raises(NotPermitted, match="objects were deleted"):
        await two.restore()
    with pytest.raises(InvalidArgument, match="objects were deleted"):
        await two.fs.reports.verify(SHOT)


async def test_what_was_taken_back_can_be_deleted_later(two: VersionNode) -> None:
    await two.retract()
    done = await two.retract(why="make room", delete=True)
    assert (done.state, done.deleted) == ("deleted", 2)
    assert [one["state"] for one in mark(two)] == ["retracted", "deleting", "deleted"]


async def test_what_the_cache_has_of_it_goes_with_it(two: VersionNode) -> None:
    await two.read(FRAME)
    seal = two.fs._finder.versions.peek(MAIN, "render/xy_010_v005")
    assert seal is not None
    assert seal.snapshot is not None
    frame = seal.snapshot.find("beauty/xy_010_v005.1001.exr")
    assert frame is not None
    assert await two.node.cache.known(frame)
    await two.retract(delete=True)
    assert not await two.node.cache.known(frame)


async def test_what_is_pinned_here_is_deleted_only_if_that_is_said(two: VersionNode) -> None:
    await two.fs.cached_paths.pin([FRAME], "job-7", None, 10)
    with pytest.raises(VersionBusy, match="1 of its files are pinned"):
        await two.retract(delete=True)
    assert MARK not in two.origin.objects
    assert (await two.retract(delete=True, dry_run=True, pinned_too=True)).pinned == 1
    assert (await two.retract(delete=True, pinned_too=True)).deleted == 2


async def test_a_dry_run_does_nothing(two: VersionNode) -> None:
    two.origin.asked.clear()
    done = await two.retract(delete=True, dry_run=True)
    assert (done.dry_run, done.state, done.files) == (True, "deleted", 2)
    assert [(one.version, one.moved) for one in done.aliases] == [("v004", True)]
    assert done.staying == (APPROVED,)
    assert not [one for one in two.origin.asked if one[0] in ("put", "delete")]
    assert await two.exists(FRAME)


# --- who may -------------------------------------------------------------------------------------


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


# --- crashes and rivals --------------------------------------------------------------------------


async def test_taking_back_while_it_is_being_published_waits_for_the_end(
    node: VersionNode, other: VersionNode
) -> None:
    await node.make(FRAME)
    async with trio.open_nursery() as nursery:
        gate = node.origin.gate("list")
        nursery.start_soon(node.seal)
        await node.origin.reached("list")
        del node.origin.gates["list"]
        with pytest.raises(VersionBusy, match="anna@a is publishing it"):
            await other.retract()
        gate.set()
    assert (await other.retract()).state == "retracted"


@pytest.mark.parametrize("delete", [False, True])
async def test_after_a_crash_between_any_two_requests_repeating_it_carries_on(
    two: VersionNode, other: VersionNode, delete: bool
) -> None:
    """Each attempt changes one object, and dies at the second; the two nodes take turns."""
    deaths = 0
    while True:
        changes = 0

        def die(operation: str, key: str) -> None:
            nonlocal changes
            changes += operation == "put" or (operation == "delete" and key in two.origin.objects)
            if changes == 2:
                raise TierUnavailable(f"{key}: {operation}: the node died")

        two.origin.fault = die
        try:
            done = await (two if deaths % 2 else other).retract(delete=delete)
            break
        except TierUnavailable:
            deaths += 1
        finally:
            two.origin.come_up()
    # Mark, alias, and with --delete two objects and the mark again.
    assert deaths == (4 if delete else 1)
    assert done.state == ("deleted" if delete else "retracted")
    two.clock.advance(11)
    for one in (two, other):
        assert not await one.exists(FRAME)
        assert await link(one) == "xy_010_v004"
    left = [key for key in two.origin.objects if key.startswith("render/xy_010_v005")]
    assert bool(left) is not delete


async def test_of_two_who_take_it_back_at_once_both_are_told_the_first(
    two: VersionNode, other: VersionNode
) -> None:
    done = {}

    async def one(which: VersionNode, by: str) -> None:
        done[by] = await which.retract(role=Role(by, admin=True))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, two, "anna@a")
        nursery.start_soon(one, other, "bert@b")
    assert len(mark(two)) == 1
    assert {one.by for one in done.values()} == {mark(two)[0]["by"]}
    assert sorted(one.already for one in done.values()) == [False, True]


async def test_restoring_loses_against_deleting(two: VersionNode, other: VersionNode) -> None:
    await two.retract()
    problems: list[str] = []

    async def restore() -> None:
        try:
            await other.restore()
        except NotPermitted as exc:
            problems.append(exc.message)

    gate = two.origin.gate("put")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(restore)
        await two.origin.reached("put")
        del two.origin.gates["put"]
        await two.retract(delete=True)
        gate.set()
    assert "objects were deleted" in problems[0]
    assert [one["state"] for one in mark(two)] == ["retracted", "deleting", "deleted"]


# --- what is told --------------------------------------------------------------------------------


async def test_show_and_history_tell_who_and_why(two: VersionNode) -> None:
    await two.retract()
    shown = await two.fs.reports.show(SHOT)
    assert (shown["state"], shown["by"]) == ("retracted", "anna@a")
    assert shown["retracted"].startswith("taken back by root@a, 20")
    assert shown["retracted"].endswith(": wrong colour")
    await two.restore()
    shown = await two.fs.reports.show(SHOT)
    assert shown["state"] == "sealed"
    assert shown["retracted"].startswith("restored by root@a")
    history = await two.fs.reports.history(SHOT)
    assert [(one["state"], one["by"], one["why"]) for one in history] == [
        ("sealed", "anna@a", ""),
        ("retracted", "root@a", "wrong colour"),
        ("restored", "root@a", "was right"),
    ]


async def test_verify_still_compares_and_says_so(two: VersionNode) -> None:
    await two.retract()
    verdict = await two.fs.reports.verify(SHOT)
    assert verdict.intact
    assert verdict.retracted.startswith("taken back by root@a")


async def test_why_says_who_took_it_back(two: VersionNode) -> None:
    await two.retract()

    async def why(path: str) -> tuple[str | None, str]:
        report = await two.fs.path_reports.why(
            path, may_search=lambda _: True, may_read=lambda _: True
        )
        return report.state, report.reasons[0]

    state, reason = await why(FRAME)
    assert state == "retracted"
    assert reason.startswith("its version was taken back by root@a")
    _, reason = await why(APPROVED)
    assert reason.startswith(f"it points to a version that nobody sees: {SHOT} was taken back")
    assert (await why(OLDER_FRAME))[0] == "cached"


async def test_the_status_knows_what_is_half_deleted(two: VersionNode) -> None:
    await two.names("ant/render")
    assert two.fs.reports.taken_back() == {"versions": 0, "unfinished": []}
    await two.retract()
    assert two.fs.reports.taken_back() == {"versions": 1, "unfinished": []}

    def die(operation: str, key: str) -> None:
        if operation == "delete":
            raise TierUnavailable(f"{key}: the node died")

    two.origin.fault = die
    with pytest.raises(TierUnavailable):
        await two.retract(delete=True)
    assert two.fs.reports.taken_back()["unfinished"] == ["render/xy_010_v005"]


async def test_a_line_of_the_metrics_counts_it(two: VersionNode) -> None:
    await two.retract(delete=True)
    text = two.node.metrics.text()
    assert 'shotfs_retractions_total{state="deleting"} 1.0' in text
    assert 'shotfs_retractions_total{state="deleted"} 1.0' in text
