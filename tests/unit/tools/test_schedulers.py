"""`tools/campaign/schedulers`, as far as it goes without a scheduler: it says what it would do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def said(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_campaign_says_what_it_installs_and_starts() -> None:
    text = said(str(ROOT / "tools/campaign/schedulers"), "--help", PATH="/usr/bin:/bin")
    assert text.startswith("A real Slurm and a real Grid Engine")
    assert text.rstrip().endswith("also when it is killed.")


def test_the_campaign_knows_its_checks() -> None:
    path = f"{ROOT}:{ROOT}/tools/lib"
    text = said(sys.executable, "-m", "campaign.schedulers", "--help", PYTHONPATH=path)
    assert "a_job_finds_all_of_it_here" in text
    assert "a_prolog_may_take_long" in text
