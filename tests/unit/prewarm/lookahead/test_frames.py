"""Frames: what the next one reads is here before it begins."""

from __future__ import annotations

from tests.unit.prewarm.lookahead.conftest import Job, LookAheadWorld


def caches(first: int, last: int, step: int = 1, name: str = "smoke") -> list[str]:
    return [f"030/cache/{name}.{frame}.vdb" for frame in range(first, last + 1, step)]


def plates(first: int, last: int) -> list[str]:
    return [f"030/plate/bg.{frame}.exr" for frame in range(first, last + 1)]


async def test_what_the_template_says_is_fetched_from_the_first_frame_on(
    ahead: LookAheadWorld,
) -> None:
    ahead.add(*plates(1001, 1010))
    await ahead.frame(1001).opens("030/plate/bg.1001.exr")
    await ahead.comes(*plates(1002, 1004))


async def test_a_second_frame_tells_the_step_and_the_next_two_are_fetched(
    ahead: LookAheadWorld,
) -> None:
    ahead.add(*caches(1001, 1010))
    await ahead.frame(1001).opens("030/cache/smoke.1001.vdb")
    await ahead.comes()
    await ahead.frame(1002).opens("030/cache/smoke.1002.vdb")
    await ahead.comes(*caches(1003, 1004))


async def test_every_tenth_frame_backwards_is_learned_of_three(ahead: LookAheadWorld) -> None:
    ahead.add(*caches(1001, 1099))
    for frame in (1081, 1071):
        await ahead.frame(frame).opens(f"030/cache/smoke.{frame}.vdb")
    await ahead.comes()
    await ahead.frame(1061).opens("030/cache/smoke.1061.vdb")
    await ahead.comes("030/cache/smoke.1051.vdb", "030/cache/smoke.1041.vdb")


async def test_frames_in_no_order_are_not_guessed(ahead: LookAheadWorld) -> None:
    ahead.add(*caches(1001, 1099))
    for frame in (1001, 1044, 1013, 1090, 1027):
        await ahead.frame(frame).opens(f"030/cache/smoke.{frame}.vdb")
    await ahead.comes()


async def test_all_that_a_frame_read_is_expected_of_the_next_with_its_numbers_moved(
    ahead: LookAheadWorld,
) -> None:
    ahead.add(*caches(1001, 1005), "assets/hero.usd")
    ahead.add(*(f"030/cache/retimed.000{n}.vdb" for n in range(1, 6)))
    for n in (1, 2):
        await ahead.frame(1000 + n).opens(
            "assets/hero.usd", f"030/cache/smoke.{1000 + n}.vdb", f"030/cache/retimed.000{n}.vdb"
        )
    await ahead.comes(
        *caches(1003, 1004), "030/cache/retimed.0003.vdb", "030/cache/retimed.0004.vdb"
    )


async def test_a_numbered_file_that_every_frame_reads_stays(ahead: LookAheadWorld) -> None:
    ahead.add(*caches(1000, 1009), *caches(1000, 1009, name="rest"))
    for frame in (1001, 1002):
        await ahead.frame(frame).opens("030/cache/rest.1000.vdb")
    await ahead.settled()
    for frame in (1003, 1004, 1005, 1006):
        await ahead.frame(frame).opens("030/cache/rest.1000.vdb")
    # Until two frames could be compared it was expected to move.
    assert await ahead.here() <= set(caches(1001, 1003, name="rest"))


async def test_a_frame_that_begins_is_helped_by_what_another_one_read(
    ahead: LookAheadWorld,
) -> None:
    ahead.add(*caches(1001, 1050), *caches(1001, 1050, name="fire"), "assets/hero.usd")
    await ahead.frame(1001).opens(
        "assets/hero.usd", "030/cache/smoke.1001.vdb", "030/cache/fire.1001.vdb"
    )
    await ahead.frame(1040).opens("assets/hero.usd")
    await ahead.comes("030/cache/smoke.1040.vdb", "030/cache/fire.1040.vdb")


async def test_a_sequence_in_one_process_is_followed_to_the_end_of_its_job(
    ahead: LookAheadWorld,
) -> None:
    ahead.add(*caches(1001, 1020))
    job = ahead.frame(0, shot="", task="", job="comp")
    job.subject = type(job.subject)(show="ant", job="comp", frame="1001-1004")
    await job.opens(*caches(1001, 1003))
    await ahead.comes("030/cache/smoke.1004.vdb")


async def test_a_stranger_is_followed_only_as_far_as_the_template_says(
    ahead: LookAheadWorld,
) -> None:
    ahead.add(*caches(1001, 1010), *plates(1001, 1010))
    viewer = Job(ahead, name="rv")
    await viewer.opens(*caches(1001, 1004), *plates(1001, 1002))
    await ahead.comes(*plates(1003, 1005))


async def test_rsync_is_never_followed(ahead: LookAheadWorld) -> None:
    ahead.add(*plates(1001, 1010))
    await Job(ahead, name="rsync").opens(*plates(1001, 1004))
    await ahead.frame(1001).opens()
    copying = ahead.frame(1001)
    copying.name = "rsync"
    await copying.opens("030/plate/bg.1005.exr")
    await ahead.comes()


async def test_a_template_can_switch_it_off(ahead: LookAheadWorld) -> None:
    ahead.add(*(f"030/never/bg.{frame}.exr" for frame in range(1001, 1010)))
    for frame in (1001, 1002, 1003):
        await ahead.frame(frame).opens(f"030/never/bg.{frame}.exr")
    await ahead.comes()
