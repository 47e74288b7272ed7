"""A writer on a mount, as a process of its own.

``python -m tests.crash.writing SHOW TOLD SEED NAME STEPS HABIT`` writes on the mounted SHOW.
It ends by SIGKILL, its own when it has done its steps, whatever errors it met.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from contextlib import suppress
from pathlib import Path

import trio

from tests.crash import told
from tests.crash.hands import PosixHand
from tests.crash.told import Told
from tests.crash.writer import Writer


async def main(show: Path, notes: Path, seed: str, name: str, steps: int, habit: str) -> None:
    """Make the directories, then work."""
    print("ready", flush=True)
    hand = PosixHand(show)
    for path in ("passes", "passes/beauty", "render", "config", "safe"):
        with suppress(OSError):  # it is there, or the service is not any more
            await hand.mkdir(path)
    accounts = told.read(notes)
    writer = Writer(
        hand,
        Told(notes),
        accounts,
        random.Random(f"{seed}/{name}"),
        f"{name}-0",
        accounts.unfinished(),
    )
    await writer.work(steps, only=habit or None)
    # Not by exit, which closes what it has open: a habit leaves files as a killed process does.
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    show, notes, seed, name, steps, habit = sys.argv[1:]
    trio.run(main, Path(show), Path(notes), seed, name, int(steps), habit)
