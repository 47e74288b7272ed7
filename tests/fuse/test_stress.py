"""A short form of tools/campaign/stress."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuse import modes, stress

pytestmark = [pytest.mark.kernel, pytest.mark.published, pytest.mark.timeout(300)]

SECONDS = 12.0


def test_16_threads_that_read_write_evict_and_remount_end_with_nothing_wrong_open_or_stuck(
    tmp_path: Path,
) -> None:
    done = stress.run(SECONDS, 5, tmp_path / "node", modes.chosen(), remount_every_s=4.0)
    assert done["remounts"] >= 1
    assert done["compared_bytes"] > 1 << 20
