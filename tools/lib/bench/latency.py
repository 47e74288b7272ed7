"""First bytes: of one raw request, and of one read through a mount, of the same range.

    python latency.py URL READ_BYTES SEED FILE:KEY...

For each pair, at a random offset: a range of KEY below URL through obstore (over a connection that
is open already), then open, read at the offset and close of FILE. Each FILE is opened for the first
time. Prints one JSON object: {"request_ms": [...], "mount_ms": [...]}, in the order of the pairs.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time

import obstore
from obstore_download import open_store

PAGE_BYTES = 4096


def first_bytes(url: str, read_bytes: str, seed: str, *pairs: str) -> dict[str, list[float]]:
    """Measure each pair once."""
    length = int(read_bytes)
    chance = random.Random(seed)
    store = open_store(url, "")
    request_ms, mount_ms = [], []
    for pair in pairs:
        path, key = pair.split(":")
        size_bytes = obstore.head(store, key)["size"]
        offset = chance.randrange((size_bytes - length) // PAGE_BYTES) * PAGE_BYTES
        started = time.perf_counter()
        obstore.get_range(store, key, start=offset, length=length).to_bytes()
        requested = time.perf_counter()
        descriptor = os.open(path, os.O_RDONLY)
        count = len(os.pread(descriptor, length, offset))
        ended = time.perf_counter()
        os.close(descriptor)
        if count != length:
            raise EOFError(f"{path}: {count} bytes at {offset} instead of {length}")
        request_ms.append((requested - started) * 1000)
        mount_ms.append((ended - requested) * 1000)
    return {"request_ms": request_ms, "mount_ms": mount_ms}


if __name__ == "__main__":
    print(json.dumps(first_bytes(*sys.argv[1:])))
