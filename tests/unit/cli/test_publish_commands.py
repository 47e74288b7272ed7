"""`shotfs stat` and `shotfs publish ...`: what they ask, what they say, how they end."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from shotfs.cli import image_difference as images
from shotfs.control.publish_service import Outputs
from tests.unit.cli.test_commands import shotfs
from tests.unit.control.fake_conflicts import OURS
from tests.unit.control.fake_service import FakeService, Item, State


def test_stat_says_in_a_line_whether_each_file_is_safe(service: FakeService) -> None:
    done = shotfs("stat", "ant/safe.exr", "ant/safe2.exr")
    assert done.exit_code == 0
    assert "safe      ant/safe.exr: in the origin; 2.0 KiB; hashed on this node" in done.stdout
    done = shotfs("stat", "--long", "ant/safe.exr", "ant/lost.exr")
    assert done.exit_code == 1
    assert "NOT SAFE  ant/lost.exr: lost a race" in done.stdout
    assert "shotfs publish conflicts diff 12" in done.stdout
    assert "by node render-01" in done.stdout


def test_stat_for_programs(service: FakeService) -> None:
    done = shotfs("stat", "--json", "/shows/ant/lost.exr")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["safe"], found["files"][0]["path"]) == (False, "ant/lost.exr")


def test_show_says_who_writes_and_how_each_upload_ended(service: FakeService) -> None:
    done = shotfs("publish", "show", "12")
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    assert "written by kick (pid 5, uid 1, open)" in text
    assert "unavailable after 0.5 s: nobody answers" in text
    assert "arrived after 1.5 s" in text
    assert "next try in 30 s" in text
    assert service.calls == [("show", Outputs(serial=12))]


@pytest.mark.parametrize("arguments", [[], ["a", "--all"]])
def test_retry_wants_an_output_or_all(configuration: Path, arguments: list[str]) -> None:
    assert shotfs("publish", "retry", *arguments).exit_code == 2


def test_retry_says_what_was_tried(service: FakeService) -> None:
    assert "2 outputs tried again now" in shotfs("publish", "retry", "--all").stdout
    done = shotfs("publish", "retry", "404")
    assert done.exit_code == 1
    assert "not tried: it is being sent" in done.stdout


def test_the_queue_is_filtered_and_summed_up(service: FakeService) -> None:
    service.items = [Item("ant/a.exr", State.SEALED, 2048), Item("ant/b/c.exr", State.SEALED, 1024)]
    assert "2 outputs, 3.0 KiB" in shotfs("publish", "queue").stdout
    assert "1 output, 1.0 KiB" in shotfs("publish", "queue", "--under", "ant/b").stdout
    assert "Nothing like that" in shotfs("publish", "queue", "--state", "failed").stdout
    assert shotfs("publish", "queue", "--state", "lost").exit_code == 2


@pytest.mark.parametrize("arguments", [[], ["list"]])
def test_conflicts_are_listed_with_both_sides(service: FakeService, arguments: list[str]) -> None:
    done = shotfs("publish", "conflicts", *arguments)
    assert done.exit_code == 0
    assert "by node render-01, job 4711" in done.stdout
    assert r"by node render-02\x1b[31m" in done.stdout, "others' names do not reach the terminal"
    assert "its writer was killed" in done.stdout
    assert json.loads(shotfs("publish", "conflicts", *arguments, "--json").stdout)["count"] == 2


def test_a_diff_says_where_the_first_difference_is(service: FakeService) -> None:
    done = shotfs("publish", "conflicts", "diff", "12", "--no-pixels")
    assert done.exit_code == 1
    assert "The first difference is at offset 0." in done.stdout
    assert "render-02" in done.stdout
    done = shotfs("publish", "conflicts", "diff", "13")
    assert done.exit_code == 0
    assert "The same bytes" in done.stdout


def test_a_name_of_several_conflicts_is_not_enough_for_a_diff(service: FakeService) -> None:
    done = shotfs("publish", "conflicts", "diff", "ant/render")
    assert done.exit_code == 2
    assert "12, 13" in done.output


@pytest.mark.parametrize(
    "arguments", [[], ["--as", "ant/b", "--next-version"], ["--drop", "--next-version"]]
)
def test_resolve_wants_exactly_one_way(configuration: Path, arguments: list[str]) -> None:
    assert shotfs("publish", "conflicts", "resolve", "12", *arguments).exit_code == 2


def test_resolve_publishes_ours_elsewhere(service: FakeService) -> None:
    done = shotfs("publish", "conflicts", "resolve", "12", "--as", "/shows/ant/render/b.exr")
    assert "is published as ant/render/b.exr" in done.stdout
    shotfs("publish", "conflicts", "resolve", "ant/render", "--next-version")
    assert service.calls == [
        ("resolve", Outputs(serial=12), "ant/render/b.exr"),
        ("resolve", Outputs(path="ant/render"), None),
    ]


def test_drop_asks_before_it_discards(service: FakeService) -> None:
    done = shotfs("publish", "conflicts", "resolve", "12", "--drop")
    assert done.exit_code == 1
    assert ("drop", Outputs(serial=12)) not in service.calls
    done = shotfs("publish", "conflicts", "resolve", "12", "--drop", "--yes")
    assert done.exit_code == 0
    assert "dropped ant/render/a.1001.exr" in done.stdout


def test_save_copies_out_and_overwrites_nothing(service: FakeService, tmp_path: Path) -> None:
    target = tmp_path / "a.exr"
    assert shotfs("publish", "conflicts", "save", "12", str(target)).exit_code == 0
    assert target.read_bytes() == OURS
    assert shotfs("publish", "conflicts", "save", "12", str(target), "--theirs").exit_code == 1
    assert target.read_bytes() == OURS


def test_a_copy_that_breaks_off_leaves_no_file(service: FakeService, tmp_path: Path) -> None:
    service.broken_content = True
    assert shotfs("publish", "conflicts", "save", "12", str(tmp_path / "a.exr")).exit_code != 0
    assert list(tmp_path.glob("*.exr")) == []


def test_status_ends_with_what_somebody_has_to_do(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = {"conflicts": 2, "failed": 1, "partial": 0}
    monkeypatch.setattr(FakeService, "status", lambda _: {"state": "serving", "spool": spool})
    lines = shotfs("status").stdout.splitlines()
    assert lines[-2].startswith("! 2 outputs lost a race")
    assert lines[-2].endswith("shotfs publish conflicts")
    assert lines[-1].startswith("! 1 output is refused")


# --- pixels --------------------------------------------------------------------------------------


def test_without_openimageio_pixels_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "find_spec", lambda _: None)
    assert "pip install 'shotfs[images]'" in images.image_difference("a", "b")["problem"]


def test_a_library_that_dies_of_an_image_is_told_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def dies(*_: Any, **__: Any) -> Any:
        return subprocess.CompletedProcess([], -11, "", "first\nSegmentation fault\n")

    monkeypatch.setattr(images, "find_spec", lambda _: True)
    monkeypatch.setattr(subprocess, "run", dies)
    problem = images.image_difference("a", "b")["problem"]
    assert problem == "OpenImageIO ended with -11: Segmentation fault"


def png(path: Path, rows: list[bytes]) -> str:
    """Write an RGB image of 8 bits, made of *rows*."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
    return str(path)


def test_pixels_are_compared_where_openimageio_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("OpenImageIO", reason="an optional extra: tools/setup --images")
    grey = [bytes([128] * 12)] * 2
    spotted = [grey[0], bytes([128] * 9 + [128, 255, 128])]
    ours, theirs = png(tmp_path / "a.png", grey), png(tmp_path / "b.png", spotted)
    found = images.image_difference(ours, theirs)
    assert (found["pixels"], found["different_pixels"]) == (8, 1)
    assert found["worst"] == {"part": 0, "x": 3, "y": 1, "channel": "G"}
    assert found["max_error"] == pytest.approx(127 / 255, abs=0.01)
    small = png(tmp_path / "c.png", grey[:1])
    assert "different_pixels" not in images.image_difference(ours, small)
    (tmp_path / "d.png").write_bytes(b"no image")
    assert (
        "theirs cannot be read" in images.image_difference(ours, str(tmp_path / "d.png"))["problem"]
    )
