"""Tiles: the other UDIMs of a texture."""

from __future__ import annotations

from tests.unit.prewarm.lookahead.conftest import Job, LookAheadWorld


def tiles(*numbers: int, place: str = "assets") -> list[str]:
    return [f"{place}/skin.{number}.tx" for number in numbers]


async def test_a_second_tile_brings_all_that_exist(ahead: LookAheadWorld) -> None:
    ahead.add(*tiles(1001, 1002, 1003, 1011, 1012), "assets/other.1001.tx", "assets/skin.usd")
    job = ahead.frame(1001)
    await job.opens("assets/skin.1002.tx")
    await ahead.comes()
    await job.opens("assets/skin.1003.tx")
    await ahead.comes(*tiles(1001, 1011, 1012))


async def test_the_template_says_how_many_and_they_come_with_the_first(
    ahead: LookAheadWorld,
) -> None:
    ahead.add(*tiles(1001, 1002, 1003, 1004, 1005, place="assets/said"))
    viewer = Job(ahead, name="mari")
    await viewer.opens("assets/said/skin.1004.tx")
    # The one behind it, then from the start.
    await ahead.comes(*tiles(1001, 1005, place="assets/said"))


async def test_a_stranger_brings_no_tiles_that_no_template_asks_for(ahead: LookAheadWorld) -> None:
    ahead.add(*tiles(1001, 1002, 1003, 1004))
    await Job(ahead, name="mari").opens(*tiles(1001, 1002))
    await ahead.comes()
