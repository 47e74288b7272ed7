"""What the doctor says of the kernel's fast paths: possible here, in use, and how to get them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from shotfs.config import Settings
from shotfs.control import fast_paths
from shotfs.control.checks import Finding, Node, Verdict
from shotfs.fuse import helper
from shotfs.fuse.passthrough import Passthrough

RIGHTS = "CapEff:\t000001ffffffffff\n"


def settings(tmp_path: Path, **sections: Any) -> Settings:
    cache = {"directory": str(tmp_path / "cache")}
    return Settings.model_validate({"cache": cache, **sections})


def node(tmp_path: Path, **changes: Any) -> Node:
    """A node whose kernel and rights are as told."""
    status = tmp_path / "status"
    status.write_text(changes.pop("rights", RIGHTS))
    given = {
        "kernel_release": "6.12.1-amd64",
        "kernel_configurations": (),
        "process_status": str(status),
        **changes,
    }
    return Node(**given)


def possible(tmp_path: Path, asked: Settings | None = None, **changes: Any) -> dict[str, Finding]:
    findings = fast_paths.check_possible(asked or settings(tmp_path), node(tmp_path, **changes))
    return {finding.check: finding for finding in findings}


@pytest.mark.parametrize(
    ("release", "verdict"),
    [
        ("6.18.1-amd64", Verdict.OK),
        ("6.9", Verdict.OK),
        ("10.0.1", Verdict.OK),
        ("6.1.0-9", Verdict.NOTE),
        ("strange", Verdict.NOTE),
    ],
)
def test_passthrough_needs_linux_6_9(tmp_path: Path, release: str, verdict: Verdict) -> None:
    found = possible(tmp_path, kernel_release=release)["passthrough: kernel"]
    assert (found.verdict, release in found.message) == (verdict, True)
    assert ("CONFIG_FUSE_PASSTHROUGH" in str(found.fix)) is (verdict is Verdict.NOTE)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("CONFIG_FUSE_PASSTHROUGH=y", Verdict.OK),
        ("# CONFIG_FUSE_PASSTHROUGH is not set", Verdict.NOTE),
    ],
)
@pytest.mark.parametrize("packed", [True, False])
def test_the_kernel_s_own_configuration_counts_where_it_is_seen(
    tmp_path: Path, line: str, verdict: Verdict, *, packed: bool
) -> None:
    text = f"CONFIG_FUSE_FS=y\n{line}\n".encode()
    path = tmp_path / ("config.gz" if packed else "config")
    path.write_bytes(gzip.compress(text) if packed else text)
    places = (str(tmp_path / "missing"), str(path))
    found = possible(tmp_path, kernel_configurations=places)["passthrough: kernel"]
    assert found.verdict is verdict
    assert "CONFIG_FUSE_PASSTHROUGH" in found.message


def test_a_configuration_that_is_damaged_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "config.gz"
    path.write_bytes(gzip.compress(b"CONFIG_FUSE_FS=y\n" * 1000)[:-10])
    found = possible(tmp_path, kernel_configurations=(str(path),))["passthrough: kernel"]
    assert "is not here" in found.message


def test_without_the_capability_it_says_how_to_give_it(tmp_path: Path) -> None:
    found = possible(tmp_path, rights="CapEff:\t0000000000000000\n")["passthrough: right"]
    assert found.verdict is Verdict.NOTE
    assert "AmbientCapabilities=CAP_SYS_ADMIN" in str(found.fix)
    assert "--cap-add SYS_ADMIN" in str(found.fix)
    assert possible(tmp_path)["passthrough: right"].verdict is Verdict.OK


def test_capabilities_that_cannot_be_read_are_a_note(tmp_path: Path) -> None:
    found = possible(tmp_path, process_status=str(tmp_path / "no"))["passthrough: right"]
    assert found.verdict is Verdict.NOTE


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("ext4", Verdict.OK),
        ("xfs", Verdict.OK),
        ("", Verdict.OK),
        ("overlay", Verdict.NOTE),
        ("fuse.sshfs", Verdict.NOTE),
        ("fuseblk", Verdict.NOTE),
        ("ecryptfs", Verdict.NOTE),
    ],
)
def test_cache_and_spool_must_be_on_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, verdict: Verdict
) -> None:
    monkeypatch.setattr(fast_paths, "file_system_of", lambda _path: kind)
    asked = settings(tmp_path, spool={"directory": str(tmp_path / "spool")})
    found = possible(tmp_path, asked)
    for setting in ("cache.directory", "spool.directory"):
        assert found[f"passthrough: {setting}"].verdict is verdict
        assert (setting in str(found[f"passthrough: {setting}"].fix)) is (verdict is Verdict.NOTE)


def test_what_is_switched_off_is_not_looked_for(tmp_path: Path) -> None:
    found = possible(tmp_path, settings(tmp_path, mount={"passthrough": "off"}))
    assert set(found) == {"kernel helper", "passthrough"}
    assert "mount.passthrough" in str(found["passthrough"].fix)


def test_without_a_configuration_the_node_is_looked_at_all_the_same(tmp_path: Path) -> None:
    found = {one.check for one in fast_paths.check_possible(None, node(tmp_path))}
    assert found == {"kernel helper", "passthrough: kernel", "passthrough: right"}


def test_a_missing_helper_is_named_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helper, "MODULE", None)
    monkeypatch.setattr(helper, "PROBLEM", "the C helper was not built: No module named x")
    found = possible(tmp_path)["kernel helper"]
    assert (found.verdict, found.message) == (Verdict.NOTE, helper.PROBLEM)
    assert "libfuse3-dev" in str(found.fix)


@pytest.mark.skipif(helper.MODULE is None, reason=helper.PROBLEM or "-")
def test_the_helper_tells_its_libfuse(tmp_path: Path) -> None:
    found = possible(tmp_path)["kernel helper"]
    assert (found.verdict, "libfuse 3." in found.message) == (Verdict.OK, True)


# --- what a service says -------------------------------------------------------------------------


def in_use(kernel: dict[str, Any] | None, **status: Any) -> dict[str, Finding]:
    return {one.check: one for one in fast_paths.findings_of({"kernel": kernel, **status})}


def test_what_is_in_use_is_ok_and_counted() -> None:
    found = in_use(
        {
            "passthrough": True,
            "passthrough_problem": None,
            "passthrough_opens": 17,
            "passthrough_files": 3,
            "native_thread": True,
            "zero_upcall": False,
            "zero_upcall_problem": None,
        },
        spool={"lending_problem": None},
    )
    assert {one.verdict for one in found.values()} == {Verdict.OK}
    assert set(found) == {"passthrough in use", "native thread in use"}
    assert "17 opens" in found["passthrough in use"].message


@pytest.mark.parametrize(
    ("problem", "fix"),
    [
        ("mount.passthrough is off", 'mount.passthrough = "auto"'),
        ("it needs root (CAP_SYS_ADMIN)", "--cap-add SYS_ADMIN"),
        (f"{helper.OFF} is set", "unset it"),
        ("the C helper was not built: x", "libfuse3-dev"),
        ("the C helper does not know libfuse 3.17", "3.14 to 3.16"),
        ("another library stands before the C helper (LD_PRELOAD?)", "without LD_PRELOAD"),
        ("this kernel does not offer it (Linux 6.9 and later)", "Linux 6.9"),
        ("the kernel refuses backing files: Too many levels", "ext4 or xfs"),
        ("no test file can be made: [Errno 13]", "cache.directory"),
        ("a test file had other bytes", "log"),
    ],
)
def test_each_reason_why_not_has_a_fix(problem: str, fix: str) -> None:
    found = in_use({"passthrough": False, "passthrough_problem": problem})["passthrough in use"]
    assert (found.verdict, found.message) == (Verdict.NOTE, f"no: {problem}")
    assert fix in str(found.fix)


def test_a_mount_without_opens_has_no_passthrough_and_that_is_no_fault() -> None:
    found = in_use(
        {"passthrough": False, "passthrough_problem": "zero_upcall", "zero_upcall": True}
    )
    assert found["passthrough in use"].fix is None
    assert found["zero-upcall in use"].verdict is Verdict.OK


def test_outputs_that_are_not_lent_are_told() -> None:
    problem = "times of files in /x are too coarse (fine ones: Linux 6.13, ext4 or xfs)"
    found = in_use({"passthrough": True}, spool={"lending_problem": problem})
    assert problem in found["passthrough of outputs"].message
    assert "spool.directory" in str(found["passthrough of outputs"].fix)


@pytest.mark.parametrize("kernel", [None, {}])
def test_a_service_without_a_mount_uses_nothing(kernel: dict[str, Any] | None) -> None:
    assert in_use(kernel) == {}


def test_the_words_are_those_of_a_mount_that_has_not_begun() -> None:
    assert fast_paths.fix_of(Passthrough(bytes_min=0, files_max=1).problem).endswith("log")
