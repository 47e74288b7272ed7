"""What shotfs records with an object: names of the metadata keys, and how they are read back."""

from __future__ import annotations

from collections.abc import Mapping

from shotfs.digest import Checksums, Digest, parse_digest

DIGEST_KEY = "shotfs-xxh128"
MTIME_KEY = "shotfs-mtime-ns"


def recorded(metadata: Mapping[str, str], checksums: Checksums, mtime_ns: int) -> dict[str, str]:
    """Return the metadata of an object: the caller's *metadata* and ours."""
    both = dict(metadata) | {MTIME_KEY: str(mtime_ns)}
    if checksums.xxh128 is not None:
        both[DIGEST_KEY] = checksums.xxh128
    return both


def digest_of(metadata: Mapping[str, str]) -> Digest | None:
    """Return the digest that an object's metadata claims; None if it claims none or nonsense."""
    try:
        return parse_digest(metadata[DIGEST_KEY])
    except (KeyError, ValueError):
        return None


def mtime_ns_of(metadata: Mapping[str, str]) -> int | None:
    """Return the recorded mtime, nanoseconds since the epoch; None without one."""
    text = metadata.get(MTIME_KEY, "")
    return int(text) if text.isascii() and text.lstrip("-").isdecimal() else None
