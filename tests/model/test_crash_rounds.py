"""A dozen rounds of `tools/campaign/crash`, which runs hundreds: kill -9 at random points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.model.crash_rounds import LARGE, OUTPUTS, SMALL, content_at

SEEDS = (1, 2)
ROUNDS = 6

PROGRAM = """
import sys
from pathlib import Path
from tests.model.crash_rounds import run
run(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_s06_kill_9_at_random_points_leaves_no_wrong_entry(seed: int, tmp_path: Path) -> None:
    # In a process of its own: it forks, and this one has threads.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROUNDS), str(seed), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    assert any((tmp_path / "cache/blobs").iterdir())


def test_every_object_and_version_has_bytes_of_its_own() -> None:
    contents = [
        content_at(key, str(version)) for key in (*SMALL, *LARGE, *OUTPUTS) for version in range(3)
    ]
    large = [content for content in contents if len(content) >= 4096]
    assert len(set(large)) == len(large)
