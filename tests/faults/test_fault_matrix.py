"""Every fault of the network at every stage of a read, on every kind of origin, all at once.

Each case first has the fault hit one request (the application sees nothing of it), then all of
them until it ends. The table says what the application sees meanwhile.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import xxhash

from tests.faults.field import (
    MIB,
    Field,
    Place,
    Reader,
    Seen,
    content,
    of_content,
    of_metadata,
    read,
)
from tests.fuse.node import wait_until
from tests.servers.http_proxy import Rule

pytestmark = pytest.mark.kernel

SIZE_BYTES = 3 * MIB + 17
"""Four requests, the last one of a few bytes."""

AT_ONCE = 8
"""Cases that run side by side; most of their time is waiting for deadlines."""

STAGES: dict[str, int | None] = {
    "metadata": None,
    "metadata's body": 1,
    "first byte": 0,
    "mid-stream": SIZE_BYTES // 2,
    "last byte": SIZE_BYTES - 1,
}

RIGHT = 0
"""Instead of an errno: the application gets the right bytes."""

_FAULTS: dict[str, Rule] = {
    "delay": Rule("delay", seconds=0.3),
    "throttle": Rule("throttle", bytes_per_s=10e6),
    "cut": Rule("cut"),
    "truncate": Rule("truncate"),
    "corrupt": Rule("corrupt"),
    "429": Rule("status", status=429, retry_after_s=0),
    "500": Rule("status", status=500),
    "503": Rule("status", status=503),
    "stall": Rule("stall"),
}

_SEEN = {
    "delay": RIGHT,
    "throttle": RIGHT,
    "cut": errno.EIO,
    "truncate": errno.EIO,
    "corrupt": errno.EIO,
    "429": errno.ENETDOWN,
    "500": errno.ENETDOWN,
    "503": errno.ENETDOWN,
    "stall": errno.ETIMEDOUT,
}
"""What the application sees while it lasts. A body that ends early is EIO."""

_NO_ANSWER = {"cut", "truncate", "corrupt"}
"""In the head of an answer, these leave no answer at all: ENETDOWN."""


@dataclass(frozen=True, slots=True)
class Case:
    kind: str
    fault: str
    stage: str

    @property
    def name(self) -> str:
        """Of its show."""
        return f"{self.kind}-{self.fault}-{self.stage}".replace(" ", "-").replace("'", "")

    @property
    def errno(self) -> int:
        """What the application sees while it lasts."""
        if self.stage == "metadata" and self.fault in _NO_ANSWER:
            return errno.ENETDOWN
        return _SEEN[self.fault]

    @property
    def errnos(self) -> set[int]:
        """What it may see: an origin that answers no question is found to be gone at some time."""
        return {self.errno, errno.ENETDOWN} if self.of_metadata else {self.errno}

    @property
    def of_metadata(self) -> bool:
        return self.stage.startswith("metadata")

    @property
    def reaches_readers(self) -> bool:
        """Whether applications may see wrong bytes before the whole is verified."""
        return self.fault == "corrupt" and not self.of_metadata

    @property
    def readable_bytes(self) -> int:
        """How much can be read while it lasts."""
        return 0 if self.of_metadata else STAGES[self.stage] or 0

    def rule(self, *, times: int | None) -> Rule:
        """Return the rule that makes it happen to so many requests."""
        fault = _FAULTS[self.fault]
        return Rule(
            fault.kind,
            of_metadata if self.of_metadata else of_content,
            at=STAGES[self.stage],
            times=times,
            seconds=fault.seconds,
            bytes_per_s=fault.bytes_per_s,
            status=fault.status,
            retry_after_s=fault.retry_after_s,
        )


CASES = [
    *(
        Case("gs", fault, stage)
        for fault in _FAULTS
        for stage in STAGES
        if stage != "metadata's body" or fault in ("cut", "truncate", "corrupt", "stall")
    ),
    *(
        Case("s3", fault, stage)
        for fault in ("cut", "truncate", "corrupt", "429", "503", "stall")
        for stage in ("metadata", "mid-stream")
    ),
    *(
        Case("http", fault, stage)
        for fault in ("delay", "cut", "truncate", "500", "stall")
        for stage in ("metadata", "mid-stream")
    ),
]

Outcomes = dict[Case, "Future[None]"]


@pytest.fixture(scope="module")
def fields(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Field]]:
    """A field for each kind of origin that the selected cases need."""
    with ExitStack() as stack:
        fields = {}
        for kind in dict.fromkeys(case.kind for case in _selected(request)):
            names = [case.name for case in _selected(request) if case.kind == kind]
            server = None if kind == "http" else request.getfixturevalue(_SERVERS[kind])
            directory = tmp_path_factory.mktemp(kind)
            fields[kind] = stack.enter_context(Field(directory, kind, names, server))
        yield fields


_SERVERS = {"gs": "gcs_server", "s3": "s3_server"}


@pytest.fixture(scope="module")
def outcomes(fields: dict[str, Field], request: pytest.FixtureRequest) -> Iterator[Outcomes]:
    """Run the selected cases side by side; each test waits for its own."""
    # Those first that wait until wrong bytes are forgotten: it takes ten seconds.
    cases = sorted(_selected(request), key=lambda case: not case.reaches_readers)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="case") as pool:
        yield {case: pool.submit(_run, case, fields[case.kind]) for case in cases}


def _selected(request: pytest.FixtureRequest) -> list[Case]:
    functions = [one for one in request.session.items if isinstance(one, pytest.Function)]
    parameters = [one.callspec.params for one in functions if hasattr(one, "callspec")]
    return [one["case"] for one in parameters if isinstance(one.get("case"), Case)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_s07_a_fault_is_a_clear_error_while_it_lasts_and_nothing_afterwards(
    outcomes: Outcomes, case: Case
) -> None:
    outcomes[case].result()


def test_s06_nothing_wrong_was_kept_by_any_of_them(
    outcomes: Outcomes, fields: dict[str, Field]
) -> None:
    for outcome in outcomes.values():
        outcome.exception()
    for field in fields.values():
        blobs = field.blobs()
        assert all(name == digest for name, digest in blobs.items())
        assert set(blobs) <= field.right


def _run(case: Case, field: Field) -> None:
    place = field.place(case.name)
    data = content(f"{case.name} warm", 1000)
    warm = place.add("warm.png", data)
    assert read(warm) == Seen(data, RIGHT)
    if case.reaches_readers:
        _corrupt_once(case, place)
    else:
        _once(case, place)
    other = content(f"{case.name} other", MIB)
    other_path = field.add_safe(f"{case.name}.png", other)

    def others_are_served() -> bool:
        return _read_anew(warm) == data and read(other_path) == Seen(other, RIGHT)

    _lasting(case, place, others_are_served)


def _once(case: Case, place: Place) -> None:
    """One request is hit: the application gets its bytes all the same."""
    data = content(f"{case.name} once", SIZE_BYTES)
    path = place.add("once.mov", data)
    handle = place.rule(case.rule(times=1))
    assert read(path) == Seen(data, RIGHT)
    assert handle.hits == 1
    handle.release()


def _corrupt_once(case: Case, place: Place) -> None:
    """One answer is corrupt: whoever opens the file after it was verified gets the right bytes."""
    data = content(f"{case.name} once", SIZE_BYTES)
    path = place.add("once.mov", data)
    handle = place.rule(case.rule(times=1))
    _check_corrupt(case, read(path), data)
    assert handle.hits == 1
    handle.release()
    wait_until(lambda: read(path) == Seen(data, RIGHT))


def _lasting(case: Case, place: Place, others_are_served: Callable[[], bool]) -> None:
    """All requests are hit until it ends: a clear error, nobody else is disturbed."""
    data = content(f"{case.name} lasting", SIZE_BYTES)
    path = place.add("lasting.mov", data)
    handle = place.rule(case.rule(times=None))
    with Reader(path) as reader:
        handle.wait_hits()
        assert others_are_served()
        seen = reader.seen()
    if case.errno == RIGHT:
        assert seen == Seen(data, RIGHT)
    elif case.reaches_readers:
        _check_corrupt(case, seen, data)
        wait_until(lambda: read(path) == Seen(b"", errno.EIO))
    else:
        assert seen.errno in case.errnos, os.strerror(seen.errno)
        assert data.startswith(seen.data), "the bytes before an error are right"
        assert len(seen.data) <= case.readable_bytes
        if not case.of_metadata:
            assert place.state(path) != "cached"
    assert others_are_served()
    handle.release()
    wait_until(lambda: read(path) == Seen(data, RIGHT))
    wait_until(lambda: place.state(path) == "cached")
    assert place.node.xattr(path, "digest") == xxhash.xxh3_128_hexdigest(data)


def _check_corrupt(case: Case, seen: Seen, data: bytes) -> None:
    """Check what may be seen before the whole is verified: the transport's checks only (S6).

    That is the right bytes but for the one that was inverted on the way, and EIO once it is known.
    """
    wrong = [index for index, byte in enumerate(seen.data) if byte != data[index]]
    assert wrong in ([], [STAGES[case.stage]])
    assert seen.errno in (RIGHT, errno.EIO)
    assert seen.errno == errno.EIO or len(seen.data) == len(data)


def _read_anew(path: Path) -> bytes:
    """Read *path* past the kernel's pages, so that the service is asked."""
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return file.read()
