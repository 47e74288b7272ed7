"""How long `shotfs prewarm MANIFEST --check` takes, with all files of the manifest on the node.

A service without a mount, whose catalog and index are filled beforehand: the files are empty, and
nobody opens them. Every entry is looked up: in the specification, the catalog and the index.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from shotfs.cache.directory import boot_identity, own_directory
from shotfs.cache.index import Index, NewRow, identity_of
from shotfs.digest import Checksums
from shotfs.namespace.catalog_store import CatalogStore
from shotfs.prewarm.manifest import Entry
from shotfs.tiers.base import Revision

BATCH = 50_000
READY_S = 30.0

CONFIGURATION = """\
[cache]
directory = "{place}/cache"
bytes_max = "100 TiB"
free_bytes_min = 0
catalog_paths_max = 2000000
scrub_days = 0

[control]
socket = "{place}/control.sock"

[log]
file = "{place}/shotfs.log"

[shows.ant]
spec = "spec.json"
"""

SPEC = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": "ORIGIN"},
    "defaults": {"origin": "main"},
    "fields": {
        "shot": {"type": "str", "pattern": "[a-z0-9_]+"},
        "task": {"type": "str", "pattern": "[a-z]+"},
        "version": {"type": "version"},
        "name": {"type": "str", "pattern": "[a-z0-9_]+"},
        "frame": {"type": "frame"},
    },
    "templates": {
        "tex": {"path": "{shot}/{task}/{version}/tex/{name}.{frame}.exr", "immutable": "on-close"}
    },
}

_ADD = "INSERT INTO Cache (key, raw, store_time, size, mode, value) VALUES (?, 1, 0, 0, 1, ?)"


def prepare(place: Path, entries: Iterable[Entry], count: int) -> None:
    """Make a node in *place* that has *entries*, all of the show ``ant``."""
    (place / "origin").mkdir(parents=True)
    tier = f"file://{place}/origin"
    (place / "shotfs.toml").write_text(CONFIGURATION.format(place=place))
    (place / "spec.json").write_text(json.dumps(SPEC).replace("ORIGIN", tier))
    owned = own_directory(str(place / "cache"))
    index = Index(owned.index, revisions_max=4 * count, boot=boot_identity(), was_clean=True)
    store = CatalogStore(str(place / "cache" / "catalog"), rows_max=count)
    store.open()
    store.close()
    waiting = iter(entries)
    # Not by `CatalogStore.write`, which takes a minute and a half for a million.
    with closing(sqlite3.connect(place / "cache" / "catalog" / "cache.db")) as catalog:
        while page := list(islice(waiting, BATCH)):
            rows, known = [], []
            for entry in page:
                sums = Checksums(xxh128=entry.digest)
                key = entry.path.partition("/")[2]
                revision = Revision(tier, key, entry.size_bytes or 0, "1", 10**18, sums)
                rows.append(NewRow(identity_of(revision), sums, revision.size_bytes, sound=True))
                row = [tier, key, revision.size_bytes, "1", 10**18, [None, None, entry.digest],
                       1.7e9, None, None, True]  # fmt: skip
                known.append((entry.path, json.dumps(row, separators=(",", ":"))))
            with index.together():
                index.admit(rows)
            with catalog:
                catalog.executemany(_ADD, known)
    index.close()
    owned.flush()
    owned.mark_clean()
    owned.release()


@dataclass(frozen=True, slots=True)
class Served:
    """A service that runs: its process, and the environment of commands that talk to it."""

    pid: int
    environment: dict[str, str]

    def peak_mb(self) -> float:
        """Return the most memory that the service has had until now, resident."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        peak = next(line for line in status if line.startswith("VmHWM:"))
        return int(peak.split()[1]) / 1024


@dataclass(frozen=True, slots=True)
class Check:
    """What a check took: by the clock, and the peak of resident memory of who asked."""

    seconds: float
    client_mb: float


@contextmanager
def served(place: Path) -> Iterator[Served]:
    """Run the service of *place*."""
    environment = {**os.environ, "SHOTFS_CONFIG": str(place / "shotfs.toml")}
    command = [sys.executable, "-m", "shotfs"]
    with subprocess.Popen([*command, "serve"], env=environment) as service:
        try:
            until_s = time.monotonic() + READY_S
            while subprocess.run(
                [*command, "status"], env=environment, capture_output=True, check=False
            ).returncode:
                if time.monotonic() > until_s or service.poll() is not None:
                    raise RuntimeError(f"the service did not start: see {place}/shotfs.log")
                time.sleep(0.2)
            yield Served(service.pid, environment)
        finally:
            service.terminate()


def check(manifest: str, service: Served, count: int) -> Check:
    """Return what `shotfs prewarm --check` takes, all *count* files being here."""
    command = [sys.executable, "-m", "shotfs", "prewarm", manifest, "--check", "--json"]
    began_s = time.perf_counter()
    with subprocess.Popen(command, env=service.environment, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        told = client.stdout.read()
        _, status, usage = os.wait4(client.pid, 0)
        client.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began_s
    here = json.loads(told)["here_files"] if client.returncode == 0 else None
    if here != count:
        raise RuntimeError(f"{here} of {count} files are here")
    return Check(seconds, usage.ru_maxrss / 1024)
