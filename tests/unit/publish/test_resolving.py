"""Ways out of quarantine: another name, or nothing; and what is known of who was first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shotfs.errors import PathExists, ShotfsError, SpoolBroken, Stale
from shotfs.publish import SpoolEntry, State
from shotfs.publish.rival import Rival, dump_error, load_error, look
from tests.unit.publish.fakes import (
    FakeTier,
    Site,
    checksums_of,
    make,
    read_entry,
    site_in,
    spool_in,
    terms,
    write_file,
)

WHO = {"shotfs-node": "render-07"}


async def conflict(site: Site, ours: bytes = b"ours!!") -> SpoolEntry:
    """Lose a race; return what is in quarantine."""
    await site.tier.put(
        "a.exr", b"theirs", expect=None, checksums=checksums_of(b"theirs"), mtime_ns=1, metadata=WHO
    )
    entry = await write_file(site.spool, "show/a.exr", ours)
    await site.until(lambda: bool(site.conflicts))
    return entry


async def test_s18_who_was_first_is_known_after_a_restart_too(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await conflict(site)
        rival = entry.rival
        assert rival is not None
        assert rival.recorded == WHO
        assert rival.revision == site.tier.objects["a.exr"][0]
    async with spool_in(tmp_path) as spool:
        (again,) = spool.aside()
        assert again.rival == rival
        assert again.rival.revision.checksums == checksums_of(b"theirs")
        assert "other bytes" in (again.error or "")


async def test_an_origin_that_cannot_tell_who_was_first_keeps_nothing_out_of_quarantine(
    tmp_path: Path,
) -> None:
    class Silent(FakeTier):
        async def recorded(self, revision: object) -> dict[str, str]:
            raise ShotfsError("may not be asked")

    async with site_in(tmp_path, Silent()) as site:
        entry = await conflict(site)
        assert entry.state is State.QUARANTINED
        assert entry.rival is not None
        assert entry.rival.problem == "may not be asked"
        assert entry.rival.revision is not None


async def test_an_origin_that_does_not_answer_is_waited_for_a_moment_only(
    autojump_clock: object,
) -> None:
    tier = FakeTier()
    tier.add("a", b"x")
    tier.gate = type(tier.gate)()

    class Stuck(FakeTier):
        async def stat(self, key: str) -> None:  # type: ignore[override]  # never answers
            await tier.gate.wait()

    rival = await look(Stuck(), "a", 7)
    assert (rival.found_ns, rival.revision) == (7, None)
    assert "did not say" in rival.problem


def test_an_error_that_looks_like_a_record_stays_an_error() -> None:
    rival = Rival(1, None, {"a": "é\udc80"}, "show/x", "why")
    assert load_error(dump_error("message", rival)) == ("message", rival)
    for text in (None, "", "plain", '{"rival": {', '{"rival": 3}', '{"rival": {"message": 1}}'):
        assert load_error(dump_error(text, None)) == (text, None)


async def test_s18_a_released_output_is_published_under_its_new_name_and_replaces_nothing(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        entry = await conflict(site)
        await site.spool.release(entry, "show/b.exr", terms("b.exr"))
        await site.until_empty()
        assert site.tier.content("a.exr") == b"theirs"
        assert site.tier.content("b.exr") == b"ours!!"
        assert not list(site.spool.aside())
    assert not os.listdir(tmp_path / "spool" / "quarantine")


async def test_s18_a_released_output_whose_new_name_is_taken_goes_back_to_quarantine(
    tmp_path: Path,
) -> None:
    async with site_in(tmp_path) as site:
        entry = await conflict(site)
        site.conflicts.clear()
        site.tier.add("b.exr", b"taken!")
        await site.spool.release(entry, "show/b.exr", terms("b.exr"))
        await site.until(lambda: bool(site.conflicts))
        assert entry.state is State.QUARANTINED
        assert site.tier.content("b.exr") == b"taken!"
        assert await read_entry(site.spool, entry) == b"ours!!"


async def test_a_release_needs_a_free_name_and_an_output_in_quarantine(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await conflict(site)
        other = await make(site.spool, "show/b.exr")
        with pytest.raises(PathExists):
            await site.spool.release(entry, "show/b.exr", terms("b.exr"))
        await other.close()
        await site.spool.release(entry, "show/c.exr", terms("c.exr"))
        with pytest.raises(Stale):
            await site.spool.release(entry, "show/d.exr", terms("d.exr"))


async def test_s05_a_release_that_the_disk_refuses_leaves_the_output_in_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site_in(tmp_path) as site:
        entry = await conflict(site)
        rival = entry.rival

        async def refuse(*_: object, **__: object) -> None:
            raise SpoolBroken("the disk failed")

        with monkeypatch.context() as broken:
            broken.setattr(type(site.spool.core.journal), "commit", refuse)
            with pytest.raises(SpoolBroken):
                await site.spool.release(entry, "show/b.exr", terms("b.exr"))
        assert (entry.state, entry.path, entry.rival) == (State.QUARANTINED, "show/a.exr", rival)
        assert await read_entry(site.spool, entry) == b"ours!!"
        await site.spool.release(entry, "show/b.exr", terms("b.exr"))
        await site.until_empty()


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after the commit"])
async def test_s05_a_crash_in_a_release_leaves_the_output_under_one_name(
    tmp_path: Path, committed: bool
) -> None:
    async with site_in(tmp_path) as site:
        entry = await conflict(site)
        serial = entry.serial
        if committed:
            await site.spool.release(entry, "show/b.exr", terms("b.exr", grace_s=9.0))
        else:
            data = tmp_path / "spool"
            (data / "quarantine" / str(serial)).rename(data / "files" / str(serial))
        tier = site.tier
    if not committed:
        async with spool_in(tmp_path) as spool:
            (again,) = spool.aside()
            assert (again.state, again.path) == (State.QUARANTINED, "show/a.exr")
            assert await read_entry(spool, again) == b"ours!!"
        return
    async with site_in(tmp_path, tier) as site:
        await site.until_empty()
        assert not list(site.spool.aside())
    assert tier.content("b.exr") == b"ours!!"


async def test_bytes_that_changed_in_quarantine_are_not_published(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await conflict(site)
        data = tmp_path / "spool" / "quarantine" / str(entry.serial)
        data.chmod(0o600)
        data.write_bytes(b"rotten")
        with pytest.raises(SpoolBroken, match="is not what"):
            await site.spool.release(entry, "show/b.exr", terms("b.exr"))
        assert entry.state is State.QUARANTINED


async def test_a_dropped_output_is_gone_for_good(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        entry = await conflict(site)
        used = site.spool.used_bytes
        await site.spool.discard(entry)
        assert site.spool.used_bytes == used - 6
        with pytest.raises(Stale):
            await site.spool.discard(entry)
    async with spool_in(tmp_path) as spool:
        assert not list(spool.aside())
    assert not os.listdir(tmp_path / "spool" / "quarantine")
