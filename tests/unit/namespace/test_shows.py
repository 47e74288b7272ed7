"""Shows: how they are loaded at the start and replaced later, and the pool of tiers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shotfs.config import Settings
from shotfs.errors import ConfigInvalid, SpecInvalid, TierUnavailable, Unsupported
from shotfs.namespace import Show, ShowSet, SpecLoader, TierPool
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import load as load_spec
from tests.unit.namespace.origin import Origin, Pool
from tests.unit.namespace.spec import MAIN, SECOND, TEXT


def settings(**specs: str) -> Settings:
    return Settings(shows={name: {"spec": spec} for name, spec in specs.items()})


@pytest.fixture
def origin() -> Origin:
    return Origin("mem://specs")


async def load(origin: Origin, directory: Path, **specs: str) -> ShowSet:
    pool = Pool({"mem://specs": origin})
    return await SpecLoader(settings(**specs), str(directory), pool).load_all()


async def test_a_document_beside_the_configuration(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "ant.json").write_text(TEXT)
    shows = await load(origin, tmp_path, ant="ant.json")
    assert shows.names == ("ant",)
    assert shows.origins == (MAIN, SECOND)
    assert next(iter(shows)).spec.source == str(tmp_path / "ant.json")


async def test_an_absolute_path_is_taken_as_it_is(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "ant.json").write_text(TEXT)
    shows = await load(origin, Path("/nowhere"), ant=str(tmp_path / "ant.json"))
    assert len(shows) == 1


async def test_a_document_in_an_origin(tmp_path: Path, origin: Origin) -> None:
    origin.add("ant.json", TEXT.encode())
    shows = await load(origin, tmp_path, ant="mem://specs/ant.json")
    assert next(iter(shows)).spec.source == "mem://specs/ant.json"
    assert origin.asked == [("stat", "ant.json"), ("read", "ant.json")]


async def test_several_shows_each_with_its_own_specification(
    tmp_path: Path, origin: Origin
) -> None:
    bee = {**json.loads(TEXT), "show": "bee"}
    (tmp_path / "ant.json").write_text(TEXT)
    origin.add("bee.json", json.dumps(bee).encode())
    shows = await load(origin, tmp_path, bee="mem://specs/bee.json", ant="ant.json")
    assert shows.names == ("ant", "bee")
    show, rest = shows.split("bee/library/oak.png")
    assert (show.name, rest) == ("bee", "library/oak.png")
    assert shows.split("ant") is not None
    assert shows.split("cat/library") is None
    assert shows.split("") is None


async def test_a_replaced_show_is_what_everybody_sees_from_then_on() -> None:
    spec = load_spec(TEXT, source="spec.json", show="ant")
    shows = ShowSet({"ant": Show("ant", spec), "bee": Show("bee", spec)})
    new = Show("ant", load_spec(TEXT, source="new.json", show="ant"))
    shows.renew(Show("ant", spec, {"spec.json": "1"}))
    assert shows.generation == 0
    shows.replace(new)
    assert shows.generation == 1
    assert shows.split("ant/library")[0] is new is shows.get("ant")
    assert [show.name for show in shows] == ["ant", "bee"]
    with pytest.raises(KeyError):
        shows.replace(Show("cat", spec))


async def test_no_show_at_all_says_what_to_add(tmp_path: Path, origin: Origin) -> None:
    with pytest.raises(ConfigInvalid, match=r"\[shows\.NAME\]"):
        await load(origin, tmp_path)


async def test_a_document_with_mistakes_lists_them_by_line(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "ant.json").write_text('{"spec": "shotfs-path/1",\n"show": "ant", "rots": {}}')
    with pytest.raises(SpecInvalid, match="rots") as caught:
        await load(origin, tmp_path, ant="ant.json")
    assert any(problem.line == 2 for problem in caught.value.problems)


async def test_a_document_of_another_show_is_refused(tmp_path: Path, origin: Origin) -> None:
    (tmp_path / "ant.json").write_text(TEXT)
    with pytest.raises(SpecInvalid, match="bee"):
        await load(origin, tmp_path, bee="ant.json")


async def test_an_origin_that_is_gone_is_the_tiers_own_error(
    tmp_path: Path, origin: Origin
) -> None:
    origin.go_down()
    with pytest.raises(TierUnavailable):
        await load(origin, tmp_path, ant="mem://specs/ant.json")


# --- the pool of tiers ---------------------------------------------------------------------------


@pytest.fixture
async def pool(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TierPool]:
    opened: dict[str, Origin] = {}

    async def open_tier(url: str, *_: Any) -> Origin:
        assert url not in opened, "each once"
        if url.startswith("odd:"):
            raise Unsupported(f"{url}: nobody can open this")
        return opened.setdefault(url, Origin(url))

    monkeypatch.setattr("shotfs.namespace.tier_pool.open_tier", open_tier)
    pool = TierPool(Settings(), Metrics())
    yield pool
    await pool.aclose()
    assert all(origin.closed for origin in opened.values())


async def test_a_tier_is_opened_once_and_closed_at_the_end(pool: TierPool) -> None:
    assert pool.opened("mem://a") is None
    first = await pool.get("mem://a")
    assert await pool.get("mem://a") is first
    assert pool.opened("mem://a") is first
    second = await pool.get("mem://b")
    assert pool.all() == [first, second]


async def test_what_cannot_be_opened_says_so_each_time(pool: TierPool) -> None:
    for _ in range(2):
        with pytest.raises(Unsupported):
            await pool.get("odd://a")
    assert pool.all() == []


async def test_a_tier_that_cannot_be_closed_does_not_keep_the_others_open(pool: TierPool) -> None:
    broken, fine = await pool.get("mem://a"), await pool.get("mem://b")

    async def fail() -> None:
        broken.closed = True
        raise OSError("the socket is gone already")

    broken.aclose = fail
    await pool.aclose()
    assert fine.closed
