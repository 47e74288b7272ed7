"""What the process asks of the C library, the interpreter and the kernel."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys, threading
from shotfs.app.process import prepare_process
prepare_process()
seen = []
thread = threading.Thread(target=lambda: seen.append(os.getpriority(os.PRIO_PROCESS, 0)))
thread.start()
thread.join()
print(os.getpriority(os.PRIO_PROCESS, 0), seen[0], sys.getswitchinterval())
"""


def _run(*prefix: str) -> list[str]:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_the_event_loop_goes_first_and_its_threads_do_not() -> None:
    loop, thread, interval_s = _run()
    assert (loop, thread) == ("-10", "0")
    assert float(interval_s) < 0.001


def test_without_the_right_to_a_priority_the_process_serves_all_the_same() -> None:
    loop, thread, _ = _run(
        "setpriv", "--reuid", "0", "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"
    )
    assert (loop, thread) == ("0", "0")
