"""Pin files: what is written is read again, and every mistake is told with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from shotfs.digest import Checksums, digest_bytes
from shotfs.errors import InvalidArgument, PathNotFound, PinInvalid, TierUnavailable, Unsupported
from shotfs.namespace import pins as module
from shotfs.namespace.pin_check import Verdict, verify
from shotfs.namespace.pin_reading import read_pins
from shotfs.namespace.pinning import Found, walking
from shotfs.namespace.pins import PinHead, Pins, PinWriter
from shotfs.namespace.snapshots import TreeSnapshot
from shotfs.pathspec import load
from shotfs.tiers.base import Revision
from tests.unit.namespace.origin import Origin, Pool
from tests.unit.namespace.spec import DOCUMENT, MAIN, SECOND

HEAD = PinHead(
    show="ant",
    spec="0" * 32,
    made_at="2026-11-21T06:00:00Z",
    by="anna@node17",
    at=None,
    trees=("config", "library/a b", "render/xy_latest"),
)

FIRST = Revision(
    "gs://bucket/ant",
    "config/a.json",
    3,
    "17",
    1_700_000_000_123_456_789,
    Checksums(md5="a" * 32, crc32c="b" * 8, xxh128=digest_bytes(b"abc")),
)
SECOND_FILE = Revision("s3://bucket", "library/a b/ü.exr", 0, '"etag"', -5, pin="v1")


def write(path: Path, *, trees: tuple[str, ...] = HEAD.trees) -> Path:
    head = PinHead(HEAD.show, HEAD.spec, HEAD.made_at, HEAD.by, HEAD.at, trees)
    with PinWriter(str(path), head) as writer:
        writer.add(FIRST.key, FIRST, "gs://bucket/ant/")
        writer.add(SECOND_FILE.key, SECOND_FILE, "s3://bucket")
        writer.alias("render/xy_latest", "v004")
        writer.alias("config/none", None)
    return path


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    pins = read_pins(str(write(tmp_path / "a.pin.json")))
    assert pins.head == HEAD
    found = [pins.files.find(path) for path in (FIRST.key, SECOND_FILE.key)]
    assert found == [FIRST, SECOND_FILE]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].checksums == FIRST.checksums
    assert found[1].pin == "v1"
    assert pins.aliases == {"render/xy_latest": "v004", "config/none": None}
    assert pins.aliases_in("render") == {"xy_latest": "v004"}
    assert list(tmp_path.iterdir()) == [tmp_path / "a.pin.json"]


def test_a_pin_file_is_json_with_one_file_a_line_in_the_order_of_paths(tmp_path: Path) -> None:
    text = write(tmp_path / "a.pin.json").read_text()
    document = json.loads(text)
    assert document["pin"] == "shotfs-pin/1"
    assert list(document["files"]) == [FIRST.key, SECOND_FILE.key]
    lines = text.splitlines()
    assert sum('"mtime_ns"' in line for line in lines) == 2
    assert any(line.startswith('"config/a.json": {"size": 3') for line in lines)


def test_an_empty_pin_file_pins_that_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.pin.json"
    with PinWriter(str(path), HEAD):
        pass
    pins = read_pins(str(path))
    assert len(pins.files) == 0
    assert pins.covers("config/x")


def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pin.json")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="does not come after"):
        add(path, FIRST.key, FIRST.key)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_files_out_of_order_and_too_many_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="does not come after"):
        add(tmp_path / "a", "b", "a")
    monkeypatch.setattr(module, "FILES_MAX", 1)
    with pytest.raises(InvalidArgument, match="more than 1 files"):
        add(tmp_path / "a", "a", "b")


def add(path: Path, *names: str) -> None:
    with PinWriter(str(path), HEAD) as writer:
        for name in names:
            writer.add(name, FIRST, "gs://bucket")


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), start=1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"size": 3', '"size": -3', "size and mtime_ns must be whole"),
        ('"size": 3', '"size": true', "size and mtime_ns must be whole"),
        ('"size": 3', '"size": 9223372036854775808', "size and mtime_ns must be whole"),
        ('"mtime_ns": ', '"mtime_ns": 1000000000000000000000', "size and mtime_ns must be whole"),
        ('"version": "', '"version": "\\udcff', "version and pin must be short texts"),
        ('"size": 3, ', "", "'size' is missing"),
        ('"version": "17"', '"version": ""', "version and pin must be short"),
        ('"origin": "gs://bucket/ant/"', '"origin": "bucket"', "is no URL"),
        ('"origin": "gs://bucket/ant/"', '"origin": 1', "origin must be a URL"),
        ("aaaaaaaa", "zzzzzzzz", "not a checksum"),
        ('"config/a.json": {', '"../a.json": {', "is no path of a file"),
        ('"config/a.json": {', '"config/a.json" {', "not one row"),
        ('"config/a.json": {', '"x": 1, "config/a.json": {', "not one row"),
        ('"config/a.json": {', '"config/a.json": 7, "y": {', "not one row"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = write(tmp_path / "a.pin.json")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(PinInvalid, match=said) as mistake:
        read_pins(str(path))
    problem = mistake.value.problems[0]
    assert problem.line == line_of(text, '"config/a.json"')
    assert f"{path}:{problem.line}" in str(mistake.value)


def _twice(text: str) -> str:
    lines = text.splitlines(keepends=True)
    at = line_of(text, '"config/a.json"')
    return "".join([*lines[:at], lines[at - 1], *lines[at:]])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_twice, "is there twice"),
        (lambda text: text[: len(text) // 2], "not one row|not whole"),
        (lambda text: text.rstrip().removesuffix("}"), "does not end here"),
        (lambda text: text.replace("shotfs-pin/1", "shotfs-pin/9"), "not 'shotfs-pin/1'"),
        (lambda text: text.replace('"show": "ant"', '"show": 7'), "/show: must be text"),
        (lambda text: text.replace('"at": null', '"at": "noon"'), "/at: must be a time"),
        (lambda text: text.replace('"by"', '"who"'), "/who: is not known"),
        (lambda text: text.replace('["config"', '["/config"'), "/trees: must be a list"),
        (lambda text: text.replace('["config", ', "["), "config/a.json lies in none of them"),
        (lambda text: text.replace('"v004"', '"v/4"'), "no alias with a version"),
        (lambda text: text.replace('"},\n"lib', '"}\n"lib'), "comma is missing"),
        (lambda text: json.dumps(json.loads(text)), "one file a line"),
        (lambda text: text.replace('"17"', f'"{"1" * 20_000}"'), "line is too long"),
        (lambda _: "", "one file a line"),
        (lambda _: "[" * 100_000 + '\n"files": {\n', "head"),
        (lambda text: text.replace("anna", "\udcff"), "UTF-8"),
    ],
)
def test_a_damaged_document_is_refused(
    tmp_path: Path, change: Callable[[str], str], said: str
) -> None:
    path = write(tmp_path / "a.pin.json")
    path.write_text(change(path.read_text()), errors="surrogateescape")
    with pytest.raises(PinInvalid, match=said):
        read_pins(str(path))


def test_a_pin_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PinInvalid, match=r"none.json.*\n.*No such file"):
        read_pins(str(tmp_path / "none.json"))


def test_a_tree_is_covered_with_all_that_lies_in_it_and_nothing_beside() -> None:
    head = PinHead("ant", "", HEAD.made_at, "", None, ("config", "render/xy/v004"))
    pins = Pins("a", head, TreeSnapshot({}), {})
    assert all(map(pins.covers, ("config", "config/a/b", "render/xy/v004", "render/xy/v004/c")))
    assert not any(
        map(pins.covers, ("", "con", "config2", "render", "render/xy", "render/xy/v0045"))
    )
    assert pins.leads_to_tree("render")
    assert pins.trees_in("render/xy") == {"v004"}
    assert pins.trees_in("") == {"config", "render"}
    everything = Pins("a", PinHead("ant", "", HEAD.made_at, "", None, ("",)), TreeSnapshot({}), {})
    assert everything.covers("any/thing")


# --- walking -------------------------------------------------------------------------------------

SPEC = load(json.dumps(DOCUMENT), source="spec.json", show="ant")


async def walked(
    origin: Origin, *paths: str, second: Origin | None = None, at_ns: int | None = None
) -> list[Found]:
    found = []
    pool = Pool({MAIN: origin, SECOND: second or Origin(SECOND)})
    async with walking(SPEC, pool, paths, at_ns) as walk:
        while (one := await walk.next()) is not None:
            found.append(one)
    return found


async def test_a_walk_finds_every_file_in_the_order_of_whole_paths() -> None:
    origin = Origin(MAIN)
    keys = ["library/a-b", "library/a.exr", "library/a/x", "library/a/b/c", "library/Z"]
    keys += [f"library/many/{number:03d}/x" for number in range(40)]
    for key in [*keys, "library", "library/a", "config/x.json", "config/no template.json"]:
        origin.add(key, b"1")
    found = await walked(origin, "library", "config", "library/a")
    assert [one.path for one in found] == ["config/x.json", *sorted(keys)]
    assert all(one.revision == origin.objects[one.path][0] for one in found)
    assert {one.origin for one in found} == {MAIN}


async def test_each_file_is_taken_from_the_origin_that_the_specification_names() -> None:
    origin, second = Origin(MAIN), Origin(SECOND)
    for one in (origin, second):
        one.add("plates/a.dpx", b"dpx")
        one.add("plates/a.mov", b"mov")
    found = await walked(origin, "plates", second=second)
    assert [(one.path, one.origin) for one in found] == [
        ("plates/a.dpx", MAIN), ("plates/a.mov", SECOND),
    ]  # fmt: skip


async def test_single_files_are_pinned_among_trees_in_order() -> None:
    origin = Origin(MAIN)
    for key in ("library/a", "library/a-b/x", "config/x.json"):
        origin.add(key)
    found = await walked(origin, "library/a", "library/a-b", "config/x.json")
    assert [one.path for one in found] == ["config/x.json", "library/a", "library/a-b/x"]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere/x", "no template"),
        ("config/x.json", "no such object"),
        ("config", "nothing lies below"),
    ],
)
async def test_what_is_not_there_cannot_be_pinned(path: str, said: str) -> None:
    with pytest.raises(PathNotFound, match=said):
        await walked(Origin(MAIN), path)


async def test_a_walk_as_of_a_time_needs_versions_and_finds_what_was_there() -> None:
    origin = Origin(MAIN)
    old = origin.add("config/a.json", b"old")
    origin.add("config/deleted.json", b"d")
    then_ns = origin.clock_ns
    origin.add("config/a.json", b"new")
    origin.add("config/later.json", b"l")
    origin.remove("config/deleted.json")
    with pytest.raises(Unsupported, match="keeps no versions"):
        await walked(origin, "config", at_ns=then_ns)
    origin.versioned = True
    found = await walked(origin, "config", at_ns=then_ns)
    assert [one.path for one in found] == ["config/a.json", "config/deleted.json"]
    assert found[0].revision == old


async def test_an_origin_that_fails_in_the_middle_ends_the_walk_with_its_error() -> None:
    origin = Origin(MAIN)
    for number in range(20):
        origin.add(f"library/{number}/x")

    def fault(operation: str, key: str) -> None:
        if operation == "list" and key == "library/7":
            raise TierUnavailable("gone")

    origin.fault = fault
    with pytest.raises(TierUnavailable, match="gone"):
        await walked(origin, "library")


async def test_directories_are_listed_ahead_but_not_without_end() -> None:
    origin = Origin(MAIN)
    for number in range(100):
        origin.add(f"library/{number:03d}/x")
    async with walking(SPEC, Pool({MAIN: origin}), ["library"], None) as walk:
        await walk.next()
        await trio.testing.wait_all_tasks_blocked()
        assert origin.count("list") < 20


async def test_verify_tells_same_kept_and_gone() -> None:
    origin = Origin(MAIN, versioned=True)
    same = origin.add("config/same.json", b"1")
    kept = origin.add("config/kept.json", b"2")
    lost = Revision(MAIN, "config/lost.json", 4, "999", 0)
    origin.add("config/kept.json", b"22")
    files = TreeSnapshot({one.key: one for one in (same, kept, lost)})
    head = PinHead("ant", "", HEAD.made_at, "", None, ("config",))
    verdicts: list[Verdict] = []
    await verify(Pins("a", head, files, {}), Pool({MAIN: origin}), verdicts.append)
    assert {one.path: one.state for one in verdicts} == {
        "config/same.json": "same", "config/kept.json": "kept", "config/lost.json": "gone",
    }  # fmt: skip
    assert origin.count("list") == 1
    assert origin.count("read") == 2
