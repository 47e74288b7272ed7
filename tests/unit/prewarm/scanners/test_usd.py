"""The scanner of USD against stages that usd-core wrote, and against what usd-core opens itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

pytest.importorskip("pxr", reason="usd-core is not installed")

from pxr import Sdf, Usd, UsdUtils

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners import usd
from shotfs.prewarm.scanners.base import Edge, Scope
from shotfs.prewarm.scanners.closure import close_over
from shotfs.prewarm.scanners.findings import Closure
from shotfs.prewarm.scanners.local_files import LocalFiles
from shotfs.prewarm.scanners.places import map_rule
from tests.scenes import usd_stage
from tests.scenes.usd_stage import Stage
from tests.unit.prewarm.scanners.elsewhere import Elsewhere


@pytest.fixture(scope="module", autouse=True)
def no_process_is_left() -> object:
    yield
    usd.end_workers()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return usd_stage.build(str(tmp_path_factory.mktemp("shows")))


def scanned(starts: Sequence[str], root: str, scope: Scope | None = None) -> Closure:
    return close_over(starts, LocalFiles(), root=root, scope=scope)


def paths(found: Closure) -> set[str]:
    return {entry.path for entry in found.entries}


def frames_of(found: Closure) -> dict[str, tuple[str, float]]:
    return {entry.path: (entry.frames, entry.confidence) for entry in found.entries}


def test_the_closure_of_a_stage_is_what_a_render_of_it_reads(stage: Stage) -> None:
    found = scanned([stage.path], stage.directory)
    assert paths(found) == stage.read
    assert {os.path.relpath(one.path, stage.directory) for one in found.missing} == stage.missing
    assert {os.path.relpath(one.path, stage.directory) for one in found.outputs} == stage.outputs
    assert (found.unresolved, found.troubles, found.outside) == ((), (), ())


def test_the_layers_of_a_closure_are_those_that_the_stage_opens(stage: Stage) -> None:
    opened = Usd.Stage.Open(stage.path)
    for prim in opened.TraverseAll():
        for attribute in prim.GetAttributes():
            for frame in range(usd_stage.FIRST, usd_stage.LAST + 1):
                attribute.Get(frame)
    truth = {
        os.path.relpath(layer.realPath, stage.directory).partition("[")[0]
        for layer in opened.GetUsedLayers(includeClipLayers=True)
        if not layer.anonymous
    }
    layers = {path for path in paths(scanned([stage.path], stage.directory)) if ".usd" in path}
    assert layers == truth


def test_with_all_variants_the_closure_is_all_dependencies_of_usd_core(stage: Stage) -> None:
    found = scanned([stage.path], stage.directory, Scope(all_variants=True))
    layers, assets, _ = UsdUtils.ComputeAllDependencies(stage.path)
    truth = {layer.realPath.partition("[")[0] for layer in layers}
    truth |= {str(path).partition("[")[0] for path in assets}
    truth |= {os.path.join(stage.directory, "shot/gobo.tx")}  # a string, which usd-core passes over
    assert {os.path.join(stage.directory, path) for path in paths(found)} == truth
    assert paths(found) == stage.read | stage.other_variants
    likely = {entry.path for entry in found.entries if entry.confidence > 0.5}
    assert likely == stage.read


def test_only_the_clips_and_samples_of_the_frames_that_are_asked_for_are_named(
    stage: Stage,
) -> None:
    found = frames_of(scanned([stage.path], stage.directory, Scope(frames="1002-1003")))
    smoke = {path[-8:-4]: found[path] for path in found if path.startswith("fx/smoke/smoke.1")}
    assert smoke == {
        "1002": ("1002", 1.0),
        "1003": ("1002-1003", 1.0),
        "1004": ("1003", 0.6),  # motion blur reads the next one
    }
    fog = {path[-8:-4]: found[path] for path in found if path.endswith(".vdb")}
    assert fog == {"1002": ("1002", 1.0), "1003": ("1003", 1.0)}
    # Clips without a manifest are all opened to make one.
    assert found["fx/crowd/part_a.usdc"] == found["fx/crowd/part_b.usdc"] == ("", 1.0)


def test_layer_offsets_shift_the_frames_of_clips(stage: Stage, tmp_path: Path) -> None:
    layer = Usd.Stage.CreateNew(str(tmp_path / "late.usda"))
    prim = layer.DefinePrim("/Smoke")
    prim.GetReferences().AddReference(
        os.path.join(stage.directory, "fx/smoke/smoke.usda"), layerOffset=Sdf.LayerOffset(100)
    )
    layer.Save()
    scope = Scope(frames="1104")
    found = frames_of(scanned([str(tmp_path / "late.usda")], stage.directory, scope))
    sure = {path for path, (_, confidence) in found.items() if confidence == 1.0}
    assert "fx/smoke/smoke.1004.usd" in sure
    assert "fx/smoke/smoke.1003.usd" not in found


def test_without_a_mount_layers_are_read_one_by_one_from_copies(
    stage: Stage, tmp_path: Path
) -> None:
    files = Elsewhere("/shows/ant", stage.directory, str(tmp_path))
    found = close_over(["/shows/ant/shot/shot.usda"], files, root="/shows")
    there = {path.removeprefix("ant/") for path in paths(found)}
    assert there == stage.read | stage.other_variants
    assert len(found.scenes) > 10
    confidence = {entry.path: entry.confidence for entry in found.entries}
    assert confidence["ant/assets/chair/look_red.usda"] == 0.5


def test_one_broken_layer_loses_only_itself(stage: Stage, tmp_path: Path) -> None:
    broken = usd_stage.build(str(tmp_path))
    with open(tmp_path / "assets/chair/look_oak.usda", "r+b") as file:
        file.truncate(60)
    found = scanned([broken.path], broken.directory)
    textures = {f"assets/chair/tex/oak_base.{tile}.exr" for tile in (1001, 1002, 1011)}
    assert paths(found) == broken.read - textures
    (trouble,) = found.troubles
    assert trouble.path.endswith("look_oak.usda")


def test_a_scene_that_crashes_usd_core_costs_itself_only(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = tmp_path / "deadly.usda"
    deadly.write_text("#usda 1.0\n")
    ask = usd._Worker.ask

    def dies(self: usd._Worker, request: dict[str, object]) -> Iterator[Edge]:
        if request["path"] == str(deadly):
            self._process.kill()
        return ask(self, request)

    monkeypatch.setattr(usd._Worker, "ask", dies)
    found = scanned([str(deadly), stage.path], stage.directory)
    (trouble,) = found.troubles
    assert trouble.path == str(deadly)
    assert "crashed usd-core (signal SIGKILL)" in trouble.reason
    assert paths(found) == stage.read


def test_a_scene_that_is_never_read_to_its_end_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usd, "SILENCE_S", 0.0)
    monkeypatch.setattr(usd, "LOOK_S", 0.01)
    pipe = tmp_path / "hangs.usda"
    os.mkfifo(pipe)
    scan = usd.UsdScanner().scan(str(pipe), Scope())
    with pytest.raises(ScanFailed, match="no progress"):
        next(scan)
    assert usd._idle == [] or all(worker.alive for worker in usd._idle)


def test_expressions_have_the_values_of_the_root_layer(tmp_path: Path) -> None:
    (tmp_path / "day.usda").write_text('#usda 1.0\ndef "A" {}\n')
    root = tmp_path / "root.usda"
    root.write_text(
        '#usda 1.0\n(\n expressionVariables = { string TIME = "day" }\n)\n'
        'def "A" (references = @`"./${TIME}.usda"`@</A>) {}\n'
        'def "B" (references = @`"./${NOBODY}.usda"`@</A>) {}\n'
        'def "C" {\n asset a = @$TEXTURES/c.exr@\n asset b = @${NOT_SET}/c.exr@\n}\n'
    )
    (tmp_path / "tex").mkdir()
    (tmp_path / "tex/c.exr").write_bytes(b"c")
    scope = Scope(variables={"TEXTURES": str(tmp_path / "tex")})
    found = scanned([str(root)], str(tmp_path), scope)
    assert paths(found) == {"root.usda", "day.usda", "tex/c.exr"}
    reasons = {one.target: one.reason for one in found.unresolved}
    assert len(reasons) == 2
    assert "NOT_SET is not set" in reasons["${NOT_SET}/c.exr"]
    assert "NOBODY is not set" in reasons["./${NOBODY}.usda"]


def test_paths_of_another_system_are_mapped_and_followed(tmp_path: Path) -> None:
    (tmp_path / "model.usda").write_text('#usda 1.0\ndef "A" {\n asset a = @.\\tex\\A.exr@\n}\n')
    (tmp_path / "tex").mkdir()
    (tmp_path / "tex/A.exr").write_bytes(b"a")
    root = tmp_path / "root.usda"
    root.write_text('#usda 1.0\ndef "A" (references = @Z:/Shows/model.usda@</A>) {}\n')
    rules = [map_rule(f"z:\\shows={tmp_path}")]
    found = close_over([str(root)], LocalFiles(), root=str(tmp_path), rules=rules)
    assert paths(found) == {"root.usda", "model.usda", "tex/A.exr"}


@pytest.mark.parametrize("by_option", [True, False])
def test_layers_are_looked_for_in_search_paths(tmp_path: Path, by_option: bool) -> None:
    (tmp_path / "lib/chairs").mkdir(parents=True)
    (tmp_path / "lib/chairs/a.usda").write_text(
        '#usda 1.0\ndef "A" {\n asset a = @tex/a.exr@\n asset b = @./b.exr@\n}\n'
    )
    (tmp_path / "lib/tex").mkdir()
    (tmp_path / "lib/tex/a.exr").write_bytes(b"a")
    (tmp_path / "lib/b.exr").write_bytes(b"not this")
    root = tmp_path / "root.usda"
    root.write_text('#usda 1.0\ndef "A" (references = @chairs/a.usda@</A>) {}\n')
    library = str(tmp_path / "lib")
    scope = Scope(search_paths=(library,))
    if not by_option:
        scope = Scope(variables={usd.SEARCH_VARIABLE: f"/nowhere:{library}"})
    found = scanned([str(root)], str(tmp_path), scope)
    assert paths(found) == {"root.usda", "lib/chairs/a.usda", "lib/tex/a.exr"}
    assert [Path(one.path).name for one in found.missing] == ["b.exr"]
    assert list(found.scenes) == [str(root)]  # composed, so not followed


@pytest.mark.parametrize("suffix", ["usd", "usda", "usdc", "usdz"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 5000, b"PXR-USDC" + b"\xff" * 500, b"#usda 1.0\n" + b"(" * 99999]
)
def test_garbage_is_told_of_and_nothing_else_happens(
    tmp_path: Path, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    found = scanned([str(path)], str(tmp_path))
    assert [trouble.path for trouble in found.troubles] == [str(path)]
    assert paths(found) == {path.name}
