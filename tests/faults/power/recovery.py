"""Recovery: mount what a cut left, start shotfs on it, drain, and compare the origin."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from shotfs.app.node import open_node
from shotfs.config import load
from shotfs.errors import ShotfsError
from shotfs.observe.metrics import Metrics
from shotfs.publish import State
from shotfs.publish.publisher import QueueItem
from tests.faults.power.cuts import Cut, Images, Loss
from tests.faults.power.disk import run, unmount
from tests.faults.power.history import Findings
from tests.faults.power.recording import BUCKET, PREFIX, Recording, settings
from tests.faults.power.workload import SPEC
from tests.fuse.node import ShotfsNode
from tests.servers.gcs import GcsServer
from tests.servers.gcs.model import StoredObject

DRAIN_S = 30.0
LET_GO_S = 0.5
IMAGES_BYTES = 2 << 30
"""Of the memory that images may take; they take what was written, a few dozen MiB each."""


@dataclass(slots=True)
class Outcome:
    """What came of many cuts.

    Attributes:
        cuts: how many.
        checked: outputs that had been closed before the cut, summed over all cuts.
        recovered: of these, which were not in the origin at the cut.
        partial: files that were kept aside and listed.
        findings: what was wrong.
    """

    cuts: int = 0
    checked: int = 0
    recovered: int = 0
    partial: int = 0
    findings: Findings = field(default_factory=Findings)


def choose_cuts(recording: Recording, count: int, seed: int) -> list[Cut]:
    """Return *count* cuts: half of them right after an application was told something."""
    chance = random.Random(seed)
    log, told = recording.log, recording.history.told()
    cuts = []
    for index in range(count):
        if index % 2 and told:
            position = log.count_at(chance.choice(told).end_ns)
        else:
            position = chance.randrange(len(log.records) + 1)
        loss = chance.choice((Loss.ALL, Loss.ALL, Loss.TORN, Loss.TORN, Loss.NOTHING))
        cuts.append(log.cut_at(position, loss, chance.randrange(2**32)))
    return sorted(cuts, key=lambda cut: cut.count)


class Recovery:
    """Recovers from cuts of one recording.

    Args:
        place: an empty directory.
        recording: what is cut.
        server: the origin of `recording`; its bucket is made anew for each cut.
    """

    def __init__(self, place: Path, recording: Recording, server: GcsServer) -> None:
        self._recording = recording
        self._server = server
        self._disk = place / "cut"
        self._disk.mkdir()
        self._memory = place / "memory"
        self._memory.mkdir()
        node = ShotfsNode(
            place / "node",
            f"gs://{BUCKET}/{PREFIX.rstrip('/')}",
            spec=SPEC,
            settings=settings(self._disk / "cache", server.endpoint),
        )
        self._loaded = load(str(node.config), {})

    def run(self, cuts: list[Cut]) -> Iterator[Outcome]:
        """Recover from each of *cuts*, in the order of their records; yield what came of all."""
        outcome = Outcome()
        run("mount", "-t", "tmpfs", "-o", f"size={IMAGES_BYTES},mode=0700", "shotfs-power",
            str(self._memory))  # fmt: skip
        try:
            images = Images(self._recording.log, self._recording.base, self._memory)
            for cut in cuts:
                with images.image(cut) as image:
                    self._one(cut, image, outcome)
                yield outcome
        finally:
            unmount(self._memory, patience_s=LET_GO_S)

    def _one(self, cut: Cut, image: Path, outcome: Outcome) -> None:
        history = self._recording.history
        stored = self._recording.origin_at(cut.time_ns)
        before = {one.name for one in stored}
        outcome.cuts += 1
        outcome.checked += history.told_before(cut.time_ns)
        with self._bucket(stored), self._mounted(image):
            found = Findings()
            left: list[QueueItem] = []
            try:
                left = trio.run(self._drain)
            except* ShotfsError as errors:
                found.note("broken_journals", f"the service does not start: {errors.exceptions}")
            listed = {item.path.removeprefix(PREFIX) for item in left}
            outcome.partial += sum(item.state is State.FAILED for item in left)
            _check_journal(self._disk / "cache/spool/journal.sqlite", found)
            names = self._server.store.names(BUCKET)
            outcome.recovered += len(set(names) - before)
            objects = {
                name.removeprefix(PREFIX): self._server.store.read(BUCKET, name) for name in names
            }
        compared = history.compare(cut.time_ns, objects, listed)
        found.add(compared, "origin")
        outcome.findings.add(found, f"cut at record {cut.count}, {cut.loss}, seed {cut.seed}")

    async def _drain(self) -> list[QueueItem]:
        async with open_node(self._loaded, Metrics(), read_only=False) as node:
            return await node.publisher.drain(DRAIN_S)

    @contextmanager
    def _bucket(self, stored: list[StoredObject]) -> Iterator[None]:
        """Give the origin the objects that it had, with their generations."""
        store = self._server.store
        store.create_bucket(BUCKET)
        try:
            with store.lock:
                for one in stored:
                    store.bucket(BUCKET).objects[one.name] = [replace(one, deleted_at=None)]
            yield
        finally:
            store.delete_bucket(BUCKET, force=True)

    @contextmanager
    def _mounted(self, image: Path) -> Iterator[None]:
        """Mount *image*: ext4 replays its journal."""
        run("mount", "-t", "ext4", "-o", "loop", str(image), str(self._disk))
        try:
            yield
        finally:
            # A catalog that was found damaged stays open until its connection is collected.
            unmount(self._disk, patience_s=LET_GO_S)


def _check_journal(path: Path, found: Findings) -> None:
    """Let sqlite look at a journal after its recovery, which is shotfs' to do."""
    if not path.exists():
        found.note("broken_journals", "there is none")
        return
    connection = sqlite3.connect(path)
    try:
        (said,) = connection.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        said = str(error)
    finally:
        connection.close()
    if said != "ok":
        found.note("broken_journals", f"sqlite says: {said}")
