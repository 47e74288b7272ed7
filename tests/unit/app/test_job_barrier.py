"""Who may say that a job has ended, and who is told what is missing of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from shotfs.app.publishing import NodePublishing
from shotfs.control.access import Peer
from shotfs.errors import NoTemplate, NotPermitted
from shotfs.vfs import Caller
from tests.unit.namespace.spec import DOCUMENT
from tests.unit.vfs import versioned
from tests.unit.vfs.world import ARTIST, Site, World

PASSES: dict[str, Any] = {
    **DOCUMENT,
    "templates": {
        **DOCUMENT["templates"],
        "passes": {"path": "passes/{name}.exr", "flow": "out", "seal": "on-job-end"},
    },
}
OTHER = Caller(uid=2000, gid=1001, pid=8)


def peer(uid: int) -> Peer:
    return Peer(uid=uid, gid=uid, pid=7, groups=frozenset())


@asynccontextmanager
async def two_users(site: Site) -> AsyncIterator[tuple[World, NodePublishing]]:
    """A node on which two users have each closed a pass and a scratch file of job 7."""
    site.document = PASSES
    async with site.open() as world:
        for name, caller in (("mine", ARTIST), ("theirs", OTHER)):
            for path in (f"ant/passes/{name}.exr", f"ant/passes/{name}.tmp"):
                handle = await world.create(path, caller=caller)
                entry = world.spooled(path)
                assert entry is not None
                assert entry.terms is not None
                # As if /proc had told it.
                entry.terms = replace(entry.terms, job="7")
                await handle.write(0, b"pixels")
                await handle.flush()
                await handle.close()
        try:
            yield world, NodePublishing(world.node, None)
        finally:
            await world.node.publisher.jobs.end("7", scratch=True)


async def test_a_user_is_told_the_number_of_all_and_the_names_of_his_own(site: Site) -> None:
    async with two_users(site) as (_, desk):
        for uid, admin, names in (
            (ARTIST.uid, False, ["ant/passes/mine.exr"]),
            (0, True, ["ant/passes/mine.exr", "ant/passes/theirs.exr"]),
            (3000, False, []),
        ):
            report = await desk.missing(job="7", paths=(), peer=peer(uid), admin=admin)
            assert (report["count"], report["bytes"], report["stuck"]) == (2, 12, 0)
            assert [one["path"] for one in report["items"]] == names


async def test_a_user_ends_a_job_for_his_own_outputs_only(site: Site) -> None:
    async with two_users(site) as (world, desk):
        with pytest.raises(NotPermitted, match="another user's"):
            await desk.finish("7", peer=peer(3000), admin=False)
        report = await desk.finish("7", peer=peer(ARTIST.uid), admin=False)
        assert (report["released"], report["removed"], report["refused"]) == (1, 1, 2)
        assert report["removed_paths"] == ["ant/passes/mine.tmp"]
        await world.published("ant/passes/mine.exr")
        assert world.origin.metadata["passes/mine.exr"]["shotfs-field-name"] == "mine"
        assert world.spooled("ant/passes/theirs.exr") is not None
        report = await desk.finish("7", peer=peer(0), admin=True)
        assert (report["released"], report["removed"], report["refused"]) == (1, 1, 0)
        await world.published("ant/passes/theirs.exr")


async def test_of_a_job_that_wrote_nothing_here_there_is_nothing_to_end(site: Site) -> None:
    async with site.open() as world:
        report = await NodePublishing(world.node, None).finish("9", peer=peer(3000), admin=False)
        assert (report["released"], report["removed"], report["kept"]) == (0, 0, 0)


async def test_s04_a_node_that_may_vanish_waits_at_close_unless_the_file_is_not_finished(
    site: Site,
) -> None:
    templates = PASSES["templates"]
    said = {**templates["passes"], "path": "said/{name}.exr", "durability": "origin"}
    site.document = {**PASSES, "templates": {**templates, "said": said}}
    site.preemptible = True
    async with site.open() as world:
        for path, waits in (
            ("ant/passes/a.exr", False),
            ("ant/said/a.exr", True),
            ("ant/compared/a.exr", True),
        ):
            handle = await world.create(path)
            entry = world.spooled(path)
            assert entry is not None
            assert entry.terms is not None
            assert entry.terms.durability_origin is waits, path
            await handle.write(0, b"pixels")
            await handle.flush()
            assert (world.origin.count("put") > 0) is waits, path
            await handle.close()
            world.origin.asked.clear()


async def test_a_path_where_nothing_can_ever_be_missing_is_refused(site: Site) -> None:
    async with two_users(site) as (_, desk):
        for path, count in (("", 2), ("ant", 2), ("ant/passes", 2), ("ant/passes/mine.exr", 1)):
            report = await desk.missing(job=None, paths=[path], peer=peer(0), admin=True)
            assert report["count"] == count, path
        for path in ("bee", "ant/pases", "ant/passes/mine/exr"):
            with pytest.raises(NoTemplate):
                await desk.missing(job=None, paths=[path], peer=peer(0), admin=True)


async def test_an_alias_is_no_place_where_something_can_be_missing(site: Site) -> None:
    site.document = versioned.DOCUMENT
    async with site.open() as world:
        desk = NodePublishing(world.node, None)
        for path in (versioned.LATEST, f"{versioned.LATEST}/beauty"):
            with pytest.raises(NotPermitted, match="is a version alias"):
                await desk.missing(job=None, paths=[path], peer=peer(0), admin=True)
        report = await desk.missing(job=None, paths=[versioned.SHOT], peer=peer(0), admin=True)
        assert report["count"] == 0
