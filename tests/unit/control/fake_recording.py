"""Recordings as the tests of the control socket have them: what is asked is remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from shotfs.control.access import Peer
from shotfs.errors import InvalidArgument, NotPermitted, PathNotFound
from shotfs.prewarm.manifest.entry import Entry
from shotfs.prewarm.manifest.subject import Subject
from shotfs.prewarm.recording.codec import encode

READ = Entry("ant/library/wood.exr", size_bytes=7)


class FakeRecording:
    """Knows of one file, whatever is recorded.

    Attributes:
        going_on: what was started, by number: who did, what, and whether it ends with him.
        last: what was started last.
    """

    def __init__(self) -> None:
        self.going_on: dict[int, tuple[int, Subject, bool]] = {}
        self.stopped: dict[int, tuple[int, bytes]] = {}
        self.last = (0, Subject(), False)

    def start(self, asked: Subject, *, peer: Peer, bound: bool) -> Mapping[str, Any]:
        number = len(self.going_on) + len(self.stopped) + 1
        self.going_on[number] = self.last = (peer.uid, asked, bound)
        return {"number": number}

    async def stop(self, number: int, *, peer: Peer, admin: bool) -> Mapping[str, Any]:
        if number not in self.going_on:
            raise InvalidArgument(f"there is no recording number {number}")
        uid, asked, _ = self.going_on[number]
        if uid != peer.uid and not admin:
            raise NotPermitted(f"recording {number} is another user's")
        del self.going_on[number]
        self.stopped[number] = (uid, encode(asked, {READ.path: READ}, "node"))
        return {
            "number": number, "subject": asdict(asked), "files": 1, "bytes": 7, "opens": 2,
            "missed": 0, "cold": 1, "stall_s": 0.5, "runs": 1, "learned": bool(asked.shot),
        }  # fmt: skip

    def taken(self, number: int, *, peer: Peer, admin: bool) -> bytes:
        uid, data = self.stopped.get(number, (0, b""))
        if not data:
            raise PathNotFound(f"the manifest of recording {number} is not kept any more")
        if uid != peer.uid and not admin:
            raise NotPermitted(f"recording {number} is another user's")
        return data

    async def report(self) -> Mapping[str, Any]:
        return {
            "jobs": "all", "publish": True, "active": [], "count": 0, "pending": 0, "stored": [],
            "started": [
                {"number": number, "asked": asdict(asked), "since_s": 1.0, "uid": uid}
                for number, (uid, asked, _) in self.going_on.items()
            ],
        }  # fmt: skip

    async def manifest(self, subject: Subject) -> bytes:
        if subject.shot != "010":
            raise PathNotFound(f"nothing was recorded of shot {subject.shot!r}")
        return encode(subject, {READ.path: READ}, "node")

    async def publish(self) -> Mapping[str, Any]:
        return {"published": 1, "pending": 0}

    async def remember(
        self, show: str, scores: Mapping[str, tuple[int, int]]
    ) -> Mapping[str, Mapping[str, float]]:
        return {"precision": {name: right / claimed for name, (claimed, right) in scores.items()}}
