"""The client of tools/bench/recorder: opens, reads and closes files when it is told to.

    python recorder_loop.py DIRECTORY

Reads lines "FIRST STOP" from stdin: which of the sorted files of DIRECTORY. Prints for each how
many seconds that took. One process for all rounds, as a renderer is one for all of its files.
Standard library only; the loop around the system calls is the same whoever watches.
"""

from __future__ import annotations

import gc
import os
import sys
import time


def main(directory: str) -> None:
    """Read what stdin says, to its end."""
    names = sorted(os.listdir(directory))
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    gc.disable()
    for line in sys.stdin:
        first, stop = map(int, line.split())
        part = names[first:stop]
        began_s = time.perf_counter()
        for name in part:
            descriptor = os.open(name, os.O_RDONLY, dir_fd=root)
            while os.read(descriptor, 1 << 17):
                pass
            os.close(descriptor)
        print(time.perf_counter() - began_s, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
