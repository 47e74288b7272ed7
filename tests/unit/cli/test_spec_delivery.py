"""`shotfs spec export` and `lint`: from the studio's specification to a checked delivery."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from shotfs.cli.delivery_walk import walk
from shotfs.pathspec.delivery import EntryKind

from .spec_world import data, make, shotfs_spec, told, write_spec

SECRETS = ("gs://", "s3://", "ant-lon", "ant-bom", "ant-main")


@pytest.fixture
def vendor(tmp_path: Path) -> Path:
    """A directory with what the vendor got."""
    spec = write_spec(tmp_path)
    told("export", "--vendor", "-s", spec, "-o", tmp_path / "vendor")
    return tmp_path / "vendor"


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    """A delivery that is in order."""
    root = tmp_path / "delivery"
    for view in ("left", "right"):
        make(root, *(f"render/ab010_v003/{view}/beauty.{n}.exr" for n in range(1001, 1006)))
    make(root, "tex/dragon/v001/dragon.1001.tif", "tex/dragon/v001/dragon.1002.tif")
    return root


def lint(vendor: Path, delivery: Path, *more: object, code: int = 0) -> dict[str, int]:
    answer = data("lint", delivery, "-s", vendor / "vendor.json", *more, code=code)
    assert answer["in_order"] is (code == 0)
    counts: dict[str, int] = answer["counts"]
    return counts


def test_export_writes_three_documents_without_secrets(vendor: Path) -> None:
    assert sorted(path.name for path in vendor.iterdir()) == [
        "vendor.html", "vendor.json", "vendor.md",
    ]  # fmt: skip
    for path in vendor.iterdir():
        text = path.read_text()
        assert [secret for secret in SECRETS if secret in text] == []
        assert "Rendered frames" in text
    answer = data("check", vendor / "vendor.json")
    assert answer["origins"] == ["file:///delivery"]
    values = ["shot=ab010", "version=3", "layer=beauty", "frame=1001"]
    path = told("format", "frames", *values, "-s", vendor / "vendor.json").strip()
    assert path == "render/ab010_v003/beauty.1001.exr"


def test_export_replaces_nothing_unless_forced(vendor: Path, tmp_path: Path) -> None:
    spec = tmp_path / "ant.json"
    before = (vendor / "vendor.json").read_text()
    assert (
        shotfs_spec("export", "--vendor", "-s", spec, "-o", vendor, "-t", "frames").exit_code == 2
    )
    assert (vendor / "vendor.json").read_text() == before
    answer = data("export", "--vendor", "-s", spec, "-o", vendor, "-t", "frames", "--force")
    assert answer["templates"] == ["frames"]
    assert shotfs_spec("export", "-s", spec).exit_code == 2
    done = shotfs_spec("export", "--vendor", "-s", spec, "-o", vendor, "-t", "frmes", "--force")
    assert done.exit_code == 1
    assert 'write "frames"' in done.stderr


def test_words_that_name_places_are_removed_and_told(tmp_path: Path) -> None:
    spec = write_spec(tmp_path)
    made = json.loads(spec.read_text())
    made["usage"] = "See gs://ant-lon/ant/readme"
    spec.write_text(json.dumps(made))
    done = shotfs_spec("export", "--vendor", "-s", spec, "-o", tmp_path / "out")
    assert "took out 'gs://ant-lon/ant/readme'" in done.stderr
    assert "ant-lon" not in (tmp_path / "out/vendor.json").read_text()


def test_delivery_in_order_is_exit_0(vendor: Path, delivery: Path) -> None:
    more = ("--require", "frames", "--expect", "1001-1005")
    assert lint(vendor, delivery, *more) == {}
    text = told("lint", delivery, "-s", vendor / "vendor.json", *more)
    assert text.startswith(f"{delivery}: in order. 12 files")
    assert "texture" in text


def test_real_delivery_with_every_kind_of_trouble(vendor: Path, delivery: Path) -> None:
    frames = delivery / "render/ab010_v003"
    (frames / "left/beauty.1003.exr").unlink()
    (frames / "right/beauty.1004.exr").write_bytes(b"")
    make(delivery, "render/ab010_v003/left/beauty.1006.EXR", "render/AB020_v001/left/beauty.1.exr")
    make(delivery, ".DS_Store", "notes.docx", "render/ab010_v003/left/beauty.1001.exr.tmp")
    make(delivery, "tex/dragon/V001/dragon.1001.tif")
    (delivery / "tex/secrets").symlink_to("/etc")
    os.mkfifo(delivery / "tex/pipe")
    os.mkdir(os.fsencode(delivery) + b"/bad\xff")
    counts = lint(vendor, delivery, "--require", "review", code=1)
    assert counts == {
        "missing frames": 1,
        "empty": 1,
        "wrong case": 2,
        "misnamed": 1,
        "junk": 1,
        "extra": 1,
        "working file": 1,
        "differs by case only": 1,
        "link": 1,
        "no file": 1,
        "bad name": 1,
        "missing": 1,
    }
    answer = data("lint", delivery, "-s", vendor / "vendor.json", code=1)
    found = {one["path"]: one for one in answer["findings"]}
    exr = found["render/ab010_v003/left/beauty.1006.EXR"]
    assert exr["suggestion"] == "render/ab010_v003/left/beauty.1006.exr"
    assert (
        "1 of 5 frames are missing: 1003"
        in found["render/ab010_v003/left/beauty.####.exr"]["message"]
    )
    assert "out of the delivery" in found["tex/secrets"]["message"]
    text = told("lint", delivery, "-s", vendor / "vendor.json", code=1)
    assert text.splitlines()[0].startswith(f"{delivery}: not in order.")
    assert "rename: render/ab010_v003/left/beauty.1006.exr" in text


def test_checksums_are_those_of_sha256sum_in_both_directions(
    vendor: Path, delivery: Path, tmp_path: Path
) -> None:
    sums = delivery / "sums.sha256"
    assert lint(vendor, delivery, "--write-checksums", sums) == {}
    lines = sums.read_text().splitlines()
    assert len(lines) == 12, "the file of checksums is not in itself"
    subprocess.run(["sha256sum", "--check", "--strict", sums.name], cwd=delivery, check=True,
                   capture_output=True, timeout=30)  # fmt: skip
    assert lint(vendor, delivery, "--checksums", sums) == {}
    names = sorted(
        str(path.relative_to(delivery)) for path in delivery.rglob("*.*") if path != sums
    )
    theirs = tmp_path / "theirs"
    done = subprocess.run(
        ["sha256sum", "--binary", *(f"./{one}" for one in reversed(names))],
        cwd=delivery, check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    theirs.write_bytes(done.stdout)
    sums.unlink()
    assert lint(vendor, delivery, "--checksums", theirs) == {}


def test_wrong_missing_and_unlisted_contents_are_told(vendor: Path, delivery: Path) -> None:
    sums = delivery.parent / "sums"
    lint(vendor, delivery, "--write-checksums", sums)
    changed = delivery / "tex/dragon/v001/dragon.1001.tif"
    changed.write_bytes(b"y")
    (delivery / "tex/dragon/v001/dragon.1002.tif").unlink()
    make(delivery, "tex/dragon/v001/dragon.1011.tif")
    answer = data("lint", delivery, "-s", vendor / "vendor.json", "--checksums", sums, code=1)
    found = {
        one["path"].rpartition("/")[2]: one["message"]
        for one in answer["findings"]
        if one["kind"] == "checksum"
    }
    assert set(found) == {"dragon.1001.tif", "dragon.1002.tif", "dragon.1011.tif"}
    assert "not what its checksum says" in found["dragon.1001.tif"]
    assert "is not here" in found["dragon.1002.tif"]
    assert "has no checksum" in found["dragon.1011.tif"]


def test_file_of_checksums_that_is_none(vendor: Path, delivery: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("nonsense\n")
    done = shotfs_spec("lint", delivery, "-s", vendor / "vendor.json", "--checksums", bad)
    assert done.exit_code == 1
    assert f"{bad}:1: no line of checksums" in done.stderr
    done = shotfs_spec("lint", delivery, "-s", vendor / "vendor.json", "--checksums", "absent")
    assert done.exit_code == 1
    assert "absent: No such file" in done.stderr


def test_lines_that_point_out_of_the_delivery_are_never_opened(
    vendor: Path, delivery: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    sums = tmp_path / "sums"
    lint(vendor, delivery, "--write-checksums", sums)
    digest = hashlib.sha256(b"x").hexdigest()
    with sums.open("a") as file:
        file.write(f"{digest}  ../secret\n{digest}  {secret}\n")
    answer = data("lint", delivery, "-s", vendor / "vendor.json", "--checksums", sums, code=1)
    assert [one["message"] for one in answer["findings"]] == ["has a checksum and is not here"] * 2


def test_names_with_line_ends_survive_the_file_of_checksums(tmp_path: Path) -> None:
    spec = tmp_path / "any.json"
    spec.write_text(
        json.dumps(
            {
                "spec": "shotfs-path/1",
                "show": "any",
                "roots": {"main": "gs://x/y"},
                "fields": {"rest": {"type": "tree"}},
                "templates": {"all": {"path": "{rest}"}},
            }
        )
    )
    root, sums = tmp_path / "root", tmp_path / "sums"
    make(root, "a\\b", "plain")
    make(root, "line\nend", content=b"z")
    arguments = ("lint", root, "-s", spec)
    data(*arguments, "--write-checksums", sums, code=1)  # such a name is bad in itself
    answer = data(*arguments, "--checksums", sums, code=1)
    assert answer["counts"] == {"bad name": 1}
    subprocess.run(["sha256sum", "--check", "--strict", sums], cwd=root, check=True,
                   capture_output=True, timeout=30)  # fmt: skip


def test_lint_refuses_what_it_cannot_do(vendor: Path, delivery: Path, tmp_path: Path) -> None:
    spec = vendor / "vendor.json"
    assert "is no directory" in shotfs_spec("lint", spec, "-s", spec).stderr
    assert (
        'no template "frmes"'
        in shotfs_spec("lint", delivery, "-s", spec, "--require", "frmes").stderr
    )
    assert shotfs_spec("lint", delivery, "-s", spec, "--expect", "5-1").exit_code == 2
    assert shotfs_spec("lint", delivery, "-s", tmp_path / "absent").exit_code == 1


def test_walk_is_sorted_without_regard_to_case_and_follows_no_link(tmp_path: Path) -> None:
    make(tmp_path, "b/x", "B/y", "a/z", "C")
    (tmp_path / "loop").symlink_to(".")
    entries = list(walk(str(tmp_path), {"a/z"}))
    assert [one.path for one in entries] == ["a", "B", "B/y", "b", "b/x", "C", "loop"]
    assert entries[-1].kind is EntryKind.LINK


def test_directory_that_cannot_be_listed_is_a_finding(tmp_path: Path) -> None:
    make(tmp_path, "a/x", "b")
    entries = walk(str(tmp_path))
    assert next(entries).path == "a"
    (tmp_path / "a/x").unlink()
    (tmp_path / "a").rmdir()  # between the two: for root nothing is unreadable
    rest = list(entries)
    assert [(one.path, one.kind) for one in rest] == [
        ("a", EntryKind.UNREADABLE),
        ("b", EntryKind.FILE),
    ]
    assert rest[0].reason == "No such file or directory"


def test_directories_deeper_than_any_key_are_told(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(210):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    last = list(walk(str(tmp_path)))[-1]
    assert (last.kind, last.reason) == (EntryKind.UNREADABLE, "deeper than 200 directories")
