"""A service for tests of the control socket: remembers what it was asked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import trio

from tests.unit.control.fake_conflicts import FakeConflicts
from tests.unit.control.fake_localizing import FakeLocalizing
from tests.unit.control.fake_prewarming import FakePrewarming
from tests.unit.control.fake_publishing import FakePublishing
from tests.unit.control.fake_recording import FakeRecording
from tests.unit.control.fake_reports import entry_page, pin_page, top_report, why_report


class State(StrEnum):
    SEALED = "sealed"


@dataclass(frozen=True, slots=True)
class Item:
    path: str
    state: State
    size_bytes: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Numbers:
    bytes_used: int
    files: int


@dataclass(frozen=True, slots=True)
class Settings:
    socket: str
    admin_group: str = "no-such-group-here"


@dataclass
class FakeVersions:
    """Remembers what it was asked of versions; *calls* are those of the service."""

    calls: list[tuple[Any, ...]]

    async def show(self, path: str) -> Mapping[str, Any]:
        self.calls.append(("show", path))
        return {"path": path, "state": "open"}

    async def next(self, path: str) -> str:
        self.calls.append(("next", path))
        return f"{path}+1"

    async def verify(self, path: str) -> Any:
        self.calls.append(("verify", path))
        return {"path": path, "intact": True}

    async def history(self, path: str) -> Sequence[Any]:
        self.calls.append(("history", path))
        return [{"version": "v001", "at": "", "by": "a@b", "why": ""}]

    async def publish(self, path: str, **options: Any) -> Any:
        self.calls.append(("publish", path, options))
        return {"path": path, "aliases": ()}

    async def version_history(self, path: str) -> Sequence[Mapping[str, str]]:
        self.calls.append(("version_history", path))
        return [{"state": "sealed", "at": "", "by": "a@b", "why": ""}]

    async def retract(self, path: str, **options: Any) -> Any:
        self.calls.append(("retract", path, options))
        return {"path": path, "state": "retracted"}

    async def restore(self, path: str, **options: Any) -> Any:
        self.calls.append(("restore", path, options))
        return {"path": path, "state": "restored"}

    async def move_alias(self, path: str, version: str | None, **options: Any) -> Any:
        self.calls.append(("move_alias", path, version, options))
        return {"path": path, "version": version, "moved": True}


def looked(path: str) -> dict[str, Any]:
    """What `look` says: the fake knows files whose size and digest their names say."""
    if path.endswith("missing"):
        return {"path": path, "absence": "missing", "reason": "its origin has no such object"}
    if path.endswith("silent"):
        return {"path": path, "absence": "failed", "reason": "its origin does not answer"}
    size_bytes = len(path)
    digest = f"{size_bytes:032x}" if path.endswith("known") else None
    return {
        "path": path, "size_bytes": size_bytes, "mtime_ns": 1, "digest": digest,
        "local": "local" in path,
    }  # fmt: skip


@dataclass
class FakeCache:
    """Remembers what it was asked of the cache; *calls* are those of the service."""

    calls: list[tuple[Any, ...]]

    async def why(self, path: str, **who: Any) -> Mapping[str, Any]:
        self.calls.append(("why", path, who))
        return why_report(path=path)

    async def look(self, paths: Sequence[str], **who: Any) -> Sequence[Mapping[str, Any]]:
        self.calls.append(("look", list(paths), who))
        return [looked(path) for path in paths]

    async def entries(self, below: str, after: str, limit: int, order: str) -> Any:
        self.calls.append(("entries", below, after, limit, order))
        return entry_page(after, limit)

    async def pin(self, paths: Sequence[str], **options: Any) -> Mapping[str, Any]:
        self.calls.append(("pin", list(paths), options))
        kept = {"files": 3, "bytes": 3072, "cached_files": 1, "cached_bytes": 1024}
        return {**kept, "fetch": 7 if options["fetch"] else None}

    async def unpin(self, paths: Sequence[str], *, owner: str) -> int:
        self.calls.append(("unpin", list(paths), owner))
        return 0 if owner == "nobody" else 3

    async def pins(self, owner: str, after: str, limit: int) -> Mapping[str, Any]:
        self.calls.append(("pins", owner, after, limit))
        return pin_page(after)

    def fetching(self, number: int) -> Any:
        self.calls.append(("fetching", number))
        errors = [("ant/b", "origin is down")]
        return {
            "files": 3, "bytes": 3072, "done_files": 2, "done_bytes": 2048, "failed_files": 1,
            "errors": errors, "ended": True,
        }  # fmt: skip

    async def evict(self, paths: Sequence[str], *, limit: int) -> Any:
        self.calls.append(("evict_paths", list(paths), limit))
        return {"files": 2, "bytes": 2048, "open": 1, "pinned": 0, "absent": 0}

    async def top(self, **who: Any) -> Mapping[str, Any]:
        self.calls.append(("top", who))
        return top_report(pid=os.getpid())

    async def refresh(self, path: str, **how: Any) -> Mapping[str, Any]:
        self.calls.append(("refresh", path, how))
        return {
            "path": path, "tree": how["tree"], "files": 1, "directories": 0, "changed": 1,
            "changes": [
                {"path": path, "what": "changed", "immutable": False,
                 "old": {"origin": "o", "version": "1", "size_bytes": 3, "mtime_ns": 0},
                 "new": {"origin": "o", "version": "2", "size_bytes": 4, "mtime_ns": 0}},
            ],
            "notes": [],
        }  # fmt: skip

    async def start_verify(self, **how: Any) -> Mapping[str, Any]:
        self.calls.append(("start_verify", how))
        return {"state": "running"}

    async def verification(self) -> Mapping[str, Any] | None:
        self.calls.append(("verification",))
        return None

    async def stop_verify(self) -> Mapping[str, Any] | None:
        self.calls.append(("stop_verify",))
        return {"state": "stopped"}


@dataclass
class FakeService:
    items: list[Item] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    fails_with: Exception | None = None
    mountpoint: str | None = "/shows"
    hang: trio.Event | None = None
    broken_content: bool = False
    stopped: trio.Event = field(default_factory=trio.Event)
    recording: FakeRecording = field(default_factory=FakeRecording)
    prewarming: FakePrewarming = field(default_factory=FakePrewarming)

    @property
    def versions(self) -> FakeVersions:
        return FakeVersions(self.calls)

    @property
    def cache(self) -> FakeCache:
        return FakeCache(self.calls)

    @property
    def publishing(self) -> FakePublishing:
        return FakePublishing(self.calls)

    @property
    def conflicts(self) -> FakeConflicts:
        return FakeConflicts(self.calls, lambda: self.broken_content)

    @property
    def localizing(self) -> FakeLocalizing:
        return FakeLocalizing()

    def status(self) -> Mapping[str, Any]:
        if self.fails_with is not None:
            raise self.fails_with
        return {
            "state": "serving",
            "mountpoint": self.mountpoint,
            "shows": {"demo": {}},
            "pid": 1,
            "kernel": {
                "passthrough": False,
                "passthrough_problem": "mount.passthrough is off",
                "native_thread": True,
                "native_thread_problem": None,
            },
        }

    def cache_stats(self) -> Any:
        return Numbers(bytes_used=12, files=3)

    def queue(self) -> Sequence[Any]:
        return self.items

    def metrics_text(self) -> str:
        return "shotfs_cache_hits_total 1\n"

    async def evict(self, bytes_wanted: int | None) -> Any:
        self.calls.append(("evict", bytes_wanted))
        return {"bytes_freed": bytes_wanted}

    async def reload_specs(self, shows: Sequence[str]) -> Sequence[Any]:
        self.calls.append(("reload_specs", list(shows)))
        return [{"show": name, "outcome": "unchanged"} for name in shows or ("ant",)]

    async def rescue(self, url: str | None, node: str | None, *, dry_run: bool) -> Sequence[Any]:
        self.calls.append(("rescue", url, node, dry_run))
        told = {"path": "ant/a.exr", "node": "n", "serial": 1, "size_bytes": 7}
        return [told | {"outcome": "published", "message": None}]

    async def drain(
        self, deadline_s: float, *, emergency: bool = False, stop: bool = False
    ) -> Sequence[Any]:
        self.calls.append(("drain", deadline_s, emergency, stop))
        if self.hang is not None:
            await self.hang.wait()
        return self.items

    async def stop(self, drain: bool, deadline_s: float) -> None:
        self.calls.append(("stop", drain, deadline_s))
        self.stopped.set()
