"""Verified local content: blobs, index, streams, eviction. Start reading in `engine`."""

from shotfs.cache.engine import Cache, open_cache
from shotfs.cache.evictor import EvictionResult
from shotfs.cache.files import CachedFile, FileState
from shotfs.cache.stats import CacheStats, RevisionStatus

__all__ = [
    "Cache",
    "CacheStats",
    "CachedFile",
    "EvictionResult",
    "FileState",
    "RevisionStatus",
    "open_cache",
]
