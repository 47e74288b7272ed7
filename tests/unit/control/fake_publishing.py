"""Outputs for tests of the control socket: remembers what it was asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.control.publish_service import Outputs


@dataclass
class FakePublishing:
    """Remembers what it was asked; *calls* are those of the service."""

    calls: list[tuple[Any, ...]]

    async def retry(self, which: Outputs | None) -> Mapping[str, Any]:
        self.calls.append(("retry", which))
        if which is not None and which.serial == 404:
            return {"retried": 0, "items": [{"path": "ant/a.exr", "why_not": "it is being sent"}]}
        return {"retried": 2, "items": []}
