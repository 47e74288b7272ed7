"""Origin: what the adapters of one root share: its names, its settings, its limits.

Two limiters, because a stalled bulk read must never keep a stat waiting: `bulk` for bytes and
`metadata` for everything small. A probe has a place of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from shotfs.config import NetworkSettings, OriginSettings
from shotfs.tiers.base import Revision, Span
from shotfs.tiers.keys import Root, check_key
from shotfs.tiers.probing import is_probe

STALLED_BYTES_PER_S = 64 * 1024
"""A transfer that is slower than this, over its whole length, counts as making no progress."""

SENT_BYTES_PER_S = 1024 * 1024
"""How fast we expect the kernel to get rid of what it took of an upload: nobody sees it move."""

SENT_BYTES_MAX = 4 * 1024 * 1024
"""The most that Linux takes ahead (net.ipv4.tcp_wmem)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One root URL with everything that an adapter needs to reach it."""

    root: Root
    settings: OriginSettings
    network: NetworkSettings
    bulk: trio.CapacityLimiter = field(init=False)
    _metadata: trio.CapacityLimiter = field(init=False)
    _probe: trio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        count = self.settings.connections_max or self.network.connections_max
        object.__setattr__(self, "bulk", trio.CapacityLimiter(count))
        object.__setattr__(self, "_metadata", trio.CapacityLimiter(count))
        object.__setattr__(self, "_probe", trio.CapacityLimiter(1))

    @property
    def metadata(self) -> trio.CapacityLimiter:
        """The limiter of what the calling task asks, if that is small."""
        return self._probe if is_probe() else self._metadata

    @property
    def name(self) -> str:
        """The normalised root URL."""
        return self.root.name

    @property
    def connections_max(self) -> int:
        """Requests of each of the two kinds under way at once."""
        return int(self.bulk.total_tokens)

    def check(self, key: str) -> None:
        """Refuse what is no key here. Raises as `check_key`."""
        self.object_key(key)

    def object_key(self, key: str) -> str:
        """Return the store's key of *key*. Raises as `check_key`, for the whole of it."""
        # Of the whole: a part that is none stays one behind the prefix, which ends in a slash.
        return check_key(self.root.key_prefix + key) if key else check_key(key)

    def listing_prefix(self, prefix: str) -> str:
        """Return what the store's keys below *prefix* start with."""
        return self.root.key_prefix if prefix == "" else self.object_key(prefix) + "/"

    def url(self, key: str) -> str:
        """Return the URL of *key*, for people."""
        return f"{self.name}/{key}" if key else self.name

    def setting(self, name: str) -> str:
        """Return how the configuration file calls the setting *name* of this origin."""
        return f'origins."{self.name}".{name}'

    def bulk_deadline_s(self, size_bytes: int) -> float:
        """Return how long a transfer of *size_bytes* may take as a whole."""
        return self.network.progress_timeout_s + size_bytes / STALLED_BYTES_PER_S

    def bulk_wait_s(self, size_bytes: int) -> float:
        """Return how long a transfer of *size_bytes* may wait for its turn."""
        return self.bulk_deadline_s(min(size_bytes, self.network.range_bytes))

    @property
    def read_idle_s(self) -> float:
        """How long a read in a thread may move nothing; the client's own timeouts come first."""
        return self.network.metadata_timeout_s + self.network.progress_timeout_s

    def upload_idle_s(self, size_bytes: int) -> float:
        """Return how long an upload of *size_bytes* may take nothing from us, or not answer."""
        unseen_s = min(size_bytes, SENT_BYTES_MAX) / SENT_BYTES_PER_S
        return self.network.progress_timeout_s + unseen_s


def check_span(revision: Revision, span: Span) -> None:
    """Raise ValueError if *span* reaches beyond *revision*."""
    if span.stop > revision.size_bytes:
        raise ValueError(
            f"[{span.start}, {span.stop}) of {revision.key}, which has {revision.size_bytes} bytes"
        )
