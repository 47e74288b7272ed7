"""Retries: back-off, budget, and puts of unknown outcome, on a fake tier and trio's clock."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from shotfs.config import NetworkSettings, Settings
from shotfs.digest import Checksums, Digest, digest_bytes
from shotfs.errors import (
    AccessDenied,
    ObjectNotFound,
    PreconditionFailed,
    TierTimeout,
    TierUnavailable,
)
from shotfs.observe.metrics import Metrics
from shotfs.publish.compare import same_content
from shotfs.publish.entry import Content
from shotfs.tiers.base import Revision, Tier
from shotfs.tiers.registry import open_adapter
from shotfs.tiers.retry import Retrier, RetryBudget, RetryingTier, proven_same

OURS = Checksums(md5="a" * 32, xxh128=Digest("0" * 32))
THEIRS = Checksums(md5="b" * 32, xxh128=Digest("f" * 32))
CLAIMED = Checksums(xxh128=OURS.xxh128)


class ScriptedTier:
    """Answers stat, put and delete with what the script says, in turn."""

    name = "fake://x"

    def __init__(self, **scripts: list[object]) -> None:
        self.scripts = scripts
        self.calls: list[str] = []

    async def _next(self, op: str) -> Revision:
        self.calls.append(op)
        await trio.lowlevel.checkpoint()
        answer = self.scripts[op].pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Revision)
        return answer

    async def stat(self, key: str) -> Revision:
        return await self._next("stat")

    async def put(self, key: str, source: bytes, **_: object) -> Revision:
        return await self._next("put")

    async def delete(self, key: str, *, expect: Revision | None) -> None:
        await self._next("delete")


def revision(version: str, checksums: Checksums = OURS) -> Revision:
    return Revision("fake://x", "k", 1, version, 0, checksums)


def retrying(tier: ScriptedTier, **network: float) -> RetryingTier:
    settings = NetworkSettings(**network)  # type: ignore[arg-type]  # pydantic parses it
    retrier = Retrier(tier.name, settings, Metrics(), uniform=lambda _, high: high)
    return RetryingTier(tier, retrier)  # type: ignore[arg-type]  # only what is called


async def put(tier: RetryingTier, expect: Revision | None = None) -> Revision:
    return await tier.put("k", b"x", expect=expect, checksums=OURS, mtime_ns=0, metadata={})


async def test_pauses_double_up_to_their_limit(autojump_clock: MockClock) -> None:
    script: list[object] = [TierUnavailable("down") for _ in range(6)]
    tier = retrying(ScriptedTier(stat=script), backoff_s=1.0, backoff_s_max=5.0)
    began = trio.current_time()
    with pytest.raises(TierUnavailable):
        await tier.stat("k")
    assert trio.current_time() - began == 1 + 2 + 4 + 5 + 5


async def test_s07_all_attempts_of_a_look_up_together_end_within_a_deadline(
    autojump_clock: MockClock,
) -> None:
    class Slow(ScriptedTier):
        async def stat(self, key: str) -> Revision:
            await trio.sleep(20.0)
            raise TierTimeout("no answer for 20 s")

    tier = retrying(Slow(), metadata_timeout_s=20.0, attempts_max=6)
    began = trio.current_time()
    with pytest.raises(TierTimeout, match="within 60 s") as caught:
        await tier.stat("k")
    assert trio.current_time() - began == 60.0
    assert "metadata_timeout_s" in str(caught.value)


async def test_what_cannot_heal_is_not_tried_again() -> None:
    inner = ScriptedTier(stat=[AccessDenied("no")])
    with pytest.raises(AccessDenied):
        await retrying(inner).stat("k")
    assert inner.calls == ["stat"]


def test_a_budget_saves_up_ten_seconds_and_no_more() -> None:
    now = 0.0
    budget = RetryBudget(2.0, clock=lambda: now)
    assert [budget.take() for _ in range(21)] == [True] * 20 + [False]
    now = 1.0
    assert [budget.take() for _ in range(3)] == [True, True, False]
    now = 1000.0
    assert [budget.take() for _ in range(21)] == [True] * 20 + [False]


async def test_s18_a_put_that_arrived_is_not_sent_again(autojump_clock: MockClock) -> None:
    inner = ScriptedTier(put=[TierTimeout("?")], stat=[revision("1")])
    assert (await put(retrying(inner))).version == "1"
    assert inner.calls == ["put", "stat"]


async def test_s18_a_put_that_did_not_arrive_is_sent_again(autojump_clock: MockClock) -> None:
    inner = ScriptedTier(put=[TierTimeout("?"), revision("1")], stat=[ObjectNotFound("k")])
    assert (await put(retrying(inner))).version == "1"
    assert inner.calls == ["put", "stat", "put"]


async def test_s18_a_put_that_arrives_late_is_ours(autojump_clock: MockClock) -> None:
    # The first request was still under way when the store was asked, and won the second.
    inner = ScriptedTier(
        put=[TierTimeout("?"), PreconditionFailed("k")],
        stat=[ObjectNotFound("k"), revision("1")],
    )
    assert (await put(retrying(inner))).version == "1"


@pytest.mark.parametrize(
    "checksums",
    [THEIRS, Checksums(), CLAIMED, Checksums(md5=THEIRS.md5, xxh128=OURS.xxh128)],
    ids=["other", "none", "our digest claimed", "our digest claimed and another md5"],
)
async def test_s18_bytes_that_are_not_known_to_be_ours_are_a_lost_race(
    checksums: Checksums, autojump_clock: MockClock
) -> None:
    inner = ScriptedTier(put=[TierTimeout("?")], stat=[revision("1", checksums)])
    with pytest.raises(PreconditionFailed):
        await put(retrying(inner))
    assert inner.calls == ["put", "stat"]


async def test_s18_a_lost_race_without_an_unknown_outcome_is_reported_as_it_is() -> None:
    inner = ScriptedTier(put=[PreconditionFailed("k")])
    with pytest.raises(PreconditionFailed):
        await put(retrying(inner))
    assert inner.calls == ["put"]


async def test_s18_a_replace_of_unknown_outcome_is_sent_again_only_over_its_base(
    autojump_clock: MockClock,
) -> None:
    base = revision("1", THEIRS)
    inner = ScriptedTier(put=[TierTimeout("?"), revision("2")], stat=[base])
    assert (await put(retrying(inner), expect=base)).version == "2"
    inner = ScriptedTier(put=[TierTimeout("?")], stat=[revision("2")])
    assert (await put(retrying(inner), expect=base)).version == "2"
    inner = ScriptedTier(put=[TierTimeout("?")], stat=[revision("3", THEIRS)])
    with pytest.raises(PreconditionFailed):
        await put(retrying(inner), expect=base)


async def test_a_delete_that_arrived_is_a_success(autojump_clock: MockClock) -> None:
    inner = ScriptedTier(delete=[TierTimeout("?"), ObjectNotFound("k")])
    await retrying(inner).delete("k", expect=None)
    assert inner.calls == ["delete", "delete"]
    with pytest.raises(ObjectNotFound):
        await retrying(ScriptedTier(delete=[ObjectNotFound("k")])).delete("k", expect=None)


def test_only_what_the_store_computed_proves_anything() -> None:
    digest, other = Digest("0" * 32), Digest("1" * 32)
    assert proven_same(Checksums(md5="a", xxh128=other), Checksums(md5="a", xxh128=digest))
    assert proven_same(Checksums(md5="a", crc32c="c"), Checksums(md5="a"))
    assert not proven_same(Checksums(md5="b", xxh128=digest), Checksums(md5="a", xxh128=digest))
    assert not proven_same(Checksums(md5="a", crc32c="d"), Checksums(md5="a", crc32c="c"))
    assert not proven_same(Checksums(crc32c="c"), Checksums(md5="a", crc32c="c"))
    assert not proven_same(Checksums(xxh128=digest), Checksums(xxh128=digest))


class LosesAnswers:
    """A directory's tier whose first put is stored, its answer lost."""

    def __init__(self, inner: Tier) -> None:
        self._inner = inner
        self.puts = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    async def put(self, *args: Any, **options: Any) -> Revision:
        self.puts += 1
        made = await self._inner.put(*args, **options)
        if self.puts == 1:
            raise TierTimeout("the answer was lost")
        return made


async def test_s18_without_an_md5_of_the_store_the_caller_settles_an_unknown_outcome_by_reading(
    tmp_path: Path,
) -> None:
    inner = LosesAnswers(open_adapter(f"file://{tmp_path}", Settings()))
    tier = retrying(inner)  # type: ignore[arg-type]  # what it lacks it takes from the directory's
    sums = Checksums(md5=hashlib.md5(b"x").hexdigest(), xxh128=digest_bytes(b"x"))
    with pytest.raises(PreconditionFailed, match="do not prove"):
        await tier.put("k", b"x", expect=None, checksums=sums, mtime_ns=0, metadata={})
    assert inner.puts == 1
    there, limiter = await tier.stat("k"), trio.CapacityLimiter(1)
    assert await same_content(tier, there, Content(1, sums), limiter)
    other = Checksums(md5=hashlib.md5(b"y").hexdigest(), xxh128=digest_bytes(b"y"))
    assert not await same_content(tier, there, Content(1, other), limiter)
