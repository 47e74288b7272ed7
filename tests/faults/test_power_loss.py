"""Power loss: block writes of a node's disk are recorded, cut off at any point, and recovered from.

A short form of tools/campaign/power, in which the package `power` has its proof against a service
that does not fsync at all.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.power.cuts import Cut, Loss
from tests.faults.power.recording import PREFIX, Recording, record
from tests.faults.power.recovery import Outcome, Recovery, choose_cuts
from tests.fuse import modes
from tests.servers.gcs import GcsServer

pytestmark = pytest.mark.kernel

SEED = 4
WRITING_S = 1.5
CUTS = 16


@pytest.fixture(scope="module")
def server() -> Iterator[GcsServer]:
    """The origin, before and after the power is cut."""
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, server: GcsServer) -> Recording:
    """What applications did, and what their node's disk was told meanwhile."""
    if os.geteuid() != 0:
        pytest.skip("only root can attach loop devices")
    place = tmp_path_factory.mktemp("recorded")
    try:
        return record(place, server, WRITING_S, SEED, mode=modes.chosen(), lives=1)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        pytest.skip(f"a disk cannot be recorded here: {error}")


def test_s05_what_was_closed_survives_a_power_loss(
    tmp_path: Path, recording: Recording, server: GcsServer
) -> None:
    outcome = Outcome()
    for outcome in Recovery(tmp_path, recording, server).run(choose_cuts(recording, CUTS, SEED)):
        assert outcome.findings.messages == []
    assert outcome.cuts == CUTS
    assert outcome.recovered > 0, "no cut left anything to recover: the test proves nothing"


def test_a_disk_that_forgets_what_it_was_told_to_flush_is_found_out(
    tmp_path: Path, recording: Recording, server: GcsServer
) -> None:
    log = recording.log
    told = [act for act in recording.history.told() if act.content is not None]

    def waiting(cut: Cut) -> int:
        """Count the outputs that only the disk has."""
        stored = {one.name.removeprefix(PREFIX) for one in recording.origin_at(cut.time_ns)}
        return sum(act.end_ns < cut.time_ns and act.path not in stored for act in told)

    counts = range(0, len(log.records), 50)
    cut = max((log.cut_at(count, Loss.ALL, seed=0) for count in counts), key=waiting)
    assert waiting(cut) > 0
    (outcome,) = Recovery(tmp_path, recording, server).run([replace(cut, flushed=0)])
    assert outcome.findings.lost > 0
