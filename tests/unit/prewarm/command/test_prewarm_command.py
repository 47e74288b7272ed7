"""`shotfs prewarm` with a real service: what it says, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from shotfs.cli.main import app
from shotfs.cli.prewarm_targets import entries_of
from shotfs.control.client import Client
from shotfs.control.prewarm_service import Order
from shotfs.digest import digest_bytes
from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest import Entry, write_manifest
from shotfs.prewarm.manifest.head import new_head
from tests.unit.prewarm.localize.served import Served


def command(served: Served, *arguments: str) -> Result:
    """Run ``shotfs`` in this process, which takes a tenth of the time of another one."""
    return CliRunner().invoke(app, arguments, env={"SHOTFS_CONFIG": str(served.node.config)})


def prewarm(served: Served, *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    ended = command(served, "prewarm", *arguments, "--json")
    assert ended.exit_code == exit_code, ended.output
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_a_directory_comes_and_a_check_tells_how_much_is_here(served: Served) -> None:
    for number in range(4):
        served.put(f"ant/library/oak/{number}.tx", bytes([number]) * 256)
    dry = prewarm(served, "ant/library/oak", "--dry-run")
    assert (dry["files"], dry["missing_bytes"], dry["cost"]) == (4, 1024, 1024 * 1024 / 2**30)
    assert prewarm(served, "ant/library/oak", "--check", exit_code=1)["percent_here"] == 0
    report = prewarm(served, "ant/library/oak", "--limit", "3", exit_code=1)
    assert (report["fetched_files"], report["stopped"]) == (3, "limit")
    half = prewarm(served, "ant/library/oak", "--check", "--enough", "75")
    assert half["percent_here"] == 75
    report = prewarm(served, "ant/library/oak")
    assert (report["here_files"], report["fetched_files"], report["stopped"]) == (3, 1, None)
    assert prewarm(served, "ant/library/oak", "--check")["percent_here"] == 100
    gone = prewarm(served, "ant/library/oak", "--evict")
    assert gone["evicted"]["files"] == 4
    assert prewarm(served, "ant/library/oak", "--check", exit_code=1)["here_files"] == 0


def test_manifests_of_all_kinds_bring_what_they_name(served: Served, tmp_path: Path) -> None:
    paths = [f"ant/library/many/{number}.tx" for number in range(6)]
    for path in paths:
        served.put(path, path.encode())
    ours = str(tmp_path / "ours.jsonl")
    entries = [Entry(path, size_bytes=len(path)) for path in paths[:2]]
    stale = Entry(paths[2], digest_bytes(b"another"), 7)
    write_manifest(ours, new_head(), [*entries, stale, Entry("ant/nothing/here.txt")])
    plain = tmp_path / "files.txt"
    plain.write_text(f"{paths[3]}\n{paths[4]}\n")
    deadline = tmp_path / "deadline.json"
    file = {"hash": "0" * 32, "mtime": 1, "path": "5.tx", "size": len(paths[5])}
    document = {
        "hashAlg": "xxh128", "manifestVersion": "2023-03-03", "paths": [file],
        "totalSize": len(paths[5]),
    }  # fmt: skip
    deadline.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    report = prewarm(served, ours, str(plain), str(deadline), "--below", "ant/library/many")
    assert report["fetched_files"] == 6
    assert report["absent"] == {"outside": 1}
    assert report["stale_files"] == 2
    told = {one["path"] for one in report["problems"]}
    assert told == {paths[2], paths[5], "ant/nothing/here.txt"}


def test_a_template_a_pattern_and_a_shot_name_what_they_stand_for(served: Served) -> None:
    shot = "ant/render/xy_1_200_030_00_v005"
    for frame in range(1001, 1006):
        served.put(f"{shot}/beauty.{frame}.exr", b"%d" % frame)
    served.put("ant/render/xy_1_200_040_00_v001/beauty.1001.exr", b"other")
    pattern = prewarm(served, f"{shot}/beauty.####.exr", "--frames", "1001-1002", "--dry-run")
    assert pattern["files"] == 2
    template = prewarm(
        served, "frames:shot=xy_1_200_030_00,version=5,name=beauty,frame=1002-1004", "--dry-run"
    )
    assert template["files"] == 3
    named = prewarm(served, "xy_1_200_030_00_v005", "--dry-run")
    assert named["files"] == 5
    assert named["templates"]["frames"]["files"] == 5
    other = prewarm(served, "ant/xy_1_200_040_00_v001", "--frames", "1001", "--dry-run")
    assert other["files"] == 1


def test_what_is_nothing_is_one_message_that_says_what_was_looked_for(served: Served) -> None:
    ended = command(served, "prewarm", "zz-top")
    assert ended.exit_code == 1
    assert "is no path, template or shot of any show" in ended.stderr
    ended = command(served, "prewarm", "frame:x=1")
    assert 'no show has a template "frame"' in ended.stderr
    ended = command(served, "prewarm", "ant/library/none")
    assert "there is no such file or directory" in ended.stderr
    assert ended.exit_code == 1
    ended = command(served, "prewarm", "--tier", "pmem", "ant/library")
    assert "PMEM tier" in ended.stderr
    ended = command(served, "prewarm", "zz/frames:frame=1")
    assert 'there is no show "zz"' in ended.stderr
    ended = command(served, "prewarm", "library/none/at-all.tx")
    assert "fix: write ant/library/none/at-all.tx" in ended.stderr
    assert command(served, "prewarm").exit_code == 2
    assert command(served, "prewarm", "a", "--check", "--evict").exit_code == 2


@pytest.mark.parametrize(("options", "exit_code"), [([], 0), (["--dry-run"], 0), (["--check"], 1)])
def test_a_target_of_which_nothing_is_there_is_told_and_makes_no_node_warm(
    served: Served, options: list[str], exit_code: int
) -> None:
    ended = command(served, "prewarm", "xy_9_999_999_99", *options)
    assert ended.exit_code == exit_code
    assert "xy_9_999_999_99: names no file that is there" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--enough", "50"],
        ["--check", "--no-wait"],
        ["--dry-run", "--no-wait"],
        ["--pin", ""],
        ["--frames", ""],
        ["--frames", "1010-1001"],
        ["--deadline", "tomorrow"],
        ["--deadline", "²:00"],
    ],
)
def test_options_that_would_not_do_what_they_say_are_refused(arguments: list[str]) -> None:
    ended = CliRunner().invoke(app, ["prewarm", "xy_010", *arguments])
    assert ended.exit_code == 2, ended.output
    assert arguments[-2 if len(arguments) == 2 and arguments[1][:2] != "--" else -1] in ended.output


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"no manifest at all"])
def test_a_manifest_that_was_cut_off_to_nothing_is_no_empty_list(
    tmp_path: Path, content: bytes
) -> None:
    cut = tmp_path / "job.jsonl"
    cut.write_bytes(content)
    with pytest.raises(ManifestInvalid, match=r"job\.jsonl:1"):
        list(entries_of(str(cut), mountpoint=None, below=""))


def test_people_see_what_came_and_a_prewarm_is_listed_and_ends_when_told(served: Served) -> None:
    served.put("ant/library/few/a.tx", b"abc")
    said = command(served, "prewarm", "ant/library/few", "--pin", "job-7").stdout
    assert said.startswith("1 file, 3 B: 0 were here, 1 fetched")
    pins = json.loads(command(served, "cache", "pins", "--owner", "job-7", "--json").stdout)
    assert [pin["path"] for pin in pins["pins"]] == ["ant/library/few/a.tx"]
    with Client(served.socket) as client:
        number = client.prewarm.begin(Order(label="waits for entries"))
    listed = json.loads(command(served, "prewarm", "--list", "--json").stdout)
    assert listed["prewarms"][-1]["label"] == "waits for entries"
    ended = command(served, "prewarm", "--cancel", str(number))
    assert "stopped: it was cancelled" in ended.stdout
    started = json.loads(
        command(served, "prewarm", "ant/library/few", "--no-wait", "--json").stdout
    )
    with Client(served.socket) as client:
        assert client.prewarm.show(started["number"])["number"] == started["number"]
