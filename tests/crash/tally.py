"""What rounds found, all together: the counts that the campaign reports."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.crash import judge
from tests.crash.judge import Verdict

COUNTED = ("rounds", "kills", "kills_mid_upload", "planned_mid_upload", "files", "sessions")


@dataclass(slots=True)
class Tally:
    """What rounds found, all together.

    Attributes:
        rounds: how many.
        kills: lives that were killed.
        kills_mid_upload: of these, with an upload in flight.
        planned_mid_upload: how many kills were planned at a request or a write of an upload.
        files: outputs that writers were told of.
        sessions: uploads to GCS that nobody went on with; it forgets them after a week.
        hit: kills by where they hit.
        missed: by where they were planned; the life had ended its work before.
        verdicts: of the rounds that went wrong, by number.
        failures: rounds that could not be judged: something hung, or ended as it must not.
    """

    rounds: int = 0
    kills: int = 0
    kills_mid_upload: int = 0
    planned_mid_upload: int = 0
    files: int = 0
    sessions: int = 0
    hit: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    verdicts: dict[int, Verdict] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, other: Tally) -> None:
        """Add what another one has; from any thread."""
        with self._lock:
            for name in COUNTED:
                setattr(self, name, getattr(self, name) + getattr(other, name))
            self.hit.update(other.hit)
            self.missed.update(other.missed)
            self.verdicts.update(other.verdicts)
            self.failures.extend(other.failures)

    @property
    def wrong(self) -> int:
        """How many rounds went wrong in any way."""
        return len(self.verdicts) + len(self.failures)

    def as_json(self) -> dict[str, Any]:
        """Return what the campaign reports."""
        return {
            "rounds": self.rounds,
            "kills_mid_upload": self.kills_mid_upload,
            **judge.total(self.verdicts.values()),
            "kills": self.kills,
            "outputs": self.files,
            "sessions_left": self.sessions,
            "points": dict(sorted(self.hit.items())),
        }
