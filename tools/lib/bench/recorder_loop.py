"""The client of tools/bench/recorder: opens, reads and closes every file of a directory.

    python recorder_loop.py DIRECTORY PASSES

Prints a list with the opens per second of each pass, as JSON. Standard library only; the loop
around the system calls is the same for every system. Between two passes the mount has time to take
in what it was told.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time

SETTLE_S = 1.0


def main(directory: str, passes: int) -> None:
    """Read everything *passes* times."""
    names = sorted(os.listdir(directory))
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    gc.disable()
    rates = []
    for _ in range(passes):
        began_s = time.perf_counter()
        for name in names:
            descriptor = os.open(name, os.O_RDONLY, dir_fd=root)
            while os.read(descriptor, 1 << 17):
                pass
            os.close(descriptor)
        rates.append(len(names) / (time.perf_counter() - began_s))
        time.sleep(SETTLE_S)
    print(json.dumps(rates))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
