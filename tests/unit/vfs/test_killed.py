"""Whether a signal ended the process that closes a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shotfs.vfs.killed import EXIT_CODE, FLAGS, PF_EXITING, PF_SIGNALED, was_killed

SIGKILL = 9


def process(proc: Path, number: int, *, flags: int, exit_code: int = 0, group: int = 0) -> None:
    fields = ["0"] * (EXIT_CODE + 1)
    fields[0], fields[FLAGS], fields[EXIT_CODE] = "R", str(flags), str(exit_code)
    directory = proc / str(number)
    directory.mkdir()
    (directory / "stat").write_text(f"{number} (a (b) c) {' '.join(fields)}\n")
    (directory / "status").write_text(f"Name:\ta\nTgid:\t{group or number}\nPid:\t{number}\n")


@pytest.mark.parametrize(
    ("flags", "exit_code", "killed"),
    [
        (0, 0, False),  # close() of a running program
        (PF_EXITING, 0, False),
        (PF_EXITING, 3 << 8, False),  # exit(3)
        (PF_EXITING | PF_SIGNALED, SIGKILL, True),
        (PF_EXITING | PF_SIGNALED, 11 | 0x80, True),  # with a core dump
    ],
)
def test_only_a_signal_makes_a_process_a_killed_one(
    tmp_path: Path, flags: int, exit_code: int, killed: bool
) -> None:
    process(tmp_path, 40, flags=flags, exit_code=exit_code)
    assert was_killed(40, proc=str(tmp_path)) is killed


@pytest.mark.parametrize(("exit_code", "killed"), [(0, False), (1 << 8, False), (SIGKILL, True)])
def test_of_several_threads_the_process_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, killed: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    # exit() ends the other threads by a signal, and one of them may be the last to go.
    process(tmp_path, 41, flags=PF_EXITING | PF_SIGNALED, exit_code=SIGKILL, group=40)
    process(tmp_path, 40, flags=PF_EXITING | PF_SIGNALED, exit_code=exit_code)
    assert was_killed(41, proc=str(tmp_path)) is killed


@pytest.mark.parametrize(
    ("flags", "killed"), [(PF_EXITING, False), (PF_EXITING | PF_SIGNALED, True)]
)
def test_who_may_not_see_exit_codes_asks_the_first_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: int, killed: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    process(tmp_path, 41, flags=PF_EXITING | PF_SIGNALED, group=40)
    process(tmp_path, 40, flags=flags)
    assert was_killed(41, proc=str(tmp_path)) is killed


def test_what_cannot_be_told_counts_as_a_close(tmp_path: Path) -> None:
    assert not was_killed(0, proc=str(tmp_path))
    assert not was_killed(40, proc=str(tmp_path))
    process(tmp_path, 41, flags=PF_EXITING, exit_code=SIGKILL, group=40)
    assert not was_killed(41, proc=str(tmp_path))
    process(tmp_path, 42, flags=0)
    (tmp_path / "42" / "stat").write_text("42 (short) R 1\n")
    assert not was_killed(42, proc=str(tmp_path))


def test_this_process_is_alive() -> None:
    assert not was_killed(os.getpid())
