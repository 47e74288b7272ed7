"""Whether the origin is being asked if it is there at all: adapters let such a question go first.

Told through the context, as the tier contract has no word for it. Requests that stall may hold all
places that an origin has; a probe that waited behind them would find a store gone that answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PROBING: ContextVar[bool] = ContextVar("probing", default=False)


@contextmanager
def probing() -> Iterator[None]:
    """Let what the block asks be a probe."""
    token = _PROBING.set(True)
    try:
        yield
    finally:
        _PROBING.reset(token)


def is_probe() -> bool:
    """Whether the calling task asks for a probe."""
    return _PROBING.get()
