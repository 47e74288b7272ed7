"""What one node learned of the shot, another node fetches before its first frame."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from running import service
from running.service import Mounted

from demo import show
from demo.check import CheckFailed

COMMAND_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Prewarmed:
    """What came before anybody had opened it: files, and their bytes."""

    files: int
    bytes: int


def prewarm_from(teacher: Mounted, learner: Mounted, say: Callable[[str], None]) -> Prewarmed:
    """Have *learner* fetch what frames of the shot were seen to read on *teacher*.

    Raises:
        CheckFailed: nothing was learned, or something did not come.
        ServiceFailed: a command failed.
    """
    _shotfs(teacher, "record", "publish")
    known = json.loads(_shotfs(teacher, "record", "show", show.SHOT, "--json"))
    if not known["entries"]:
        raise CheckFailed(f"{teacher.name} rendered {show.SHOT} and recorded nothing")
    done = json.loads(_shotfs(learner, "prewarm", show.SHOT, "--json"))
    if done["failed_files"] or done["done_files"] != done["files"]:
        raise CheckFailed(
            f"{learner.name}: prewarm brought {done['done_files']} of {done['files']}"
        )
    say(
        f"prewarmed [bold]{learner.name}[/bold] with what {teacher.name} was seen to read: "
        f"{done['fetched_files']} files, {done['fetched_bytes']:,} bytes"
    )
    return Prewarmed(done["fetched_files"], done["fetched_bytes"])


def _shotfs(node: Mounted, *arguments: str) -> str:
    return service.run(*arguments, "--config", node.config, timeout_s=COMMAND_TIMEOUT_S)
