"""S5: kill -9 at each step, then a restart: what was closed is published once and whole."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from shotfs.publish import State
from tests.unit.publish.fakes import read_entry, site_in, spool_in
from tests.unit.publish.victim import PUBLISH_POINTS, SPOOL_POINTS, StoredTier


async def crash(directory: Path, point: str) -> dict[str, str]:
    """Run the victim to its end; return what its application was told: path to content."""

    outcome = await trio.run_process(
        [sys.executable, "-m", "tests.unit.publish.victim", str(directory), point],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert outcome.returncode == -9, outcome.stderr
    lines = outcome.stdout.decode().splitlines()
    return {line.split(" ", 2)[1]: line.split(" ", 2)[2] for line in lines}


@pytest.mark.parametrize("point", [*SPOOL_POINTS, *PUBLISH_POINTS])
async def test_s05_what_was_closed_survives_kill_9(tmp_path: Path, point: str) -> None:
    told = await crash(tmp_path, point)
    tier = StoredTier.in_directory(tmp_path / "origin")
    async with site_in(tmp_path, tier) as site:
        await site.until_empty()
        assert not site.conflicts
        for path, content in told.items():
            assert tier.content(path.partition("/")[2]) == content.encode()
        # Nothing half, nothing twice, nothing that nobody closed.
        assert set(tier.objects) <= {"a.exr"}
        assert all(content in (b"whole", b"") for _, content in tier.objects.values())
        assert tier.generation == len(tier.objects)
        kept = sum(entry.size_bytes for entry in site.spool.aside())
        scratch = sum(entry.size_bytes for entry in site.spool.entries())
        assert site.spool.used_bytes == kept + scratch


@pytest.mark.parametrize("point", ["before_flush", "in_flush_before_commit", "written_again"])
async def test_s05_a_partial_file_of_a_dead_process_is_kept_aside_and_listed(
    tmp_path: Path, point: str
) -> None:
    await crash(tmp_path, point)
    async with site_in(tmp_path) as site:
        (item,) = site.publisher.queue()
        assert item.path == "show/a.exr"
        assert item.state is State.FAILED
        assert "partial" in (item.error or "")
        assert site.spool.get("show/a.exr") is None, "the name is free for the next attempt"
        (entry,) = site.spool.aside()
        assert await read_entry(site.spool, entry) in (b"half", b"whole", b"Whole")
    # It is still there after another restart, and goes when its time has come, unless somebody
    # was told once that it is safe.
    async with spool_in(tmp_path) as spool:
        (entry,) = spool.aside()
        await spool.expire(before_ns=0)
        assert list(spool.aside()) == [entry]
        await spool.expire(before_ns=2**62)
        if point == "written_again":
            assert list(spool.aside()) == [entry]
            return
        assert not list(spool.aside())
        assert spool.used_bytes == 0
        assert not list((tmp_path / "spool" / "aside").iterdir())


async def test_s05_a_published_file_is_announced_again_after_a_crash(tmp_path: Path) -> None:
    await crash(tmp_path, "before_published")
    tier = StoredTier.in_directory(tmp_path / "origin")
    async with site_in(tmp_path, tier) as site:
        await site.until_empty()
        assert [path for path, _ in site.published] == ["show/a.exr"]
        assert tier.puts == []
