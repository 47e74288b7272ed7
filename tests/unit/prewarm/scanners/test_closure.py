"""Following scenes: cycles, limits, what is lost when one is broken, what each file is needed for.

The scenes are MaterialX documents and timelines, which are small to write.
"""

from __future__ import annotations

from pathlib import Path

import opentimelineio as otio
import pytest

from shotfs.errors import InvalidArgument, ScanFailed
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Scope
from shotfs.prewarm.scanners.closure import Limits, close_over
from shotfs.prewarm.scanners.findings import Closure
from shotfs.prewarm.scanners.local_files import LocalFiles

XI = 'xmlns:xi="http://www.w3.org/2001/XInclude"'


def material(path: Path, *includes: str, images: tuple[str, ...] = ()) -> str:
    """Write a document that includes others and names images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'<xi:include href="{one}"/>' for one in includes]
    lines += [f'<input name="i" type="filename" value="{one}"/>' for one in images]
    path.write_text(f'<materialx version="1.39" {XI}>\n' + "\n".join(lines) + "\n</materialx>\n")
    return str(path)


def files(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(name.encode())


def closed(root: Path, *starts: str, **options: object) -> Closure:
    return close_over(starts, LocalFiles(), root=str(root), **options)  # type: ignore[arg-type]


def paths(found: Closure) -> list[str]:
    return [entry.path for entry in found.entries]


def test_cycles_and_diamonds_are_scanned_once(tmp_path: Path) -> None:
    start = material(tmp_path / "a.mtlx", "b.mtlx", "c.mtlx")
    material(tmp_path / "b.mtlx", "d.mtlx", "a.mtlx")
    material(tmp_path / "c.mtlx", "d.mtlx", "c.mtlx", images=("t.exr",))
    material(tmp_path / "d.mtlx", "a.mtlx", images=("t.exr", "t.exr"))
    files(tmp_path, "t.exr")
    found = closed(tmp_path, start)
    assert paths(found) == ["a.mtlx", "b.mtlx", "c.mtlx", "d.mtlx", "t.exr"]
    assert len(found.scenes) == 4
    assert found.troubles == ()


def test_confidence_is_multiplied_on_the_way_and_the_best_way_counts(tmp_path: Path) -> None:
    timeline = otio.schema.Timeline()
    clip = otio.schema.Clip()
    clip.set_media_references(
        {
            "DEFAULT_MEDIA": otio.schema.ExternalReference("b.mtlx"),
            "proxy": otio.schema.ExternalReference("a.mtlx"),
        },
        "DEFAULT_MEDIA",
    )
    track = otio.schema.Track()
    track.append(clip)
    timeline.tracks.append(track)
    otio.adapters.write_to_file(timeline, str(tmp_path / "t.otio"))
    material(tmp_path / "a.mtlx", "c.mtlx", images=("only_a.exr",))
    material(tmp_path / "b.mtlx", "c.mtlx")
    material(tmp_path / "c.mtlx", images=("both.exr",))
    files(tmp_path, "only_a.exr", "both.exr")
    found = closed(tmp_path, str(tmp_path / "t.otio"))
    likely = {entry.path: entry.confidence for entry in found.entries}
    assert likely["only_a.exr"] == likely["a.mtlx"] == 0.3
    assert likely["both.exr"] == likely["c.mtlx"] == 1.0
    who = {entry.path: entry.scanners for entry in found.entries}
    assert who["a.mtlx"] == ("otio",)
    assert who["both.exr"] == ("materialx",)


def test_a_broken_scene_is_told_of_and_loses_only_what_follows_in_it(tmp_path: Path) -> None:
    start = material(tmp_path / "a.mtlx", "b.mtlx", "c.mtlx")
    broken = tmp_path / "b.mtlx"
    material(broken, images=("before.exr", "behind.exr"))
    broken.write_text(
        broken.read_text().replace('<input name="i" type="filename" value="behind', "<")
    )
    material(tmp_path / "c.mtlx", images=("c.exr",))
    files(tmp_path, "before.exr", "behind.exr", "c.exr")
    found = closed(tmp_path, start)
    assert paths(found) == ["a.mtlx", "b.mtlx", "before.exr", "c.exr", "c.mtlx"]
    (trouble,) = found.troubles
    assert trouble.path == str(broken)
    assert ":3:" in trouble.reason


def test_frames_of_a_sequence_belong_to_their_files_and_lacking_ones_are_told(
    tmp_path: Path,
) -> None:
    start = material(tmp_path / "a.mtlx", images=("p.{04frame}.exr", "gone.%04d.exr"))
    files(tmp_path, *(f"p.{n}.exr" for n in range(1001, 1010) if n != 1005))
    found = closed(tmp_path, start, scope=Scope(frames="1004-1006"))
    frames = {entry.path: entry.frames for entry in found.entries}
    assert frames == {"a.mtlx": "", "p.1004.exr": "1004", "p.1006.exr": "1006"}
    lacking = {Path(one.path).name: (one.frames, one.line) for one in found.missing}
    assert lacking == {"p.%04d.exr": ("1005", 2), "gone.%04d.exr": ("1004-1006", 3)}
    everything = closed(tmp_path, start)
    assert len(everything.entries) == 9
    assert [one.frames for one in everything.missing] == [""]


def test_views_are_those_that_are_asked_for(tmp_path: Path) -> None:
    start = material(tmp_path / "a.mtlx", images=("p_%V.exr", "q_%v.exr", "r.exr"))
    files(tmp_path, "p_left.exr", "p_right.exr", "q_l.exr", "q_r.exr", "r.exr")
    found = closed(tmp_path, start, scope=Scope(views=("left",)))
    views = {entry.path: entry.views for entry in found.entries}
    assert views == {
        "a.mtlx": (),
        "p_left.exr": ("left",),
        "q_l.exr": ("left",),
        "r.exr": (),
    }
    assert len(closed(tmp_path, start).entries) == 6


def test_files_outside_the_root_are_told_and_no_entries(tmp_path: Path) -> None:
    start = material(tmp_path / "shows/a.mtlx", images=("../../../etc/passwd", "../x.exr", "y.exr"))
    files(tmp_path, "x.exr", "shows/y.exr")
    found = closed(tmp_path / "shows", start)
    assert paths(found) == ["a.mtlx", "y.exr"]
    assert str(tmp_path / "x.exr") in found.outside
    assert found.entries[1].size_bytes == len("shows/y.exr")


def test_a_start_that_is_no_scene_is_told(tmp_path: Path) -> None:
    files(tmp_path, "a.exr")
    found = closed(tmp_path, str(tmp_path / "a.exr"), str(tmp_path / "b.usd"), str(tmp_path))
    reasons = [trouble.reason for trouble in found.troubles]
    assert "--scanner quoted" in reasons[0]
    assert reasons[1:] == ["there is no such file"] * 2


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(scenes=3), "more than 3 scenes"),
        (Limits(depth=2), "more than 2 scenes deep"),
        (Limits(scene_bytes=100), "the limit is 100"),
        (Limits(edges=1), "read in part"),
        (Limits(files=3), "more than 3 files"),
    ],
)
def test_limits_end_a_scan_and_say_so(tmp_path: Path, limits: Limits, reason: str) -> None:
    for n in range(6):
        material(tmp_path / f"{n}.mtlx", f"{n + 1}.mtlx", images=(f"{n}.exr",))
        files(tmp_path, f"{n}.exr")
    found = closed(tmp_path, str(tmp_path / "0.mtlx"), limits=limits)
    assert any(reason in trouble.reason for trouble in found.troubles), found.troubles
    assert 0 < len(found.entries) < 12


def test_a_start_with_tokens_is_a_scene_for_each_frame(tmp_path: Path) -> None:
    for frame in range(1001, 1005):
        images = ("shared.exr", f"only.{frame}.exr", "p.%04d.exr")
        material(tmp_path / f"s.{frame}.mtlx", images=images)
        files(tmp_path, f"only.{frame}.exr", f"p.{frame}.exr")
    files(tmp_path, "shared.exr")
    found = closed(tmp_path, f"{tmp_path}/s.####.mtlx", scope=Scope(frames="1002-1003"))
    frames = {entry.path: entry.frames for entry in found.entries}
    assert frames == {
        "shared.exr": "1002-1003",
        **{f"{name}.{n}.exr": str(n) for n in (1002, 1003) for name in ("only", "p")},
        **{f"s.{n}.mtlx": str(n) for n in (1002, 1003)},
    }


def test_data_is_not_opened_to_see_whether_it_is_a_scene(tmp_path: Path) -> None:
    # Whoever may read nothing of it would be told of.
    start = material(tmp_path / "a.mtlx", "cache.abc", "x.xml", "y.xml")
    files(tmp_path, "cache.abc", "y.xml")
    material(tmp_path / "x.xml", images=("cache.abc",))
    opened: list[str] = []

    class Noting(LocalFiles):
        def local(self, path: str) -> str:
            opened.append(Path(path).name)
            return path

    found = close_over([start], Noting(), root=str(tmp_path))
    assert paths(found) == ["a.mtlx", "cache.abc", "x.xml", "y.xml"]
    assert set(opened) == {"a.mtlx", "x.xml", "y.xml"}
    assert {Path(path).name for path in found.scenes} == {"a.mtlx", "x.xml"}


def test_search_paths_are_where_relative_names_are_looked_for(tmp_path: Path) -> None:
    start = material(tmp_path / "a.mtlx", "lib.mtlx", images=("./lib.mtlx", "x.exr"))
    material(tmp_path / "lib/lib.mtlx")
    files(tmp_path, "x.exr", "lib/x.exr")
    found = closed(tmp_path, start, scope=Scope(search_paths=(str(tmp_path / "lib"),)))
    assert paths(found) == ["a.mtlx", "lib/lib.mtlx", "x.exr"]
    assert [Path(one.path).name for one in found.missing] == ["lib.mtlx"]


def test_a_scanner_that_is_not_there_is_named_with_the_nearest() -> None:
    with pytest.raises(InvalidArgument, match='"usd"'):
        close_over([], LocalFiles(), root="/", scanners=["usdd"])
    with pytest.raises(InvalidArgument, match="names no frames"):
        close_over([], LocalFiles(), root="/", scope=Scope(frames="x"))


def test_a_scanner_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ScanFailed, match=r"pip install 'shotfs\[usd\]'"):
        registry.usable("usd")
    files(tmp_path, "a.usda")
    found = closed(tmp_path, str(tmp_path / "a.usda"))
    assert paths(found) == ["a.usda"]
    assert "usd-core is not installed" in found.troubles[0].reason


@pytest.mark.parametrize("name", sorted(registry.SCANNERS))
def test_the_registry_says_what_each_scanner_says_of_itself(name: str) -> None:
    scanner = registry.scanner(name)
    assert (scanner.name, scanner.suffixes) == (name, registry.SCANNERS[name].suffixes)
    assert all(one == one.lower() and one.startswith(".") for one in scanner.suffixes)
    assert registry.SCANNERS[name].asked_only or not scanner.recognises(bytes(range(256)) * 16)


@pytest.mark.parametrize(
    ("path", "head", "name"),
    [
        ("/a/x.usda", b"", "usd"),
        ("/a/X.USDC", b"", "usd"),
        ("/a/x.mtlx", b"", "materialx"),
        ("/a/x", b"#usda 1.0\n", "usd"),
        ("/a/x", b'{"OTIO_SCHEMA": "Timeline.1"}', "otio"),
        ("/a/x.bak", b"ocio_profile_version: 2\n", "ocio"),
        ("/a/x.exr", b"\x76\x2f\x31\x01", None),
        ("/a/usda", b"", None),
    ],
)
def test_a_scanner_is_chosen_by_suffix_and_by_how_a_file_begins(
    path: str, head: bytes, name: str | None
) -> None:
    assert registry.choose(path, head) == name
