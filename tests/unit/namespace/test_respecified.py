"""What is known of a show when another specification has come into force."""

from __future__ import annotations

import json
from typing import Any

import pytest
import trio

from shotfs.pathspec import load
from tests.unit.namespace.conftest import Site
from tests.unit.namespace.spec import DOCUMENT, MAIN, SECOND

OAK = "ant/library/oak.png"
SCENE = "ant/config/scene.json"


def respecify(site: Site, **templates: Any) -> None:
    """Put another specification into force: some templates are other ones."""
    both = {**DOCUMENT["templates"], **templates}
    document = {**DOCUMENT, "templates": both}
    site.spec = load(json.dumps(document), source="new.json", show="ant")
    site.namespace.respecified("ant")


async def test_revisions_stay_known(site: Site) -> None:
    site.origin.add("library/oak.png", b"oak")
    found = await site.find(OAK)
    site.origin.asked.clear()
    respecify(site, plates={"path": "plates/{name}.dpx"})
    assert await site.find(OAK) == found
    assert site.origin.count() == 0


async def test_what_was_missing_is_asked_for_again(site: Site) -> None:
    assert await site.find(SCENE) is None
    site.origin.add("config/scene.json", b"{}")
    assert await site.find(SCENE) is None, "remembered"
    respecify(site)
    assert await site.find(SCENE) is not None


async def test_listings_and_directories_are_asked_for_again(site: Site) -> None:
    assert await site.names("ant/library") == set()
    assert not await site.has_directory("ant/library/deep")
    site.origin.add("library/deep/oak.png", b"oak")
    assert await site.names("ant/library") == set(), "remembered"
    assert not await site.has_directory("ant/library/deep")
    respecify(site)
    assert await site.names("ant/library") == {"deep"}
    assert await site.has_directory("ant/library/deep")


async def test_another_show_keeps_what_is_known(site: Site) -> None:
    assert await site.find(SCENE) is None
    assert await site.names("ant/library") == set()
    asked = site.origin.count()
    site.namespace.respecified("an")
    site.namespace.respecified("ants")
    assert await site.find(SCENE) is None
    assert await site.names("ant/library") == set()
    assert site.origin.count() == asked


async def test_a_revision_of_another_origin_counts_as_unknown(site: Site) -> None:
    site.origin.add("library/oak.png", b"of the first")
    other = site.second.add("library/oak.png", b"of the second")
    before = await site.find(OAK)
    assert before is not None
    assert before.revision.tier == MAIN
    library = DOCUMENT["templates"]["library"]
    respecify(site, library={**library, "origin": "second"})
    entry = await site.find(OAK)
    assert entry is not None
    assert entry.revision == other
    assert entry.revision.tier == SECOND
    asked = site.second.count()
    assert await site.find(OAK) == entry
    assert site.second.count() == asked, "known from then on"


async def test_a_listing_does_not_take_an_old_origins_revision_for_its_own(site: Site) -> None:
    site.origin.add("library/oak.png", b"of the first")
    await site.find(OAK)
    library = DOCUMENT["templates"]["library"]
    respecify(site, library={**library, "origin": "second"})
    other = site.second.add("library/oak.png", b"of the second")
    await site.namespace.recall((OAK,))
    entry = site.namespace.listed(
        OAK, other, site.resolution(OAK).template.policy, listed_at_s=site.clock.wall_s() - 1
    )
    assert entry.revision == other


@pytest.mark.parametrize("question", ["find", "listing", "directory"])
async def test_a_question_from_before_is_not_the_answer_of_one_from_after(
    site: Site, question: str
) -> None:
    ask = {
        "find": lambda: site.find(OAK),
        "listing": lambda: site.names("ant/library"),
        "directory": lambda: site.has_directory("ant/library"),
    }[question]
    operation = "stat" if question == "find" else "list"
    gate = site.origin.gate(operation)
    site.second.add("library/oak.png", b"of the second")
    answers: list[Any] = []

    async def answer() -> None:
        answers.append(await ask())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await site.origin.reached(operation)
        library = DOCUMENT["templates"]["library"]
        respecify(site, library={**library, "origin": "second"})
        nursery.start_soon(answer)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    old, new = answers
    assert not old, "what the first origin says"
    assert new, "what the second one says"
    assert await ask() == new, "nothing of the old answer is remembered"


async def test_s02_a_file_that_becomes_immutable_is_asked_for_once_more(site: Site) -> None:
    site.origin.add("config/scene.json", b"first")
    await site.find(SCENE)
    newest = site.origin.add("config/scene.json", b"replaced by another node")
    respecify(site, config={**DOCUMENT["templates"]["config"], "immutable": "on-close"})
    site.clock.advance(10)
    entry = await site.find(SCENE)
    assert entry is not None
    assert entry.revision == newest
    site.clock.advance(1e6)
    asked = site.origin.count()
    assert await site.find(SCENE) == entry
    assert site.origin.count() == asked, "for ever from then on"


async def test_s02_a_listing_settles_a_file_too(site: Site) -> None:
    site.origin.add("config/scene.json", b"first")
    before = await site.find(SCENE)
    assert before is not None
    assert not before.settled
    respecify(site, config={**DOCUMENT["templates"]["config"], "immutable": "on-close"})
    site.clock.advance(100)
    policy = site.resolution(SCENE).template.policy
    entry = site.namespace.listed(
        SCENE, before.revision, policy, listed_at_s=site.clock.wall_s() - 1
    )
    assert entry.settled
    assert await site.namespace.known(SCENE, policy) == entry
