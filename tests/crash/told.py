"""What a writer was told, written down before it does the next thing, and what follows from that.

One line of JSON an event, appended with one write(2): the kernel has it, so it survives kill -9 of
the writer and of the service. Before each promise the writer notes what it is about to ask for, so
that a kill between the two leaves both outcomes open, and no other.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LISTED = "listed"
"""In `Account.may_be`: nothing in the origin, but the queue names it. So ends a file that was
closed and was being written again (crash table of docs/design/publish.md)."""

Content = str | None
"""A digest; None: there is no file; `LISTED`."""


class Told:
    """The writer's side: appends to a file that may exist."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, event: str, path: str, **more: Any) -> None:
        """Write down that *event* happens, or happened, to *path*."""
        line = json.dumps({"event": event, "path": path, **more}, separators=(",", ":"))
        os.write(self._descriptor, line.encode() + b"\n")


@dataclass(slots=True)
class Account:
    """What is known of one path.

    Attributes:
        may_be: what the origin may hold when the queue is empty.
        whole: every content that somebody meant to close under this path.
        mutable: it may be replaced.
        before: what this and other accounts said before the last thing that was asked for.
    """

    may_be: set[Content] = field(default_factory=lambda: {None})
    whole: set[str] = field(default_factory=set)
    mutable: bool = False
    before: list[tuple[Account, set[Content]]] = field(default_factory=list)


class Accounts:
    """What follows from everything that writers were told, by path (below the show)."""

    def __init__(self) -> None:
        self.of: dict[str, Account] = {}

    def __getitem__(self, path: str) -> Account:
        return self.of.setdefault(path, Account())

    def note(self, event: str, path: str, **more: Any) -> None:
        """Follow one event. A kill may come after any of them.

        Raises:
            ValueError: nobody writes such an event.
        """
        account = self[path]
        others = [self[more["to"]]] if "to" in more else []
        if event != "refused":
            account.before = [(one, set(one.may_be)) for one in (account, *others)]
        match event:
            case "writing":  # its bytes change from here, until it is closed
                account.mutable |= bool(more.get("mutable"))
                closed = account.may_be - {None, LISTED}
                account.may_be.add(LISTED if closed else None)
            case "closing":
                account.may_be.add(more["digest"])
                account.whole.add(more["digest"])
            case "closed":
                account.may_be = {more["digest"]}
            case "spoiled":  # a write failed: the content that was is gone, none took its place
                account.may_be |= {None, LISTED}
            case "renaming":
                new = self[more["to"]]
                new.may_be |= account.may_be
                new.whole |= account.whole
                new.mutable |= bool(more.get("mutable"))
                account.may_be.add(None)
            case "renamed":
                self[more["to"]].may_be = account.may_be - {None}
                account.may_be = {None}
            case "unlinking":
                account.may_be.add(None)
            case "unlinked":
                account.may_be = {None}
            case "refused":  # what was asked for was not done, for certain
                for one, may_be in account.before:
                    one.may_be = may_be
            case _:
                raise ValueError(f"no such event: {event}")

    def unfinished(self) -> list[str]:
        """Return the frames of which it is not certain what is there, sorted."""
        return sorted(
            path
            for path, account in self.of.items()
            if len(account.may_be) > 1
            and path.startswith(("render/", "passes/beauty/"))
            and path.endswith(".exr")
        )


def read(path: Path) -> Accounts:
    """Return what follows from the file at *path*; there may be none, or half a line at its end."""
    accounts = Accounts()
    text = path.read_bytes() if path.exists() else b""
    for line in text.split(b"\n")[:-1]:
        event = json.loads(line)
        accounts.note(event.pop("event"), event.pop("path"), **event)
    return accounts
