"""Paths that no template matches, where the specification lets them pass; and where it does not."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shotfs.vfs import Missing
from tests.unit.namespace.spec import DOCUMENT
from tests.unit.vfs.world import Site, World, fails_with

STRAY = "ant/any/where/note.txt"


@pytest.fixture
def policy() -> dict[str, Any]:
    return {"flow": "inout", "mode": "0600", "ttl": "10s", "negative_ttl": "0s"}


@pytest.fixture
async def passing(site: Site, policy: dict[str, Any]) -> AsyncIterator[World]:
    site.document = {**DOCUMENT, "unmatched": policy}
    async with site.open() as world:
        yield world


async def test_what_no_template_matches_is_read_and_listed(passing: World) -> None:
    passing.origin.add("any/where/note.txt", b"note")
    assert await passing.read(STRAY) == b"note"
    assert await passing.names("ant/any") == ["where"]
    assert await passing.names("ant/any/where") == ["note.txt"]
    assert "any" in await passing.names("ant")
    found = await passing.fs.attributes(STRAY)
    assert found.mode == 0o600
    assert await passing.fs.extended_attribute(STRAY, "user.shotfs.template") == "unmatched"


async def test_what_no_template_matches_is_written_with_its_own_policy(passing: World) -> None:
    await passing.mkdir("ant/any")
    await passing.publish("ant/any/note.txt", b"first")
    assert passing.origin.content("any/note.txt") == b"first"
    await passing.publish("ant/any/note.txt", b"second")
    assert passing.origin.content("any/note.txt") == b"second"


async def test_templates_win_where_they_match(passing: World) -> None:
    await passing.publish("ant/compared/a.exr", b"a")
    with fails_with(errno.EEXIST):
        await passing.open("ant/compared/a.exr", 1)
    assert await passing.fs.extended_attribute("ant/compared/a.exr", "user.shotfs.template") == (
        "compared"
    )


async def test_s09_what_passes_is_possible_and_asked_for(passing: World) -> None:
    found = await passing.fs.lookup(STRAY)
    assert isinstance(found, Missing)
    assert found.possible
    assert passing.origin.count("stat") == 1


@pytest.mark.parametrize("path", [STRAY, "ant/any", "dog/library/oak.png"])
async def test_s09_where_it_is_denied_nothing_is_asked(world: World, path: str) -> None:
    world.origin.add("any/where/note.txt", b"note")
    found = await world.fs.lookup(path)
    assert world.origin.count() == 0
    assert isinstance(found, Missing)
    assert not found.possible


async def test_s09_what_is_denied_is_not_listed_and_cannot_be_made(world: World) -> None:
    world.origin.add("any/where/note.txt", b"note")
    assert "any" not in await world.names("ant")
    world.origin.asked.clear()
    with fails_with(errno.EPERM):
        await world.mkdir("ant/any")
    with fails_with(errno.EPERM):
        await world.create("ant/any.txt")
    assert world.origin.count() == 0
