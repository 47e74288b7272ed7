"""The short form of the campaign for outputs: some fifty rounds, each named point is hit once.

``tools/campaign/crash`` runs thousands, with more lives a round and kills at any instant.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash import mounts, plans
from tests.crash.plans import Plan
from tests.crash.rounds import Rounds
from tests.crash.tally import Tally
from tests.faults.surroundings import compiler
from tests.fuse import modes

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="no C compiler (Debian: gcc)"),
    pytest.mark.timeout(600),  # of a machine that is busy; else a few seconds each
]

SEED = 6

PLANS = plans.fixed()


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rounds]:
    with Rounds(SEED, tmp_path_factory.mktemp("crash")) as started:
        yield started


def check(tally: Tally, some: list[Plan]) -> None:
    """Everything is right, and each kill was where it was to be."""
    said = "\n".join(
        f"round {number}: {verdict.text()}" for number, verdict in tally.verdicts.items()
    )
    assert not tally.wrong, f"seed {SEED}: {said} {tally.failures}"
    assert tally.rounds == len(some)
    assert set(tally.hit) == {kill.name for plan in some for kill in plan.kills}, tally.missed
    assert tally.kills_mid_upload >= tally.planned_mid_upload


def test_s05_a_kill_at_each_fsync_rename_and_journal_write_loses_no_output(rounds: Rounds) -> None:
    some = [plan for plan in PLANS if plan.trouble == "none" and plan.where != "s3"]
    some = [plan for plan in some if plan.kills[0].store is None]
    check(rounds.run(some), some)


def test_s05_a_kill_at_each_request_of_an_upload_to_gcs_publishes_once(rounds: Rounds) -> None:
    some = [plan for plan in PLANS if plan.where == "gcs" and plan.kills[0].store is not None]
    check(rounds.run(some), some)


def test_s05_a_kill_at_each_request_of_an_upload_to_s3_publishes_once(rounds: Rounds) -> None:
    some = [plan for plan in PLANS if plan.where == "s3"]
    check(rounds.run(some), some)


def test_s05_kills_on_a_full_disk_a_cut_network_and_in_a_conflict_lose_no_output(
    rounds: Rounds,
) -> None:
    some = [plan for plan in PLANS if plan.trouble != "none"]
    check(rounds.run(some), some)


@pytest.mark.kernel
def test_s05_a_kill_of_a_mounted_service_loses_no_output(tmp_path: Path) -> None:
    if not modes.chosen().passthrough:
        pytest.skip("the point is one of files that the kernel writes by itself")
    tally = mounts.run(mounts.fixed()[:1], SEED, tmp_path)
    said = [verdict.text() for verdict in tally.verdicts.values()]
    assert not tally.wrong, (said, tally.failures)
    assert tally.hit["data-closed-mark:after"] == 1, tally.missed
