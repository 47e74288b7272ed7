"""Faults on request: what a test wants to go wrong, for which requests, and how often."""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tests.servers.journal import OPERATIONS, RequestRecord

Kind = Literal[
    "delay",
    "stall",
    "stall_reply",
    "status",
    "cut_reply",
    "drop_reply",
    "cut_request",
    "truncate",
    "corrupt",
]
KINDS = frozenset(Kind.__args__)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: what happens.
            ``delay``: wait `seconds` before the request is looked at.
            ``stall``: wait until released before the request is looked at.
            ``status``: answer `status` without doing anything.
            ``cut_request``: reset the connection after `after_bytes` of the request's body.
            ``drop_reply``: do what was asked, then close without a word.
            ``cut_reply``: close the connection after `after_bytes` of the answer's body.
            ``stall_reply``: send `after_bytes` of the answer's body, then wait until released.
            ``truncate``: send a well-formed answer that is only `after_bytes` long.
            ``corrupt``: invert the byte at `after_bytes` of the answer's body.
        operation: a word of `journal.OPERATIONS`; None for any.
        method: HTTP method; None for any.
        object: regular expression for the whole object name; None for any.
        bucket: bucket name; None for any.
        skip: how many matching requests pass before the first one is hit.
        times: how many matching requests are hit; None for all of them.
        seconds: of a delay.
        after_bytes: see `kind`.
        status: of the kind "status".
        retry_after_s: sent as Retry-After with the status, when given.
    """

    kind: Kind
    operation: str | None = None
    method: str | None = None
    object: str | None = None
    bucket: str | None = None
    skip: int = 0
    times: int | None = 1
    seconds: float = 0.0
    after_bytes: int = 0
    status: int = 503
    retry_after_s: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no such kind of fault: {self.kind!r}; there are {sorted(KINDS)}")
        if self.operation is not None and self.operation not in OPERATIONS:
            raise ValueError(f"no such operation: {self.operation!r}")

    def matches(self, record: RequestRecord) -> bool:
        return (
            self.operation in (None, record.operation)
            and self.method in (None, record.method)
            and self.bucket in (None, record.bucket)
            and (self.object is None or re.fullmatch(self.object, record.object) is not None)
        )


class Hits:
    """How often something that was put in force has hit, and whether it still does. Thread-safe.

    Attributes:
        hits: how many were hit.
        passed: how many were let through before the first hit.
        active: whether it may hit more.
    """

    def __init__(self, *, skip: int, times: int | None) -> None:
        self._skip = skip
        self._times = times
        self.hits = 0
        self.passed = 0
        self.active = True
        self._changed = threading.Condition()
        self._released = threading.Event()

    def count(self) -> bool:
        """Return whether one that matches is hit, and count it."""
        with self._changed:
            if not self.active or (self._times is not None and self.hits >= self._times):
                return False
            if self.passed < self._skip:
                self.passed += 1
                return False
            self.hits += 1
            self._changed.notify_all()
            return True

    def wait_hits(self, count: int = 1, *, timeout_s: float = 30.0) -> None:
        """Block until *count* requests were hit; TimeoutError if they do not come."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.hits >= count, timeout_s):
                raise TimeoutError(f"{self!r} hit {self.hits} requests, not {count}")

    def wait_released(self, timeout_s: float | None = None) -> bool:
        """Block, in the server, until the test releases the stalled requests."""
        return self._released.wait(timeout_s)

    def release(self) -> None:
        """Let stalled and delayed requests go on, and hit no more."""
        with self._changed:
            self.active = False
        self._released.set()


class FaultHandle(Hits):
    """A fault that was put in force."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(skip=fault.skip, times=fault.times)
        self.fault = fault

    def __repr__(self) -> str:
        return repr(self.fault)

    def take(self, record: RequestRecord) -> bool:
        """Return whether this request is hit, and count it."""
        return self.fault.matches(record) and self.count()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.fault), "hits": self.hits, "active": self.active}


class Faults:
    """The faults in force, oldest first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: list[FaultHandle] = []

    def add(self, fault: Fault) -> FaultHandle:
        handle = FaultHandle(fault)
        with self._lock:
            self._handles.append(handle)
        return handle

    def clear(self) -> None:
        """End all faults; stalled requests go on."""
        with self._lock:
            handles, self._handles = self._handles, []
        for handle in handles:
            handle.release()

    def take(self, record: RequestRecord) -> list[FaultHandle]:
        """Return the faults that hit this request: at most one of each kind."""
        if not self._handles:
            return []
        taken: dict[str, FaultHandle] = {}
        with self._lock:
            for handle in self._handles:
                if handle.fault.kind not in taken and handle.take(record):
                    taken[handle.fault.kind] = handle
        return list(taken.values())

    def as_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [handle.as_json() for handle in self._handles]
