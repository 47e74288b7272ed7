"""Rounds with a real mount: the service is killed, or the process that writes, or both.

Slower than `rounds` by ten times and more, so there are fewer. What they have beyond them: the
kernel, which writes lent files by itself also while the service is dead, maps, and tells of writers
that were killed.
"""

from __future__ import annotations

import os
import random
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shotfs.control.client import Client
from shotfs.digest import digest_bytes
from tests.crash import judge, points, told
from tests.crash.judge import Verdict
from tests.crash.life import Report
from tests.crash.lives import ALONE, RoundFailed
from tests.crash.origins import GcsOrigin
from tests.crash.plans import HABIT_OF, STORE_NAMES, Kill
from tests.crash.points import NAMES, Page, Trap, When
from tests.crash.rounds import WRONG_MAX
from tests.crash.site import PART_BYTES, SHOW, SPEC
from tests.crash.tally import Tally
from tests.crash.traps import COMMIT, StoreTrap
from tests.fuse.node import ShotfsNode

WRITER_S_MAX = 60.0
SERVICE_S_MAX = 60.0
DRAIN_S = 30.0
RANDOM_S_MAX = 1.5
STEPS = 6

SETTINGS = f"""
[network]
upload_part_bytes = {PART_BYTES}
backoff_s = 0.02
backoff_s_max = 0.2
"""


@dataclass(frozen=True, slots=True)
class MountPlan:
    """One round.

    Attributes:
        number: unique; with the seed it says everything.
        kill: how the service ends; None: it does not.
        writer_s: when the writer is killed, seconds after its start; None: it is not.
        habit: its only one, or None.
    """

    number: int
    kill: Kill | None
    writer_s: float | None = None
    habit: str | None = None


def fixed() -> list[MountPlan]:
    """Return the plans that CI runs: points that need a kernel, and a writer that is killed."""
    closed = Kill(point=Trap("data-closed-mark", 2, When.AFTER))
    commit = Kill(store=StoreTrap(COMMIT, 1, "after"))
    return [
        MountPlan(0, closed),
        MountPlan(1, commit, habit="large"),
        MountPlan(2, None, writer_s=1.2),
    ]


def plan_of(seed: int, number: int) -> MountPlan:
    """Return the plan of one round."""
    if number < len(fixed()):
        return fixed()[number]
    chance = random.Random(f"{seed}/{number}/mount")
    writer_s = chance.random() * RANDOM_S_MAX if chance.random() < 0.4 else None
    dice = chance.random()
    habit = None
    if dice < 0.15 and writer_s is not None:
        return MountPlan(number, None, writer_s)
    if dice < 0.4:
        kill = Kill(after_s=chance.random() * RANDOM_S_MAX)
    elif dice < 0.65:
        name, when = chance.choice(STORE_NAMES), chance.choice(("before", "after", "late"))
        kill = Kill(store=StoreTrap(name, 1, when))  # type: ignore[arg-type]
        habit, writer_s = HABIT_OF.get(name, "whole"), None
    else:
        names = [name for name in NAMES if not name.startswith("origin-")]
        nth = 1 + int(chance.expovariate(1 / 4))
        kill = Kill(point=Trap(chance.choice(names), nth, chance.choice((When.BEFORE, When.AFTER))))
    return MountPlan(number, kill, writer_s, habit)


class Node(ShotfsNode):
    """A node whose processes have the points."""

    added: Mapping[str, str] = MappingProxyType({})

    @property
    def environment(self) -> dict[str, str]:
        """As `ShotfsNode.environment`."""
        return {**super().environment, **ALONE, **self.added}


class MountRounds:
    """Runs rounds one after another, each with a node of its own.

    Args:
        place: for their files.
        origin: where they publish to.
        seed: of all that is random.
    """

    def __init__(self, place: Path, origin: GcsOrigin, seed: int) -> None:
        self._place = place
        self._origin = origin
        self._seed = seed
        self._library = points.build(place)
        self._page = Page(place / "page")

    def run(self, plan: MountPlan) -> Tally:
        """Run one round. Its files are kept if it found something.

        Raises:
            RoundFailed: something hung.
        """
        tally = Tally(rounds=1)
        prefix = f"m{plan.number}"
        place = self._place / prefix
        with ExitStack() as stack:
            node = self._node(stack, place, "node", prefix)
            node.added = points.environment(self._library, self._page)
            self._page.arm(None if plan.kill is None else plan.kill.point)
            self._work(plan, node, place, prefix, tally)
            self._page.arm(None)
            if not node.running:
                node.mount()
            with Client(node.socket) as client:
                client.drain(DRAIN_S)
                items = list(client.queue()["items"])
            second = self._node(stack, place, "second", prefix).mount()
            report = Report([_item(item) for item in items], _read_tree(second.show))
            verdict = self._judge(place, prefix, report, tally)
            # What was never closed stays in the queue for ever.
            for one in (node, second):
                one.command("unmount", "--force", str(one.mountpoint), check=False)
        if verdict:
            tally.verdicts[plan.number] = verdict
            (place / "wrong").write_text(f"{plan}\n{verdict.text()}\n")
            return tally
        self._origin.forget(prefix)
        shutil.rmtree(place)
        return tally

    def _node(self, stack: ExitStack, place: Path, name: str, prefix: str) -> Node:
        settings = SETTINGS + self._origin.settings()
        node = Node(place / name, self._origin.root(prefix), spec=SPEC, settings=settings)
        stack.callback(node.clear)
        return node

    def _work(self, plan: MountPlan, node: Node, place: Path, prefix: str, tally: Tally) -> None:
        """Let a writer work, and kill whom the plan says."""
        with suppress(Exception):  # killed while it was being mounted
            node.mount()
        if node.pid is None:
            self._count(plan, prefix, tally, mid_upload=False)
            return
        service = os.pidfd_open(node.pid)
        try:
            self._origin.watch(prefix, None if plan.kill is None else plan.kill.store, service)
            writer = self._writer(plan, node, place)
            assert writer.stdout is not None
            writer.stdout.readline()  # it has imported all that it needs
            started_s = time.monotonic()
            mid_upload = False
            for at_s, what in sorted(_times(plan)):
                time.sleep(max(0.0, started_s + at_s - time.monotonic()))
                if what == "writer":
                    writer.kill()
                else:
                    mid_upload = self._origin.in_flight(prefix)
                    node.kill()
            self._await_writer(writer)
            if plan.kill is not None and not _ended(service, 3.0):
                with suppress(Exception), Client(node.socket) as client:
                    client.drain(DRAIN_S)  # it may be reached now
            if plan.kill is not None and not _ended(service, 0.0):
                node.kill()
            if plan.kill is not None:
                node.wait_ended()
                self._count(plan, prefix, tally, mid_upload=mid_upload)
        finally:
            os.close(service)

    def _writer(self, plan: MountPlan, node: Node, place: Path) -> subprocess.Popen[bytes]:
        arguments = (str(node.show), str(place / "told"), f"{self._seed}/{plan.number}", "1")
        steps = 2 if plan.habit is not None else STEPS
        return subprocess.Popen(
            [sys.executable, "-m", "tests.crash.writing", *arguments, str(steps), plan.habit or ""],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
        )

    def _await_writer(self, writer: subprocess.Popen[bytes]) -> None:
        try:
            writer.communicate(timeout=WRITER_S_MAX)
        except subprocess.TimeoutExpired as error:
            writer.kill()
            writer.communicate()
            raise RoundFailed(f"a writer did not end within {WRITER_S_MAX} s") from error

    def _count(self, plan: MountPlan, prefix: str, tally: Tally, *, mid_upload: bool) -> None:
        kill = plan.kill
        assert kill is not None
        hit = True
        if kill.point is not None:
            hit = self._page.sprung(kill.point)
        elif kill.store is not None:
            hit = self._origin.sprung(prefix)
        tally.kills += 1
        tally.planned_mid_upload += kill.of_upload
        tally.kills_mid_upload += mid_upload or (kill.of_upload and hit)
        (tally.hit if hit else tally.missed)[kill.name] += 1

    def _judge(self, place: Path, prefix: str, report: Report, tally: Tally) -> Verdict:
        accounts = told.read(place / "told")
        tally.files += sum(bool(one.whole) for one in accounts.of.values())
        holding = self._origin.holding(prefix)
        tally.sessions += len(holding.sessions)
        return judge.judge(accounts, holding, report)


def run(
    plans: Iterable[MountPlan],
    seed: int,
    place: Path,
    said: Callable[[MountPlan, Tally], None] = lambda _plan, _tally: None,
) -> Tally:
    """Run all *plans*; as `rounds.run`."""
    tally = Tally()
    place.mkdir(exist_ok=True)
    with GcsOrigin() as origin:
        rounds = MountRounds(place, origin, seed)
        for plan in plans:
            try:
                found = rounds.run(plan)
            except AssertionError as error:  # of ours, and of nodes that do not mount or end
                found = Tally(rounds=1, failures=[f"{plan}: {error}"])
            tally.add(found)
            said(plan, found)
            if tally.wrong >= WRONG_MAX:
                break
    return tally


def _times(plan: MountPlan) -> list[tuple[float, str]]:
    found = []
    if plan.writer_s is not None:
        found.append((plan.writer_s, "writer"))
    if plan.kill is not None and plan.kill.after_s is not None:
        found.append((plan.kill.after_s, "service"))
    return found


def _ended(process: int, within_s: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(process, selectors.EVENT_READ)
        return bool(selector.select(within_s))


def _item(item: Any) -> dict[str, Any]:
    path = item["path"].removeprefix(f"{SHOW}/")
    return {"path": path, "state": item["state"], "error": item["error"]}


def _read_tree(show: Path) -> dict[str, str]:
    """Read every file of a mounted show."""
    found = {}
    for directory, _, names in os.walk(show):
        for name in names:
            path = Path(directory, name)
            try:
                digest = digest_bytes(path.read_bytes())
            except OSError as error:
                digest = f"error: {error}"
            found[str(path.relative_to(show))] = str(digest)
    return found
