"""When the first byte of an answer came: told by adapters to whoever asked, through the context.

The tier contract returns whole spans; who paces requests wants to tell latency from bandwidth.
Worker threads see the context of the call that started them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

ON_FIRST_BYTE: ContextVar[Callable[[], None] | None] = ContextVar("on_first_byte", default=None)
"""Called, in any thread, when an answer has begun; again at each attempt. Must not block."""


def first_byte() -> None:
    """Tell that an answer has begun."""
    told = ON_FIRST_BYTE.get()
    if told is not None:
        told()
