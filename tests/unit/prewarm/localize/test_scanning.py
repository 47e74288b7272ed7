"""`shotfs manifest scan` on a host without a mount: a real service says what there is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("pxr", reason="usd-core is not installed")

from tests.scenes import usd_stage
from tests.unit.cli.test_commands import shotfs
from tests.unit.prewarm.localize.served import Served


def test_a_stage_is_scanned_without_a_mount(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = served.origin / "library/stage"
    library.mkdir(parents=True)
    stage = usd_stage.build(str(library))
    monkeypatch.setenv("SHOTFS_CONFIG", served.node.environment["SHOTFS_CONFIG"])
    monkeypatch.setenv("SHOTFS_LOCALIZE_DIR", str(tmp_path / "local"))
    out = tmp_path / "stage.json"
    scene = f"/shows/ant/library/stage/{stage.scene}"
    done = shotfs("manifest", "scan", scene, "-o", str(out), "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["root"], report["troubles"]) == (0, "/shows", [])
    paths = {entry["path"] for entry in json.loads(out.read_text())["entries"]}
    below = "ant/library/stage/"
    assert paths == {below + path for path in stage.read | stage.other_variants}
    missing = {os.path.relpath(one["path"], f"/shows/{below}") for one in report["missing"]}
    assert missing == stage.missing
    copied = {path.name for path in (tmp_path / "local").rglob("*") if path.is_file()}
    assert "chair.usda" in copied
    assert not any(name.endswith((".exr", ".vdb")) for name in copied)
