"""An origin that takes requests and never answers, while others want what is cached (S7)."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import IMPATIENT, REQUEST_DEADLINE_S, NewGcsNode
from tests.faults.processes import cat, errno_of, errnos_of
from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC, ShotfsNode, wait_until
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

WAITING_PROCESSES = 200
WARM_FILES = 50

WARM_P99_S = 1.0
"""What opening and reading a small cached file may take; a quiet machine needs a millisecond."""

SLACK_S = 10.0
"""What 200 processes that start and end may add to a deadline."""

WAITED_S = 60.0
"""How long a test waits for an answer that is due after `REQUEST_DEADLINE_S`: not for ever."""

ROUND_TRIP_S = 0.005
"""What asking another process for a byte takes at most on a machine with nothing else to do, 99
times of 100. Where it takes longer, everything else may take longer in the same measure."""


class WarmReader(threading.Thread):
    """Opens and reads cached files again and again, as an application would, and keeps the times.

    Before each of them it asks a process that does nothing else for a byte: how long that takes is
    how busy the machine is, with the test itself and with others.

    Attributes:
        seconds: of each open, read and close, in order.
        failure: what ended it early.
    """

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(name="warm-reader")
        self.seconds: list[float] = []
        self.failure: OSError | AssertionError | None = None
        self._round_trips_s: list[float] = []
        self._paths = paths
        self._ended = threading.Event()

    def run(self) -> None:
        try:
            with subprocess.Popen(
                ["cat", "-u"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            ) as echo:
                self._read(echo)
        except (OSError, AssertionError) as exc:
            self.failure = exc

    def _read(self, echo: subprocess.Popen[bytes]) -> None:
        assert echo.stdin is not None
        assert echo.stdout is not None
        ended = False
        while not ended:
            ended = self._ended.is_set()  # one round at least
            for path in self._paths:
                started = time.monotonic()
                echo.stdin.write(b"x")
                assert echo.stdout.read(1) == b"x"
                self._round_trips_s.append(time.monotonic() - started)
                started = time.monotonic()
                with open(path, "rb", buffering=0) as file:
                    # Past the kernel's pages, so that the service is asked each time.
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    assert file.read() == path.name.encode()
                self.seconds.append(time.monotonic() - started)

    def end(self) -> None:
        self._ended.set()
        self.join(60)
        assert not self.is_alive(), "a read of a cached file never ended"
        if self.failure is not None:
            raise self.failure

    @property
    def slowness(self) -> float:
        """How many times longer everything may take than on a quiet machine: 1 or more."""
        return max(1.0, _p99(self._round_trips_s) / ROUND_TRIP_S)

    def check(self) -> None:
        """Nothing that is cached was slow, and nothing waited for the origin."""
        slowest = sorted(self.seconds)[-10:]
        assert _p99(self.seconds) < WARM_P99_S * self.slowness, (self.slowness, slowest)
        assert slowest[-1] < REQUEST_DEADLINE_S * self.slowness, (self.slowness, slowest)


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) * 99 // 100]


@contextmanager
def _reading(paths: list[Path]) -> Iterator[WarmReader]:
    reader = WarmReader(paths)
    reader.start()
    try:
        yield reader
    finally:
        reader.end()


def _warm_up(node: ShotfsNode, gcs: GcsBucket) -> list[Path]:
    names = [f"warm-{index}.png" for index in range(WARM_FILES)]
    for name in names:
        gcs.put(f"ant/library/{name}", name.encode())
    paths = [node.show / "library" / name for name in names]
    for path in paths:
        assert path.read_bytes() == path.name.encode()
    return paths


def test_s07_200_processes_that_wait_for_a_stalled_origin_disturb_nobody(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    warm = _warm_up(gcs_node, gcs)
    library = gcs_node.show / "library"
    half = WAITING_PROCESSES // 2
    for index in range(half):
        gcs.put(f"ant/library/cold-{index}.png", b"cold")
    os.listdir(library)
    # Half of them wait for bytes of files that they see, half for an answer whether there is one.
    for operation, name in (("read", "cold-.*"), ("stat", "unseen-.*")):
        gcs.fault(Fault("stall", operation=operation, object=f"ant/library/{name}", times=None))
    memory_before = gcs_node.memory_bytes()
    started = time.monotonic()
    waiting = [
        cat(library / name.format(index))
        for index in range(half)
        for name in ("cold-{}.png", "unseen-{}.png")
    ]
    with _reading(warm) as reader:
        found = errnos_of(waiting, timeout_s=WAITED_S)
        took_s = time.monotonic() - started
    assert set(found) == {errno.ETIMEDOUT}
    assert took_s < REQUEST_DEADLINE_S + SLACK_S / 2 * reader.slowness
    reader.check()
    assert gcs_node.memory_bytes() - memory_before < 100 << 20, "S10: waiting costs no memory"

    gcs.server.faults.clear()
    assert (library / "cold-0.png").read_bytes() == b"cold"
    assert errno_of(cat(library / "unseen-0.png"), timeout_s=30) == errno.ENOENT


def test_s07_an_origin_that_takes_everything_and_answers_nothing_leaves_the_other_at_full_speed(
    new_node: NewNode, gcs: GcsBucket
) -> None:
    spec = {
        **SPEC,
        "roots": {"main": "ORIGIN", "second": f"gs://{gcs.bucket}/second"},
        "templates": {
            **SPEC["templates"],
            "second": {"path": "second/{rest}", "origin": "second", "immutable": "on-close"},
        },
    }
    node = new_node(
        f"gs://{gcs.bucket}/ant", spec=spec, settings=f"{IMPATIENT}{gcs_settings(gcs)}"
    ).mount()
    warm = _warm_up(node, gcs)
    half = WAITING_PROCESSES // 2
    for index in range(half):
        gcs.put(f"ant/library/cold-{index}.png", b"cold")
        gcs.put(f"second/second/cold-{index}.png", b"from the other one")
    os.listdir(node.show / "library")
    # Its probes are listings, which the journal names by their prefix: so they are stalled, too.
    for operation in ("read", "stat", "list"):
        gcs.fault(Fault("stall", operation=operation, object="ant/.*|ant", times=None))
    waiting = [
        cat(node.show / "library" / name.format(index))
        for index in range(half)
        for name in ("cold-{}.png", "unseen-{}.png")
    ]
    with _reading(warm) as reader:
        took_s = []
        for index in range(half):
            started = time.monotonic()
            path = node.show / "second" / f"cold-{index}.png"
            assert path.read_bytes() == b"from the other one"
            took_s.append(time.monotonic() - started)
        found = errnos_of(waiting, timeout_s=WAITED_S)
    assert set(found) <= {errno.ETIMEDOUT, errno.ENETDOWN}
    assert max(took_s) < REQUEST_DEADLINE_S * reader.slowness, sorted(took_s)[-10:]
    reader.check()
    origins = node.status()["origins"]
    assert origins[f"gs://{gcs.bucket}/second"]["reachable"] is True
    gcs.server.faults.clear()
    node.wait_reachable()
    assert (node.show / "library/cold-0.png").read_bytes() == b"cold"


def test_s07_a_stream_that_stalls_in_the_middle_is_etimedout_and_resumes_when_it_may(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    node = new_gcs_node("[network]\nrange_bytes = 1048576\n").mount()
    data = os.urandom(1 << 20) * 8
    gcs.put("ant/library/movie.mov", data)
    path = node.show / "library/movie.mov"
    stall = gcs.fault(Fault("stall", operation="read", skip=2, times=None, bucket=gcs.bucket))
    assert errno_of(cat(path), timeout_s=WAITED_S) == errno.ETIMEDOUT
    stall.release()
    assert path.read_bytes() == data


def test_s07_an_upload_that_stalls_delays_no_other_output_and_no_reader(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    node = new_gcs_node().mount()
    warm = _warm_up(node, gcs)
    directory = node.show / "render/xy_1_100_030_00_v005"
    directory.mkdir()
    stall = gcs.fault(
        Fault("stall", method="POST", object=".*1001.*", times=None, bucket=gcs.bucket)
    )
    (directory / "beauty.1001.exr").write_bytes(b"stalled")
    stall.wait_hits()
    with _reading(warm[:5]) as reader:
        (directory / "beauty.1002.exr").write_bytes(b"passes")
        wait_until(lambda: len(node.queue()) == 1)
    reader.check()
    assert gcs.read("ant/render/xy_1_100_030_00_v005/beauty.1002.exr") == b"passes"
    stall.release()
    node.wait_published()
    assert gcs.read("ant/render/xy_1_100_030_00_v005/beauty.1001.exr") == b"stalled"


def test_s07_outputs_go_on_while_the_origin_stalls(gcs_node: ShotfsNode, gcs: GcsBucket) -> None:
    warm = _warm_up(gcs_node, gcs)[:5]
    frame = gcs_node.show / "render/xy_1_100_030_00_v005/beauty.1001.exr"
    frame.parent.mkdir()
    gcs.fault(Fault("stall", times=None, bucket=gcs.bucket))
    with _reading(warm) as reader:
        started = time.monotonic()
        frame.write_bytes(b"frame")
        took_s = time.monotonic() - started
    assert took_s < REQUEST_DEADLINE_S * reader.slowness
    reader.check()
    assert frame.read_bytes() == b"frame"
    gcs.server.faults.clear()
    gcs_node.wait_published()
    assert gcs.read("ant/render/xy_1_100_030_00_v005/beauty.1001.exr") == b"frame"
