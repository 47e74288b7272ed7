"""Outputs for tests of the control socket: remembers what it was asked of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shotfs.control.publish_service import Outputs

SAFE: Mapping[str, Any] = {
    "path": "", "safe": True, "state": "published", "says": "in the origin", "serial": None,
    "size_bytes": 2048, "digest": "a" * 32, "verified": True, "mtime_ns": 10**18,
    "origin": "gs://main/a.exr", "version": "7", "sent_bytes": None,
    "recorded": {"shotfs-node": "render-01"}, "emergency": None, "error": None, "aside": [],
}  # fmt: skip

LOST: Mapping[str, Any] = {
    **SAFE, "safe": False, "state": "quarantined", "says": "lost a race", "serial": 12,
    "digest": None, "verified": False, "aside": [12],
}  # fmt: skip

SHOWN: Mapping[str, Any] = {
    "path": "ant/a.exr", "serial": 12, "state": "sealed", "size_bytes": 2048, "age_s": 3.0,
    "attempts": 2, "retry_s": 30.0, "writers": 1, "digest": None, "origin": "gs://main",
    "key": "a.exr", "error": "nobody answers", "priority": 0, "emergency": None, "job": "4711",
    "what": "open", "says": "is being written", "data_file": "/spool/files/12", "closed": True,
    "mtime_ns": 10**18, "uid": 1, "gid": 2, "mode": "0644", "template": "frames",
    "immutable": True, "durability": "node", "grace_s": 1.0, "version": None,
    "recorded": {"shotfs-node": "render-01"}, "sent_bytes": 0, "open_handles": 1,
    "writing": [{"pid": 5, "name": "kick", "uid": 1, "how": "open"}],
    "history": [
        {"at_ns": 10**18, "seconds": 0.5, "failure": "unavailable", "message": "nobody answers"},
        {"at_ns": 10**18, "seconds": 1.5, "failure": None, "message": ""},
    ],
    "conflict": None,
}  # fmt: skip


@dataclass
class FakePublishing:
    """Remembers what it was asked; *calls* are those of the service."""

    calls: list[tuple[Any, ...]]

    async def stat(self, path: str, **who: Any) -> Mapping[str, Any]:
        self.calls.append(("stat", path, who["admin"]))
        return {**SAFE, "path": path} if "safe" in path else {**LOST, "path": path}

    async def show(self, which: Outputs) -> Sequence[Mapping[str, Any]]:
        self.calls.append(("show", which))
        return [SHOWN]

    async def retry(self, which: Outputs | None) -> Mapping[str, Any]:
        self.calls.append(("retry", which))
        if which is not None and which.serial == 404:
            return {"retried": 0, "items": [{"path": "ant/a.exr", "why_not": "it is being sent"}]}
        return {"retried": 2, "items": []}

    async def missing(
        self, *, job: str | None, paths: Sequence[str], **who: Any
    ) -> Mapping[str, Any]:
        self.calls.append(("missing", job, list(paths), who["admin"]))
        item = {
            "path": "ant/a.exr", "serial": 12, "state": "sealed", "size_bytes": 2048,
            "job": "7", "uid": 1, "why": "waits for its upload", "stuck": False,
        }  # fmt: skip
        if job == "stuck":
            item |= {"state": "quarantined", "why": "conflict: other bytes", "stuck": True}
        # What job 7 wrote is there when it is asked for the second time, all else at the fourth.
        asked = sum(call[:2] == ("missing", job) for call in self.calls)
        items = [] if asked > (1 if job == "7" else 3) else [item]
        return {
            "count": len(items), "bytes": 2048 * len(items), "unknown": 0, "items": items,
            "stuck": sum(bool(one["stuck"]) for one in items),
        }  # fmt: skip

    async def finish(self, job: str, **who: Any) -> Mapping[str, Any]:
        self.calls.append(("finish", job, who["admin"]))
        return {
            "job": job, "released": 1, "removed": 2, "removed_bytes": 2048, "kept": 1,
            "removed_paths": ["ant/a.tmp", "ant/b.tmp"], "kept_paths": ["ant/c.tmp"], "refused": 0,
        }  # fmt: skip
