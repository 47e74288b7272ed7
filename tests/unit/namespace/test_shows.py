"""Shows: where specifications come from, and what is said when they cannot be read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shotfs.config import Settings
from shotfs.errors import ConfigInvalid, SpecInvalid, TierUnavailable, Unsupported
from shotfs.namespace import ShowSet, TierPool, load_shows
from shotfs.namespace import shows as shows_module
from shotfs.observe.metrics import Metrics
from tests.unit.namespace.origin import Origin, Pool
from tests.unit.namespace.spec import MAIN, SECOND, TEXT


def settings(**specs: str) -> Settings:
    return Settings(shows={name: {"spec": spec} for name, spec in specs.items()})


@pytest.fixture
def origin() -> Origin:
    return Origin("mem://specs")


async def load(origin: Origin, directory: Path, **specs: str) -> ShowSet:
    return await load_shows(settings(**specs), str(directory), Pool({"mem://specs": origin}))


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


async def test_no_show_at_all_says_what_to_add(tmp_path: Path, origin: Origin) -> None:
    with pytest.raises(ConfigInvalid, match=r"\[shows\.NAME\]"):
        await load(origin, tmp_path)


async def _refused(origin: Origin, directory: Path, spec: str) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as caught:
        await load(origin, directory, ant=spec)
    (problem,) = caught.value.problems
    assert problem.fix is not None
    assert "[shows.NAME]" in problem.fix
    return caught.value


async def test_a_missing_file_is_named(tmp_path: Path, origin: Origin) -> None:
    error = await _refused(origin, tmp_path, "none.json")
    assert str(tmp_path / "none.json") in str(error)
    assert "No such file" in str(error)


async def test_a_missing_object_is_named(tmp_path: Path, origin: Origin) -> None:
    error = await _refused(origin, tmp_path, "mem://specs/none.json")
    assert "mem://specs/none.json" in str(error)
    assert "no such object" in str(error)


async def test_an_object_that_is_too_large_is_not_read(
    tmp_path: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shows_module, "SPEC_BYTES_MAX", 100)
    origin.add("ant.json", bytes(101))
    assert "larger than 100 bytes" in str(await _refused(origin, tmp_path, "mem://specs/ant.json"))
    assert origin.count("read") == 0


async def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path, origin: Origin) -> None:
    with (tmp_path / "ant.json").open("wb") as file:
        file.truncate(10 * shows_module.SPEC_BYTES_MAX)
    with pytest.raises((ConfigInvalid, SpecInvalid), match=r"16 MiB|16777216|larger"):
        await load(origin, tmp_path, ant="ant.json")


@pytest.mark.parametrize("where", ["ant.json", "mem://specs/ant.json"])
async def test_bytes_that_are_no_text_are_a_mistake_of_the_document(
    tmp_path: Path, origin: Origin, where: str
) -> None:
    (tmp_path / "ant.json").write_bytes(b'{"spec": "\xff\xfe"}')
    origin.add("ant.json", b'{"spec": "\xff\xfe"}')
    assert "decode" in str(await _refused(origin, tmp_path, where))


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
