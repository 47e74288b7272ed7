"""Opening tiers: cheap, and clear about what is wrong with the settings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from shotfs.config import Settings
from shotfs.errors import AccessDenied
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
