"""How long a mount takes, and how much memory, with a million blobs in the cache.

The blobs are empty: at start nothing looks at them, and the index does not know. Their rows, the
revisions of each and the paths in the catalog are written by shotfs' own code (`Index.admit`,
`CatalogStore.write`). `index_1m_mount_s` is from the start of `shotfs mount` to the first answer of
the mount; `index_1m_rss_mb` is the service's resident set then.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from shotfs.cache.directory import boot_identity, own_directory
from shotfs.cache.index import Index, NewRow, identity_of
from shotfs.digest import Checksums, digest_bytes
from shotfs.namespace.catalog import Entry
from shotfs.namespace.catalog_store import CatalogStore
from shotfs.tiers.base import Revision

BLOBS = 1_000_000
BATCH = 5_000
MIB = 1024 * 1024
ROUNDS = 5
MOUNT_S_MAX, RSS_MB_MAX = 1, 150

CONFIGURATION = """\
[cache]
directory = "{place}/cache"
bytes_max = "1 TiB"
free_bytes_min = 0
scrub_days = 0

[control]
socket = "{place}/control.sock"

[log]
file = "{place}/shotfs.log"

[shows.bench]
spec = "spec.json"
"""

SPEC = {
    "spec": "shotfs-path/1",
    "show": "bench",
    "roots": {"main": "ORIGIN"},
    "defaults": {"origin": "main"},
    "fields": {"rest": {"type": "tree"}},
    "templates": {"assets": {"path": "assets/{rest}", "immutable": "on-close"}},
}


def prepare(place: Path, blobs: int) -> None:
    """Make a node in *place* with *blobs* cached files, unless it is there."""
    if (place / "ready").exists():
        return
    shutil.rmtree(place, ignore_errors=True)
    for name in ("origin/assets", "mount"):
        (place / name).mkdir(parents=True)
    (place / "shotfs.toml").write_text(CONFIGURATION.format(place=place))
    spec = json.dumps(SPEC).replace("ORIGIN", f"file://{place}/origin")
    (place / "spec.json").write_text(spec)
    fill(place / "cache", blobs)
    (place / "ready").touch()


def fill(directory: Path, blobs: int) -> None:
    """Write the index and the catalog of a cache with *blobs* files, closed in order."""
    owned = own_directory(str(directory))
    index = Index(owned.index, revisions_max=4 * blobs, boot=boot_identity(), was_clean=True)
    catalog = CatalogStore(str(directory / "catalog"), rows_max=blobs)
    catalog.open()
    for number in range(256):
        os.makedirs(f"{owned.blobs}/{number:02x}", mode=0o700, exist_ok=True)
    for start in range(0, blobs, BATCH):
        rows, entries = [], {}
        for number in range(start, min(start + BATCH, blobs)):
            key = f"assets/char{number % 400:03d}/tex/v{number % 7:03d}/tile.{number:07d}.exr"
            digest = digest_bytes(key.encode())
            os.close(os.open(f"{owned.blobs}/{digest[:2]}/{digest}", os.O_CREAT, 0o400))
            sums = Checksums(md5=digest, crc32c=digest[:8], xxh128=digest)
            revision = Revision("file:///bench", key, 1000 + number % 90_000, "1", 10**18, sums)
            rows.append(NewRow(identity_of(revision), sums, revision.size_bytes, sound=True))
            entries[f"bench/{key}"] = Entry(revision, 1.7e9)
        index.admit(rows)
        catalog.write({path: _row(entry) for path, entry in entries.items()})
    index.close()
    catalog.close()
    owned.flush()
    owned.mark_clean()
    owned.release()


def _row(entry: Entry) -> object:
    revision, sums = entry.revision, entry.revision.checksums
    return [
        revision.tier, revision.key, revision.size_bytes, revision.version, revision.mtime_ns,
        [sums.md5, sums.crc32c, sums.xxh128], entry.checked_s, None, None, True,
    ]  # fmt: skip


def measure(place: Path) -> tuple[float, float]:
    """Mount once; return the seconds until the mount answers and the service's memory in MB."""
    began = time.perf_counter()
    _shotfs(place, "mount", str(place / "mount"))
    os.stat(place / "mount" / "bench")
    seconds = time.perf_counter() - began
    try:
        status = json.loads(_shotfs(place, "status", "--json"))
        if not status["cache"]["files"]:
            raise RuntimeError(f"the service found nothing in its cache: {status['cache']}")
        return seconds, _rss_mb(int(status["pid"]))
    finally:
        _shotfs(place, "unmount", str(place / "mount"))


def measure_all(place: Path, rounds: int = ROUNDS, blobs: int = BLOBS) -> dict[str, list[float]]:
    """Return the runs of `index_1m_mount_s` and `index_1m_rss_mb`; makes *place* if it must."""
    prepare(place, blobs)
    runs = [measure(place) for _ in range(rounds)]
    return {
        "index_1m_mount_s": [seconds for seconds, _ in runs],
        "index_1m_rss_mb": [rss_mb for _, rss_mb in runs],
    }


def _shotfs(place: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "shotfs", *arguments],
        env={**os.environ, "SHOTFS_CONFIG": str(place / "shotfs.toml")},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    return done.stdout


def _rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no memory")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blobs", type=int, default=BLOBS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--keep", action="store_true", help="keep .bench/index for the next call")
    arguments = parser.parse_args()
    place = Path(".bench/index").absolute()
    runs = measure_all(place, arguments.rounds, arguments.blobs)
    targets = {"index_1m_mount_s": MOUNT_S_MAX, "index_1m_rss_mb": RSS_MB_MAX}
    for name, values in runs.items():
        shown = " ".join(f"{value:.2f}" for value in values)
        print(f"{name} {statistics.median(values):.2f} (target <= {targets[name]}; runs {shown})")
    if not arguments.keep:
        shutil.rmtree(place)


if __name__ == "__main__":
    main()
