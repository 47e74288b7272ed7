"""Versions that are taken back: what is seen of them, on every node, and what is told."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from shotfs.errors import (
    PathNotFound,
    TierUnavailable,
)
from shotfs.namespace.pinning import walking
from shotfs.namespace.pins import PinHead, PinWriter
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
from tests.unit.vfs.versions.retracting.marks import MARK, OLDER, OLDER_FRAME, link
from tests.unit.vfs.world import Site, fails_with


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
    two: VersionNode, mock_clock: trio.testing.MockClock
) -> None:
    assert await two.read(FRAME) == b"pixels"
    two.clock.advance(11)
    two.origin.gate("list")
    # From here only the origin is waited for. Earlier, a jump while a thread hashes is a disk that
    # does not answer.
    mock_clock.autojump_threshold = 0.1
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


# --- what is told ---------------------------------------------------------------------------------


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
