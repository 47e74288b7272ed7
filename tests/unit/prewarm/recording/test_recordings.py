"""What a node keeps of its recordings, shares with others, and learns from them."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trio

from shotfs.errors import AccessDenied, InvalidArgument
from shotfs.observe.metrics import Metrics
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording import recordings as recordings_module
from shotfs.prewarm.recording import sharing as sharing_module
from shotfs.prewarm.recording.codec import decode, encode
from shotfs.prewarm.recording.generalise import TRUST
from shotfs.prewarm.recording.names import DIRECTORY
from shotfs.prewarm.recording.recordings import TTL_S, Learned, Recordings
from shotfs.prewarm.recording.sharing import Shared
from shotfs.prewarm.recording.store import Kind, Place, Store
from shotfs.tiers.base import Tier
from tests.unit.namespace.origin import Origin

from .telling import SHOT, SPEC, Desk, run_of

LIGHTING = Subject("ant", SHOT, "lighting", "1001", "", "j1")
KEY = f"{DIRECTORY}/{SHOT}/lighting/_/1001.jsonl"


@asynccontextmanager
async def no_turn(origin: str, size_bytes: int, what: str) -> AsyncIterator[None]:
    yield


class Document(dict[str, Entry]):
    """Entries of which is seen when nobody has them any more."""

    __hash__ = object.__hash__  # type: ignore[assignment]


@dataclass
class Tiers:
    """One origin for every URL."""

    origin: Origin

    def opened(self, url: str) -> Tier | None:
        return self.origin

    async def get(self, url: str) -> Tier:
        return self.origin


@dataclass
class NodeOf:
    """The recordings of a node."""

    directory: Path
    origin: Origin | None
    publish: bool = True
    bytes_max: int = 10**9
    metrics: Metrics = field(default_factory=Metrics)
    now_s: float = 1000.0

    def __post_init__(self) -> None:
        self.store = Store(str(self.directory), bytes_max=self.bytes_max)
        shared = None if self.origin is None else Shared(Tiers(self.origin), no_turn, "n")
        self.recordings = Recordings(
            self.store,
            shared,
            publish=self.publish,
            spec_of=lambda show: SPEC if show == "ant" else None,
            node="n",
            metrics=self.metrics,
            clock=lambda: self.now_s,
        )

    async def rendered(self, *paths: str, subject: Subject = LIGHTING) -> bool:
        return await self.recordings.add(run_of(paths, subject))

    async def known(self, subject: Subject = LIGHTING) -> dict[str, float]:
        """Return the confidence of each file, by its path in the show."""
        learned = await self.recordings.for_subject(subject)
        return {one.path.removeprefix("ant/"): one.confidence for one in learned.entries}


def count(node: NodeOf, name: str, outcome: str) -> float:
    return node.metrics.snapshot().get(f"shotfs_{name}_total{{outcome={outcome}}}", 0)


async def test_what_is_recorded_is_known_at_once_and_after_a_restart(tmp_path: Path) -> None:
    node = NodeOf(tmp_path, Origin())
    assert await node.rendered("library/a.usd", "library/b.tx")
    assert await node.known() == {"library/a.usd": 1.0, "library/b.tx": 1.0}
    assert await node.rendered("library/a.usd")
    assert await node.known() == {"library/a.usd": 1.0, "library/b.tx": 0.5}
    again = NodeOf(tmp_path, Origin())
    assert await again.known() == {"library/a.usd": 1.0, "library/b.tx": 0.5}


async def test_entries_come_in_the_order_in_which_they_are_opened(tmp_path: Path) -> None:
    node = NodeOf(tmp_path, None)
    desk = Desk()
    for path in ("library/z.usd", "library/m.tx", "library/a.tx"):
        desk.open(path, LIGHTING)
        desk.now_s += 1
    await node.recordings.add(desk.finish()[0])
    assert list(await node.known()) == ["library/z.usd", "library/m.tx", "library/a.tx"]


async def test_two_nodes_learn_from_each_other(tmp_path: Path) -> None:
    origin = Origin()
    one, other = NodeOf(tmp_path / "1", origin), NodeOf(tmp_path / "2", origin)
    await one.rendered("library/a.usd", "library/b.tx")
    assert await other.known() == {}
    assert await one.recordings.publish() == 1
    other.now_s += TTL_S
    assert await other.known() == {"library/a.usd": 1.0, "library/b.tx": 1.0}
    await other.rendered("library/a.usd")
    assert await other.recordings.publish() == 1
    one.now_s += TTL_S
    assert await one.known() == {"library/a.usd": 1.0, "library/b.tx": 0.5}
    assert list(decode(origin.content(KEY), KEY)) == ["ant/library/a.usd", "ant/library/b.tx"]


async def test_s18_of_many_nodes_that_publish_at_once_every_run_counts(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    origin = Origin()
    nodes = [NodeOf(tmp_path / str(number), origin) for number in range(5)]
    for number, node in enumerate(nodes):
        await node.rendered("library/a.usd", f"library/only{number}.tx")
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.recordings.publish)
    entries = decode(origin.content(KEY), KEY)
    assert entries["ant/library/a.usd"].confidence == 1.0
    use = entries["ant/library/a.usd"].use
    assert use is not None
    assert use.runs == 5
    assert {f"ant/library/only{number}.tx" for number in range(5)} < entries.keys()


async def test_a_run_that_ends_while_it_is_published_goes_with_the_next(tmp_path: Path) -> None:
    origin = Origin()
    node = NodeOf(tmp_path, origin)
    await node.rendered("library/a.usd")
    gate = origin.gate("put")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.recordings.publish)
        await origin.reached("put")
        await node.rendered("library/b.tx")
        gate.set()
    del origin.gates["put"]
    assert await node.known() == {"library/a.usd": 0.5, "library/b.tx": 0.5}
    assert await node.recordings.pending_count() == 1
    assert await node.recordings.publish() == 1
    assert await node.recordings.pending_count() == 0
    entries = decode(origin.content(KEY), KEY)
    assert {one.use.runs for one in entries.values() if one.use} == {1}
    assert {one.confidence for one in entries.values()} == {0.5}


async def test_s07_an_origin_that_is_away_keeps_nothing_from_being_known(tmp_path: Path) -> None:
    origin = Origin()
    node = NodeOf(tmp_path, origin)
    origin.go_down()
    await node.rendered("library/a.usd")
    assert await node.known() == {"library/a.usd": 1.0}
    assert await node.recordings.publish() == 0
    assert count(node, "recordings_published", "unavailable") == 1
    origin.come_up()
    assert await NodeOf(tmp_path, origin).recordings.publish() == 1


async def test_an_origin_that_refuses_is_left_alone_for_a_while(tmp_path: Path) -> None:
    origin = Origin()
    node = NodeOf(tmp_path, origin)

    def refuse(operation: str, key: str) -> None:
        if operation == "put":
            raise AccessDenied(f"{key}: no")

    origin.fault = refuse
    await node.rendered("library/a.usd")
    for _ in range(2):
        assert await node.recordings.publish() == 0
    assert origin.count("put") == 1
    assert count(node, "recordings_published", "refused") == 1
    origin.come_up()
    node.now_s += recordings_module.REFUSED_PAUSE_S
    assert await node.recordings.publish() == 1


async def test_without_publishing_the_origin_is_only_asked(tmp_path: Path) -> None:
    origin = Origin()
    node = NodeOf(tmp_path, origin, publish=False)
    await node.rendered("library/a.usd")
    assert await node.recordings.publish() == 0
    assert await node.known() == {"library/a.usd": 1.0}
    assert (origin.count("put"), await node.recordings.pending_count()) == (0, 0)


async def test_what_this_node_learned_is_known_beside_what_the_origin_says(tmp_path: Path) -> None:
    origin = Origin()
    await (writer := NodeOf(tmp_path / "w", origin)).rendered("library/b.tx")
    await writer.recordings.publish()
    node = NodeOf(tmp_path / "n", origin, publish=False)
    await node.rendered("library/a.usd")
    for _ in range(3):
        assert await node.known() == {"library/a.usd": 0.5, "library/b.tx": 0.5}
        node.now_s += TTL_S
    assert [pending for _, pending in await node.recordings.stored()] == [False]


async def test_an_object_whose_name_is_no_frame_of_ours_is_not_looked_for(tmp_path: Path) -> None:
    origin = Origin()
    await (node := NodeOf(tmp_path, origin)).rendered("library/a.usd")
    await node.recordings.publish()
    origin.add(KEY.replace("1001", "01002"), origin.content(KEY))
    for frame in ("1002", ""):
        assert "library/a.usd" in await node.known(replace(LIGHTING, frame=frame))


async def test_s10_the_frames_of_a_shot_are_not_in_memory_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: weakref.WeakSet[Document] = weakref.WeakSet()
    peak = 0

    def remembered(data: bytes, where: str) -> Document:
        nonlocal peak
        document = Document(decode(data, where))
        alive.add(document)
        peak = max(peak, len(alive))
        return document

    monkeypatch.setattr(recordings_module, "decode", remembered)
    monkeypatch.setattr(recordings_module, "KEPT_ENTRIES_MAX", 4)
    node = NodeOf(tmp_path, None)
    data = encode(LIGHTING, {"ant/library/a.usd": Entry("ant/library/a.usd")}, "n")
    for frame in range(1001, 1061):
        node.store.write(Kind.KNOWN, Place("ant", f"{SHOT}/lighting/_", f"{frame}.jsonl"), data)
    assert await node.known(replace(LIGHTING, frame="")) == {"library/a.usd": 1.0}
    assert peak <= 3 * recordings_module.READS_AT_ONCE


async def test_no_more_frames_are_concluded_than_a_farm_renders(tmp_path: Path) -> None:
    await (node := NodeOf(tmp_path, None)).rendered("library/a.usd")
    with pytest.raises(InvalidArgument, match="were never recorded"):
        await node.known(replace(LIGHTING, frame="1-1000000"))
    assert await node.known(replace(LIGHTING, task="fx", frame="1-1000000")) == {}


async def test_a_recording_never_grows_beyond_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing_module, "BYTES_MAX", 4000)
    origin = Origin()
    node = NodeOf(tmp_path / "n", origin)
    for run in range(3):
        await node.rendered("library/all.usd", *(f"library/{run}/{one}.tx" for one in range(12)))
        assert await node.recordings.publish() == 1
    known = await NodeOf(tmp_path / "o", origin).known()
    assert known["library/all.usd"] == 1.0
    assert len(known) > 12
    # What a node without that limit left there is replaced.
    monkeypatch.setattr(sharing_module, "BYTES_MAX", len(origin.content(KEY)) - 1)
    await node.rendered("library/all.usd")
    assert await node.recordings.publish() == 1
    assert "library/all.usd" in await NodeOf(tmp_path / "p", origin).known()


async def test_the_origin_is_asked_once_for_each_time_to_live(tmp_path: Path) -> None:
    origin = Origin()
    await (writer := NodeOf(tmp_path / "w", origin)).rendered("library/a.usd")
    await writer.recordings.publish()
    node = NodeOf(tmp_path / "r", origin)
    origin.asked.clear()
    for _ in range(3):
        await node.known()
    asked = len(origin.asked)
    node.now_s += TTL_S
    await node.known()
    assert origin.count("read") == 1
    # Two listings, stat and read; later the listings and stat.
    assert (asked, len(origin.asked)) == (4, 7)


async def test_damage_in_the_origin_is_replaced_and_damage_here_is_dropped(tmp_path: Path) -> None:
    origin = Origin()
    node = NodeOf(tmp_path, origin)
    origin.add(KEY, b"{ no manifest")
    await node.rendered("library/a.usd")
    assert await node.known() == {"library/a.usd": 1.0}
    assert await node.recordings.publish() == 1
    assert list(decode(origin.content(KEY), KEY)) == ["ant/library/a.usd"]
    place = Place("ant", f"{SHOT}/lighting/_", "1001.jsonl")
    origin.remove(KEY)
    node.store.write(Kind.KNOWN, place, b"\0 damaged")
    assert await NodeOf(tmp_path, origin).known() == {}


async def test_a_path_that_leaves_the_mount_makes_a_recording_damaged(tmp_path: Path) -> None:
    origin = Origin()
    node = NodeOf(tmp_path, origin)
    await node.rendered("library/a.usd")
    await node.recordings.publish()
    origin.add(KEY, origin.content(KEY).replace(b"ant/library/a.usd", b"../../etc/passwd"))
    node.now_s += TTL_S
    assert await node.known() == {"library/a.usd": 1.0}


# --- questions -----------------------------------------------------------------------------------


async def render_frames(node: NodeOf, frames: range) -> None:
    for frame in frames:
        await node.rendered(
            "library/a.usd",
            f"plates/{SHOT}/bg.{frame}.exr",
            subject=Subject("ant", SHOT, "lighting", str(frame), "", "j1"),
        )


async def test_a_frame_that_was_never_rendered_gets_what_its_neighbours_read(
    tmp_path: Path,
) -> None:
    node = NodeOf(tmp_path, None)
    await render_frames(node, range(1001, 1004))
    found = await node.known(Subject("ant", SHOT, "lighting", "1010"))
    assert found == {"library/a.usd": TRUST, f"plates/{SHOT}/bg.1010.exr": TRUST}
    learned = await node.recordings.for_subject(Subject("ant", SHOT, "lighting", "1003-1004"))
    assert (learned.frames, learned.concluded) == ("1003", "1004")
    frames = {one.path.rpartition("/")[2]: one.frames for one in learned.entries}
    assert frames == {"a.usd": "1003-1004", "bg.1003.exr": "1003", "bg.1004.exr": "1004"}


async def test_what_is_not_said_means_all_that_is_known(tmp_path: Path) -> None:
    origin = Origin()
    node = NodeOf(tmp_path / "1", origin)
    await render_frames(node, range(1001, 1003))
    await node.rendered("library/fx.vdb", subject=Subject("ant", SHOT, "fx", "1001", "left", "j"))
    await node.recordings.publish()
    for one in (node, NodeOf(tmp_path / "2", origin)):
        learned: Learned = await one.recordings.for_subject(Subject("ant", SHOT))
        assert {entry.path: entry.frames for entry in learned.entries} == {
            "ant/library/a.usd": "1001-1002",
            f"ant/plates/{SHOT}/bg.1001.exr": "1001",
            f"ant/plates/{SHOT}/bg.1002.exr": "1002",
            "ant/library/fx.vdb": "1001",
        }
        for view, found in (("left", {"library/fx.vdb": 1.0}), ("right", {})):
            assert await one.known(Subject("ant", SHOT, "fx", "1001", view)) == found


async def test_what_all_frames_need_is_in_the_answer_for_each(tmp_path: Path) -> None:
    node = NodeOf(tmp_path, None)

    def render(desk: Desk) -> None:
        for frame in (1001, 1002):
            desk.write(f"render/{SHOT}/lighting/beauty.left.{frame}.exr", subject)
            desk.open(f"library/only{frame}.tx", subject)

    subject = Subject(job="j1")
    await node.recordings.add(run_of(["library/a.usd"], subject, render))
    learned = await node.recordings.for_subject(Subject("ant", SHOT, "lighting", "1002", "left"))
    assert {one.path: one.frames for one in learned.entries} == {
        "ant/library/a.usd": "",
        "ant/library/only1002.tx": "1002",
    }


async def test_a_run_of_no_known_shot_is_not_learned(tmp_path: Path) -> None:
    node = NodeOf(tmp_path, None)
    assert not await node.rendered("library/a.usd", subject=Subject(job="j1"))
    assert not await node.rendered("library/a.usd", subject=Subject("bee", SHOT, job="j1"))
    assert await node.recordings.stored() == []
    assert count(node, "recorded_runs", "unknown") == 2


async def test_a_question_without_a_shot_or_of_no_show_is_refused(tmp_path: Path) -> None:
    node = NodeOf(tmp_path, None)
    for subject in (Subject("ant"), Subject("bee", SHOT)):
        with pytest.raises(InvalidArgument):
            await node.recordings.for_subject(subject)


async def test_names_of_an_environment_stay_in_their_directory(tmp_path: Path) -> None:
    origin = Origin()
    node = NodeOf(tmp_path / "recorded", origin)
    odd = Subject("ant", "../../etc", "a/b\\c", "1001", "..", "x")
    await node.rendered("library/a.usd", subject=odd)
    await node.recordings.publish()
    assert all(key.startswith(f"{DIRECTORY}/%2E.%2F..%2Fetc/") for key in origin.objects)
    assert os.listdir(tmp_path) == ["recorded"]
    assert await NodeOf(tmp_path / "other", origin).known(odd) == {"library/a.usd": 1.0}
    stored = [subject for subject, _ in await node.recordings.stored()]
    assert [(one.shot, one.task, one.view) for one in stored] == [("../../etc", "a/b\\c", "..")]


# --- the disk ------------------------------------------------------------------------------------


def test_s08_the_store_keeps_its_bytes_and_drops_the_oldest_and_pending_ones_last(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path), bytes_max=10_000)
    places = [Place("ant", "s/t/v", f"{number}.jsonl") for number in range(20)]
    assert store.write(Kind.PENDING, places[0], b"p" * 1000)
    for place in places:
        assert store.write(Kind.KNOWN, place, b"x" * 1000)
    assert store.size_bytes() == 10_000
    assert store.places(Kind.KNOWN) == places[11:]
    assert store.places(Kind.PENDING) == places[:1]
    again = Store(str(tmp_path), bytes_max=10_000)
    assert sorted(again.places(Kind.KNOWN)) == sorted(places[11:])
    again.remove(Kind.KNOWN, places[19])
    assert again.read(Kind.KNOWN, places[19]) is None
    assert again.size_bytes() == 9000


def test_what_a_killed_service_was_writing_is_not_there(tmp_path: Path) -> None:
    store = Store(str(tmp_path), bytes_max=10_000)
    place = Place("ant", "s/t/v", "1.jsonl")
    store.write(Kind.KNOWN, place, b"whole")
    (written,) = tmp_path.rglob("1.jsonl")
    Path(f"{written}.new").write_bytes(b"hal")
    again = Store(str(tmp_path), bytes_max=10_000)
    assert (again.places(Kind.KNOWN), again.read(Kind.KNOWN, place)) == ([place], b"whole")
    assert not Path(f"{written}.new").exists()


async def test_a_disk_that_refuses_costs_the_recording_and_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "recorded"
    blocked.write_text("no directory")
    node = NodeOf(blocked, None)
    await node.rendered("library/a.usd")
    assert await node.known() == {}


async def test_questions_at_once_get_one_answer(tmp_path: Path) -> None:
    node = NodeOf(tmp_path, Origin())
    await render_frames(node, range(1001, 1004))
    answers: list[dict[str, float]] = []

    async def ask(frame: int) -> None:
        answers.append(await node.known(Subject("ant", SHOT, "lighting", str(frame))))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(functools.partial(ask, 1002))
    assert answers == [answers[0]] * 5
