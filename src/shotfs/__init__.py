"""shotfs: a FUSE file system and just-in-time file cache for render farms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shotfs.localizing import localize as localize
    from shotfs.localizing import localize_many as localize_many

__all__ = ["localize", "localize_many"]


def __getattr__(name: str) -> Any:
    # Imported when it is used: every command imports this package.
    if name in __all__:
        from shotfs import localizing

        return getattr(localizing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
