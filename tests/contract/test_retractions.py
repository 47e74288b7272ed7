"""Taking versions back at real stores: nobody's line is lost, and nothing else is deleted."""

from __future__ import annotations

from pathlib import Path

import trio

from shotfs.digest import Checksums, digest_bytes
from shotfs.namespace.records import Records
from shotfs.namespace.retraction_document import Retraction, Standing, key_of
from shotfs.namespace.retractions import Retractions
from shotfs.tiers.base import Revision, Tier
from shotfs.vfs.version_retracting import delete_exactly
from tests.contract.places import at

VERSION = "render/xy_010_v005"
ORIGIN = "the origin"


class OneTier:
    """Stands for a pool: whatever is asked for is this tier."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def opened(self, url: str) -> Tier | None:
        del url
        return self._tier

    async def get(self, url: str) -> Tier:
        del url
        await trio.lowlevel.checkpoint()
        return self._tier


def node(tier: Tier, nursery: trio.Nursery, directory: Path) -> Retractions:
    return Retractions(OneTier(tier), nursery, Records(str(directory)))


def unless_hidden(last: Retraction | None) -> Standing | None:
    return None if last is not None and last.hides else Standing.RETRACTED


@at("gcs", "s3", "file")
async def test_of_two_nodes_that_take_a_version_back_at_once_one_is_first(
    tier: Tier, tmp_path: Path
) -> None:
    lines: list[tuple[Retraction | None, bool]] = []
    async with trio.open_nursery() as nursery:
        nodes = [node(tier, nursery, tmp_path / name) for name in ("a", "b")]

        async def one(which: int) -> None:
            by = f"user{which}@n"
            done = await nodes[which].add(ORIGIN, VERSION, unless_hidden, by=by, why="wrong")
            lines.append(done)

        async with trio.open_nursery() as both:
            for which in range(2):
                both.start_soon(one, which)
        (first, _), (second, _) = lines
        assert first == second
        assert sorted(new for _, new in lines) == [False, True]
        for each in nodes:
            assert await each.within(ORIGIN, "render", 0.0) == {"xy_010_v005"}
            assert await each.of(ORIGIN, VERSION, 0.0) == first
            assert await each.history(ORIGIN, VERSION) == (first,)


@at("gcs", "s3", "file")
async def test_no_line_is_lost_however_many_are_added_at_once(tier: Tier, tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        nodes = [node(tier, nursery, tmp_path / str(one)) for one in range(5)]

        async def one(which: int) -> None:
            standing = Standing.RESTORED if which % 2 else Standing.RETRACTED
            _, new = await nodes[which].add(
                ORIGIN, VERSION, lambda _: standing, by=f"user{which}@n", why=""
            )
            assert new

        async with trio.open_nursery() as all_at_once:
            for which in range(5):
                all_at_once.start_soon(one, which)
        history = await nodes[0].history(ORIGIN, VERSION)
        assert sorted(line.by for line in history) == [f"user{one}@n" for one in range(5)]
        assert [line.at for line in history] == sorted({line.at for line in history})
        assert (await tier.stat(key_of(VERSION))).size_bytes > 0


@at("gcs", "s3", "file")
async def test_only_the_revision_of_the_manifest_is_deleted(tier: Tier) -> None:
    old = await _put(tier, None, b"published")
    new = await _put(tier, old, b"replaced behind our back")
    assert await delete_exactly(tier, old) == 0
    assert (await tier.stat(old.key)).version == new.version
    assert await delete_exactly(tier, new) == 1
    assert await delete_exactly(tier, new) == 0


async def _put(tier: Tier, expect: Revision | None, content: bytes) -> Revision:
    return await tier.put(
        f"{VERSION}/a.exr",
        content,
        expect=expect,
        checksums=Checksums(xxh128=digest_bytes(content)),
        mtime_ns=1_700_000_000 * 10**9,
        metadata={},
    )
