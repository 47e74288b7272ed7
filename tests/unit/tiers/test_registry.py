"""Opening tiers: cheap, and clear about what is wrong with the settings."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from shotfs.config import Settings
from shotfs.errors import AccessDenied, ObjectNotFound, TierUnavailable
from shotfs.observe.metrics import Metrics
from shotfs.tiers.base import Tier
from shotfs.tiers.registry import open_adapter, open_tier

HEAVY = ("gcsfs", "s3fs", "obstore", "aiohttp", "botocore", "fsspec", "google.auth")


def test_opening_a_tier_imports_no_client_library() -> None:
    # A process of its own: this one has imported them long ago.
    program = f"""
import sys
from shotfs.config import Settings
from shotfs.tiers.registry import open_adapter
for url in ("gs://b/x", "s3://b", "file:///x", "https://h/x"):
    open_adapter(url, Settings())
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("url", ["gs://b", "s3://b"])
async def test_a_missing_credentials_file_is_named_before_anything_is_sent(url: str) -> None:
    settings = Settings(origins={url: {"credentials_file": "/no/such/file"}})  # type: ignore[dict-item]  # pydantic parses it
    tier = await open_tier(url, settings, Metrics())
    with pytest.raises(AccessDenied, match="/no/such/file does not exist") as caught:
        await tier.stat("a")
    assert f'origins."{url}".credentials_file' in str(caught.value.fix)


@pytest.mark.parametrize("url", ["gs://b/x", "s3://b", "file:///x", "https://h/x", "memory://x"])
async def test_every_adapter_and_wrapper_is_a_tier(url: str) -> None:
    assert isinstance(open_adapter(url, Settings()), Tier)
    tier = await open_tier(url, Settings(), Metrics())
    assert isinstance(tier, Tier)
    assert tier.name == url
    assert "RetryingTier(TracedTier(" in repr(tier)


class Remote(MemoryFileSystem):
    """Connects when it is made, as sftp does."""

    protocol = "remote-test"
    made_in: ClassVar[list[int]] = []
    refuse = False
    cachable = False

    def __init__(self, **options: Any) -> None:
        self.made_in.append(threading.get_ident())
        if self.refuse:
            raise ConnectionRefusedError("nobody listens")
        super().__init__(**options)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> type[Remote]:
    fsspec.register_implementation("remote-test", Remote, clobber=True)
    monkeypatch.setattr(Remote, "made_in", [])
    return Remote


async def test_a_file_system_that_connects_when_it_is_made_does_so_in_a_thread_at_first_use(
    remote: type[Remote],
) -> None:
    tier = await open_tier("remote-test://x", Settings(), Metrics())
    assert remote.made_in == []
    for _ in range(2):
        with pytest.raises(ObjectNotFound):
            await tier.stat("a")
    assert len(remote.made_in) == 1
    assert remote.made_in[0] != threading.get_ident()


async def test_a_file_system_that_cannot_connect_is_unavailable_and_asked_again(
    remote: type[Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Remote, "refuse", True)
    tier = open_adapter("remote-test://x", Settings())
    with pytest.raises(TierUnavailable, match="remote-test://x"):
        await tier.stat("a")
    monkeypatch.setattr(Remote, "refuse", False)
    with pytest.raises(ObjectNotFound):
        await tier.stat("a")
