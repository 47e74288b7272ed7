"""Work beside the event loop leaves Python as it was."""

from __future__ import annotations

import gc
import sys

from shotfs.namespace.beside import SWITCH_INTERVAL_S, beside_the_event_loop


def test_threads_that_end_in_any_order_leave_python_as_it_was() -> None:
    before = gc.isenabled(), sys.getswitchinterval()
    one, other = beside_the_event_loop(), beside_the_event_loop()
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    # The other one still needs it.
    assert (gc.isenabled(), sys.getswitchinterval()) == (False, SWITCH_INTERVAL_S)
    other.__exit__(None, None, None)
    assert (gc.isenabled(), sys.getswitchinterval()) == before
