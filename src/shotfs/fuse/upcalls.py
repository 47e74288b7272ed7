"""Upcalls: the one place where our errors become errnos.

pyfuse3 ends the mount when a handler raises anything but `FUSEError` (field notes). So each handler
is wrapped: errors on purpose give their errno, everything else is EIO with a logged traceback.
"""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import pyfuse3
import trio

from shotfs.errors import DigestMismatch, OriginDown, ShotfsError, TierError
from shotfs.observe.metrics import Metrics

log = logging.getLogger(__name__)


class HasMetrics(Protocol):
    """What a wrapped method's object must offer."""

    metrics: Metrics
    request_deadline_s: float


S = TypeVar("S", bound=HasMetrics)
P = ParamSpec("P")
R = TypeVar("R")

Handler = Callable[Concatenate[S, P], Coroutine[Any, Any, R]]


def upcall(
    operation: str, *, deadline: bool = True, now: Callable[..., Any] | None = None
) -> Callable[[Handler[S, P, R]], Handler[S, P, R]]:
    """Wrap a request handler: count it, bound its time, turn its errors into errnos.

    Args:
        operation: its name in metrics and logs.
        deadline: answer ETIMEDOUT after `request_deadline_s`. Off where progress is watched below
            (reads), or where waiting is what was asked for (flush under `durability: origin`).
        now: a method of the same arguments that returns the answer if nothing has to be awaited
            for it, else None; then the handler is called. A deadline costs 7 us (2026-11), more
            than most answers from memory.
    """

    def wrap(handler: Handler[S, P, R]) -> Handler[S, P, R]:
        @functools.wraps(handler)
        async def wrapped(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            self.metrics.upcalls[operation].inc()
            began = perf_counter()
            try:
                if now is not None:
                    ready: R | None = now(self, *args, **kwargs)
                    if ready is not None:
                        return ready
                if not deadline:
                    return await handler(self, *args, **kwargs)
                with trio.fail_after(self.request_deadline_s):
                    return await handler(self, *args, **kwargs)
            except pyfuse3.FUSEError:
                raise
            except BaseExceptionGroup as group:
                number = _number(operation, _leaf(group))
            except Exception as exc:  # noqa: BLE001 - the mount must outlive any mistake of ours
                number = _number(operation, exc)
            finally:
                self.metrics.upcall_seconds[operation].observe(perf_counter() - began)
            self.metrics.upcall_errors[operation, errno.errorcode.get(number, str(number))].inc()
            raise pyfuse3.FUSEError(number)

        return wrapped

    return wrap


def _leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return one exception of *group*; cancellation passes through as it is."""
    cancelled, rest = group.split(trio.Cancelled)
    if rest is None:
        assert cancelled is not None
        raise cancelled
    inner = rest.exceptions[0]
    return _leaf(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _number(operation: str, exc: BaseException) -> int:
    """Return the errno for *exc*, and log what somebody should look at."""
    if isinstance(exc, ShotfsError):
        level = logging.WARNING if isinstance(exc, TierError | DigestMismatch) else logging.DEBUG
        if isinstance(exc, OriginDown):
            level = logging.DEBUG  # said once, when it went; these come as fast as anybody asks
        log.log(level, "%s", exc, extra={"operation": operation, "errno": exc.errno})
        return exc.errno
    if isinstance(exc, trio.TooSlowError):
        log.warning("a request made no progress for its deadline", extra={"operation": operation})
        return errno.ETIMEDOUT
    if isinstance(exc, OSError) and exc.errno is not None:
        log.error("local I/O failed: %s", exc, extra={"operation": operation})
        return exc.errno if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) else errno.EIO
    log.error("unexpected error in a request", exc_info=exc, extra={"operation": operation})
    return errno.EIO
