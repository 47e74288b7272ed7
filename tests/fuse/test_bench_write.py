"""tools/bench/write: its short form measures outputs on real mounts and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def test_the_short_form_measures_closes_uploads_and_many_small_outputs(tmp_path: Path) -> None:
    target = tmp_path / "write.json"
    paths = os.pathsep.join([str(ROOT / "tools/lib"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "bench.write", "--quick", "--place", str(tmp_path),
         "--systems", "native, fsync", "shotfs", "--json", str(target)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(target.read_text())
    rows = {(row["workload"], row["system"]): row["value"] for row in document["rows"]}
    assert rows["6 frames of 10 MB", "native, fsync"] > 0
    assert rows["6 frames of 10 MB", "shotfs"] > 0
    assert rows["6 frames of 10 MB, close p99", "shotfs"] > 0
    closed = rows["16 writers of 4 KiB files: closed", "shotfs"]
    assert 0 < rows["16 writers of 4 KiB files: sealed", "shotfs"] <= closed
    figures = {"close_vs_native_fsync", "publish_vs_obstore", "small_sealed_per_s"}
    assert set(document["ratios"]) == figures
    assert all(one["value"] > 0 for one in document["ratios"].values())
    assert list(tmp_path.iterdir()) == [target]
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()
