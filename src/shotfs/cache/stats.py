"""What the cache says of itself and of one revision. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Numbers of the moment; from `hits` to `verify_failures` they count since the start.

    `full` says why files were not kept within the last minute, "" if all were. `pinned_*` are blobs
    that stay, `pins` their owners' wishes, `pins_bytes` what these need together, here or not.
    """

    bytes: int
    bytes_max: int
    files: int
    files_max: int
    bytes_reserved: int
    bytes_in_flight: int
    streams: int
    open_blobs: int
    disk_free_bytes: int
    disk_free_bytes_min: int
    hits: int
    misses: int
    unkept: int
    evictions: int
    verify_failures: int
    full: str
    pinned_bytes: int
    pinned_files: int
    pins: int
    pins_bytes: int


@dataclass(frozen=True, slots=True)
class RevisionStatus:
    """What is here of a revision; `state` is "cached", "partial" or "remote"."""

    state: str
    bytes_present: int
    size_bytes: int
