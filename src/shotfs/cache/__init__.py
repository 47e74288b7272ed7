"""Verified local content: blobs, index, streams, eviction. Start reading in `engine`."""

from shotfs.cache.access import Fill
from shotfs.cache.asker import NOBODY, Asker
from shotfs.cache.blobs import FoundBlob
from shotfs.cache.engine import Cache
from shotfs.cache.evictor import EvictionResult
from shotfs.cache.files import CachedFile, FileState
from shotfs.cache.opening import open_cache
from shotfs.cache.scheduling import FetchClass
from shotfs.cache.stats import CacheStats, RevisionStatus
from shotfs.cache.verify import CorruptBlob, Verification
from shotfs.cache.verify import State as VerifyState

__all__ = [
    "NOBODY",
    "Asker",
    "Cache",
    "CacheStats",
    "CachedFile",
    "CorruptBlob",
    "EvictionResult",
    "FetchClass",
    "FileState",
    "Fill",
    "FoundBlob",
    "RevisionStatus",
    "Verification",
    "VerifyState",
    "open_cache",
]
