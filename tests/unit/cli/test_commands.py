"""The other commands, in this process: help, status, cache, publish, doctor."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shotfs.cli import main
from shotfs.cli.status import human
from shotfs.errors import CacheError
from tests.unit.control.fake_service import FakeService, Item, State
from tests.unit.control.mounts import dead_mount, needs_mount


def shotfs(*arguments: str) -> Result:
    return CliRunner().invoke(main.app, list(arguments))


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['shotfs', '--help']\n"
        "from shotfs.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as exc: assert exc.code == 0\n"
        "heavy = {'trio', 'httpx', 'pydantic', 'starlette', 'fsspec', 'obstore', 'pyfuse3'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert "HEAVY []" in done.stdout
    # Of a processor, whoever else uses it: ten times the 0.1 s that an idle machine takes.
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_command_has_help_and_the_overview_says_the_same(name: str) -> None:
    command = main.load_command(name)
    assert command.name == name
    assert (command.help or "").strip()
    done = shotfs(name, "--help")
    assert done.exit_code == 0, done.output
    overview = shotfs("--help").output
    assert name in overview


@pytest.mark.parametrize("name", ["mount", "unmount", "serve", "status", "doctor", "why", "top"])
def test_every_command_shows_an_example(name: str) -> None:
    command = main.load_command(name)
    assert command.help is not None
    assert f"Example: shotfs {name}" in command.help
    first_line = command.help.splitlines()[0]
    assert first_line.split(":")[0].split(",")[0].rstrip(".")[:15] in main.COMMANDS[name].help


def test_wrong_command_is_exit_2_with_the_nearest_name() -> None:
    done = shotfs("statsu")
    assert done.exit_code == 2
    assert "'status'" in done.output


def test_version_is_the_package_s() -> None:
    done = shotfs("--version")
    assert done.exit_code == 0
    assert done.output.startswith("shotfs 0.")


def test_status_for_people_and_for_programs(service: FakeService) -> None:
    done = shotfs("status")
    assert done.exit_code == 0, done.output
    assert ["mountpoint", "/shows"] in [line.split() for line in done.output.splitlines()]
    assert json.loads(shotfs("status", "--json").stdout)["mountpoint"] == "/shows"
    assert shotfs("status", "--metrics").stdout == "shotfs_cache_hits_total 1\n"


@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["top"],
        ["why", "demo/x"],
        ["cache", "stats"],
        ["cache", "evict", "--all"],
        ["publish", "queue"],
    ],
)
def test_without_a_service_every_command_is_exit_4_with_the_fix(
    configuration: Path, command: list[str]
) -> None:
    done = shotfs(*command)
    assert done.exit_code == 4
    assert "no shotfs service answers" in done.output
    assert "shotfs mount" in done.output


def test_cache_stats_and_evict(service: FakeService) -> None:
    assert "files       3" in shotfs("cache", "stats").stdout
    assert json.loads(shotfs("cache", "stats", "--json").stdout)["bytes_used"] == 12
    assert shotfs("cache", "evict", "2KiB").exit_code == 0
    assert shotfs("cache", "evict", "--all").exit_code == 0
    assert service.calls == [("evict", 2048), ("evict", None)]


@pytest.mark.parametrize("arguments", [[], ["5GiB", "--all"], ["lots"]])
def test_cache_evict_wants_a_size_or_all(configuration: Path, arguments: list[str]) -> None:
    assert shotfs("cache", "evict", *arguments).exit_code == 2


def test_publish_queue_says_what_waits_and_why(service: FakeService) -> None:
    assert "Everything is in the origin" in shotfs("publish", "queue").stdout
    service.items = [
        Item("show/a.exr", State.SEALED, 2048, "origin \x1b[31mis down"),
        Item("show/b.exr", State.SEALED, 1),
    ]
    text = shotfs("publish", "queue", "--limit", "1").stdout
    assert "show/a.exr" in text
    assert "2.0 KiB" in text
    assert "\\x1b[31mis down" in text
    assert "and 1 more" in text
    assert json.loads(shotfs("publish", "queue", "--json").stdout)["count"] == 2


def test_error_of_the_service_becomes_message_and_exit_code(service: FakeService) -> None:
    service.fails_with = CacheError("index is damaged", fix="remove it")
    done = shotfs("status")
    assert done.exit_code == 5
    assert "index is damaged\n  fix: remove it" in done.output


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("cache.bytes", 1536, "1.5 KiB"),
        ("bytes_max", 2**60, "1024.0 PiB"),
        ("bandwidth_bytes_per_s", 2**20, "1.0 MiB/s"),
        ("uptime_s", 3725.0, "1 h 2 min"),
        ("grace_s", 0.25, "0.25 s"),
        ("files", 3, "3"),
        ("read_only", False, "no"),
        ("mountpoint", None, "-"),
        ("cache.full", "", "-"),
        ("evictions", 0, "0"),
        ("names", ["a", "b"], "a, b"),
    ],
)
def test_values_are_shown_in_the_unit_of_their_name(name: str, value: Any, text: str) -> None:
    assert human(name, value) == text


def test_status_says_why_a_fast_path_is_not_in_use(service: FakeService) -> None:
    rows = dict(line.split(maxsplit=1) for line in shotfs("status").stdout.splitlines())
    assert rows["kernel.passthrough"].strip() == "no: mount.passthrough is off"
    assert rows["kernel.native_thread"].strip() == "yes"
    assert not [name for name in rows if name.endswith("_problem")]


def findings(*arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    done = shotfs("doctor", "--json", *arguments)
    report = json.loads(done.stdout)
    wrong = [entry for entry in report["findings"] if entry["verdict"] == "wrong"]
    assert report["healthy"] is (not wrong)
    assert done.exit_code == (1 if wrong else 0)
    return done.exit_code, {entry["check"]: entry for entry in report["findings"]}


def test_doctor_tells_people_what_is_wrong_and_how_to_fix_it(
    configuration: Path, tmp_path: Path
) -> None:
    os.chmod(tmp_path / "cache", 0o770)
    done = shotfs("doctor", "--offline", str(tmp_path / "missing"))
    assert done.exit_code == 1
    assert "mode 0770" in done.stdout
    assert f"fix: chmod 700 {tmp_path}/cache" in done.stdout
    assert f"fix: mkdir -p {tmp_path}/missing" in done.stdout


def test_doctor_names_mistakes_of_the_configuration_and_checks_the_rest(
    configuration: Path,
) -> None:
    configuration.write_text("[cach]\n")
    code, found = findings("--offline")
    assert code == 1
    assert "cach" in found["configuration"]["message"]
    assert "/dev/fuse" in found


def test_doctor_knows_a_running_service(service: FakeService) -> None:
    _, found = findings("--offline")
    assert found["service"]["verdict"] == "ok"
    assert found["service"]["message"] == "serving: /shows"
    assert found["passthrough in use"]["message"] == "no: mount.passthrough is off"
    assert "mount.passthrough" in found["passthrough in use"]["fix"]
    assert found["native thread in use"]["verdict"] == "ok"


@pytest.mark.kernel
@needs_mount
def test_doctor_finds_a_dead_mount_by_itself_and_clears_it_on_request(
    configuration: Path, tmp_path: Path
) -> None:
    place = tmp_path / "shows"
    place.mkdir()
    with dead_mount(place):
        # Other tests may have dead mounts at the same time.
        report = json.loads(shotfs("doctor", "--offline", "--json").stdout)
        (found,) = [one for one in report["findings"] if str(place) in one["message"]]
        assert "dead mount" in found["message"]
        assert "doctor --fix" in found["fix"]
        done = shotfs("doctor", "--offline", "--fix", str(place))
        assert "cleared the dead mount" in done.output
        assert "is an empty directory" in done.output


def test_only_the_main_command_offers_completion() -> None:
    assert "--install-completion" in shotfs("--help").stdout
    for group in ("spec", "version", "cache"):
        text = shotfs(group, "--help").stdout
        assert "completion" not in text
        assert "--help" in text
