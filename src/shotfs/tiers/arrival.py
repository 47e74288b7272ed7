"""What adapters and whoever asked tell each other beside the tier contract, through the context.

The contract returns whole spans; who paces requests wants to tell latency from bandwidth, so he is
told when the first byte of an answer came. Who has asked for many objects tells when somebody is
blocked on one of them. Worker threads see the context of the call that started them.
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


IS_WAITED_FOR: ContextVar[Callable[[], bool] | None] = ContextVar("is_waited_for", default=None)
"""Called, in any thread, to learn whether somebody is blocked on the request. Must not block."""


def is_waited_for() -> bool:
    """Whether somebody is blocked on what is being fetched: it should end as soon as it can."""
    asked = IS_WAITED_FOR.get()
    return asked is not None and asked()
