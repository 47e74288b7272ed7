"""Views in a whole node: what `mount.at` and `mount.pin` show, keep apart and refuse."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from shotfs.config.moments import format_moment
from shotfs.errors import AccessDenied, ConfigInvalid, PinInvalid, ReadOnly, Unsupported
from shotfs.namespace.pins import PinHead, PinWriter
from shotfs.tiers.base import Revision
from shotfs.vfs import Attributes, Kind
from tests.unit.namespace.origin import Origin
from tests.unit.namespace.spec import DOCUMENT, FRAME, MAIN, SHOT
from tests.unit.vfs.world import ARTIST, Site, World, fails_with

CONFIG = "ant/config/look.json"

VERSIONED: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
VERSIONED["fields"]["version"]["aliases"] = ["latest"]
VERSIONED["templates"]["caches"] = {
    "path": "caches/{shot}_{version}/{name}.abc",
    "flow": "out",
    "immutable": "on-version-publish",
}
LATEST = "ant/render/xy_1_100_030_00_latest"
CACHES = "ant/caches/xy_1_100_030_00_v001"


@pytest.fixture
def past(site: Site) -> Site:
    """Origins that keep versions, and a node that is to show the moment `then`."""
    site.origin.versioned = site.second.versioned = True
    site.origin.add("config/look.json", b"old")
    site.origin.add("config/deleted.json", b"deleted")
    show(site, site.origin.clock_ns)
    site.origin.add("config/look.json", b"newer")
    site.origin.add("config/later.json", b"later")
    site.origin.remove("config/deleted.json")
    return site


def show(site: Site, at_ns: int, **settings: str) -> None:
    site.mount = {"at": format_moment(at_ns), **settings}


async def test_mutable_files_are_what_they_were_and_stay_so(past: Site) -> None:
    async with past.open() as world:
        assert await world.read(CONFIG) == b"old"
        assert await world.names("ant/config") == ["deleted.json", "look.json"]
        assert await world.read("ant/config/deleted.json") == b"deleted"
        assert not await world.exists("ant/config/later.json")
        assert past.origin.count("stat") == past.origin.count("list") == 0
        asked = past.origin.count()
        past.clock.advance(10_000)
        assert await world.read(CONFIG) == b"old"
        assert await world.names("ant/config") == ["deleted.json", "look.json"]
        assert not await world.exists("ant/config/later.json")
        assert past.origin.count() == asked
        assert (await world.fs.attributes(CONFIG)).ttl_s == 86_400


async def test_todays_catalog_and_that_of_a_view_know_nothing_of_each_other(past: Site) -> None:
    async with past.open() as world:
        assert await world.read(CONFIG) == b"old"
    view, past.mount = past.mount, {}
    async with past.open() as world:
        assert await world.read(CONFIG) == b"newer"
        assert not await world.exists("ant/config/deleted.json")
    past.mount = view
    async with past.open() as world:
        assert await world.read(CONFIG) == b"old"
        assert past.origin.count("stat_at") == 0, "the view's catalog outlives a restart"
    show(past, past.origin.clock_ns)
    async with past.open() as world:
        assert await world.read(CONFIG) == b"newer"


async def test_views_of_few_moments_are_kept_on_disk(past: Site) -> None:
    for count in range(6):
        show(past, past.origin.clock_ns + 1000 * count)
        async with past.open():
            pass
    assert len(list((past.directory / "cache/views").iterdir())) == 4


async def test_immutable_files_are_as_ever_and_can_be_written(past: Site) -> None:
    past.origin.add("library/new.usd", b"published later")
    async with past.open() as world:
        assert await world.read("ant/library/new.usd") == b"published later"
        assert await world.names("ant/library") == ["new.usd"]
        await world.publish(FRAME, b"frame")
        assert await world.read(FRAME) == b"frame"
        assert await world.names(SHOT) == ["beauty.1001.exr"]


async def _refusals(world: World, path: str) -> Sequence[Any]:
    fs = world.fs
    return (
        lambda: world.create(path),
        lambda: world.open(path, os.O_WRONLY),
        lambda: world.truncate(path, 0),
        lambda: fs.unlink(path),
        lambda: fs.rename(path, f"{path}.json"),
        lambda: fs.make_symlink(path, "x", ARTIST),
    )


async def test_nothing_changes_a_file_of_the_past(past: Site) -> None:
    async with past.open() as world:
        for change in await _refusals(world, CONFIG):
            with fails_with(errno.EROFS):
                await change()
        with pytest.raises(ReadOnly, match="shown as of"):
            await world.create("ant/config/new.json")
        assert await world.read(CONFIG) == b"old"


async def test_what_waits_in_the_spool_is_no_part_of_a_view(past: Site) -> None:
    view, past.mount = past.mount, {}
    async with past.open() as world:
        await world.write("ant/notes/mine.txt", b"waits for its grace")
        assert await world.names("ant/notes") == ["mine.txt"]
    past.mount = view
    async with past.open() as world:
        assert not await world.exists("ant/notes/mine.txt")
        assert await world.names("ant/notes") == []
        assert world.spooled("ant/notes/mine.txt") is not None


async def test_a_directory_of_both_kinds_asks_both_and_shows_each_once(site: Site) -> None:
    site.document = json.loads(json.dumps(DOCUMENT))
    site.document["templates"]["reports"] = {
        "path": "reports/{name}.txt", "immutable": "on-close",
    }  # fmt: skip
    site.document["templates"]["drafts"] = {"path": "reports/{name}.tmp.md", "scratch": []}
    site.document["templates"]["parts"] = {"path": "reports/parts/{name}.md", "scratch": []}
    site.document["templates"]["done"] = {
        "path": "reports/done/{name}.md", "immutable": "on-close",
    }  # fmt: skip
    site.origin.versioned = site.second.versioned = True
    site.origin.add("reports/a.tmp.md", b"old")
    site.origin.add("reports/parts/gone.md", b"gone")
    show(site, site.origin.clock_ns)
    site.origin.add("reports/a.tmp.md", b"newer")
    site.origin.add("reports/b.tmp.md", b"later")
    site.origin.add("reports/c.txt", b"later")
    site.origin.add("reports/done/x.md", b"later")
    site.origin.remove("reports/parts/gone.md")
    async with site.open() as world:
        assert await world.names("ant/reports") == ["a.tmp.md", "c.txt", "done", "parts"]
        assert await world.read("ant/reports/a.tmp.md") == b"old"
        assert await world.names("ant/reports/parts") == ["gone.md"]
        assert await world.names("ant/reports/done") == ["x.md"]


async def test_a_listing_of_both_kinds_is_known_only_while_both_sides_know_theirs(
    site: Site,
) -> None:
    site.document = json.loads(json.dumps(DOCUMENT))
    site.document["templates"]["reports"] = {
        "path": "reports/{name}.txt", "immutable": "on-close",
    }  # fmt: skip
    site.document["templates"]["drafts"] = {"path": "reports/{name}.tmp.md", "scratch": []}
    site.origin.versioned = site.second.versioned = True
    site.origin.add("reports/a.tmp.md", b"old")
    site.origin.add("config/look.json", b"old")
    show(site, site.origin.clock_ns)
    async with site.open() as world:
        namespace = world.fs._finder.namespace

        def known(path: str) -> bool:
            match = world.fs._finder.match(path)
            assert match is not None
            return namespace.has_listing(path, match)

        assert not known("ant/reports")
        await world.names("ant/reports")
        await world.names("ant/config")
        assert known("ant/reports")
        assert known("ant/config")
        # What is past counts for ever, today's files are asked for again: a crawler waits then.
        world.clock.advance(86400)
        assert not known("ant/reports")
        assert known("ant/config")


async def test_a_version_that_was_sealed_later_is_open_in_a_view(site: Site) -> None:
    site.document = VERSIONED
    site.origin.versioned = site.second.versioned = True
    site.origin.add("caches/xy_1_100_030_00_v001/a.abc", b"old")
    show(site, site.origin.clock_ns)
    new = site.origin.add("caches/xy_1_100_030_00_v001/a.abc", b"newer")
    manifest = {
        "manifest": "shotfs-version/1",
        "path": "caches/xy_1_100_030_00_v001",
        "state": "sealed",
        "by": "anna@node",
        "at": "2026-11-21T06:00:00.000000Z",
        "files": [
            {"path": "a.abc", "size": 5, "mtime_ns": new.mtime_ns, "version": new.version},
        ],
    }
    key = ".shotfs/versions/caches/xy_1_100_030_00_v001.json"
    site.origin.add(key, json.dumps(manifest).encode())
    async with site.open() as world:
        assert await world.read(f"{CACHES}/a.abc") == b"old"
        with fails_with(errno.EROFS):
            await world.create(f"{CACHES}/b.abc")
    site.mount = {}
    async with site.open() as world:
        assert await world.read(f"{CACHES}/a.abc") == b"newer"


# --- origins that keep no versions ---------------------------------------------------------------


async def test_an_origin_without_versions_is_named_and_the_node_does_not_start(past: Site) -> None:
    past.origin.versioned = False
    with pytest.raises(Unsupported, match=f"{MAIN} keeps no versions") as refused:
        await _start(past)
    assert "--at-without-versions" in str(refused.value)


async def test_an_origin_that_may_not_be_asked_says_which_right_is_missing(past: Site) -> None:
    def fault(operation: str, key: str) -> None:
        if operation == "keeps_versions":
            raise AccessDenied("no")

    past.origin.fault = fault
    with pytest.raises(AccessDenied, match="may not ask") as refused:
        await _start(past)
    assert "storage.buckets.get" in str(refused.value)


async def _start(site: Site) -> None:
    try:
        async with site.open():
            pass
    except BaseExceptionGroup as group:
        inner: BaseException = group
        while isinstance(inner, BaseExceptionGroup):
            [inner] = inner.exceptions
        raise inner from None


async def test_without_versions_live_is_as_without_a_view(past: Site) -> None:
    past.origin.versioned = False
    past.mount = {**past.mount, "at_without_versions": "live"}
    async with past.open() as world:
        assert await world.read(CONFIG) == b"newer"
        assert await world.names("ant/config") == ["later.json", "look.json"]
        await world.publish("ant/config/mine.json", b"mine")
        past.clock.advance(60)
        past.origin.add("config/look.json", b"newest")
        assert await world.read(CONFIG) == b"newest"


async def test_without_versions_deny_shows_no_mutable_path(past: Site) -> None:
    past.origin.versioned = False
    past.mount = {**past.mount, "at_without_versions": "deny"}
    past.origin.add("library/a.usd", b"a")
    async with past.open() as world:
        assert not await world.exists(CONFIG)
        assert await world.names("ant/config") == []
        assert await world.read("ant/library/a.usd") == b"a"
        with fails_with(errno.EROFS):
            await world.create("ant/config/mine.json")


# --- aliases -------------------------------------------------------------------------------------


def alias(origin: Origin, *moves: tuple[str, int]) -> None:
    history = [
        {"version": version, "at": f"1970-01-01T00:00:00.{at_us:06d}Z", "by": "a@b", "why": ""}
        for version, at_us in moves
    ]
    path = LATEST.removeprefix("ant/")
    document = {"alias": "shotfs-alias/1", "path": path, "history": history}
    origin.add(f".shotfs/aliases/{path}.json", json.dumps(document).encode())


async def test_an_alias_points_where_it_pointed_then_for_ever(site: Site) -> None:
    site.document = VERSIONED
    site.origin.versioned = site.second.versioned = True
    site.origin.clock_ns = 10_000
    alias(site.origin, ("v004", 10))
    show(site, site.origin.clock_ns)
    site.origin.clock_ns = 20_000
    alias(site.origin, ("v004", 10), ("v005", 20))
    async with site.open() as world:
        assert await world.fs.read_link(LATEST) == "xy_1_100_030_00_v004"
        shown = dict(await world.entries("ant/render"))
        assert shown["xy_1_100_030_00_latest"].kind is Kind.SYMLINK
        asked = site.origin.count()
        site.clock.advance(10_000)
        assert await world.fs.read_link(LATEST) == "xy_1_100_030_00_v004"
        assert site.origin.count() == asked
    site.mount = {}
    async with site.open() as world:
        assert await world.fs.read_link(LATEST) == "xy_1_100_030_00_v005"


async def test_an_alias_of_the_past_needs_no_versions(site: Site) -> None:
    site.document = VERSIONED
    site.origin.clock_ns = 10_000
    alias(site.origin, ("v004", 10), ("v005", 20))
    show(site, 15_000, at_without_versions="live")
    async with site.open() as world:
        assert await world.fs.read_link(LATEST) == "xy_1_100_030_00_v004"


# --- pin files -----------------------------------------------------------------------------------


def pin(
    site: Site,
    *revisions: Revision,
    trees: tuple[str, ...] = ("config",),
    show_name: str = "ant",
    aliases: dict[str, str] | None = None,
) -> Path:
    path = site.directory / "job.pin.json"
    head = PinHead(show_name, "f" * 32, "2026-11-21T06:00:00Z", "a@b", None, trees)
    with PinWriter(str(path), head) as writer:
        for revision in sorted(revisions, key=lambda one: one.key):
            writer.add(revision.key, revision, revision.tier)
        for name, version in (aliases or {}).items():
            writer.alias(name, version)
    site.mount = {"pin": str(path)}
    return path


async def test_a_pinned_tree_is_the_pin_file_without_a_question(site: Site) -> None:
    old = site.origin.add("config/look.json", b"old")
    pin(site, old)
    site.origin.add("config/later.json", b"later")
    async with site.open() as world:
        assert await world.names("ant/config") == ["look.json"]
        found = await world.fs.attributes(CONFIG)
        assert (found.size_bytes, found.mtime_ns, found.ttl_s) == (3, old.mtime_ns, 86_400)
        assert not await world.exists("ant/config/later.json")
        ((_, listed),) = await world.entries("ant/config")
        assert listed == found
        assert site.origin.count() == 0
        assert await world.read(CONFIG) == b"old"
        for change in await _refusals(world, CONFIG):
            with fails_with(errno.EROFS):
                await change()
        with fails_with(errno.EROFS):
            await world.fs.rename("ant/notes/x", CONFIG)


async def test_a_pinned_revision_that_is_gone_is_stale_and_stays_pinned(site: Site) -> None:
    old = site.origin.add("config/look.json", b"old")
    pin(site, old)
    site.origin.add("config/look.json", b"newer")
    async with site.open() as world:
        for _ in range(2):
            with fails_with(errno.ESTALE):
                await world.read(CONFIG)
        assert (await world.fs.attributes(CONFIG)).size_bytes == 3


async def test_pinned_trees_are_found_and_listed_although_nothing_else_is_there(
    site: Site,
) -> None:
    one = Revision(MAIN, "library/deep/er/a.usd", 1, "1", 0)
    two = Revision(MAIN, "library/single.usd", 2, "2", 0)
    pin(site, one, two, trees=("library/deep/er", "library/single.usd", "library/empty"))
    site.origin.add("library/single.usd", b"another size")
    async with site.open() as world:
        assert await world.names("ant/library") == ["deep", "empty", "single.usd"]
        assert await world.names("ant/library/deep") == ["er"]
        assert await world.names("ant/library/deep/er") == ["a.usd"]
        assert await world.names("ant/library/empty") == []
        assert (await world.fs.attributes("ant/library/single.usd")).size_bytes == 2
        entries = dict(await world.entries("ant/library"))
        assert entries["single.usd"].size_bytes == 2
        assert isinstance(await world.fs.lookup("ant/library/deep/er/a.usd"), Attributes)


async def test_pinned_aliases_are_links_and_others_are_missing(site: Site) -> None:
    site.document = VERSIONED
    frame = Revision(MAIN, FRAME.removeprefix("ant/"), 5, "1", 0)
    pin(site, frame, trees=("render",), aliases={LATEST.removeprefix("ant/"): "v005"})
    alias(site.origin, ("v009", 1))
    async with site.open() as world:
        assert await world.fs.read_link(LATEST) == "xy_1_100_030_00_v005"
        assert await world.names("ant/render") == [
            "xy_1_100_030_00_latest", "xy_1_100_030_00_v005",
        ]  # fmt: skip
        assert not await world.exists(LATEST.replace("030", "031"))
        assert site.origin.count() == 0


async def test_a_pin_file_of_another_show_or_with_mistakes_keeps_the_node_from_starting(
    site: Site,
) -> None:
    path = pin(site, show_name="bee")
    with pytest.raises(ConfigInvalid, match="'bee' is not one of the mounted shows"):
        await _start(site)
    path.write_text("{}")
    with pytest.raises(PinInvalid, match="one file a line"):
        await _start(site)


async def test_a_file_that_the_specification_keeps_elsewhere_now_is_stale(site: Site) -> None:
    pin(site, Revision("mem://before/ant", "config/look.json", 3, "1", 0))
    async with site.open() as world:
        with fails_with(errno.ESTALE):
            await world.read(CONFIG)


async def test_status_says_what_is_pinned(past: Site) -> None:
    at = past.mount["at"]
    pin(past)
    past.mount = {**past.mount, "at": at}
    async with past.open() as world:
        status = world.fs.view.status()
        assert status is not None
        assert status["at"] == at
        assert set(status["mutable_paths"].values()) == {"as of the time"}
        assert status["pin"]["file"] == past.mount["pin"]
        assert not status["pin"]["same_spec"]
        await trio.lowlevel.checkpoint()
    past.mount = {}
    async with past.open() as world:
        assert world.fs.view.status() is None
