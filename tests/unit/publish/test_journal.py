"""The journal when a transaction cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from shotfs.errors import InvalidArgument, ShotfsError, SpoolBroken
from shotfs.publish import State
from shotfs.publish.journal import Journal, Statement
from tests.unit.publish.fakes import make, spool_in, write_file

TOO_BIG = Statement("UPDATE counters SET value = :value WHERE name = ''", {"value": 2**63})
FINE = Statement("UPDATE counters SET value = 77777 WHERE name = 'serial'", {})


async def outcome(journal: Journal, statement: Statement) -> type[Exception] | None:
    try:
        await journal.commit(statement)
    except ShotfsError as error:
        return type(error)
    return None


async def test_a_value_that_does_not_fit_fails_its_batch_and_no_other(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        journal = spool.core.journal
        outcomes: list[type[Exception] | None] = []

        async def commit(statement: Statement) -> None:
            outcomes.append(await outcome(journal, statement))

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                journal.post(FINE)  # so that both of the next are of one batch
                nursery.start_soon(commit, TOO_BIG)
                nursery.start_soon(commit, FINE)
        assert SpoolBroken in outcomes
        assert not journal.connection.in_transaction
        assert await outcome(journal, FINE) is None
        (value,) = journal.connection.execute("SELECT value FROM counters").fetchone()
        assert value == 77777


async def test_a_transaction_that_breaks_off_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path) as spool:

        class BrokenOff(BaseException):
            """What is no Exception, as MemoryError might as well be."""

        def break_off(_self: Journal, _batch: object) -> None:
            raise BrokenOff

        journal = spool.core.journal
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "_transaction", break_off)
            journal.post(FINE)
            with pytest.raises(BrokenOff):
                await journal.commit(FINE)
        assert await outcome(journal, FINE) is None


@pytest.mark.parametrize("time_ns", [2**63, -(2**63) - 1])
async def test_s14_a_time_that_does_not_fit_is_an_invalid_argument(
    tmp_path: Path, time_ns: int
) -> None:
    async with spool_in(tmp_path) as spool:
        entry = await write_file(spool, "show/a.exr", b"1")
        with pytest.raises(InvalidArgument):
            await spool.set_attributes(entry, mtime_ns=time_ns)
        with pytest.raises(InvalidArgument):
            await spool.set_attributes(entry, atime_ns=time_ns)
        await spool.set_attributes(entry, mtime_ns=2**63 - 1)
    async with spool_in(tmp_path) as spool:
        again = spool.get("show/a.exr")
        assert again is not None
        assert again.mtime_ns == 2**63 - 1


async def test_a_close_that_goes_wrong_gives_its_descriptor_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, "show/a.exr")
        await file.write(0, b"body")
        descriptor = file.fileno()

        async def fail(*_arguments: object, **_options: object) -> None:
            raise OverflowError("a mistake of ours")

        monkeypatch.setattr(Journal, "commit", fail)
        await file.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
        assert file.entry.state is State.FAILED
        assert "a mistake of ours" in (file.entry.error or "")
        monkeypatch.undo()


async def test_two_who_close_one_handle_close_it_once(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, "show/a.exr")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(file.close)
            nursery.start_soon(file.close)
        assert (file.entry.open_handles, file.entry.writers) == (0, 0)
