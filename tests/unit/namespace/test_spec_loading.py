"""Loading specifications: last good copies, compiled forms, and what may take how long."""

from __future__ import annotations

import gc
import json
import logging
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from shotfs.config import Settings
from shotfs.digest import Digest
from shotfs.errors import ConfigInvalid, SpecInvalid, TierUnavailable
from shotfs.namespace import spec_loading as spec_loading_module
from shotfs.namespace.beside import SWITCH_INTERVAL_S
from shotfs.namespace.spec_cache import SpecCache
from shotfs.namespace.spec_loading import COPY_WAIT_S, CompiledForm, SpecLoader
from shotfs.pathspec import Specification, compiled
from tests.unit.namespace.origin import Clock, Origin, Pool
from tests.unit.namespace.spec import DOCUMENT, TEXT

SPEC = "mem://specs/ant.json"


@dataclass
class Compiled:
    """Stands for the compiled form: remembers the specification under a number."""

    specs: dict[bytes, tuple[Specification, Mapping[str, Digest], str | None]] = field(
        default_factory=dict
    )
    dumped: int = 0
    restored: int = 0
    version: int = 1

    def dump(self, spec: Specification) -> bytes:
        self.dumped += 1
        data = f"{self.version} {self.dumped}".encode()
        self.specs[data] = (spec, dict(spec.documents), spec.site)
        return data

    def restore(
        self, data: bytes, *, documents: Mapping[str, Digest], site: str | None
    ) -> Specification | None:
        if not data.startswith(f"{self.version} ".encode()):
            return None
        spec, digests, of_site = self.specs[data]
        if digests != documents or of_site != site:
            return None
        self.restored += 1
        return spec


class Node:
    """What outlives a restart: the cache directory, the origin, the configuration."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.origin = Origin("mem://specs")
        self.clock = Clock()
        self.settings = Settings(shows={"ant": {"spec": SPEC}})
        self.compiled: CompiledForm | None = None

    def loader(self) -> SpecLoader:
        return SpecLoader(
            self.settings,
            str(self.directory),
            Pool({"mem://specs": self.origin}),
            SpecCache(str(self.directory / "cache/specs")),
            compiled=self.compiled,
            wall_s=self.clock.wall_s,
        )

    async def start(self) -> Any:
        return (await self.loader().load_all()).get("ant")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.origin.add("ant.json", TEXT.encode())
    return node


# --- the last good copy --------------------------------------------------------------------------


async def test_a_node_starts_with_the_last_good_copy_when_the_origin_is_away(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    first = await node.start()
    assert (first.copy_of_s, first.problem) == (None, None)
    read_at_s = node.clock.wall_s()
    node.clock.advance(1000)
    node.origin.go_down()
    with caplog.at_level(logging.WARNING):
        show = await node.start()
    assert show.spec.digest == first.spec.digest
    assert show.stamps == first.stamps
    assert show.copy_of_s == read_at_s
    assert show.loaded_at_s == node.clock.wall_s()
    assert "nobody answers" in show.problem
    assert "starts with the copy of" in caplog.text


async def test_without_a_copy_the_origin_is_needed(node: Node) -> None:
    node.origin.go_down()
    with pytest.raises(TierUnavailable):
        await node.start()


async def test_a_specification_with_mistakes_is_no_reason_not_to_start(node: Node) -> None:
    first = await node.start()
    node.origin.add("ant.json", b'{"spec": "shotfs-path/1", "show": "ant", "rots": {}}')
    show = await node.start()
    assert show.spec.digest == first.spec.digest
    assert "rots" in show.problem
    del node.origin.objects["ant.json"]
    assert "no such object" in (await node.start()).problem


async def test_what_had_mistakes_is_no_good_copy(node: Node) -> None:
    node.origin.add("ant.json", b'{"spec": "shotfs-path/1", "show": "ant", "rots": {}}')
    with pytest.raises(SpecInvalid):
        await node.start()
    node.origin.go_down()
    with pytest.raises(TierUnavailable):
        await node.start()


async def test_another_place_has_no_copy(node: Node) -> None:
    await node.start()
    node.origin.go_down()
    node.settings = Settings(shows={"ant": {"spec": "mem://specs/new.json"}})
    with pytest.raises(TierUnavailable):
        await node.start()


async def test_of_a_file_no_copy_is_kept(node: Node) -> None:
    path = node.directory / "ant.json"
    path.write_text(TEXT)
    node.settings = Settings(shows={"ant": {"spec": "ant.json"}})
    await node.start()
    path.unlink()
    with pytest.raises(ConfigInvalid):
        await node.start()


async def test_the_start_waits_for_an_origin_so_long_and_no_longer(
    node: Node, autojump_clock: MockClock
) -> None:
    await node.start()
    node.origin.gate("stat")
    began = trio.current_time()
    show = await node.start()
    assert trio.current_time() - began == pytest.approx(COPY_WAIT_S)
    assert "could not be read within" in show.problem


async def test_shows_are_read_side_by_side(node: Node) -> None:
    names = [f"show{number}" for number in range(5)]
    for name in names:
        node.origin.add(f"{name}.json", json.dumps({**DOCUMENT, "show": name}).encode())
    node.settings = Settings(shows={name: {"spec": f"mem://specs/{name}.json"} for name in names})
    gate = node.origin.gate("stat")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.loader().load_all)
        with trio.fail_after(20):
            while node.origin.count("stat") < len(names):
                await trio.to_thread.run_sync(int)  # others read their copies in threads
        gate.set()


# --- the compiled form ---------------------------------------------------------------------------


async def test_what_was_compiled_is_not_compiled_again(node: Node) -> None:
    node.compiled = Compiled()
    first = await node.start()
    again = await node.start()
    assert again.spec is first.spec
    assert (node.compiled.dumped, node.compiled.restored) == (1, 1)
    node.origin.go_down()
    assert (await node.start()).spec is first.spec, "also of the last good copy"


@pytest.mark.parametrize("change", ["document", "site", "show", "version", "damage"])
async def test_what_is_not_of_these_documents_is_compiled_anew(node: Node, change: str) -> None:
    node.compiled = Compiled()
    await node.start()
    if change == "document":
        node.origin.add("ant.json", json.dumps({**DOCUMENT, "usage": "new"}).encode())
    elif change == "site":
        node.settings = Settings(shows={"ant": {"spec": SPEC}}, node={"site": "lon"})
    elif change == "version":
        node.compiled.version = 2
    elif change == "damage":
        (path,) = (node.directory / "cache/specs").glob("*.compiled")
        path.write_bytes(path.read_bytes()[:-1])
    else:
        node.origin.add("ant.json", json.dumps({**DOCUMENT, "show": "bee"}).encode())
        node.settings = Settings(shows={"bee": {"spec": SPEC}})
        await node.loader().load_all()
    if change != "show":
        await node.start()
    assert (node.compiled.dumped, node.compiled.restored) == (2, 0)
    if change != "show":
        await node.start()
        assert node.compiled.restored == 1, "written anew"


@pytest.mark.parametrize("site", ["", "lon"])
async def test_the_real_compiled_form_is_the_same_specification(
    node: Node, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.compiled = compiled
    node.settings = Settings(shows={"ant": {"spec": SPEC}}, node={"site": site})
    first = await node.start()

    def never(*_: Any) -> Specification:
        raise AssertionError("it was compiled")

    monkeypatch.setattr(spec_loading_module.DocumentSet, "load", never)
    show = await node.start()
    assert show.spec is not first.spec
    assert show.spec.digest == first.spec.digest
    assert show.spec.documents == first.spec.documents
    assert show.spec.templates == first.spec.templates
    path = "render/xy_1_100_030_00_v005/beauty.1001.exr"
    assert show.spec.resolve(path) == first.spec.resolve(path)


async def test_a_damaged_compiled_form_is_made_anew(node: Node) -> None:
    node.compiled = compiled
    first = await node.start()
    (path,) = (node.directory / "cache/specs").glob("*.compiled")
    data = path.read_bytes()
    # Whole, as far as the cache can tell, and yet not what this version writes.
    SpecCache(str(path.parent))._write(path.name, b"shotfs-compiled/0 x\n{}")
    assert (await node.start()).spec.digest == first.spec.digest
    assert path.read_bytes() == data


# --- the thread ----------------------------------------------------------------------------------


async def test_loading_leaves_the_event_loop_free(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()
    loaded = spec_loading_module.DocumentSet.load
    intervals = []

    def slow(*args: Any) -> Specification:
        intervals.append(sys.getswitchinterval())
        token.run_sync_soon(started.set)
        assert go_on.wait(20)
        return loaded(*args)

    monkeypatch.setattr(spec_loading_module.DocumentSet, "load", slow)
    before = sys.getswitchinterval()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.start)
        await started.wait()
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        go_on.set()
    assert intervals == [pytest.approx(SWITCH_INTERVAL_S)]
    assert sys.getswitchinterval() == before
    assert gc.isenabled()


async def test_a_load_that_is_given_up_does_not_hold_the_service(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, go_on = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    def stuck(*_: Any) -> Specification:
        token.run_sync_soon(started.set)
        assert go_on.wait(20)
        raise AssertionError("nobody wants to know any more")

    monkeypatch.setattr(spec_loading_module.DocumentSet, "load", stuck)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.start)
        await started.wait()
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught
    go_on.set()
