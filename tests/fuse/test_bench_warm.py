"""tools/bench/warm as it is run: it measures on real mounts and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SYSTEM = "privileged" if os.geteuid() == 0 else "unprivileged"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody can get to; those of pytest are closed."""
    made = Path(tempfile.mkdtemp(prefix="warm"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def start(place: Path, *arguments: str) -> subprocess.Popen[str]:
    """Run it as its starter does, without setting the machine up."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.warm", "--quick", "--rounds", "1", "--place", str(place),
         *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools/lib"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def mounts_below(place: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if str(place) in line]


def processes_of(place: Path) -> list[str]:
    """Return the commands that still run with *place* in them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            found += [command] if str(place) in command else []
    return found


def test_quick_run_measures_native_and_a_mount_of_ours(place: Path) -> None:
    figures, chart = place / "figures.json", place / "chart.png"
    process = start(
        place, "--systems", "native", SYSTEM, "--only", "small", "outputs",
        "--json", str(figures), "--chart", str(chart),
    )  # fmt: skip
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, said
    document = json.loads(figures.read_text())
    assert document["systems"] == ["native", SYSTEM]
    rows = {(row["workload"], row["system"]): row for row in document["rows"]}
    for title in ("200 files of 32 KiB, again", "4 frames of 10 MB: create, write, close"):
        assert rows[title, "native"]["value"] > 0
        assert rows[title, SYSTEM]["value"] > 0
        assert len(rows[f"{title}, CPU", SYSTEM]["runs"]) == 1
    if SYSTEM == "privileged":
        assert document["ratios"]["write_vs_native"]["value"] > 0
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in place.iterdir()} == {figures.name, chart.name}
    assert mounts_below(place) == []
    assert processes_of(place) == []


def test_interrupted_run_leaves_nothing_mounted_or_running(place: Path) -> None:
    process = start(place, "--systems", "native", SYSTEM, "--only", "small")
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            if line.startswith("everything is read once:") and line.strip().endswith(SYSTEM):
                break
        process.send_signal(signal.SIGINT)
        rest = output.read()
    assert process.wait(60) == 128 + signal.SIGINT, rest
    assert "unmounted and stopped everything" in rest
    assert list(place.iterdir()) == []
    assert mounts_below(place) == []
    assert processes_of(place) == []


def test_place_that_others_cannot_reach_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("readers are somebody else only where root runs it")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    said, _ = start(closed).communicate(timeout=60)
    assert "is closed to user 65534" in said
    assert list(closed.iterdir()) == []
