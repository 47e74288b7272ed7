"""What prewarm finds in published versions, and in those that were taken back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shotfs.prewarm.finding import Absence, Absent, Found
from shotfs.vfs import publishing
from tests.unit.namespace.origin import Clock, Origin
from tests.unit.namespace.spec import MAIN
from tests.unit.vfs.versioned import (
    FRAME,
    LATEST,
    SECOND_FRAME,
    SHOT,
    VersionNode,
    open_version_node,
    retractable,
)


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VersionNode]:
    origin = Origin(MAIN)

    async def open_tier(*_: object) -> Origin:
        return origin

    monkeypatch.setattr("shotfs.namespace.tier_pool.open_tier", open_tier)
    monkeypatch.setattr(publishing, "SETTLE_S", 0.0)
    monkeypatch.setattr(publishing, "LOOK_AGAIN_S", 0.001)
    async with open_version_node(
        tmp_path / "node", origin, Clock(), document=retractable()
    ) as opened:
        yield opened


async def test_files_of_a_published_version_are_what_its_manifest_says(node: VersionNode) -> None:
    more = [FRAME.replace("1001", str(frame)) for frame in range(1003, 1009)]
    for path in (FRAME, SECOND_FRAME, *more):
        await node.make(path)
    await node.seal()
    await node.fs.prewarm_finder.find_many([FRAME])
    node.origin.asked.clear()
    node.origin.add(more[0][4:], b"somebody else wrote it")
    wanted = [FRAME, SECOND_FRAME, *more, FRAME.replace("1001", "1999")]
    answers = await node.fs.prewarm_finder.find_many(wanted)
    assert [isinstance(one, Found) for one in answers] == [True] * 8 + [False]
    assert all(one.revision.size_bytes == 6 for one in answers if isinstance(one, Found))
    assert node.origin.asked == []
    through = await node.fs.prewarm_finder.find_many([FRAME.replace(SHOT, LATEST)])
    assert through == answers[:1]


async def test_a_version_that_was_taken_back_is_told_as_such(node: VersionNode) -> None:
    for path in (FRAME, SECOND_FRAME):
        await node.make(path)
    await node.seal()
    await node.retract()
    answers = await node.fs.prewarm_finder.find_many([FRAME, SECOND_FRAME])
    absent = [one for one in answers if isinstance(one, Absent)]
    assert [one.absence for one in absent] == [Absence.RETRACTED, Absence.RETRACTED]
    assert "wrong colour" in absent[0].reason
