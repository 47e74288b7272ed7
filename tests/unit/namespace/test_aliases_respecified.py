"""What is known of version aliases when another specification has come into force."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from shotfs.namespace.alias_document import Move, encode, time_text
from shotfs.namespace.aliases import Aliases, Pointer
from shotfs.namespace.records import Records
from shotfs.pathspec import AliasMatch
from tests.unit.namespace.origin import Clock, Origin, Pool
from tests.unit.namespace.spec import MAIN, SECOND
from tests.unit.namespace.test_aliases import KEY, MATCH, PATH

assert MATCH is not None
THERE = MATCH
ELSEWHERE: AliasMatch = replace(THERE, origin=SECOND)


def pointing(version: str) -> bytes:
    return encode(PATH, [Move(version, time_text(1.0), "a@n", "")])


@dataclass
class Site:
    aliases: Aliases
    origin: Origin
    second: Origin

    async def find(self, match: AliasMatch) -> str | None:
        pointer: Pointer | None = await self.aliases.find(PATH, match)
        return None if pointer is None else pointer.version


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    origin, second, clock = Origin(MAIN), Origin(SECOND), Clock()
    async with trio.open_nursery() as nursery:
        pool = Pool({MAIN: origin, SECOND: second})
        aliases = Aliases(
            pool,
            nursery,
            Records(str(tmp_path / "records")),
            monotonic_s=clock.monotonic_s,
            wall_s=clock.wall_s,
        )
        yield Site(aliases, origin, second)
        nursery.cancel_scope.cancel()


async def test_an_alias_is_asked_for_again(site: Site) -> None:
    site.origin.add(KEY, pointing("v001"))
    assert await site.find(THERE) == "v001"
    site.origin.add(KEY, pointing("v002"))
    assert await site.find(THERE) == "v001", "within its time to live"
    site.aliases.respecified("ants")
    assert await site.find(THERE) == "v001", "of another show"
    site.aliases.respecified("ant")
    assert await site.find(THERE) == "v002"


async def test_an_alias_of_another_origin_points_where_that_one_says(site: Site) -> None:
    site.origin.add(KEY, pointing("v001"))
    site.second.add(KEY, pointing("v009"))
    assert await site.find(THERE) == "v001"
    site.aliases.respecified("ant")
    assert await site.find(ELSEWHERE) == "v009"


async def test_an_answer_from_before_does_not_outlive_its_specification(site: Site) -> None:
    site.origin.add(KEY, pointing("v001"))
    site.second.add(KEY, pointing("v009"))
    gate = site.origin.gate("stat")
    answers: list[str | None] = []

    async def ask(match: AliasMatch) -> None:
        answers.append(await site.find(match))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, THERE)
        await site.origin.reached("stat")
        site.aliases.respecified("ant")
        nursery.start_soon(ask, ELSEWHERE)
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert sorted(answers) == ["v001", "v009"]
    assert await site.find(ELSEWHERE) == "v009"
