"""`shotfs exec` and `shotfs record`, in this process: a render never fails because of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shotfs.prewarm.manifest.reading import open_manifest
from shotfs.prewarm.manifest.subject import Subject
from tests.unit.cli.test_commands import shotfs
from tests.unit.control.fake_service import FakeService


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JOB", "SHOW", "SHOT", "TASK", "FRAME", "VIEW"):
        monkeypatch.delenv(f"SHOTFS_{name}", raising=False)


def test_the_command_has_the_names_and_its_exit_code_comes_back(
    service: FakeService, tmp_path: Path
) -> None:
    names = "|".join(f"$SHOTFS_{name}" for name in ("JOB", "SHOT", "TASK", "FRAME", "VIEW"))
    script = f'echo "{names}" > {tmp_path}/said; exit 5'
    done = shotfs(
        "exec", "--job", "7", "--shot", "010", "--task", "fx", "--frame", "1001", "--view", "left",
        "-o", f"{tmp_path}/m.json", "--", "sh", "-c", script,
    )  # fmt: skip
    assert (done.exit_code, (tmp_path / "said").read_text()) == (5, "7|010|fx|1001|left\n")
    assert "read 1 file (7 B), 1 cold, 0.5 s waited" in done.stderr
    with open_manifest(f"{tmp_path}/m.json") as manifest:
        assert manifest.head.subject == Subject("", "010", "fx", "1001", "left", "7")
        assert [entry.path for entry in manifest] == ["ant/library/wood.exr"]
    assert service.recording.going_on == {}


def test_options_of_the_command_are_its_own(service: FakeService) -> None:
    assert shotfs("exec", "--", "sh", "-c", 'exit "$#"', "x", "--job", "--json").exit_code == 2
    assert shotfs("exec", "sh", "-c", "exit 3").exit_code == 3


def test_what_a_run_was_about_may_come_from_the_environment(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTFS_SHOT", "020")
    monkeypatch.setenv("SHOTFS_FRAME", "undefined")
    done = shotfs("exec", "--task", "fx", "--", "true")
    ((_, asked, bound),) = [service.recording.last]
    assert (done.exit_code, asked.shot, asked.task, asked.frame, bound) == (
        0,
        "020",
        "fx",
        "",
        True,
    )
    assert asked.job == f"exec-{os.getpid()}"


def test_without_a_service_the_command_runs_with_a_warning(configuration: Path) -> None:
    done = shotfs("exec", "--shot", "010", "--", "sh", "-c", "exit 6")
    assert done.exit_code == 6
    assert "not recorded: no shotfs service answers" in done.stderr


def test_without_a_service_and_with_require_nothing_runs(
    configuration: Path, tmp_path: Path
) -> None:
    done = shotfs("exec", "--require", "--", "touch", f"{tmp_path}/ran")
    assert (done.exit_code, (tmp_path / "ran").exists()) == (4, False)


def test_commands_that_cannot_run_have_the_codes_of_a_shell(
    service: FakeService, tmp_path: Path
) -> None:
    (tmp_path / "plain").write_text("no program")
    assert shotfs("exec", "--", "/no/such/program").exit_code == 127
    assert shotfs("exec", "--", f"{tmp_path}/plain").exit_code == 126
    assert service.recording.going_on == {}


def test_a_frame_that_is_none_is_a_mistake_of_the_command_line(configuration: Path) -> None:
    done = shotfs("exec", "--frame", "ten", "--", "true")
    assert (done.exit_code, "names no frames" in done.stderr) == (2, True)


def test_a_manifest_that_cannot_be_written_does_not_change_the_exit_code(
    service: FakeService, tmp_path: Path
) -> None:
    done = shotfs("exec", "-o", f"{tmp_path}/no/such/m.jsonl", "--", "sh", "-c", "exit 3")
    assert (done.exit_code, "No such file" in done.stderr) == (3, True)


def test_signals_are_passed_on(configuration: Path) -> None:
    script = "trap 'echo told' USR1; trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(
        [sys.executable, "-m", "shotfs", "exec", "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGUSR1)
        assert running.stdout.readline() == b"told\n"
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 9


# --- shotfs record -------------------------------------------------------------------------------


def test_a_recording_is_started_shown_and_stopped(service: FakeService, tmp_path: Path) -> None:
    assert "recording 1 goes on" in shotfs("record", "start", "--job", "7").stdout
    shown = shotfs("record", "show")
    assert "recording 1: job 7" in shown.stdout
    assert json.loads(shotfs("record", "show", "--json").stdout)["jobs"] == "all"
    done = shotfs("record", "stop", "1", "-o", f"{tmp_path}/m.jsonl")
    assert "recording 1: read 1 file" in done.stdout
    assert (tmp_path / "m.jsonl").exists()
    assert shotfs("record", "stop", "1").exit_code == 1


@pytest.mark.parametrize("arguments", [[], ["--job", "7", "--all"]])
def test_what_is_recorded_must_be_said_once(service: FakeService, arguments: list[str]) -> None:
    assert shotfs("record", "start", *arguments).exit_code == 2


def test_what_is_known_of_a_shot_is_shown_or_written(service: FakeService, tmp_path: Path) -> None:
    shown = shotfs("record", "show", "demo/010", "--frame", "1001")
    assert "ant/library/wood.exr" in shown.stdout
    written = shotfs("record", "show", "010", "-o", f"{tmp_path}/m.json", "--json")
    assert json.loads(written.stdout)["files"] == 1
    assert shotfs("record", "show", "099").exit_code == 1
    refused = shotfs("record", "show", "bee/010")
    assert (refused.exit_code, "no show is called 'bee'" in refused.stderr) == (1, True)


def test_publish_says_what_went(service: FakeService) -> None:
    assert "1 recording published, 0 wait" in shotfs("record", "publish").stdout


# --- truth ---------------------------------------------------------------------------------------


def test_manifests_are_compared_as_recorded_and_claimed(
    configuration: Path, tmp_path: Path
) -> None:
    head = '{"format":"shotfs-manifest/1"}\n'
    row = '{{"path":"demo/{}","size_bytes":5,"sources":["{}"]{}}}\n'
    (tmp_path / "read.jsonl").write_text(
        head + row.format("a", "recorded", "") + row.format("b", "recorded", "")
        + '{"end":{"count":2,"size_bytes":10}}\n'
    )  # fmt: skip
    (tmp_path / "claimed.jsonl").write_text(
        head + row.format("a", "scanned", ',"scanners":["usd"]')
        + row.format("c", "scanned", ',"scanners":["usd"]')
        + '{"end":{"count":2,"size_bytes":10}}\n'
    )  # fmt: skip
    (tmp_path / "demo.json").write_text(
        json.dumps(
            {
                "spec": "shotfs-path/1",
                "show": "demo",
                "roots": {"main": f"file://{tmp_path}/b"},
                "defaults": {"origin": "main"},
                "fields": {"name": {"type": "str", "pattern": "[a-z]"}},
                "templates": {"files": {"path": "{name}"}},
            }
        )
    )
    arguments = ("manifest", "diff", "--recorded", "--scanned", f"{tmp_path}/read.jsonl",
                 "--claimed", f"{tmp_path}/claimed.jsonl")  # fmt: skip
    done = shotfs(*arguments, "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["total"]["precision"], report["total"]["recall"]) == (
        1,
        0.5,
        0.5,
    )
    assert [one["path"] for one in report["missed"]] == ["demo/b"]
    assert [one["path"] for one in report["over_claimed"]] == ["demo/c"]
    assert [one["name"] for one in report["templates"]] == ["demo: files"]
    shown = shotfs(*arguments).stdout
    assert "read, and claimed by nobody: 1 file, 5 B\n  demo/b" in shown


@pytest.mark.parametrize(
    "arguments",
    [["--recorded", "010"], ["--recorded", "--scanned", "a", "b"], ["a", "b", "--scene", "x"]],
)
def test_half_a_question_is_a_mistake(configuration: Path, arguments: list[str]) -> None:
    assert shotfs("manifest", "diff", *arguments).exit_code == 2
