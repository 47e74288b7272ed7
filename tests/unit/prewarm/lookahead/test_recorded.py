"""Recorded: the first frame on this node, where others have rendered the shot."""

from __future__ import annotations

import pytest

from shotfs.prewarm.manifest.entry import Entry, Source, Use
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.recordings import Learned
from tests.unit.prewarm.lookahead.conftest import LookAheadWorld


def entry(path: str, frames: str, first_s: float) -> Entry:
    return Entry(f"ant/{path}", frames=frames, sources=(Source.RECORDED,), use=Use(first_s=first_s))


async def test_what_others_recorded_of_the_frame_comes_with_its_first_open(
    ahead: LookAheadWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def for_subject(subject: Subject) -> Learned:
        asked.append(subject)
        entries = (
            entry("030/cache/smoke.1001.vdb", "1001", 2.0),
            entry("030/cache/smoke.1002.vdb", "1002", 2.0),
            entry("assets/hero.usd", "", 0.5),
        )
        return Learned(subject, entries)

    monkeypatch.setattr(ahead.world.node.recording.recordings, "for_subject", for_subject)
    ahead.add(*(f"030/cache/smoke.{frame}.vdb" for frame in range(1001, 1010)))
    ahead.add("assets/hero.usd", "library/scene")
    await ahead.frame(1002).opens("library/scene")
    await ahead.comes("030/cache/smoke.1002.vdb", "assets/hero.usd")
    await ahead.frame(1003).opens("library/scene")
    assert [one.frame for one in asked] == ["1002"]
    await ahead.comes(
        "030/cache/smoke.1002.vdb", "assets/hero.usd",
        *(f"030/cache/smoke.{frame}.vdb" for frame in (1003, 1004, 1005)),
    )  # fmt: skip
