"""Rounds without a mount: lives of one node, killed as planned; then the judge.

Two at a time, each with a process that forks lives. All of a round follows from the seed and its
number, but for the moments of kills "at any instant" and what two threads do first.
"""

from __future__ import annotations

import json
import os
import queue
import random
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from shotfs.digest import digest_bytes
from tests.crash import judge, points, told
from tests.crash.judge import Verdict
from tests.crash.life import Life, Report
from tests.crash.origins import DirectoryOrigin, GcsOrigin, Origin, S3Origin
from tests.crash.plans import Kill, Plan
from tests.crash.points import Page
from tests.crash.site import write_node
from tests.faults.disk import SmallDisk
from tests.servers.proxy import Proxy

LIFE_S_MAX = 90.0
"""A life that lasts longer hangs: that is a failure of its own."""

PROJECT = Path(__file__).parents[2]

SMALL_BYTES, LARGE_BYTES = 6 << 20, 256 << 20
"""Of the disk in trouble: while writers work, and when somebody has made room."""

RIVALS = ("render/1-0.1.0001.exr", "render/1-1.2.0002.exr")
"""What another node has published in rounds with a rival."""


COUNTED = ("rounds", "kills", "kills_mid_upload", "planned_mid_upload", "files", "sessions")

WRONG_MAX = 10
"""After so many rounds that went wrong no other begins."""


ALONE = {
    # gcsfs and botocore look for nothing beyond this machine.
    "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    "NO_GCE_CHECK": "true",
    "GCE_METADATA_HOST": "127.0.0.1:9",
    "GCE_METADATA_IP": "127.0.0.1:9",
    "AWS_EC2_METADATA_DISABLED": "true",
}

AGAIN = 2
"""So many lives more a kill gets that is to hit an upload and came when there was none."""


class RoundFailed(AssertionError):
    """A life hung, or ended in another way than it should."""


@dataclass(slots=True)
class Tally:
    """What rounds found, all together.

    Attributes:
        rounds: how many.
        kills: lives that were killed.
        kills_mid_upload: of these, with an upload in flight.
        planned_mid_upload: how many kills were planned at a request or a write of an upload.
        files: outputs that writers were told of.
        sessions: uploads to GCS that nobody went on with; it forgets them after a week.
        hit: kills by where they hit.
        missed: by where they were planned; the life had ended its work before.
        verdicts: of the rounds that went wrong, by number.
    """

    rounds: int = 0
    kills: int = 0
    kills_mid_upload: int = 0
    planned_mid_upload: int = 0
    files: int = 0
    sessions: int = 0
    hit: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, other: Tally) -> None:
        """Add what another one has; from any thread."""
        with self._lock:
            for name in COUNTED:
                setattr(self, name, getattr(self, name) + getattr(other, name))
            self.hit.update(other.hit)
            self.missed.update(other.missed)
            self.verdicts.update(other.verdicts)

    def as_json(self) -> dict[str, Any]:
        """Return what the campaign reports."""
        return {
            "rounds": self.rounds,
            "kills_mid_upload": self.kills_mid_upload,
            **judge.total(self.verdicts.values()),
            "kills": self.kills,
            "outputs": self.files,
            "sessions_left": self.sessions,
            "points": dict(sorted(self.hit.items())),
        }


class Lives:
    """Forks lives of nodes, one at a time. A context manager.

    Args:
        library: of the points.
        page: where traps are set.
        environment: that nodes need, of their origins.
        errors: a file for what lives say when they go wrong.
    """

    def __init__(
        self, library: Path, page: Page, environment: dict[str, str], errors: Path
    ) -> None:
        self._environment = {
            **os.environ,
            **ALONE,
            **environment,
            **points.environment(library, page),
            "PYTHONPATH": os.pathsep.join(
                one for one in (os.environ.get("PYTHONPATH"), str(PROJECT)) if one
            ),
        }
        self._errors = errors
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        with open(self._errors, "w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.life"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=self._environment,
                cwd=PROJECT,
            )
        return self

    def wait_ready(self) -> None:
        """Return when it has imported everything."""
        self._answer()

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def prepare(self, life: Life) -> int:
        """Fork a process that waits for `go`; return a descriptor of it (pidfd_open(2))."""
        self._say(json.dumps(asdict(life)))
        return os.pidfd_open(self._answer()["pid"])

    def go(self) -> None:
        """Let it begin."""
        self._say("go")

    def wait(self, victim: int) -> int:
        """Return the exit code of the life, negative for a signal.

        Raises:
            RoundFailed: it hung, and was killed.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(victim, selectors.EVENT_READ)
            ended = bool(selector.select(LIFE_S_MAX))
        if not ended:
            signal.pidfd_send_signal(victim, signal.SIGKILL)
        code = int(self._answer()["exit"])
        if not ended:
            raise RoundFailed(f"a life did not end within {LIFE_S_MAX} s")
        return code

    def said(self) -> str:
        """Return what lives said when they went wrong."""
        return self._errors.read_text()

    def _say(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RoundFailed(f"the process that forks lives ended: {self.said()}")
        found: dict[str, Any] = json.loads(line)
        return found


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

        Raises:
            RoundFailed: a life hung or ended as it must not.
        """
        todo: queue.SimpleQueue[Plan] = queue.SimpleQueue()
        for plan in plans:
            todo.put(plan)
        tally = Tally()
        problems: list[BaseException] = []

        def work(worker: Worker) -> None:
            plan: Plan | None = None
            try:
                while not problems and len(tally.verdicts) < WRONG_MAX:
                    plan = todo.get_nowait()
                    found = worker.run(plan)
                    tally.add(found)
                    said(plan, found)
            except queue.Empty:
                return
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
