"""What is known of many paths as columns: the same as `find_many` says of each of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shotfs.namespace.catalog import Entry as CatalogEntry
from shotfs.namespace.catalog import _encode
from shotfs.namespace.catalog_columns import columns_of
from shotfs.namespace.catalog_store import Row
from shotfs.prewarm.finding import Found, Visible
from shotfs.tiers.base import Revision
from tests.unit.namespace.spec import FRAME, MAIN, SHOT
from tests.unit.prewarm.engine.test_finder import add
from tests.unit.vfs.world import World


async def compare(
    world: World, paths: Sequence[str], visible: Visible | None = None
) -> dict[str, str]:
    """Return the template of each path that is plainly known, after comparing all with the long
    way, which is gone first: it learns what is not known yet.
    """
    finder = world.fs.prewarm_finder
    answers = await finder.find_many(paths, visible)
    known: dict[str, str] = {}
    for files in await finder.known(paths, visible):
        identities = files.revisions.identities()
        assert list(files.places) == sorted(set(files.places))
        for place, identity, sums in zip(
            files.places, identities, files.revisions.sums, strict=True
        ):
            answer = answers[place]
            assert isinstance(answer, Found)
            assert answer.path == paths[place] not in known
            assert answer.revision.identity == identity
            assert answer.revision.checksums.xxh128 == (sums[2] or None)
            assert answer.tier is files.first.tier
            assert answer.resolution.template is files.first.resolution.template
            known[paths[place]] = answer.resolution.template.name
    return known


def everything(world: World) -> list[str]:
    paths = add(world, 30)
    for key in (
        "assets/chars/ant.png", "assets/props/leaf.png", "config/a.json", "notices/n.txt",
        "compared/c.exr", "plates/p1.dpx", "plates/p2.dpx", "library/deep/er/x.png",
    ):  # fmt: skip
        world.origin.add(key, key.encode())
        paths.append(f"ant/{key}")
    world.second.add("plates/m.mov", b"movie")
    return [
        *paths, "ant/plates/m.mov", "ant/library/set", "ant/library/none.png", "ant/assets/chars",
        "ant/nowhere/x", "beetle/a.png", "ant/plates/.p1.dpx.tmp", "ant/library/\udc80/x.png",
        "ant/library/set/\udc80.png", "ant/library/set/ü.png", "ant", "ant/x",
        f"ant/library/{'x' * 256}",
    ]  # fmt: skip


async def test_what_is_known_plainly_is_what_is_found(world: World) -> None:
    paths = everything(world)
    known = await compare(world, paths)
    assert len(known) == 39
    assert set(known.values()) == {
        "library", "assets", "config", "notices", "compared", "plates", "movies",
    }  # fmt: skip
    world.clock.advance(11)  # of those that may change nobody knows any more what they are
    before = await world.fs.prewarm_finder.known(paths)
    assert sum(len(one.places) for one in before) == 35
    world.origin.add("plates/p1.dpx", b"another")
    assert await compare(world, paths) == known


async def test_s12_what_may_not_be_seen_is_not_known(world: World) -> None:
    paths = everything(world)
    known = await compare(world, paths, lambda directory: not directory.endswith("set"))
    assert not any(path.startswith("ant/library/set/") for path in known)
    assert len(known) == 9


async def test_outputs_and_directories_stand_before_what_is_known(world: World) -> None:
    paths = everything(world)
    world.origin.add("notes/mine.txt", b"a note")
    note = "ant/notes/mine.txt"
    assert (await compare(world, [*paths, note]))[note] == "notes"
    await world.write(note, b"changed here, and not published for an hour")
    await world.mkdir(SHOT)
    output = await world.create(FRAME)
    inside = "library/set/3.png/inside.png"
    world.origin.add(inside, b"below a file")
    directories = world.fs.prewarm_finder._finder.namespace._directories  # type: ignore[attr-defined]
    directories._known["ant/library/set/3.png"] = (True, float("inf"))
    known = await compare(world, [*paths, note, FRAME])
    assert len(known) == 38
    assert not known.keys() & {note, FRAME, "ant/library/set/3.png"}
    await output.close()
    await world.published(FRAME)
    assert (await compare(world, [*paths, FRAME]))[FRAME] == "frames"


async def test_of_what_was_removed_nothing_is_known(world: World) -> None:
    paths = everything(world)
    await compare(world, paths)
    namespace = world.fs.prewarm_finder._finder.namespace
    await namespace.catalog.flush()
    namespace.removed(paths[0])
    found = await world.fs.prewarm_finder.known(paths)
    assert 0 not in [place for one in found for place in one.places]


async def test_rows_are_what_is_looked_up(world: World) -> None:
    paths = add(world, 20)
    await world.fs.prewarm_finder.find_many(paths)
    catalog = world.fs.prewarm_finder._finder.namespace.catalog
    in_memory = await catalog.rows(paths)
    await catalog.flush()
    catalog._hot.clear()
    assert len(in_memory) == 20
    assert await catalog.rows([*paths, "ant/library/none"]) == in_memory
    assert {path: _encode(one) for path, one in (await catalog.look(paths)).items()} == in_memory


ROW = _encode(CatalogEntry(Revision(MAIN, "a", 1, "1", 1), 5.0))


@pytest.mark.parametrize(
    "row",
    [
        1, "0123456789", None, [], {}, ROW[:8], [*ROW, 1], ["mem://other", *ROW[1:]],
        [ROW[0], None, *ROW[2:]], [*ROW[:2], True, *ROW[3:]], [*ROW[:3], 1, *ROW[4:]],
        [*ROW[:5], [None], *ROW[6:]], [*ROW[:5], None, *ROW[6:]], [*ROW[:6], "5", *ROW[7:]],
        [*ROW[:9], None],
    ],
)  # fmt: skip
def test_a_row_that_is_old_damaged_or_of_another_tier_is_left_to_who_reads_it_alone(
    row: Row,
) -> None:
    assert columns_of([ROW, ROW], MAIN) is not None
    assert columns_of([ROW, row], MAIN) is None
    assert columns_of([], MAIN) is None


async def test_a_row_that_is_damaged_spoils_no_other(world: World) -> None:
    paths = add(world, 5)
    await world.fs.prewarm_finder.find_many(paths)
    catalog = world.fs.prewarm_finder._finder.namespace.catalog
    await catalog.flush()
    catalog._hot.clear()
    await catalog._thread.run(catalog._store.write, {paths[2]: ["of", "another", "version"]})
    found = await world.fs.prewarm_finder.known(paths)
    assert [list(one.places) for one in found] == [[0, 1, 3, 4]]
