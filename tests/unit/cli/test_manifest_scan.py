"""`shotfs manifest scan`, in this process, on MaterialX documents and an OCIO configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shotfs.prewarm.manifest import open_manifest
from tests.unit.cli.test_commands import shotfs
from tests.unit.control.fake_service import FakeService


@pytest.fixture
def shows(tmp_path: Path) -> Path:
    """A scene that needs two files, lacks one, and names one by a variable."""
    root = tmp_path / "shows"
    (root / "ant").mkdir(parents=True)
    for name in ("wood.1001.exr", "wood.1002.exr", "plate.1001.exr"):
        (root / "ant" / name).write_bytes(b"exr")
    images = ("wood.<UDIM>.exr", "plate.%04d.exr", "gone.exr", "$LIBRARY/a.exr", "Z:\\lib\\b.exr")
    lines = [f'<input name="i" type="filename" value="{image}"/>' for image in images]
    (root / "ant/a.mtlx").write_text("<materialx>\n" + "\n".join(lines) + "\n</materialx>\n")
    return root


def test_scan_sums_up_what_is_needed_missing_and_unresolved(shows: Path) -> None:
    done = shotfs("manifest", "scan", f"{shows}/ant/a.mtlx", "--root", str(shows))
    assert done.exit_code == 0
    assert "4 files, 312 B, from 1 scene" in " ".join(done.stdout.split())
    assert f"missing: 1\n  {shows}/ant/gone.exr, named in {shows}/ant/a.mtlx:4" in done.stdout
    assert f"{shows}/ant/a.mtlx:5: $LIBRARY/a.exr: the variable LIBRARY is not set" in done.stdout


def test_scan_writes_a_manifest_that_can_be_read(shows: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "a.jsonl")
    arguments = (f"{shows}/ant/a.mtlx", "--root", str(shows), "--frames", "1001-1002")
    assert shotfs("manifest", "scan", *arguments, "-o", out).exit_code == 0
    with open_manifest(out) as manifest:
        entries = {entry.path: (entry.frames, entry.scanners) for entry in manifest}
        assert manifest.head.subject.frame == "1001-1002"
    assert entries == {
        path: (frames, ("materialx",))
        for path, frames in (
            ("ant/a.mtlx", ""),
            ("ant/plate.1001.exr", "1001"),
            ("ant/wood.1001.exr", ""),
            ("ant/wood.1002.exr", ""),
        )
    }
    piped = shotfs("manifest", "scan", *arguments, "-o", "-")
    assert piped.stdout.splitlines()[1] == Path(out).read_text().splitlines()[1]


def test_scan_tells_programs_everything(shows: Path) -> None:
    done = shotfs("manifest", "scan", f"{shows}/ant/a.mtlx", "--root", str(shows), "--json")
    report = json.loads(done.stdout)
    assert (report["files"], report["size_bytes"], report["scenes"]) == (4, 312, 1)
    assert report["scanners"] == {"materialx": {"files": 4, "size_bytes": 312}}
    assert report["counts"]["unresolved"] == len(report["unresolved"]) == 2
    assert report["missing"][0]["line"] == 4


def test_scan_maps_and_defines_what_scenes_name_otherwise(shows: Path, tmp_path: Path) -> None:
    for name in ("a.exr", "b.exr"):
        (shows / name).write_bytes(b"x")
    mapping = tmp_path / "map.json"
    rule = {
        "source_path_format": "WINDOWS",
        "source_path": "Z:\\lib",
        "destination_path": str(shows),
    }
    mapping.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": [rule]}))
    for options in (("--map", f"z:\\lib={shows}"), ("--path-mapping", str(mapping))):
        done = shotfs(
            *("manifest", "scan", f"{shows}/ant/a.mtlx", "--root", str(shows), "--json"),
            *("--define", f"LIBRARY={shows}", *options),
        )
        report = json.loads(done.stdout)
        assert (report["files"], report["unresolved"]) == (6, [])


def test_scan_is_strict_when_asked(shows: Path) -> None:
    arguments = ("manifest", "scan", f"{shows}/ant/a.mtlx", "--root", str(shows))
    assert shotfs(*arguments, "--strict").exit_code == 1
    (shows / "ant/a.mtlx").write_text("<materialx></materialx>")
    assert shotfs(*arguments, "--strict").exit_code == 0


def test_scan_ends_with_1_if_a_scene_cannot_be_read(shows: Path) -> None:
    (shows / "ant/b.mtlx").write_text("<materialx>")
    for name in ("b.mtlx", "none.usd", "wood.1001.exr", "none.####.usd"):
        arguments = (f"{shows}/ant/a.mtlx", f"{shows}/ant/{name}", "--root", str(shows))
        done = shotfs("manifest", "scan", *arguments)
        assert done.exit_code == 1
        assert f"not read: 1\n  {shows}/ant/{name}:" in done.stdout
        assert done.stdout.count(name) == 1
        assert "4 files" in done.stdout or "5 files" in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--scanner", "usdd"), '"usd"'),
        (("--frames", "x"), "names no frames"),
        (("--map", "x"), "FROM=TO"),
        (("--define", "x"), "VAR=VALUE"),
        (("-o", "-", "--json"), "standard output"),
    ],
)
def test_scan_says_what_is_wrong_with_its_options(
    shows: Path, options: tuple[str, ...], says: str
) -> None:
    done = shotfs("manifest", "scan", f"{shows}/ant/a.mtlx", "--root", str(shows), *options)
    assert done.exit_code in (1, 2)
    assert says in done.stderr


def test_scan_takes_the_mount_of_the_service_for_the_root(
    service: FakeService, shows: Path, configuration: Path
) -> None:
    done = shotfs("manifest", "scan", f"{shows}/ant/a.mtlx", "--json")
    assert json.loads(done.stdout)["root"] == "/shows"
    assert json.loads(done.stdout)["counts"]["outside"] == 4
    done = shotfs("manifest", "scan", f"{shows}/ant/a.mtlx")
    assert f"outside /shows: 4\n  {shows}/ant/a.mtlx\n" in done.stdout


def test_scan_asks_for_a_root_where_nothing_is_mounted(configuration: Path, shows: Path) -> None:
    done = shotfs("manifest", "scan", f"{shows}/ant/a.mtlx")
    assert (done.exit_code, "--root" in done.stderr) == (1, True)
