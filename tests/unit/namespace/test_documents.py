"""Documents: where specifications are read from, and what is said when they cannot be."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shotfs.config import Settings
from shotfs.errors import ConfigInvalid, RevisionChanged, SpecInvalid, TierUnavailable
from shotfs.namespace import documents as documents_module
from shotfs.namespace.documents import (
    ABSENT,
    DocumentSet,
    read_blocking,
    read_documents,
    stamp_of,
)
from tests.unit.namespace.origin import Origin, Pool
from tests.unit.namespace.spec import DOCUMENT, TEXT

MAIN = "mem://specs/ant.json"
SHARED: Mapping[str, Any] = {
    "spec": "shotfs-path/1",
    "fields": {"extra": {"type": "str", "pattern": "[a-z]+"}},
}


def including(*locations: str, **more: Any) -> str:
    return json.dumps({**DOCUMENT, "include": list(locations), **more})


def shared(*locations: str) -> str:
    return json.dumps({**SHARED, "include": list(locations)} if locations else SHARED)


@pytest.fixture
def origin() -> Origin:
    return Origin("mem://specs")


@pytest.fixture
def pool(origin: Origin) -> Pool:
    return Pool({"mem://specs": origin, "mem://specs/deep": origin})


# --- reading -------------------------------------------------------------------------------------


async def test_included_documents_are_read_each_once(pool: Pool, origin: Origin) -> None:
    origin.add("ant.json", including("a.json", "b.json").encode())
    origin.add("a.json", shared("b.json").encode())
    origin.add("b.json", shared().encode())
    found = await read_documents(MAIN, pool)
    assert list(found.texts) == [MAIN, "mem://specs/a.json", "mem://specs/b.json"]
    assert origin.count("read") == 3
    assert set(found.stamps) == set(found.texts)


async def test_files_beside_the_document(tmp_path: Path, pool: Pool) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "ant.json").write_text(including("more/shared.json"))
    (tmp_path / "more/shared.json").write_text(shared())
    found = await read_documents(str(tmp_path / "ant.json"), pool)
    spec = found.load("ant", Settings())
    assert "extra" in spec.fields
    assert dict(spec.documents) == found.digests


async def test_a_file_may_include_a_document_in_an_origin(
    tmp_path: Path, pool: Pool, origin: Origin
) -> None:
    (tmp_path / "ant.json").write_text(including("mem://specs/shared.json"))
    origin.add("shared.json", shared().encode())
    found = await read_documents(str(tmp_path / "ant.json"), pool)
    assert "extra" in found.load("ant", Settings()).fields


async def test_a_circle_ends_and_is_a_mistake_of_the_document(pool: Pool, origin: Origin) -> None:
    origin.add("ant.json", including("a.json").encode())
    origin.add("a.json", shared("ant.json").encode())
    found = await read_documents(MAIN, pool)
    with pytest.raises(SpecInvalid, match="circle"):
        found.load("ant", Settings())


async def test_the_site_of_the_node_decides(pool: Pool, origin: Origin) -> None:
    roots = {
        "main": {"url": "mem://main/ant", "sites": {"lon": "mem://lon/ant"}},
        "second": "mem://second/ant",
    }
    origin.add("ant.json", including(roots=roots).encode())
    found = await read_documents(MAIN, pool)
    assert "mem://main/ant" in found.load("ant", Settings()).origins
    assert "mem://lon/ant" in found.load("ant", Settings(node={"site": "lon"})).origins


async def test_a_node_without_a_site_takes_no_sites_root_by_chance(
    pool: Pool, origin: Origin
) -> None:
    roots = {"main": {"sites": {"lon": "mem://lon/ant", "bom": "mem://bom/ant"}}, "second": MAIN}
    origin.add("ant.json", including(roots=roots).encode())
    found = await read_documents(MAIN, pool)
    with pytest.raises(SpecInvalid, match=r"no URL without node\.site") as caught:
        found.load("ant", Settings())
    fixes = [problem.fix for problem in caught.value.problems]
    assert 'set node.site to one of its "sites", or add a "url" for all others' in fixes


# --- what cannot be read -------------------------------------------------------------------------


async def _refused(location: str, pool: Pool) -> ConfigInvalid:
    with pytest.raises(ConfigInvalid) as caught:
        await read_documents(location, pool)
    (problem,) = caught.value.problems
    assert problem.fix is not None
    assert "[shows.NAME]" in problem.fix
    return caught.value


async def test_a_missing_file_is_named(tmp_path: Path, pool: Pool) -> None:
    error = await _refused(str(tmp_path / "none.json"), pool)
    assert str(tmp_path / "none.json") in str(error)
    assert "No such file" in str(error)


async def test_a_missing_object_is_named(pool: Pool) -> None:
    error = await _refused("mem://specs/none.json", pool)
    assert "mem://specs/none.json" in str(error)
    assert "no such object" in str(error)


async def test_a_directory_is_no_document(tmp_path: Path, pool: Pool) -> None:
    assert "directory" in str(await _refused(str(tmp_path), pool)).lower()


async def test_an_included_document_that_is_not_there_is_a_mistake_with_a_line(
    pool: Pool, origin: Origin
) -> None:
    origin.add("ant.json", including("none.json").encode())
    found = await read_documents(MAIN, pool)
    assert found.stamps["mem://specs/none.json"] == ABSENT
    with pytest.raises(SpecInvalid, match=r"none\.json") as caught:
        found.load("ant", Settings())
    assert caught.value.problems[0].line is not None


async def test_an_object_that_is_too_large_is_not_read(
    pool: Pool, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents_module, "DOCUMENT_BYTES_MAX", 100)
    origin.add("ant.json", bytes(101))
    assert "larger than 100 bytes" in str(await _refused(MAIN, pool))
    assert origin.count("read") == 0


async def test_a_file_that_is_too_large_is_not_read_whole(tmp_path: Path, pool: Pool) -> None:
    path = tmp_path / "ant.json"
    with path.open("wb") as file:
        file.truncate(2**33)
    assert "larger" in str(await _refused(str(path), pool))


async def test_the_limit_is_for_all_documents_together(
    pool: Pool, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = including("shared.json")
    monkeypatch.setattr(documents_module, "DOCUMENT_BYTES_MAX", len(text) + 20)
    origin.add("ant.json", text.encode())
    origin.add("shared.json", shared().encode())
    assert "with what it includes" in str(await _refused(MAIN, pool))


async def test_too_many_documents_are_refused_before_they_are_all_read(
    pool: Pool, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents_module, "DOCUMENTS_MAX", 3)
    origin.add("ant.json", including("1.json").encode())
    for number in range(1, 10):
        origin.add(f"{number}.json", shared(f"{number + 1}.json").encode())
    assert "more than 3 documents" in str(await _refused(MAIN, pool))
    assert origin.count("read") == 3


@pytest.mark.parametrize("remote", [True, False])
async def test_bytes_that_are_no_text_are_a_mistake_of_the_document(
    tmp_path: Path, pool: Pool, origin: Origin, remote: bool
) -> None:
    content = b'{"spec": "\xff\xfe"}'
    (tmp_path / "ant.json").write_bytes(content)
    origin.add("ant.json", content)
    found = await read_documents(MAIN if remote else str(tmp_path / "ant.json"), pool)
    assert len(found.digests) == 1
    with pytest.raises(SpecInvalid, match="UTF-8"):
        found.load("ant", Settings())


async def test_an_origin_that_is_gone_is_the_tiers_own_error(pool: Pool, origin: Origin) -> None:
    origin.go_down()
    with pytest.raises(TierUnavailable):
        await read_documents(MAIN, pool)


async def test_a_document_that_is_replaced_while_it_is_read_is_read_again(
    pool: Pool, origin: Origin
) -> None:
    origin.add("ant.json", TEXT.encode())
    changes = iter([True, True, False])

    def fault(operation: str, key: str) -> None:
        if operation == "read" and next(changes):
            raise RevisionChanged(f"{key} was replaced")

    origin.fault = fault
    assert (await read_documents(MAIN, pool)).texts[MAIN] == TEXT
    origin.fault = lambda _operation, _key: (_ for _ in ()).throw(RevisionChanged("again"))
    with pytest.raises(RevisionChanged):
        await read_documents(MAIN, pool)


# --- stamps --------------------------------------------------------------------------------------


async def test_stamps_tell_whether_a_document_was_changed(
    tmp_path: Path, pool: Pool, origin: Origin
) -> None:
    path = tmp_path / "ant.json"
    path.write_text(TEXT)
    origin.add("ant.json", TEXT.encode())
    for location in (str(path), MAIN):
        found = await read_documents(location, pool)
        assert found.stamps == {location: await stamp_of(location, pool)}
    before = await stamp_of(str(path), pool)
    times = path.stat()
    path.write_text(TEXT.replace("60s", "61s"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert await stamp_of(str(path), pool) != before, "also when somebody sets its time back"
    origin.add("ant.json", TEXT.encode())
    assert await stamp_of(MAIN, pool) != found.stamps[MAIN]
    origin.asked.clear()
    await stamp_of(MAIN, pool)
    assert origin.asked == [("stat", "ant.json")]


async def test_what_is_not_there_has_a_stamp_too(tmp_path: Path, pool: Pool) -> None:
    assert await stamp_of("mem://specs/none.json", pool) == ABSENT
    assert await stamp_of(str(tmp_path / "none.json"), pool) == ABSENT
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        await stamp_of(str(tmp_path / "file/none.json"), pool)


# --- for the command line ------------------------------------------------------------------------


def test_reading_without_a_running_loop(tmp_path: Path) -> None:
    (tmp_path / "ant.json").write_text(including(f"file://{tmp_path}/shared.json"))
    (tmp_path / "shared.json").write_text(shared())
    for location in (str(tmp_path / "ant.json"), f"file://{tmp_path}/ant.json"):
        found: DocumentSet = read_blocking(location, Settings())
        assert found.location == location
        assert "extra" in found.load(None, Settings()).fields
    with pytest.raises(ConfigInvalid):
        read_blocking(f"file://{tmp_path}/none.json", Settings())


def test_a_set_is_a_value(tmp_path: Path) -> None:
    found = DocumentSet("x", {"x": "{}"}, {"x": "1"})
    assert found == replace(found)
