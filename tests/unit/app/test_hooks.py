"""Hooks: real commands hear of real events, and nothing that they do holds anything up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from shotfs.app.hooks import WAITING_MAX, Hooks
from shotfs.config import HookSettings, SpoolSettings
from shotfs.errors import AccessDenied
from shotfs.observe.metrics import Metrics
from shotfs.publish import Kind, SpoolEntry, State, open_spool
from shotfs.publish.happenings import Happening
from tests.unit.publish.fakes import FakeTier, make, site_in, spool_in, terms, write_file

Script = Callable[[str], str]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return a program that does what the text says."""

    def written(text: str) -> str:
        path = tmp_path / "hook"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return written


def entry(path: str = "show/a.exr") -> SpoolEntry:
    made = SpoolEntry(
        serial=7, path=path, kind=Kind.FILE, mode=0o644, uid=1, gid=2, mtime_ns=0, ctime_ns=0,
        atime_ns=0, terms=terms("a.exr"),
    )  # fmt: skip
    made.state = State.FAILED
    made.error = "may not be written"
    return made


@asynccontextmanager
async def hooks_of(metrics: Metrics | None = None, **settings: Any) -> AsyncIterator[Hooks]:
    hooks = Hooks(HookSettings(**settings), "render-01", metrics or Metrics())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hooks.run)
        yield hooks
        nursery.cancel_scope.cancel()


async def counted(metrics: Metrics, outcome: str) -> Mapping[str, float]:
    """Return the figures when a hook has ended with *outcome*."""
    with trio.fail_after(60):
        while True:
            figures = metrics.snapshot()
            if figures.get(f"shotfs_hooks_total{{event=failed,outcome={outcome}}}"):
                return figures
            await trio.to_thread.run_sync(int)


async def test_a_command_gets_one_json_document(tmp_path: Path, script: Script) -> None:
    metrics = Metrics()
    command = [script('cat > "$1"; env > "$1.env"'), str(tmp_path / "event")]
    async with hooks_of(metrics, on_failed=command) as hooks:
        hooks.tell(Happening.FAILED, entry("show/\udce9.exr"))
        await counted(metrics, "ok")
    event = json.loads((tmp_path / "event").read_text())
    assert event["event"] == "failed"
    assert (event["node"], event["path"]) == ("render-01", "show/\udce9.exr")
    assert event["error"] == "may not be written"
    assert "SHOTFS_EVENT=failed" in (tmp_path / "event.env").read_text()


async def test_a_command_sees_no_credentials_of_the_service(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUCKET_SECRET", "hidden")
    metrics = Metrics()
    command = [script('env > "$1"'), str(tmp_path / "env")]
    async with hooks_of(metrics, on_failed=command) as hooks:
        hooks.tell(Happening.FAILED, entry())
        await counted(metrics, "ok")
    assert "hidden" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize(
    "text",
    ["echo too bad >&2; exit 3", "exec 0<&-; exit 1", "head -c 9000000 /dev/zero >&2; exit 1"],
)
async def test_a_command_that_fails_is_logged_and_counted(
    script: Script, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with hooks_of(metrics, on_failed=[script(text)]) as hooks:
        hooks.tell(Happening.FAILED, entry())
        await counted(metrics, "failed")
    assert "hook on_failed" in caplog.text
    assert len(caplog.text) < 5_000


async def test_a_command_that_does_not_exist_is_a_failure_and_no_more(tmp_path: Path) -> None:
    metrics = Metrics()
    async with hooks_of(metrics, on_failed=[str(tmp_path / "missing")]) as hooks:
        hooks.tell(Happening.FAILED, entry())
        await counted(metrics, "failed")


async def test_a_command_that_hangs_is_killed_with_all_that_it_started(
    tmp_path: Path, script: Script, mock_clock: MockClock
) -> None:
    metrics = Metrics()
    command = [script('sleep 600 & echo $! > "$1"; wait'), str(tmp_path / "pid")]
    async with hooks_of(metrics, on_failed=command, timeout_s=9) as hooks:
        hooks.tell(Happening.FAILED, entry())
        pid = await written(tmp_path / "pid")
        # It may have begun to write before its time began to count.
        while not metrics.snapshot().get("shotfs_hooks_total{event=failed,outcome=timeout}"):
            mock_clock.jump(9)
            await trio.to_thread.run_sync(int)
    await gone(pid)


async def test_a_command_that_runs_when_the_service_ends_is_killed(
    tmp_path: Path, script: Script
) -> None:
    started = tmp_path / "pid"
    async with hooks_of(
        on_failed=[script('echo $$ > "$1"; exec sleep 600'), str(started)]
    ) as hooks:
        hooks.tell(Happening.FAILED, entry())
        pid = await written(started)
    await gone(pid)


async def written(path: Path) -> int:
    """Return the number that a command writes to *path*, when it has."""
    with trio.fail_after(60):
        while not (text := await trio.to_thread.run_sync(text_of, path)).endswith("\n"):
            pass
    return int(text)


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def gone(pid: int) -> None:
    """Return when no process of this number runs; one that nobody waited for counts as gone."""
    with trio.fail_after(60):
        while await trio.to_thread.run_sync(state_of, pid) not in ("", "Z"):
            pass


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


async def test_events_that_come_faster_than_commands_end_are_dropped_and_counted(
    script: Script,
) -> None:
    metrics = Metrics()
    hooks = Hooks(HookSettings(on_failed=[script("exit 0")]), "n", metrics)
    for _ in range(WAITING_MAX + 3):
        hooks.tell(Happening.FAILED, entry())
    assert metrics.snapshot()["shotfs_hooks_total{event=failed,outcome=dropped}"] == 3


def test_what_nobody_wants_to_hear_of_costs_nothing() -> None:
    metrics = Metrics()
    hooks = Hooks(HookSettings(), "n", metrics)
    for happening in Happening:
        for _ in range(WAITING_MAX + 1):
            hooks.tell(happening, entry())
    counted = [name for name in metrics.snapshot() if name.startswith("shotfs_hooks_total{")]
    assert not counted, "nothing was queued, so nothing was dropped"


@pytest.mark.parametrize("command", [["mail"], ["./x"], [""], ["/x", "a\0b"]])
def test_a_command_is_a_program_by_its_absolute_path(command: list[str]) -> None:
    with pytest.raises(ValueError, match=r"path|character|zero"):
        HookSettings(on_conflict=command)


# --- what the spool tells -------------------------------------------------------------------------


async def test_s18_a_conflict_and_a_success_are_told_once(tmp_path: Path) -> None:
    async with site_in(tmp_path) as site:
        told = listen(site.spool.core)
        site.tier.add("a.exr", b"theirs")
        lost = await write_file(site.spool, "show/a.exr", b"ours!!")
        won = await write_file(site.spool, "show/b.exr", b"ours!!")
        await site.until(lambda: len(told) == 2)
    assert set(told) == {(Happening.CONFLICT, lost.path), (Happening.PUBLISHED, won.path)}


async def test_a_refusal_is_told_once_and_not_at_each_attempt(tmp_path: Path) -> None:
    def refuse(key: str) -> None:
        raise AccessDenied(f"{key}: no")

    async with site_in(tmp_path, FakeTier(before=refuse)) as site:
        told = listen(site.spool.core)
        refused = await write_file(site.spool, "show/a.exr", b"ours!!")
        for attempts in (1, 2):
            await site.until(lambda: len(refused.history) >= attempts and bool(refused.retry_at))  # noqa: B023  # awaited in the round
            site.publisher.retry(refused)
        await site.until(lambda: len(refused.history) >= 3)
    assert told == [(Happening.FAILED, "show/a.exr")]


async def test_a_partial_file_is_told_when_it_is_found(tmp_path: Path) -> None:
    async with spool_in(tmp_path) as spool:
        file = await make(spool, "show/a.exr")
        await file.write(0, b"half")
        await file.fsync()
        await file.abandon()
    told: list[tuple[Happening, str]] = []
    settings = SpoolSettings(free_bytes_min=0)
    for expected in ([(Happening.FAILED, "show/a.exr")], []):
        told.clear()
        async with open_spool(
            settings,
            str(tmp_path / "spool"),
            Metrics(),
            lambda what, one: told.append((what, one.path)),
        ):
            assert told == expected


def listen(core: Any) -> list[tuple[Happening, str]]:
    told: list[tuple[Happening, str]] = []
    core.tell = lambda what, one: told.append((what, one.path))
    return told
