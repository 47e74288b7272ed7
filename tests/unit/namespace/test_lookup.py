"""Files: what the origins have, asked as seldom as the policy allows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from shotfs.errors import ObjectNotFound, TierUnavailable
from shotfs.namespace import Entry, lookup
from tests.unit.namespace.conftest import Places, Site
from tests.unit.namespace.spec import FRAME

OAK = "ant/library/oak.png"
SCENE = "ant/config/scene.json"
KEY = "config/scene.json"
IDENTITY = 2**100 + 17


async def breathe() -> None:
    """Let other tasks, and the catalog's thread, get on."""
    for _ in range(3):
        await trio.to_thread.run_sync(int)
        await trio.testing.wait_all_tasks_blocked()


# --- immutable -----------------------------------------------------------------------------------


async def test_an_immutable_file_is_asked_for_once_for_ever(places: Places) -> None:
    revision = places.origin.add("library/oak.png", b"oak")
    async with places.open() as site:
        assert (await site.find(OAK)).revision == revision
        places.clock.advance(10**8)
        assert (await site.find(OAK)).revision == revision
    async with places.open() as site:
        found = await site.find(OAK)
        assert found.revision == revision
        assert (
            site.namespace.fresh_for_s(found, site.resolution(OAK).template.policy, max_s=99) == 99
        )
    assert places.origin.count() == 1


async def test_s07_an_immutable_file_is_found_while_its_origin_is_gone(places: Places) -> None:
    places.origin.add("library/oak.png", b"oak")
    async with places.open() as site:
        await site.find(OAK)
    places.origin.go_down()
    async with places.open() as site:
        assert await site.find(OAK) is not None
        with pytest.raises(TierUnavailable):
            await site.find("ant/library/elm.png")


# --- mutable -------------------------------------------------------------------------------------


async def test_s03_a_mutable_file_is_trusted_for_its_ttl_and_then_asked_for(site: Site) -> None:
    policy = site.resolution(SCENE).template.policy
    site.origin.add(KEY, b"one")
    found = await site.find(SCENE)
    site.clock.advance(9)
    newer = site.origin.add(KEY, b"two")
    assert await site.find(SCENE) == found
    assert site.namespace.fresh_for_s(found, policy, max_s=100) == pytest.approx(1)
    site.clock.advance(1)
    assert (await site.find(SCENE)).revision == newer
    assert site.origin.count("stat") == 2


async def test_s03_the_ttl_counts_from_the_question_and_not_from_its_slow_answer(
    site: Site,
) -> None:
    site.origin.add(KEY, b"one")
    gate = site.origin.gate("stat")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.find, SCENE)
        await site.origin.reached("stat")
        site.clock.advance(8)
        gate.set()
    newer = site.origin.add(KEY, b"two")
    site.clock.advance(2)
    assert (await site.find(SCENE)).revision == newer


async def test_s03_a_mutable_file_past_its_ttl_is_not_guessed_while_its_origin_is_gone(
    site: Site,
) -> None:
    site.origin.add(KEY, b"one")
    await site.find(SCENE)
    site.clock.advance(11)
    site.origin.go_down()
    with pytest.raises(TierUnavailable):
        await site.find(SCENE)
    site.origin.come_up()
    assert await site.find(SCENE) is not None


async def test_a_mutable_file_that_was_deleted_elsewhere_is_gone_after_its_ttl(site: Site) -> None:
    site.origin.add(KEY, b"one")
    await site.find(SCENE)
    del site.origin.objects[KEY]
    assert await site.find(SCENE) is not None
    site.clock.advance(10)
    assert await site.find(SCENE) is None
    assert await site.find(SCENE) is None
    assert site.origin.count("stat") == 2, "and that it is missing is remembered"


# --- clocks --------------------------------------------------------------------------------------


async def test_a_clock_that_jumps_forward_costs_a_question(site: Site) -> None:
    site.origin.add(KEY, b"one")
    await site.find(SCENE)
    site.clock.wall_offset_s += 86_400
    await site.find(SCENE)
    assert site.origin.count("stat") == 2


async def test_a_clock_that_jumps_back_makes_nothing_last_longer(places: Places) -> None:
    places.origin.add(KEY, b"one")
    policy = None
    async with places.open() as site:
        policy = site.resolution(SCENE).template.policy
        found = await site.find(SCENE)
        places.clock.wall_offset_s -= 86_400
        assert site.namespace.fresh_for_s(found, policy, max_s=10**6) == 0
    for _ in range(3):
        # Each time read from disk anew, which must not make it young again.
        newer = places.origin.add(KEY, b"newer")
        async with places.open() as site:
            assert (await site.find(SCENE)).revision == newer
        places.clock.wall_offset_s -= 86_400


# --- missing -------------------------------------------------------------------------------------


async def test_s09_a_missing_file_is_remembered_for_its_negative_ttl(site: Site) -> None:
    for _ in range(100):
        assert await site.find(OAK) is None
    assert site.origin.count() == 1
    assert site.metrics.snapshot()["shotfs_negative_hits_total"] == 99
    site.clock.advance(4.9)
    revision = site.origin.add("library/oak.png")
    assert await site.find(OAK) is None
    site.clock.advance(0.2)
    assert (await site.find(OAK)).revision == revision


async def test_s10_only_so_many_missing_paths_are_remembered(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "NEGATIVE_ENTRIES_MAX", 10)
    for number in range(30):
        await site.find(f"ant/library/{number}")
    assert len(site.namespace._missing) == 10
    await site.find("ant/library/29")
    assert site.origin.count() == 30
    await site.find("ant/library/0")
    assert site.origin.count() == 31


async def test_an_error_is_not_remembered(site: Site) -> None:
    site.origin.add("library/oak.png")
    site.origin.go_down()
    with pytest.raises(TierUnavailable):
        await site.find(OAK)
    site.origin.come_up()
    assert await site.find(OAK) is not None


# --- one question for many callers ---------------------------------------------------------------


async def test_many_callers_ask_once(site: Site) -> None:
    site.origin.add("library/oak.png")
    gate = site.origin.gate("stat")
    found: list[Entry | None] = []

    async def find() -> None:
        found.append(await site.find(OAK))

    async with trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(find)
        await site.origin.reached("stat")
        await breathe()
        gate.set()
    assert len(found) == 200
    assert None not in found
    assert site.origin.count() == 1


async def test_a_caller_who_gives_up_does_not_spoil_the_answer(site: Site) -> None:
    site.origin.add("library/oak.png")
    gate = site.origin.gate("stat")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.find, OAK)
        await site.origin.reached("stat")
        nursery.cancel_scope.cancel()
    gate.set()
    assert await site.find(OAK) is not None
    assert site.origin.count() == 1


# --- what this node does -------------------------------------------------------------------------


async def test_s16_a_published_file_keeps_its_inode_identity_after_reopening(
    places: Places,
) -> None:
    revision = places.origin.add(FRAME.removeprefix("ant/"), b"frame")
    async with places.open() as site:
        site.namespace.published(FRAME, revision, identity=IDENTITY)
        assert await site.find(FRAME) == Entry(revision, places.clock.wall_s(), IDENTITY)
    async with places.open() as site:
        assert (await site.find(FRAME)).identity == IDENTITY
    assert places.origin.count() == 0, "what this node published it need not ask about"


async def test_the_identity_goes_with_its_revision(site: Site) -> None:
    first = site.origin.add(KEY, b"one")
    site.namespace.published(SCENE, first, identity=IDENTITY)
    site.clock.advance(20)
    assert (await site.find(SCENE)).identity == IDENTITY
    site.origin.add(KEY, b"two")
    site.clock.advance(20)
    assert (await site.find(SCENE)).identity is None


async def test_publishing_ends_the_memory_that_it_was_missing(site: Site) -> None:
    assert await site.find(FRAME) is None
    revision = site.origin.add(FRAME.removeprefix("ant/"))
    site.namespace.published(FRAME, revision, identity=1)
    assert (await site.find(FRAME)).revision == revision


async def test_a_removed_path_is_asked_for_again(site: Site) -> None:
    site.origin.add("library/oak.png", b"one")
    await site.find(OAK)
    newer = site.origin.add("library/oak.png", b"two")
    site.namespace.removed(OAK)
    assert (await site.find(OAK)).revision == newer


async def test_a_conflict_ends_the_memory_that_it_was_missing(site: Site) -> None:
    assert await site.find(FRAME) is None
    theirs = site.origin.add(FRAME.removeprefix("ant/"))
    site.namespace.removed(FRAME)
    assert (await site.find(FRAME)).revision == theirs


async def test_a_miss_that_was_overtaken_by_a_publish_is_not_believed(site: Site) -> None:
    gate = site.origin.gate("stat")
    answers: list[Entry | None] = []

    async def find() -> None:
        answers.append(await site.find(FRAME))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(find)
        await site.origin.reached("stat")
        revision = site.origin.add(FRAME.removeprefix("ant/"))
        site.namespace.published(FRAME, revision, identity=IDENTITY)
        gate.set()
    assert answers[0].revision == revision
    assert (await site.find(FRAME)).identity == IDENTITY


async def test_an_old_revision_that_was_overtaken_by_a_publish_is_not_believed(site: Site) -> None:
    site.origin.add(KEY, b"one")
    gate = site.origin.gate("stat")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(site.find, SCENE)
        await site.origin.reached("stat")
        newer = site.origin.add(KEY, b"two")
        site.namespace.published(SCENE, newer, identity=IDENTITY)
        gate.set()
    assert (await site.find(SCENE)).revision == newer
    assert site.origin.count("stat") == 1


async def test_an_answer_from_before_a_removal_is_not_believed(site: Site) -> None:
    site.origin.add(KEY, b"one")
    gate = site.origin.gate("stat")
    answers: list[Entry | None] = []

    async def find() -> None:
        answers.append(await site.find(SCENE))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(find)
        await site.origin.reached("stat")
        del site.origin.objects[KEY]
        site.namespace.removed(SCENE)
        gate.set()
    assert answers == [None]
    assert await site.find(SCENE) is None


# --- what listings teach -------------------------------------------------------------------------


async def test_a_listed_file_needs_no_question(site: Site) -> None:
    revision = site.origin.add(KEY, b"one")
    listing = await site.listing("ant/config")
    policy = site.resolution(SCENE).template.policy
    await site.namespace.recall([SCENE])
    site.namespace.listed(SCENE, revision, policy, listed_at_s=listing.listed_at_s)
    assert (await site.find(SCENE)).revision == revision
    assert site.origin.count("stat") == 0


async def test_s03_a_listed_file_is_as_old_as_its_listing(site: Site) -> None:
    revision = site.origin.add(KEY, b"one")
    listing = await site.listing("ant/config")
    site.clock.advance(9)
    newer = site.origin.add(KEY, b"two")
    policy = site.resolution(SCENE).template.policy
    await site.namespace.recall([SCENE])
    site.namespace.listed(SCENE, revision, policy, listed_at_s=listing.listed_at_s)
    assert (await site.find(SCENE)).revision == revision
    site.clock.advance(1)
    assert (await site.find(SCENE)).revision == newer


async def test_a_listing_from_before_a_publish_changes_nothing(site: Site) -> None:
    older = site.origin.add(KEY, b"one")
    listing = await site.listing("ant/config")
    policy = site.resolution(SCENE).template.policy
    site.clock.advance(1)
    newer = site.origin.add(KEY, b"two")
    site.namespace.published(SCENE, newer, identity=IDENTITY)
    shown = site.namespace.listed(SCENE, older, policy, listed_at_s=listing.listed_at_s)
    assert shown.revision == newer, "readdir and stat never disagree"
    assert (await site.find(SCENE)).revision == newer


async def test_a_listing_from_before_a_removal_brings_nothing_back(site: Site) -> None:
    older = site.origin.add(KEY, b"one")
    listing = await site.listing("ant/config")
    policy = site.resolution(SCENE).template.policy
    del site.origin.objects[KEY]
    site.namespace.removed(SCENE)
    site.namespace.listed(SCENE, older, policy, listed_at_s=listing.listed_at_s)
    assert await site.find(SCENE) is None


async def test_s16_a_listing_after_reopening_keeps_the_identity(places: Places) -> None:
    key = FRAME.removeprefix("ant/")
    revision = places.origin.add(key, b"frame")
    async with places.open() as site:
        site.namespace.published(FRAME, revision, identity=IDENTITY)
    places.clock.advance(100)
    async with places.open() as site:
        policy = site.resolution(FRAME).template.policy
        await site.namespace.recall([FRAME])
        shown = site.namespace.listed(FRAME, revision, policy, listed_at_s=places.clock.wall_s())
        assert shown.identity == IDENTITY
        assert (await site.find(FRAME)).identity == IDENTITY


async def test_listing_known_immutable_files_again_writes_nothing(site: Site) -> None:
    revision = site.origin.add("library/oak.png")
    policy = site.resolution(OAK).template.policy
    site.namespace.listed(OAK, revision, policy, listed_at_s=site.clock.wall_s())
    await site.catalog.flush()
    site.clock.advance(100)
    site.namespace.listed(OAK, revision, policy, listed_at_s=site.clock.wall_s())
    assert not site.catalog._pending


async def test_s06_a_listing_without_checksums_does_not_drop_the_known_ones(site: Site) -> None:
    site.origin.add(KEY, b"one")
    found = await site.find(SCENE)
    site.clock.advance(5)
    bare = replace(found.revision, checksums=type(found.revision.checksums)())
    policy = site.resolution(SCENE).template.policy
    shown = site.namespace.listed(SCENE, bare, policy, listed_at_s=site.clock.wall_s())
    assert shown.revision.checksums == found.revision.checksums
    assert shown.checked_s == site.clock.wall_s()


# --- several origins -----------------------------------------------------------------------------


async def test_each_file_is_asked_for_in_its_own_origin(site: Site) -> None:
    plate = site.origin.add("plates/a.dpx", b"plate")
    movie = site.second.add("plates/a.mov", b"movie")
    site.second.add("plates/a.dpx", b"not the plate")
    assert (await site.find("ant/plates/a.dpx")).revision == plate
    assert (await site.find("ant/plates/a.mov")).revision == movie
    assert site.origin.asked == [("stat", "plates/a.dpx")]
    assert site.second.asked == [("stat", "plates/a.mov")]


async def test_one_origin_that_is_gone_does_not_stop_the_other(site: Site) -> None:
    site.second.add("plates/a.mov", b"movie")
    site.origin.go_down()
    assert await site.find("ant/plates/a.mov") is not None
    with pytest.raises(TierUnavailable):
        await site.find("ant/plates/a.dpx")


async def test_what_the_tier_says_is_what_the_caller_gets(site: Site) -> None:
    def broken(_operation: str, _key: str) -> None:
        raise ZeroDivisionError("a bug in a tier")

    site.origin.fault = broken
    with pytest.raises(ZeroDivisionError):
        await site.find(OAK)
    site.origin.come_up()
    with pytest.raises(ObjectNotFound):
        await site.origin.stat("library/oak.png")
    assert await site.find(OAK) is None
