"""What decides whether the kernel's fast paths are in use: the helper, rights, and a real read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from shotfs.errors import NotPermitted
from shotfs.fuse import features, helper
from shotfs.fuse.passthrough import Passthrough
from shotfs.fuse.probe import CONTENT_BYTES, TIMEOUT_S, ProbeFile, read_through
from shotfs.vfs import Kind

needs_helper = pytest.mark.skipif(helper.MODULE is None, reason=helper.PROBLEM or "-")


# --- the helper ----------------------------------------------------------------------------------


def problem_in_child(code: str, **environment: str) -> str:
    """Run *code* in a new process, then load the helper; return why there is none."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nfrom shotfs.fuse import helper\nprint(helper.PROBLEM)"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_the_helper_can_be_left_out() -> None:
    assert problem_in_child("", **{helper.OFF: "1"}) == f"{helper.OFF} is set"


def test_after_pyfuse3_the_helper_comes_too_late() -> None:
    assert "imported before it" in problem_in_child("import pyfuse3")


def test_a_helper_that_was_not_built_is_told_and_nothing_fails() -> None:
    code = "import sys; sys.modules['shotfs.fuse._interpose'] = None"
    assert "was not built" in problem_in_child(code)
    assert "False" in problem_in_child(
        f"{code}\nimport shotfs.fuse.mount\nfrom shotfs.fuse import features\n"
        "print(features.passthrough_obstacle('auto') == '')"
    )


@needs_helper
def test_another_library_before_the_helper_is_seen() -> None:
    assert "stands before" in problem_in_child("", LD_PRELOAD="libfuse3.so.3")


@needs_helper
def test_a_libfuse_that_the_helper_does_not_know_is_left_alone() -> None:
    code = (
        "from shotfs.fuse import helper\nhelper.LIBFUSE_VERSIONS = range(0)\n"
        "helper.MODULE, helper.PROBLEM = helper._load()\nassert helper.MODULE is None"
    )
    assert "does not know libfuse 3." in problem_in_child(code)


@needs_helper
def test_with_the_helper_pyfuse3_calls_it() -> None:
    code = "import shotfs.fuse, pyfuse3\nassert shotfs.fuse.helper.MODULE.is_interposed()"
    assert problem_in_child(code) == ""


# --- rights and settings -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("CapEff:\t000001ffffffffff", True),
        ("CapEff:\t0000000000200000", True),
        ("CapEff:\t00000000a80425fb", False),  # root in a container of docker
        ("CapEff:\t0000000000000000", False),
        ("CapPrm:\t000001ffffffffff", False),
    ],
)
def test_the_capability_counts_not_the_user(tmp_path: Path, line: str, *, found: bool) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tshotfs\n{line}\nThreads:\t1\n")
    assert features.has_sys_admin(str(status)) is found


def test_passthrough_that_is_off_is_not_asked_for() -> None:
    assert features.passthrough_obstacle("off") == "mount.passthrough is off"


def test_without_the_helper_both_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper, "MODULE", None)
    monkeypatch.setattr(helper, "PROBLEM", "the C helper was not built: x")
    assert features.passthrough_obstacle("auto") == helper.PROBLEM
    assert features.zero_upcall_obstacle() == helper.PROBLEM
    features.set_reads_by_inode(True)  # nothing to set


@needs_helper
def test_without_the_capability_passthrough_is_not_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "has_sys_admin", lambda: False)
    assert "CAP_SYS_ADMIN" in features.passthrough_obstacle("auto")
    assert features.zero_upcall_obstacle() == ""
    monkeypatch.setattr(features, "has_sys_admin", lambda: True)
    assert features.passthrough_obstacle("auto") == ""


def test_the_report_says_what_is_in_use_and_why_not() -> None:
    passthrough = Passthrough(bytes_min=0, files_max=1)
    passthrough.stop("a test file had other bytes")
    said = features.report(passthrough, zero_upcall=True, zero_upcall_problem="")
    assert (said["passthrough"], said["passthrough_problem"]) == (False, passthrough.problem)
    assert (said["zero_upcall"], said["zero_upcall_problem"]) == (True, None)
    assert said["helper"] is (said["helper_problem"] is None)


# --- the probe -----------------------------------------------------------------------------------


async def test_a_test_file_that_is_read_right_is_no_problem(tmp_path: Path) -> None:
    probe = ProbeFile(str(tmp_path))
    assert os.listdir(tmp_path) == []  # it has no name on its disk
    (tmp_path / probe.name).write_bytes(probe.content)
    assert await read_through(str(tmp_path), probe) == ""
    probe.remove()


async def test_a_test_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    probe = ProbeFile(str(tmp_path))
    assert "No such file" in await read_through(str(tmp_path), probe)
    probe.remove()


async def test_other_bytes_are_a_problem(tmp_path: Path) -> None:
    probe = ProbeFile(str(tmp_path))
    (tmp_path / probe.name).write_bytes(bytes(CONTENT_BYTES))
    assert await read_through(str(tmp_path), probe) == "a test file had other bytes"
    probe.remove()


@pytest.mark.parametrize("how", ["at once", "later"])
async def test_a_kernel_that_asks_for_the_bytes_is_a_problem(tmp_path: Path, how: str) -> None:
    probe = ProbeFile(str(tmp_path))
    (tmp_path / probe.name).write_bytes(probe.content)
    if how == "at once":
        assert probe.read_now(10, 20) == probe.content[10:30]
    else:
        assert await probe.read(10, 20) == probe.content[10:30]
    assert "asked for the bytes" in await read_through(str(tmp_path), probe)
    probe.remove()


async def test_a_read_that_hangs_is_a_problem_after_a_moment(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    probe = ProbeFile(str(tmp_path))
    os.mkfifo(tmp_path / probe.name)  # its open waits for a writer, for ever
    problems: list[str] = []

    async def read() -> None:
        problems.append(await read_through(str(tmp_path), probe))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await wait_all_tasks_blocked()
        mock_clock.jump(TIMEOUT_S)
    assert problems == [f"a test file was not read within {TIMEOUT_S:g} s"]
    probe.remove()


async def test_a_test_file_cannot_be_written(tmp_path: Path) -> None:
    probe = ProbeFile(str(tmp_path))
    attributes = probe.attributes()
    assert (attributes.kind, attributes.mode, attributes.size_bytes) == (
        Kind.FILE,
        0o400,
        CONTENT_BYTES,
    )
    with pytest.raises(NotPermitted):
        await probe.write(0, b"x")
    with pytest.raises(NotPermitted):
        await probe.truncate(0)
    descriptor = probe.backing(bytes_min=2**40, creating=False)
    assert descriptor is not None
    assert os.pread(descriptor, 10, 0) == probe.content[:10]
    probe.remove()


def test_a_test_file_on_a_disk_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        ProbeFile(str(tmp_path / "missing"))
