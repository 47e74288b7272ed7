"""The recorder of a whole node: from an open to a manifest that another node reads."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from shotfs.app import recording as recording_module
from shotfs.control.access import Peer
from shotfs.digest import digest_bytes
from shotfs.errors import InvalidArgument, NotPermitted, PathNotFound
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.reading import decode
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.outcome import Outcome
from shotfs.prewarm.recording.run import Run
from shotfs.vfs import Caller
from tests.unit.vfs.world import Site, World

SHOT = "xy_1_100_030_00"
FILE = "library/a.tex"
JOB = Subject(job="farm 7", shot=SHOT, task="fx", frame="1001")


def peer(uid: int, pid: int = 1) -> Peer:
    return Peer(uid=uid, gid=uid, pid=pid, groups=frozenset())


@contextmanager
def process(subject: Subject) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose environment names what it works on."""
    environment = {
        "SHOTFS_JOB": subject.job,
        "SHOTFS_SHOT": subject.shot,
        "SHOTFS_TASK": subject.task,
        "SHOTFS_FRAME": subject.frame,
    }
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        try:
            yield child
        finally:
            child.kill()


async def read(world: World, path: str, pid: int) -> bytes:
    """Read *path* as the process *pid*."""
    found = await world.fs.attributes(path)
    caller = Caller(os.getuid(), os.getgid(), pid)
    handle = await world.fs.open(path, os.O_RDONLY, identity=found.identity, caller=caller)
    try:
        return bytes(await handle.read(0, 2**20))
    finally:
        await handle.close()


def entries_of(data: bytes) -> list[Entry]:
    return decode(data, "answer")[1]


async def test_what_a_job_opens_is_in_its_manifest_with_digest_and_ranges(site: Site) -> None:
    site.origin.add(FILE, b"pixels")
    site.origin.checksummed = False
    site.origin.add("library/b.tex", b"more")
    async with site.open() as world:
        desk = world.node.recording
        with process(JOB) as child:
            number = desk.start(JOB, peer=peer(1000), bound=False)["number"]
            assert await read(world, f"ant/{FILE}", child.pid) == b"pixels"
            assert await read(world, "ant/library/b.tex", child.pid) == b"more"
            assert (await desk.report())["active"][0]["files"] == 2
            with pytest.raises(NotPermitted):
                await desk.stop(number, peer=peer(1001), admin=False)
            report = await desk.stop(number, peer=peer(1000), admin=False)
        assert (report["files"], report["bytes"], report["opens"], report["cold"]) == (2, 10, 2, 2)
        assert (report["learned"], report["subject"]["show"]) == (True, "ant")
        data = desk.taken(number, peer=peer(1000), admin=False)
        assert [(one.path, one.digest) for one in entries_of(data)] == [
            (f"ant/{FILE}", digest_bytes(b"pixels")),
            ("ant/library/b.tex", digest_bytes(b"more")),
        ]
        assert all(one.use is not None and one.use.ranges for one in entries_of(data))
        with pytest.raises(NotPermitted):
            desk.taken(number, peer=peer(1001), admin=False)
        with pytest.raises(PathNotFound):
            desk.taken(number + 1, peer=peer(1000), admin=True)
        known = await desk.manifest(Subject("ant", SHOT, frame="1001"))
        assert len(entries_of(known)) == 2
        with pytest.raises(PathNotFound):
            await desk.manifest(Subject("ant", "nobody"))
        with pytest.raises(InvalidArgument):
            await desk.stop(number, peer=peer(1000), admin=True)


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_read_only_mount_learns_and_writes_nothing_to_an_origin(
    site: Site, *, read_only: bool
) -> None:
    site.origin.add(FILE, b"pixels")
    async with site.open(read_only=read_only) as world:
        desk = world.node.recording
        with process(JOB) as child:
            number = desk.start(JOB, peer=peer(1000), bound=False)["number"]
            await read(world, f"ant/{FILE}", child.pid)
            await desk.stop(number, peer=peer(1000), admin=False)
        await desk.publish()
        assert len(entries_of(await desk.manifest(Subject("ant", SHOT, frame="1001")))) == 1
    written = [key for key in site.origin.objects if key.startswith(".shotfs/")]
    assert bool(written) is not read_only


async def test_a_job_is_learned_when_its_process_is_gone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_module, "SWEEP_S", 0.05)
    site.origin.add(FILE, b"pixels")
    async with site.open() as world:
        desk = world.node.recording
        with process(JOB) as child:
            await read(world, f"ant/{FILE}", child.pid)
        learned = "shotfs_recorded_runs_total{outcome=learned}"
        await world.until(lambda: learned in world.node.metrics.snapshot())
        ((subject, pending),) = await desk.recordings.stored()
        assert (subject.shot, subject.task, subject.frame, pending) == (SHOT, "fx", "1001", True)
        assert (await desk.publish())["published"] == 1


async def test_the_end_of_a_service_learns_and_shares_what_goes_on(site: Site) -> None:
    site.origin.add(FILE, b"pixels")
    with process(JOB) as child:
        async with site.open() as world:
            await read(world, f"ant/{FILE}", child.pid)
    assert f".shotfs/recorded/{SHOT}/fx/_/1001.jsonl" in site.origin.objects
    async with site.open() as world:
        assert [one["pending"] for one in (await world.node.recording.report())["stored"]] == [
            False
        ]


async def test_what_scanners_were_worth_is_remembered_by_show(site: Site) -> None:
    async with site.open() as world:
        desk = world.node.recording
        with pytest.raises(InvalidArgument, match="no show is called 'bee'"):
            await desk.remember("bee", {"usd": (1, 1)})
        await desk.remember("ant", {"usd": (1000, 100)})
    async with site.open() as world:
        weights = await world.node.recording.recordings.weights("ant")
        assert weights.precision("usd") < 0.2


async def test_s12_no_run_and_no_recording_ends_the_mount(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording_module, "SWEEP_S", 0.05)
    site.origin.add(FILE, b"pixels")
    site.origin.add("library/b.tex", b"more")
    learn = recording_module.outcome_of

    def stumble(run: Run) -> Outcome:
        if run.subject == JOB:
            raise ZeroDivisionError
        return learn(run)

    monkeypatch.setattr(recording_module, "outcome_of", stumble)
    async with site.open() as world:
        with process(JOB) as one, process(replace(JOB, frame="1002")) as other:
            await read(world, f"ant/{FILE}", one.pid)
            await read(world, "ant/library/b.tex", other.pid)
        learned = "shotfs_recorded_runs_total{outcome=learned}"
        await world.until(lambda: learned in world.node.metrics.snapshot())
        assert await read(world, f"ant/{FILE}", 0) == b"pixels"
    assert "nothing is learned from a run" in caplog.text
