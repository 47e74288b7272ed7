"""Which TARGETs the command reads itself, and which it leaves to the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.cli.prewarm_targets import scanned, sort_targets
from shotfs.errors import InvalidArgument


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A directory in the place of a mount."""
    mount = tmp_path / "shows"
    (mount / "ant/plates").mkdir(parents=True)
    for frame in (1001, 1002, 1003):
        (mount / f"ant/plates/bg.{frame}.exr").write_bytes(b"plate")
    (mount / "ant/comp.nk").write_text(
        f"Read {{\n file {mount}/ant/plates/bg.####.exr\n first 1001\n last 1003\n}}\n"
    )
    return mount


def test_targets_are_sorted_by_who_looks_them_up(
    mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tmp_path / "job.jsonl"
    manifest.write_text("{}")
    targets = [
        str(mount / "ant/plates"), f"{mount}/ant/../ant/plates/bg.####.exr", "xy_010",
        "plate:shot=030", str(manifest), str(mount / "ant/comp.nk"), "-",
        str(mount / "ant/plates/bg.1001.exr"),
    ]  # fmt: skip
    found = sort_targets(targets, str(mount), scan=True)
    assert found.names == [
        "ant/plates", "ant/plates/bg.####.exr", "xy_010", "plate:shot=030",
        "ant/plates/bg.1001.exr",
    ]  # fmt: skip
    assert found.manifests == [str(manifest), "-"]
    assert found.scenes == [str(mount / "ant/comp.nk")]
    plain = sort_targets(targets[5:6], str(mount), scan=False)
    assert plain.names == ["ant/comp.nk"]
    monkeypatch.chdir(mount / "ant")
    here = sort_targets(["plates", "xy_010", "comp.nk"], str(mount), scan=True)
    assert (here.names, here.scenes) == (["ant/plates", "xy_010"], [str(mount / "ant/comp.nk")])


@pytest.mark.parametrize("target", ["/nowhere/at/all", "{mount}"])
def test_an_absolute_path_that_is_neither_file_nor_in_the_mount_is_refused(
    mount: Path, target: str
) -> None:
    with pytest.raises(InvalidArgument):
        sort_targets([target.format(mount=mount)], str(mount), scan=True)


def test_a_scene_brings_itself_and_what_it_needs_of_the_frames(mount: Path) -> None:
    found = scanned([str(mount / "ant/comp.nk")], str(mount), "1001-1002", ())
    assert [one.path for one in found] == [
        "ant/comp.nk",
        "ant/plates/bg.1001.exr",
        "ant/plates/bg.1002.exr",
    ]
    with pytest.raises(InvalidArgument, match="read through a mount"):
        scanned([str(mount / "ant/comp.nk")], None, "", ())
