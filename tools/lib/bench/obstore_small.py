"""What shotfs is measured against for small files: obstore alone, 32 threads, a file each.

    python obstore_small.py URL GROUP DIRECTORY NAMES [S3_BUCKET]

Gets GROUP/NAME for each name in the file NAMES and writes it into DIRECTORY. URL is that of an S3
server where S3_BUCKET is given. Prints one JSON object: {"count", "bytes", "seconds", "cpu_s"}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import obstore
import start_line
from obstore_download import open_store

THREADS = 32


def download(
    url: str, group: str, directory: str, names_file: str, bucket: str = ""
) -> dict[str, float]:
    """Download all names."""
    with open(names_file, encoding="utf-8") as file:
        names = file.read().split()
    store = open_store(url, bucket)
    start_line.wait()
    started, cpu_s = time.perf_counter(), time.process_time()

    def fetch(name: str) -> int:
        data = obstore.get(store, f"{group}/{name}").bytes()
        descriptor = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        count = os.write(descriptor, data)
        os.close(descriptor)
        return count

    with ThreadPoolExecutor(THREADS) as pool:
        size_bytes = sum(pool.map(fetch, names))
    seconds = time.perf_counter() - started
    return {
        "count": len(names),
        "bytes": size_bytes,
        "seconds": seconds,
        "cpu_s": time.process_time() - cpu_s,
    }


if __name__ == "__main__":
    print(json.dumps(download(*sys.argv[1:])))
