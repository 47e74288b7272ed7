"""The unit files: what they must say, and what they must never say."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from shotfs.app.run import SIGNAL_DRAIN_S
from shotfs.cli.drain import seconds_of
from shotfs.cli.output import ExitCode

SYSTEMD = Path(__file__).parents[3] / "systemd"
UNIT = SYSTEMD / "shotfs.service"

REMAINS = (ExitCode.OUTPUTS_REMAIN, ExitCode.OUTPUTS_COPIED)

MOUNT_NAMESPACE = {
    "BindPaths", "BindReadOnlyPaths", "DynamicUser", "ExecPaths", "ExtensionImages",
    "InaccessiblePaths", "LogNamespace", "MountAPIVFS", "MountFlags", "MountImages",
    "NoExecPaths", "PrivateDevices", "PrivateIPC", "PrivateMounts", "PrivateTmp", "PrivateUsers",
    "ProcSubset", "ProtectControlGroups", "ProtectHome", "ProtectKernelLogs",
    "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem",
    "ReadOnlyPaths", "ReadWritePaths", "RootDirectory", "RootImage", "TemporaryFileSystem",
}  # fmt: skip
"""Directives of systemd.exec(5) with which a service gets mounts that nobody else sees."""


def settings() -> dict[str, str]:
    pairs = re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE)
    return {name: value for name, value in pairs if value}


def seconds(text: str) -> int:
    match = re.fullmatch(r"(\d+)(min|s)", text)
    assert match is not None, text
    return int(match[1]) * (60 if match[2] == "min" else 1)


def test_nothing_hides_the_mount_from_everybody_else() -> None:
    assert not MOUNT_NAMESPACE & set(settings())


def test_draining_has_time_before_systemd_kills() -> None:
    command = shlex.split(settings()["ExecStop"])
    assert command[1:3] == ["drain", "--stop"]
    deadline_s = seconds_of(command[command.index("--deadline") + 1])
    assert seconds(settings()["TimeoutStopSec"]) >= deadline_s + 30


def test_only_what_trying_again_can_heal_is_tried_again() -> None:
    assert settings()["RestartPreventExitStatus"].split() == [
        str(int(code))
        for code in (ExitCode.USAGE, ExitCode.INVALID, ExitCode.NOT_PERMITTED, *REMAINS)
    ]


def test_a_node_that_was_told_to_go_is_not_started_again_and_did_not_fail() -> None:
    assert settings()["SuccessExitStatus"].split() == [str(int(code)) for code in REMAINS]


def test_logind_waits_longer_than_a_preempted_node_drains() -> None:
    text = (SYSTEMD / "logind-shotfs.conf").read_text()
    found = re.search(r"^InhibitDelayMaxSec=(\d+)$", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) >= SIGNAL_DRAIN_S


def test_ready_comes_from_the_service_itself() -> None:
    assert settings()["Type"] == "notify"
    assert "--foreground" in settings()["ExecStart"]


def test_the_cache_is_private_to_the_service_user_and_never_cleaned() -> None:
    lines = [
        line.split()
        for line in (SYSTEMD / "shotfs.tmpfiles").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert ["d", "/var/cache/shotfs", "0700", "shotfs", "shotfs", "-"] in lines
    assert ["d", "/run/shotfs", "0755", "shotfs", "shotfs", "-"] in lines


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "shotfs.service"
    # systemd looks for the program, which is not installed where tests run.
    unit.write_text(UNIT.read_text().replace("/opt/shotfs/bin/shotfs", "/bin/true"))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert [line for line in result.stderr.splitlines() if "shotfs.service" in line] == []
    assert result.returncode == 0
