"""Which blobs go first when the cache is full. Pure: no I/O, no clock."""

from shotfs.cache.eviction.lru import Lru
from shotfs.cache.eviction.policy import (
    EXAMINED_MAX,
    USES_MAX,
    Amount,
    Policy,
    Queue,
    Queues,
    Resident,
)
from shotfs.cache.eviction.s3fifo import S3Fifo

POLICIES: dict[str, Policy] = {policy.name: policy for policy in (Lru(), S3Fifo())}
"""By the name that `cache.eviction` has for it."""

__all__ = [
    "EXAMINED_MAX",
    "POLICIES",
    "USES_MAX",
    "Amount",
    "Lru",
    "Policy",
    "Queue",
    "Queues",
    "Resident",
    "S3Fifo",
]
