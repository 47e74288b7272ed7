"""What can go wrong when a file is localized. Standard library only; Python 3.9."""

from __future__ import annotations


class LocalizeFailed(Exception):
    """A file could not be brought here.

    Attributes:
        message: what happened, to which path.
        fix: what changes it; None where nobody can say.
        failed: (path, why) of each file, where several were asked for.
    """

    def __init__(
        self,
        message: str,
        fix: str | None = None,
        failed: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message if fix is None else f"{message}\n  fix: {fix}")
        self.message = message
        self.fix = fix
        self.failed = failed


class ServiceAway(LocalizeFailed):
    """No service answers, or not in time."""


class NotThere(LocalizeFailed):
    """There is no such file."""


class NotOurs(LocalizeFailed):
    """The path is not one of a show."""


class RevisionGone(LocalizeFailed):
    """The path has another revision by now: ask again."""


class TreeFull(LocalizeFailed):
    """The directory of localized files has no room for it."""
