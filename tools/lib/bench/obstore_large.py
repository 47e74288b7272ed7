"""What shotfs is measured against for a few large files: obstore alone, one file after the other.

    python obstore_large.py URL GROUP DIRECTORY NAMES

Gets GROUP/NAME for each name in the file NAMES as `obstore_download` does and writes it into
DIRECTORY. Prints one JSON object: {"count", "bytes", "seconds", "cpu_s"}.
"""

from __future__ import annotations

import json
import sys
import time

import start_line
from obstore_download import fetch_file, open_store


def download(url: str, group: str, directory: str, names_file: str) -> dict[str, float]:
    """Download all names."""
    with open(names_file, encoding="utf-8") as file:
        names = file.read().split()
    store = open_store(url, "")
    start_line.wait()
    started, cpu_s = time.perf_counter(), time.process_time()
    size_bytes = sum(fetch_file(store, f"{group}/{name}", f"{directory}/{name}") for name in names)
    return {
        "count": len(names),
        "bytes": size_bytes,
        "seconds": time.perf_counter() - started,
        "cpu_s": time.process_time() - cpu_s,
    }


if __name__ == "__main__":
    print(json.dumps(download(*sys.argv[1:])))
