"""tools/bench/ops: its short form measures every operation, through a real mount and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parents[2]

OPERATIONS = {
    "lookup hit",
    "lookup miss",
    "getattr",
    "open",
    "read 4 KiB",
    "read 128 KiB",
    "release",
    "create",
    "write 4 KiB",
    "flush, clean",
    "readdir entry, first",
    "getxattr, unknown",
}


def test_the_short_form_measures_each_operation_in_all_three_ways(tmp_path: Path) -> None:
    target = tmp_path / "ops.json"
    paths = os.pathsep.join([str(ROOT / "tools/lib"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "bench.ops", "--quick", "--json", str(target)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(target.read_text())["rows"]
    assert {row["unit"] for row in rows} == {"us"}
    measured = {(row["workload"], row["system"].partition(",")[0]) for row in rows}
    systems = ("handler", "mount", "floor")
    assert {(one, system) for one in OPERATIONS for system in systems} <= measured
    assert all(row["value"] >= 0 for row in rows)
