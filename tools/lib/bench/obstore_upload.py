"""What publishing is measured against: obstore alone, the same files, as many at once.

    python obstore_upload.py ENDPOINT BUCKET DIRECTORY THREADS

Puts every file of DIRECTORY. Prints one JSON object: {"count", "bytes", "seconds", "cpu_s"}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
from obstore.store import GCSStore


def upload(endpoint: str, bucket: str, directory: str, threads: str) -> dict[str, float]:
    """Upload all files; create-only, each in one request."""
    # A token and not `skip_signature`: with that, obstore 0.12 still asks for one before each put.
    store = GCSStore(
        bucket=bucket,
        base_url=endpoint,
        bearer_token="any",  # the server asks for none
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    paths = [Path(entry.path) for entry in os.scandir(directory)]
    started, cpu_s = time.perf_counter(), time.process_time()

    def put(path: Path) -> int:
        obstore.put(store, f"raw/{path.name}", path, mode="create", use_multipart=False)
        return path.stat().st_size

    with ThreadPoolExecutor(int(threads)) as pool:
        size_bytes = sum(pool.map(put, paths))
    return {
        "count": len(paths),
        "bytes": size_bytes,
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu_s,
    }


if __name__ == "__main__":
    print(json.dumps(upload(*sys.argv[1:])))
