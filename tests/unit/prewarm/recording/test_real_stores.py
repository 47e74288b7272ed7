"""Two nodes learn from each other through real stores: a strict GCS server, and S3."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from shotfs.config import load
from shotfs.namespace import TierPool
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import load as load_spec
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.recordings import Recordings
from shotfs.prewarm.recording.sharing import Shared
from shotfs.prewarm.recording.store import Store

from .telling import DOCUMENT, SHOT, run_of

LIGHTING = Subject("ant", SHOT, "lighting", "1001", "", "j1")


@asynccontextmanager
async def no_turn(origin: str, size_bytes: int, what: str) -> AsyncIterator[None]:
    yield


@pytest.fixture(params=["gcs", "s3"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The URL of a show's origin, and the configuration of it."""
    bucket = request.getfixturevalue(request.param)
    settings = f'[origins."{bucket.url}"]\nendpoint_url = "{bucket.endpoint}"\n'
    if request.param == "gcs":
        return f"{bucket.url}/ant", settings + "anonymous = true\n"
    monkeypatch.setenv("RECORDING_KEY", "testing")
    named = 'access_key_env = "RECORDING_KEY"\nsecret_key_env = "RECORDING_KEY"\n'
    return f"{bucket.url}/ant", settings + named + 'region = "us-east-1"\n'


@asynccontextmanager
async def a_node(directory: Path, store: tuple[str, str]) -> AsyncIterator[Recordings]:
    url, settings = store
    os.mkdir(directory)
    config = directory / "shotfs.toml"
    await trio.Path(config).write_text(settings)
    loaded = load(str(config), {})
    spec = load_spec(json.dumps({**DOCUMENT, "roots": {"main": url}}), source="spec.json")
    tiers = TierPool(loaded.settings, Metrics())
    try:
        yield Recordings(
            Store(str(directory / "recorded"), bytes_max=10**9),
            Shared(tiers, no_turn, directory.name),
            publish=True,
            spec_of=lambda _: spec,
            node=directory.name,
            metrics=Metrics(),
        )
    finally:
        await tiers.aclose()


async def test_two_nodes_learn_from_each_other_through_a_real_store(
    tmp_path: Path, store: tuple[str, str]
) -> None:
    async with a_node(tmp_path / "1", store) as one, a_node(tmp_path / "2", store) as other:
        await one.add(run_of(["library/a.usd", "library/b.tx"], LIGHTING))
        await other.add(run_of(["library/a.usd", "library/c.tx"], LIGHTING))
        await other.add(run_of(["library/a.usd"], replace(LIGHTING, frame="1002")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.publish)
            nursery.start_soon(other.publish)
        assert (await one.pending_count(), await other.pending_count()) == (0, 0)
        async with a_node(tmp_path / "3", store) as third:
            learned = await third.for_subject(Subject("ant", SHOT))
    found = {entry.path: (entry.frames, entry.confidence) for entry in learned.entries}
    assert found == {
        "ant/library/a.usd": ("1001-1002", 1.0),
        "ant/library/b.tx": ("1001", 0.5),
        "ant/library/c.tx": ("1001", 0.5),
    }
