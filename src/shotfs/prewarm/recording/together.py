"""Together: what several manifests of one shot say, as one answer. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.frames import frames_text, short_text
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.learning import runs_in

NEIGHBOURS_MAX = 5
"""Recorded frames that are looked at for one that is not."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of a piece of work.

    Attributes:
        subject: what was asked for.
        entries: in the order in which the files are opened (`Use.first_s`); `Entry.frames` says
            for which of the frames.
        frames: those of the frames asked for that were recorded themselves, as text.
        concluded: those for which others had to speak, as text.
        runs: the most runs that some file was seen in.
    """

    subject: Subject
    entries: tuple[Entry, ...] = ()
    frames: str = ""
    concluded: str = ""
    runs: int = 0


class Together:
    """Entries of several manifests, joined by path."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._frames: dict[str, set[int]] = {}
        self.exact: set[int] = set()
        self.concluded: set[int] = set()

    def add(self, frame: str, entries: Iterable[Entry]) -> None:
        """Add what *frame* needs; "": all frames."""
        number = int(frame) if frame else None
        for entry in entries:
            path = entry.path
            known = self._entries.get(path)
            if known is None or known.confidence < entry.confidence:
                self._entries[path] = entry
            if number is None:
                self._frames[path] = set()
            elif known is None:
                self._frames[path] = {number}
            elif self._frames[path]:
                self._frames[path].add(number)

    def learned(self, subject: Subject) -> Learned:
        """Return the whole."""
        entries = [
            replace(entry, frames=short_text(self._frames[path]))
            for path, entry in self._entries.items()
        ]
        entries.sort(key=lambda one: (0.0 if one.use is None else one.use.first_s, one.path))
        return Learned(
            subject,
            tuple(entries),
            frames_text(self.exact),
            frames_text(self.concluded),
            runs_in(self._entries),
        )


def nearest(frame: int, recorded: list[int]) -> list[int]:
    """Return the frames that speak for *frame*, the nearest first."""
    return sorted(recorded, key=lambda one: (abs(one - frame), one))[:NEIGHBOURS_MAX]
