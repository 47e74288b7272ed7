"""What has to hold for each scheduler. A check returns what it saw, or raises AssertionError."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from tests.fuse.node import wait_until

from campaign.schedulers_gridengine import GridEngine
from campaign.schedulers_jobs import PATIENCE_S, Scheduler, Work
from campaign.schedulers_site import FRAME_BYTES, LAYERS, SHOT, Site
from campaign.schedulers_slurm import Slurm

READ_BYTES = len(LAYERS) * FRAME_BYTES
"""What a job reads: the plates of one frame."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A scheduler and the node that it runs jobs on."""

    site: Site
    scheduler: Scheduler
    jobs: list[str] = field(default_factory=list)
    """Those that were submitted in this check."""

    def submit(
        self,
        work: Work,
        *,
        prewarm: str = "",
        required: bool = False,
        tasks: str = "",
        options: Sequence[str] = (),
    ) -> str:
        """Submit the job of *work*, as `Scheduler.submit`."""
        job = self.scheduler.submit(
            work.script, prewarm=prewarm, required=required, tasks=tasks, options=options
        )
        self.jobs.append(job)
        return job

    def begin(self) -> None:
        """Leave nothing of the last check behind, whatever became of it."""
        self.site.forget_all()
        while self.jobs:
            job = self.jobs.pop()
            if not self.scheduler.ended(job):
                with suppress(RuntimeError):  # it ended meanwhile
                    self.scheduler.cancel(job)
                wait_until(partial(self.scheduler.ended, job), PATIENCE_S)
        wait_until(self.site.reaches_origin, PATIENCE_S)
        self.site.forget_all()

    def work(self, name: str, *, before: str = "") -> Work:
        """Return a new job for the check *name*."""
        return Work(self.site, f"{self.scheduler.name}-{name}", before=before)

    def wait_ended(self, job: str) -> None:
        """Wait until *job* has ended and nothing is pinned any more; the node must be well."""
        wait_until(lambda: self.scheduler.ended(job), PATIENCE_S)
        wait_until(lambda: not self.site.pinned(), PATIENCE_S)
        assert self.scheduler.trouble() == "", self.scheduler.trouble()


def a_job_finds_all_of_it_here(bench: Bench) -> str:
    """The prolog brings and pins a shot, the job fetches nothing, the epilog releases it."""
    work = bench.work("warm")
    job = bench.submit(work, prewarm=SHOT)
    owner, *_ = work.wait_begun()
    fetched_bytes = bench.site.fetched_bytes()
    pinned = bench.site.pinned(owner)
    assert set(bench.site.plates(1001)) <= set(pinned), f"pinned for {owner}: {pinned}"
    read_bytes = work.read()
    later_bytes = bench.site.fetched_bytes() - fetched_bytes
    assert (read_bytes, later_bytes) == (READ_BYTES, 0), f"{read_bytes}, {later_bytes}"
    work.leave()
    bench.wait_ended(job)
    return (
        f"the prolog fetched {fetched_bytes:,} bytes and pinned {len(pinned)} files for {owner}; "
        f"the job read {read_bytes:,} bytes and fetched 0; then nothing was pinned"
    )


def a_task_of_an_array_brings_its_frame(bench: Bench) -> str:
    """Of an array job each task pins its own frame, and releases only that."""
    work = bench.work("array")
    job = bench.submit(work, prewarm=SHOT, tasks="1001-1003")
    owners = {}
    for task in ("1001", "1002"):
        owners[task] = work.wait_begun(task)[0]
        pinned = bench.site.pinned(owners[task])
        assert pinned == bench.site.plates(int(task)), f"{task}: {pinned}"
    wanted = {path for task in (1001, 1002) for path in bench.site.plates(task)}
    assert set(bench.site.fetched()) == wanted, bench.site.fetched()
    work.read("1001")
    work.leave("1001")
    owners["1003"] = work.wait_begun("1003")[0]
    wait_until(lambda: not bench.site.pinned(owners["1001"]), PATIENCE_S)
    assert bench.site.pinned(owners["1002"]), "another task's end took it"
    for task in ("1002", "1003"):
        before = bench.site.fetched_bytes()
        assert work.read(task) == READ_BYTES
        assert bench.site.fetched_bytes() == before
        work.leave(task)
    bench.wait_ended(job)
    total = bench.site.fetched_bytes()
    assert total == 3 * READ_BYTES, total
    return f"pins of {', '.join(owners.values())}: two files each; {total:,} bytes for three frames"


def the_recorder_knows_the_job(bench: Bench) -> str:
    """What a task opens is recorded under its job and frame."""
    work = bench.work("recorded")
    job = bench.submit(work, tasks="1004-1004")
    work.wait_begun("1004")
    work.read("1004")
    subjects = [run["subject"] for run in bench.site.recording()]
    found = [one for one in subjects if one["frame"] == "1004"]
    assert found, f"recorded: {subjects}"
    work.leave("1004")
    bench.wait_ended(job)
    return f"job {found[0]['job']}, frame {found[0]['frame']}"


def the_recorder_knows_a_job_without_environment(bench: Bench) -> str:
    """A process that cleared its environment is known by its control group (Slurm)."""
    work = bench.work("cgroup", before="env -i")
    job = bench.submit(work)
    owner, *_ = work.wait_begun()
    work.read()
    jobs = {run["subject"]["job"] for run in bench.site.recording()}
    work.leave()
    bench.wait_ended(job)
    if not (isinstance(bench.scheduler, Slurm) and bench.scheduler.cgroups):
        return f"not known, as there are no control groups by job here: {sorted(jobs) or 'none'}"
    assert owner in jobs, f"recorded: {jobs}, the job is {owner}"
    return f"job {owner}, by its control group"


def a_cancelled_job_is_released(bench: Bench) -> str:
    """A job that is cancelled while it runs keeps no pins."""
    work = bench.work("cancelled")
    job = bench.submit(work, prewarm=SHOT)
    owner, *_ = work.wait_begun()
    pinned = bench.site.pinned(owner)
    assert pinned
    bench.scheduler.cancel(job)
    bench.wait_ended(job)
    return f"{len(pinned)} files were pinned for {owner}, then none"


def a_job_cancelled_in_its_prolog_is_released(bench: Bench) -> str:
    """A job that is cancelled while its prolog waits leaves no prewarm and no pins."""
    work = bench.work("cancelled-early")
    stalled = bench.site.stall()
    job = bench.submit(work, prewarm=SHOT)
    wait_until(lambda: stalled.hits > 0, PATIENCE_S)
    bench.scheduler.cancel(job)
    wait_until(lambda: bench.scheduler.states(job).get("0") not in {"r", "RUNNING"}, PATIENCE_S)
    bench.site.origin.faults.clear()
    wait_until(lambda: bench.scheduler.ended(job), PATIENCE_S)
    wait_until(lambda: not bench.site.prewarming(), PATIENCE_S)
    bench.wait_ended(job)
    assert not work.has_begun()
    return "no prewarm runs and nothing is pinned afterwards"


def a_job_starts_when_the_origin_is_down(bench: Bench) -> str:
    """A prewarm that fails keeps no job from starting, and drains no node."""
    bench.site.settings("SHOTFS_PREWARM_S=5")
    bench.site.origin.go_down()
    work = bench.work("origin-down")
    job = bench.submit(work, prewarm=SHOT)
    work.wait_begun()
    assert bench.scheduler.trouble() == "", bench.scheduler.trouble()
    bench.site.origin.come_up()
    wait_until(bench.site.reaches_origin, PATIENCE_S)
    read_bytes = work.read()
    work.leave()
    bench.wait_ended(job)
    assert read_bytes == READ_BYTES
    return "the job began, and read on demand when the origin was back; the node takes jobs"


def a_slow_prewarm_is_given_up(bench: Bench) -> str:
    """A prewarm that takes longer than it may ends, and the job begins."""
    bench.site.settings("SHOTFS_PREWARM_S=5")
    bench.site.stall()
    work = bench.work("slow")
    job = bench.submit(work, prewarm=SHOT)
    work.wait_begun()
    assert bench.scheduler.trouble() == "", bench.scheduler.trouble()
    bench.site.origin.faults.clear()
    work.read()
    work.leave()
    bench.wait_ended(job)
    return "the job began after SHOTFS_PREWARM_S; the node takes jobs"


def a_job_starts_without_a_service(bench: Bench) -> str:
    """A service that is gone keeps no job from starting, and can be started again."""
    bench.site.settings("SHOTFS_PREWARM_S=5")
    bench.site.node.clear()
    work = bench.work("no-service")
    try:
        job = bench.submit(work, prewarm=SHOT)
        work.wait_begun()
        trouble = bench.scheduler.trouble()
        assert trouble == "", trouble
        assert not bench.site.answers(), "the prolog started a service"
    finally:
        bench.site.node.mount()
    work.read()
    work.leave()
    bench.wait_ended(job)
    return "the job began, and read on demand from the service that was started later"


def a_job_may_ask_for_a_warm_node(bench: Bench) -> str:
    """Features and load sensors say which shots are here; a job can ask for that."""
    bench.site.settings(f"SHOTFS_WARM={SHOT}")
    feature = f"warm_{SHOT}"
    scheduler = bench.scheduler
    assert feature not in scheduler.warm()
    bench.site.node.command("prewarm", SHOT)
    wait_until(lambda: feature in scheduler.warm(), PATIENCE_S)
    work = bench.work("asks-for-warm")
    work.pass_through()
    job = bench.submit(work, options=scheduler.options_warm(feature))
    work.wait_begun()
    bench.wait_ended(job)
    bench.site.forget_all()
    bench.site.settings(f"SHOTFS_WARM={SHOT}")
    wait_until(lambda: feature not in scheduler.warm(), PATIENCE_S)
    return (
        f"{feature} came with the prewarm, a job asked for it and ran, and it went with the files"
    )


def a_prolog_may_take_long(bench: Bench) -> str:
    """A prolog that takes more than the two minutes of Grid Engine's script_timeout is let be."""
    bench.site.settings("SHOTFS_PREWARM_S=140")
    bench.site.stall()
    work = bench.work("long")
    began_s = time.monotonic()
    job = bench.submit(work, prewarm=SHOT)
    wait_until(lambda: work.has_begun() or bench.scheduler.trouble(), 3 * PATIENCE_S)
    took_s = time.monotonic() - began_s
    assert bench.scheduler.trouble() == "", f"{bench.scheduler.trouble()} after {took_s:.0f} s"
    assert took_s > 140, f"it began after {took_s:.0f} s"
    bench.site.origin.faults.clear()
    work.read()
    work.leave()
    bench.wait_ended(job)
    return "the prolog took 140 s, as it was told, and the job began"


def a_required_prewarm_that_fails(bench: Bench) -> str:
    """What must come and does not: Grid Engine puts the job back, Slurm's task fails."""
    bench.site.settings("SHOTFS_PREWARM_S=3")
    bench.site.origin.go_down()
    work = bench.work("required")
    scheduler = bench.scheduler
    if isinstance(scheduler, Slurm):
        job = scheduler.submit(work.script, own=SHOT, required=True)
        bench.jobs.append(job)
        wait_until(lambda: scheduler.ended(job), PATIENCE_S)
        state = scheduler.states(job)["0"]
        assert (state, work.has_begun()) == ("FAILED", False), state
        assert "shotfs: prewarm ended with" in work.log(), work.log()
        bench.site.origin.come_up()
        bench.wait_ended(job)
        return "the task failed before it began (FAILED), the node takes jobs"
    assert isinstance(scheduler, GridEngine)
    job = bench.submit(work, prewarm=SHOT, required=True)
    wait_until(lambda: "R" in scheduler.states(job).get("0", ""), PATIENCE_S)
    assert not work.has_begun()
    assert scheduler.trouble() == "", scheduler.trouble()
    bench.site.origin.come_up()
    owner, *_ = work.wait_begun()
    pinned = bench.site.pinned(owner)
    assert pinned, "the second time it was not pinned"
    before = bench.site.fetched_bytes()
    work.read()
    assert bench.site.fetched_bytes() == before
    work.leave()
    bench.wait_ended(job)
    return "99 put the job back; with the origin up it ran, pinned, and fetched 0 bytes"


Check = Callable[[Bench], str]

CHECKS: tuple[Check, ...] = (
    a_job_finds_all_of_it_here,
    a_task_of_an_array_brings_its_frame,
    the_recorder_knows_the_job,
    the_recorder_knows_a_job_without_environment,
    a_cancelled_job_is_released,
    a_job_cancelled_in_its_prolog_is_released,
    a_job_starts_when_the_origin_is_down,
    a_slow_prewarm_is_given_up,
    a_required_prewarm_that_fails,
    a_job_may_ask_for_a_warm_node,
    a_job_starts_without_a_service,
)

SLOW: tuple[Check, ...] = (a_prolog_may_take_long,)
"""Those that take minutes."""
