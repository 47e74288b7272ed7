"""Lane: short calls that touch the disk of the spool, many in one hop to a thread.

For what takes microseconds on a disk that is well: to make a file, open one, hash a small one.
What takes longer (a large file, an fsync) has a thread of its own, so that it holds up nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import trio

from shotfs.publish.grouped import Groups

P = ParamSpec("P")
T = TypeVar("T")

LANE_THREADS = 2
"""While one works on its group, the other can take what comes meanwhile."""

SMALL_BYTES = 256 * 1024
"""Files up to this size are hashed here, and fsynced by the thread of the journal."""


class Lane:
    """The threads for short calls of one spool."""

    def __init__(self) -> None:
        self._groups: Groups[_Call] = Groups("spool", _work, threads=LANE_THREADS)

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what *call* returns, or raise what it raises. Not cancelled halfway."""
        job = _Call(call, args, kwargs)
        with trio.CancelScope(shield=True):
            await self._groups.do(job)
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    async def close(self) -> None:
        """End the threads."""
        await self._groups.close()


class _Call:
    __slots__ = ("args", "call", "error", "kwargs", "result")

    def __init__(
        self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.call = call
        self.args = args
        self.kwargs = kwargs
        self.result: Any = None
        self.error: Exception | None = None


def _work(group: list[_Call]) -> None:
    for job in group:
        try:
            job.result = job.call(*job.args, **job.kwargs)
        except Exception as error:  # noqa: BLE001 - raised again where it was called
            job.error = error
