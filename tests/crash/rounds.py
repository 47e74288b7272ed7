"""Rounds without a mount: lives of one node, killed as planned; then the judge.

Two at a time, each with a process that forks lives. All of a round follows from the seed and its
number, but for the moments of kills "at any instant" and what two threads do first.
"""

from __future__ import annotations

import os
import queue
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Self

from shotfs.digest import digest_bytes
from tests.crash import judge, points, told
from tests.crash.judge import Verdict
from tests.crash.life import Life, Report
from tests.crash.lives import Lives, RoundFailed
from tests.crash.origins import DirectoryOrigin, GcsOrigin, Origin, S3Origin
from tests.crash.plans import Kill, Plan
from tests.crash.points import Page
from tests.crash.site import write_node
from tests.crash.tally import Tally
from tests.faults.disk import SmallDisk
from tests.servers.proxy import Proxy

SMALL_BYTES, LARGE_BYTES = 6 << 20, 256 << 20
"""Of the disk in trouble: while writers work, and when somebody has made room."""

RIVALS = ("render/1-0.1.0001.exr", "render/1-1.2.0002.exr")
"""What another node has published in rounds with a rival."""

WRONG_MAX = 10
"""After so many rounds that went wrong no other begins."""

AGAIN = 2
"""So many lives more a kill gets that is to hit an upload and came when there was none."""


class Worker:
    """Runs rounds one after another.

    Args:
        place: an empty directory for their files.
        origins: by the word of `Plan.where`.
        lives: forks them.
        page: of the points.
        seed: of all rounds.
        disk: the small disk, or None where none can be mounted.
        proxy: to the server of "gcs".
    """

    def __init__(
        self,
        place: Path,
        origins: dict[str, Origin],
        lives: Lives,
        page: Page,
        seed: int,
        disk: SmallDisk | None,
        proxy: Proxy,
    ) -> None:
        self._place = place
        self._origins = origins
        self._lives = lives
        self._page = page
        self._seed = seed
        self._disk = disk
        self._proxy = proxy

    def run(self, plan: Plan) -> Tally:
        """Run one round. Its files are kept if it found something.

        Raises:
            RoundFailed: a life hung or ended as it must not.
        """
        tally = Tally(rounds=1)
        origin = self._origins[plan.where]
        prefix = f"r{plan.number}"
        place = self._place / prefix
        place.mkdir()
        victims: list[int] = []
        spool = None
        if plan.trouble == "disk" and self._disk is not None:
            self._disk.resize(SMALL_BYTES)
            spool = self._disk.path / "spool"
        port = self._proxy.port if plan.trouble == "network" else None
        root, settings = origin.root(prefix), origin.settings(port)
        config = write_node(place / "node", root, settings, spool=spool)
        rivals = self._expect_rivals(plan, prefix)
        try:
            for number, kill in enumerate(plan.kills, start=1):
                life = Life(
                    config=str(config),
                    told=str(place / "told"),
                    seed=f"{self._seed}/{plan.number}",
                    name=str(number),
                    steps=plan.steps,
                    habit=plan.habit,
                    drain_s=1.0 if plan.trouble == "network" else 20.0,
                )
                hit = self._kill(plan, kill, life, origin, prefix, victims, tally)
                for more in range(AGAIN if kill.of_upload else 0):
                    if hit:
                        break
                    # It was planned to hit an upload, so that is what it does.
                    tally.missed[kill.name] += 1
                    again = kill.surely()
                    life = replace(life, name=f"{number}{'ab'[more]}", steps=2, habit=again.habit)
                    hit = self._kill(plan, again, life, origin, prefix, victims, tally)
                tally.planned_mid_upload += kill.of_upload
                (tally.hit if hit else tally.missed)[kill.name] += 1
            if spool is not None and self._disk is not None:
                self._disk.resize(LARGE_BYTES)
            verdict = self._end(plan, config, place, origin, prefix, victims, rivals, tally)
        finally:
            origin.watch(prefix, None, os.pidfd_open(os.getpid()))
            for victim in victims:
                os.close(victim)
        if verdict:
            tally.verdicts[plan.number] = verdict
            (place / "wrong").write_text(f"{plan}\n{verdict.text()}\n")
            return tally
        origin.forget(prefix)
        shutil.rmtree(place)
        if spool is not None:
            shutil.rmtree(spool, ignore_errors=True)
        return tally

    def _expect_rivals(self, plan: Plan, prefix: str) -> dict[str, bytes]:
        if plan.trouble != "rival":
            return {}
        origin = self._origins["gcs"]
        assert isinstance(origin, GcsOrigin)
        rivals = {path: f"rival of {prefix}/{path}".encode() for path in RIVALS}
        for path, content in rivals.items():
            origin.expect_rival(prefix, path, content)
        return rivals

    def _rivals_that_came(self, prefix: str, rivals: dict[str, bytes]) -> dict[str, str]:
        origin = self._origins["gcs"]
        assert isinstance(origin, GcsOrigin)
        return {
            path: digest_bytes(content)
            for path, content in rivals.items()
            if origin.rival_came(prefix, path)
        }

    def _kill(
        self,
        plan: Plan,
        kill: Kill,
        life: Life,
        origin: Origin,
        prefix: str,
        victims: list[int],
        tally: Tally,
    ) -> bool:
        """Let one life end as planned; return whether it was hit before it had done all."""
        self._page.arm(kill.point)
        victim = self._lives.prepare(life)
        victims.append(victim)
        origin.watch(prefix, kill.store, victim)
        self._lives.go()
        mid_upload = False
        cuts = self._cutting(plan)
        try:
            if kill.after_s is not None:
                time.sleep(kill.after_s)
                mid_upload = origin.in_flight(prefix)
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(victim, signal.SIGKILL)
            code = self._lives.wait(victim)
        finally:
            cuts()
        if code != -signal.SIGKILL:
            raise RoundFailed(f"a life ended with {code}, not by SIGKILL: {self._lives.said()}")
        hit = True
        if kill.point is not None:
            hit = self._page.sprung(kill.point)
        elif kill.store is not None:
            hit = origin.sprung(prefix)
        tally.kills += 1
        tally.kills_mid_upload += mid_upload or (kill.of_upload and hit)
        return hit

    def _cutting(self, plan: Plan) -> Callable[[], None]:
        """Cut the network now and then, if that is the trouble; return what ends it."""
        if plan.trouble != "network":
            return lambda: None
        ended = threading.Event()
        chance = random.Random(f"{self._seed}/{plan.number}/network")

        def cut() -> None:
            while not ended.wait(chance.random() * 0.1):
                self._proxy.go_down()
                ended.wait(chance.random() * 0.1)
                self._proxy.come_up()

        thread = threading.Thread(target=cut)
        thread.start()

        def end() -> None:
            ended.set()
            thread.join()

        return end

    def _end(
        self,
        plan: Plan,
        config: Path,
        place: Path,
        origin: Origin,
        prefix: str,
        victims: list[int],
        rivals: dict[str, bytes],
        tally: Tally,
    ) -> Verdict:
        """Start once more, publish everything, read it on a second node; compare."""
        second = write_node(place / "second", origin.root(prefix), origin.settings())
        report = place / "report"
        self._page.arm(None)
        victim = self._lives.prepare(
            Life(
                config=str(config),
                told=str(place / "told"),
                seed="",
                name="last",
                report=str(report),
                second=str(second),
            )
        )
        victims.append(victim)
        origin.watch(prefix, None, victim)
        self._lives.go()
        code = self._lives.wait(victim)
        if code != 0:
            raise RoundFailed(f"the last life ended with {code}: {self._lives.said()}")
        accounts = told.read(place / "told")
        tally.files += sum(bool(one.whole) for one in accounts.of.values())
        came = self._rivals_that_came(prefix, rivals)
        holding = origin.holding(prefix)
        tally.sessions += len(holding.sessions)
        return judge.judge(accounts, holding, Report.load(report), came)


class Rounds:
    """Everything that rounds need, until the block ends: origins, and workers with their processes.

    Args:
        seed: of all that is random.
        place: an empty directory; what went wrong is left in it.
        workers: rounds at a time.
    """

    def __init__(self, seed: int, place: Path, *, workers: int = 2) -> None:
        self._seed = seed
        self._place = place
        self._count = workers
        self._workers: list[Worker] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        library = points.build(self._place)
        environment = {**S3Origin.environment}
        forking = []
        for index in range(self._count):
            own = self._place / f"worker{index}"
            own.mkdir()
            page = Page(own / "page")
            # Begun side by side: they import much.
            lives = stack.enter_context(Lives(library, page, environment, own / "errors"))
            forking.append((own, page, lives))
        origins: dict[str, Origin] = {
            "gcs": stack.enter_context(GcsOrigin()),
            "s3": stack.enter_context(S3Origin()),
            "directory": stack.enter_context(DirectoryOrigin(self._place / "origin")),
        }
        port = origins["gcs"].port
        assert port is not None
        for own, page, lives in forking:
            lives.wait_ready()
            proxy = stack.enter_context(Proxy(port))
            disk = _small_disk(stack, own / "disk")
            self._workers.append(Worker(own, origins, lives, page, self._seed, disk, proxy))

    def run(
        self,
        plans: Iterable[Plan],
        said: Callable[[Plan, Tally], None] = lambda _plan, _tally: None,
    ) -> Tally:
        """Run all *plans*; stop when `WRONG_MAX` of them went wrong.

        Args:
            plans: what to do.
            said: called with each round that ended, from any thread.
        """
        todo: queue.SimpleQueue[Plan] = queue.SimpleQueue()
        for plan in plans:
            todo.put(plan)
        tally = Tally()
        problems: list[BaseException] = []

        def work(worker: Worker) -> None:
            plan: Plan | None = None
            try:
                while not problems and tally.wrong < WRONG_MAX:
                    plan = todo.get_nowait()
                    found = worker.run(plan)
                    tally.add(found)
                    said(plan, found)
            except queue.Empty:
                return
            except RoundFailed as error:
                # Its process may be in no state to go on; the other workers do.
                failed = Tally(rounds=1, failures=[f"{plan}: {error}"])
                tally.add(failed)
                if plan is not None:
                    said(plan, failed)
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
                error.add_note(f"in {plan}")
                problems.append(error)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in self._workers]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException as error:  # interrupted
            problems.append(error)
            raise
        if problems:
            raise problems[0]
        return tally


def _small_disk(stack: ExitStack, path: Path) -> SmallDisk | None:
    try:
        return stack.enter_context(SmallDisk(path, SMALL_BYTES))
    except subprocess.CalledProcessError:
        return None  # not root: the disk is as large as it is
