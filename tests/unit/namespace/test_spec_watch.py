"""Watching specifications: what comes into force, what is refused, and what a look costs."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from shotfs.config import Settings
from shotfs.errors import BucketNotFound, InvalidArgument, TierUnavailable
from shotfs.namespace import SpecLoader, SpecWatch
from shotfs.namespace.spec_cache import SpecCache
from shotfs.namespace.spec_watch import Checked, Outcome
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Specification
from tests.unit.namespace.origin import Clock, Origin, Pool
from tests.unit.namespace.spec import DOCUMENT, TEXT

CHECK_S = 30.0
SHARED = {"spec": "shotfs-path/1", "fields": {"extra": {"type": "str", "pattern": "[a-z]+"}}}
BROKEN = b'{"spec": "shotfs-path/1",\n "show": "ant", "rots": {}}'


def document(show: str = "ant", **more: Any) -> bytes:
    return json.dumps({**DOCUMENT, "show": show, **more}).encode()


class Watched:
    """Two shows in an origin that include one document, and what watches them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.origin = Origin("mem://specs")
        self.clock = Clock()
        self.metrics = Metrics()
        self.swapped: list[str] = []
        self.validate: Callable[[Specification], None] = lambda _: None
        for show in ("ant", "bee"):
            self.origin.add(f"{show}.json", document(show, include=["shared.json"]))
        self.origin.add("shared.json", json.dumps(SHARED).encode())

    async def start(self, **specs: str) -> None:
        self.loader = SpecLoader(
            Settings(shows={name: {"spec": spec} for name, spec in specs.items()}),
            str(self.directory),
            Pool({"mem://specs": self.origin}),
            SpecCache(str(self.directory / "specs")),
            wall_s=self.clock.wall_s,
        )
        self.shows = await self.loader.load_all()

        async def validate(spec: Specification) -> None:
            await trio.lowlevel.checkpoint()
            self.validate(spec)

        async def swapped(show: str) -> None:
            self.swapped.append(show)
            await trio.lowlevel.checkpoint()

        self.watch = SpecWatch(
            self.shows,
            self.loader,
            self.metrics,
            check_s=CHECK_S,
            validate=validate,
            swapped=swapped,
        )
        self.origin.asked.clear()

    async def look(self, *, force: bool = False) -> Checked:
        """Look at ant."""
        (found,) = await self.watch.check(["ant"], force=force)
        json.dumps(asdict(found))
        return found

    @property
    def digest(self) -> str:
        show = self.shows.get("ant")
        assert show is not None
        return show.spec.digest

    @property
    def state(self) -> str:
        status = self.watch.status("ant")
        json.dumps(status)
        return str(status["state"])

    def count(self, outcome: str, show: str = "ant") -> float:
        name = f"shotfs_spec_checks_total{{show={show},outcome={outcome}}}"
        return self.metrics.snapshot().get(name, 0)


@pytest.fixture
async def watched(tmp_path: Path) -> Watched:
    watched = Watched(tmp_path)
    await watched.start(ant="mem://specs/ant.json", bee="mem://specs/bee.json")
    return watched


# --- what a look costs ---------------------------------------------------------------------------


async def test_a_look_costs_one_request_for_each_document(watched: Watched) -> None:
    found = await watched.watch.check()
    assert [one.outcome for one in found] == [Outcome.UNCHANGED, Outcome.UNCHANGED]
    assert sorted(watched.origin.asked) == [
        ("stat", "ant.json"),
        ("stat", "bee.json"),
        ("stat", "shared.json"),
    ], "also for the one that two shows share"
    assert watched.swapped == []


async def test_the_clock_looks_every_so_often(watched: Watched, mock_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.watch.run)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(CHECK_S)
            await trio.testing.wait_all_tasks_blocked()
        assert watched.origin.count("stat", "ant.json") == 3
        nursery.cancel_scope.cancel()


async def test_nobody_looks_when_the_interval_is_zero(
    watched: Watched, mock_clock: MockClock
) -> None:
    watched.watch._check_s = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watched.watch.run)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1e6)
        await trio.testing.wait_all_tasks_blocked()
        assert watched.origin.count() == 0
        nursery.cancel_scope.cancel()


# --- what changes --------------------------------------------------------------------------------


async def test_a_changed_document_comes_into_force(watched: Watched) -> None:
    before = watched.digest
    watched.clock.advance(100)
    watched.origin.add("ant.json", document(usage="new"))
    found = await watched.look()
    assert found.outcome is Outcome.CHANGED
    assert found.digest == watched.digest != before
    assert watched.swapped == ["ant"]
    assert watched.shows.generation == 1
    assert watched.state == "in force"
    assert watched.count("changed") == 1
    status = watched.watch.status("ant")
    assert status["documents"] == ["mem://specs/ant.json"], "it includes nothing any more"
    assert status["from_cache"] is False
    assert (await watched.look()).outcome is Outcome.UNCHANGED


async def test_a_changed_included_document_changes_every_show_that_includes_it(
    watched: Watched,
) -> None:
    watched.origin.add("shared.json", json.dumps({**SHARED, "usage": "new"}).encode())
    found = await watched.watch.check()
    assert [one.outcome for one in found] == [Outcome.CHANGED, Outcome.CHANGED]
    assert watched.swapped == ["ant", "bee"]


async def test_the_same_text_again_changes_nothing(watched: Watched) -> None:
    watched.origin.add("ant.json", watched.origin.content("ant.json"))
    assert (await watched.look()).outcome is Outcome.UNCHANGED
    assert watched.origin.count("read") == 2
    assert (await watched.look()).outcome is Outcome.UNCHANGED
    assert watched.origin.count("read") == 2, "its new stamp is known"
    assert watched.swapped == []


async def test_a_file_that_changes_is_found(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    path = tmp_path / "ant.json"
    path.write_text(TEXT)
    await watched.start(ant="ant.json")
    assert (await watched.look()).outcome is Outcome.UNCHANGED
    (tmp_path / "new").write_bytes(document(usage="new"))
    (tmp_path / "new").replace(path)
    assert (await watched.look()).outcome is Outcome.CHANGED
    path.unlink()
    assert (await watched.look()).outcome is Outcome.UNREADABLE
    assert "No such file" in watched.state
    path.write_bytes(document(usage="new"))
    assert (await watched.look()).outcome is Outcome.UNCHANGED
    assert watched.state == "in force"


async def test_what_is_put_into_force_is_seen_before_anybody_else_runs(watched: Watched) -> None:
    watched.origin.add("ant.json", document(usage="new"))
    seen: list[tuple[int, list[str]]] = []
    done = trio.Event()

    async def observe() -> None:
        while not done.is_set():
            seen.append((watched.shows.generation, list(watched.swapped)))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(observe)
        await watched.look()
        done.set()
    assert all(len(swapped) == generation for generation, swapped in seen)


# --- what is refused -----------------------------------------------------------------------------


async def test_a_document_with_mistakes_is_refused_and_the_old_one_stays(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    before = watched.digest
    watched.origin.add("ant.json", BROKEN)
    with caplog.at_level(logging.ERROR):
        found = await watched.look()
    assert found.outcome is Outcome.REFUSED
    assert any(line.startswith("mem://specs/ant.json:2:") for line in found.mistakes)
    assert (found.digest, watched.digest, watched.swapped) == (before, before, [])
    assert watched.state.startswith("refused: mem://specs/ant.json: ")
    assert "still using the one of" in watched.state
    assert watched.watch.status("ant")["mistakes"] == found.mistakes
    assert "the old one stays" in caplog.text
    assert watched.metrics.snapshot()["shotfs_spec_refused{show=ant}"] == 1


async def test_what_was_refused_is_not_judged_again_until_it_changes(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.origin.add("ant.json", BROKEN)
    await watched.look()
    reads = watched.origin.count("read")
    caplog.clear()
    assert (await watched.look()).outcome is Outcome.REFUSED
    watched.origin.add("ant.json", BROKEN)
    assert (await watched.look()).outcome is Outcome.REFUSED
    assert watched.origin.count("read") == reads + 1
    assert (await watched.look()).outcome is Outcome.REFUSED
    assert watched.origin.count("read") == reads + 1
    assert caplog.text == "", "said once"
    watched.origin.add("ant.json", document(usage="mended"))
    assert (await watched.look()).outcome is Outcome.CHANGED
    assert watched.state == "in force"
    assert watched.metrics.snapshot()["shotfs_spec_refused{show=ant}"] == 0


async def test_going_back_to_what_is_in_force_ends_a_refusal(watched: Watched) -> None:
    good = watched.origin.content("ant.json")
    watched.origin.add("ant.json", BROKEN)
    await watched.look()
    watched.origin.add("ant.json", good)
    assert (await watched.look()).outcome is Outcome.UNCHANGED
    assert watched.state == "in force"
    assert watched.swapped == []


async def test_an_included_document_that_goes_is_a_refusal_until_it_is_back(
    watched: Watched,
) -> None:
    shared = watched.origin.objects.pop("shared.json")
    found = await watched.look()
    assert found.outcome is Outcome.REFUSED
    assert any("shared.json" in line for line in found.mistakes)
    watched.origin.objects["shared.json"] = shared
    assert (await watched.look()).outcome is Outcome.UNCHANGED
    assert watched.state == "in force"


async def test_a_main_document_that_goes_leaves_the_old_one_in_force(watched: Watched) -> None:
    del watched.origin.objects["ant.json"]
    found = await watched.look()
    assert found.outcome is Outcome.UNREADABLE
    assert "no such object" in (found.message or "")
    assert watched.state.startswith("cannot be read: ")


async def test_a_specification_that_cannot_work_here_is_refused_and_judged_again_on_demand(
    watched: Watched,
) -> None:
    watched.origin.add("ant.json", document(usage="new"))

    def invalid(_: Specification) -> None:
        raise BucketNotFound("gs://nowhere does not exist")

    watched.validate = invalid
    assert (await watched.look()).outcome is Outcome.REFUSED
    assert "gs://nowhere" in watched.state
    watched.validate = lambda _: None
    assert (await watched.look()).outcome is Outcome.REFUSED, "the document is the same"
    assert (await watched.look(force=True)).outcome is Outcome.CHANGED


async def test_another_show_is_not_touched_by_a_refusal(watched: Watched) -> None:
    watched.origin.add("ant.json", BROKEN)
    watched.origin.add("bee.json", document("bee", usage="new"))
    found = await watched.watch.check()
    assert [one.outcome for one in found] == [Outcome.REFUSED, Outcome.CHANGED]
    assert watched.swapped == ["bee"]


# --- what cannot be read -------------------------------------------------------------------------


async def test_an_origin_that_is_away_is_said_once_and_changes_nothing(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.origin.go_down()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (await watched.look()).outcome is Outcome.UNREADABLE
    assert caplog.text.count("cannot be read") == 1
    assert "nobody answers" in watched.state
    assert watched.count("unreadable") == 3
    watched.origin.come_up()
    assert (await watched.look()).outcome is Outcome.UNCHANGED
    assert watched.state == "in force"


async def test_a_refusal_is_still_said_while_the_origin_is_away(watched: Watched) -> None:
    watched.origin.add("ant.json", BROKEN)
    await watched.look()
    watched.origin.go_down()
    assert (await watched.look()).outcome is Outcome.UNREADABLE
    assert watched.state.startswith("refused: ")


async def test_a_copy_counts_as_one_until_its_documents_were_seen(watched: Watched) -> None:
    watched.origin.go_down()
    await watched.start(ant="mem://specs/ant.json")
    assert watched.watch.status("ant")["from_cache"] is True
    assert watched.state.startswith("in force, a copy that was read at 20")
    assert (await watched.look()).outcome is Outcome.UNREADABLE
    watched.origin.come_up()
    assert (await watched.look()).outcome is Outcome.UNCHANGED
    assert watched.watch.status("ant")["from_cache"] is False
    assert watched.state == "in force"
    assert watched.swapped == []


async def test_an_origin_that_goes_between_looking_and_reading(watched: Watched) -> None:
    watched.origin.add("ant.json", document(usage="new"))

    def fault(operation: str, key: str) -> None:
        if operation == "read":
            raise TierUnavailable(f"{key}: reset")

    watched.origin.fault = fault
    assert (await watched.look()).outcome is Outcome.UNREADABLE
    watched.origin.come_up()
    assert (await watched.look()).outcome is Outcome.CHANGED


async def test_a_mistake_of_ours_does_not_end_the_watch(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watched.origin.add("ant.json", document(usage="new"))

    async def broken(*_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("ours")

    with monkeypatch.context() as patch:
        patch.setattr(watched.loader, "load", broken)
        assert (await watched.look()).outcome is Outcome.UNREADABLE
    assert "KeyError" in watched.state
    assert "Traceback" in caplog.text
    assert (await watched.look()).outcome is Outcome.CHANGED


# --- asking for it -------------------------------------------------------------------------------


async def test_an_unknown_show_is_named_with_those_that_there_are(watched: Watched) -> None:
    with pytest.raises(InvalidArgument, match="ant, bee"):
        await watched.watch.check(["cat"])
    assert watched.origin.count() == 0


async def test_two_who_ask_wait_for_each_other(watched: Watched) -> None:
    watched.origin.add("ant.json", document(usage="new"))
    outcomes = []

    async def ask() -> None:
        outcomes.append((await watched.look()).outcome)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(ask)
    assert sorted(outcomes) == [Outcome.CHANGED, Outcome.UNCHANGED, Outcome.UNCHANGED]
    assert watched.swapped == ["ant"]
