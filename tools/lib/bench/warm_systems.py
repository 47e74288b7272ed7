"""The systems that tools/bench/warm compares, each mounted afresh and alone.

A system is opened for reading (`opened`), with everything cached on disk from an earlier mount, or
for writing (`opened_for_writing`), with nothing in it. It ends with the ``with`` block.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from running import processes, service
from running.service import Mounted

from bench import peers, usage
from bench.warm_site import BUCKET, Site, as_reader, give_to_reader, is_root

NATIVE, BINDFS, RCLONE, S3FS = "native", "bindfs", "rclone", "s3fs"
UNPRIVILEGED, PRIVILEGED, ZERO_UPCALL = "unprivileged", "privileged", "zero-upcall"
OURS = (UNPRIVILEGED, PRIVILEGED, ZERO_UPCALL)
FAST_PATHS = {PRIVILEGED: "passthrough", ZERO_UPCALL: "zero_upcall"}
"""What makes a mount what it is called; by its name in ``status``."""

SYSTEMS = (NATIVE, BINDFS, RCLONE, S3FS, *OURS)

S3FS_PART_MIB = 512
"""moto copies the whole object for each range of it: parts of 10 MiB of 1 GiB take minutes."""

KEPT_TIMEOUT_S = 60.0
QUIET_S = 0.1
QUIET_TIMEOUT_S = 3.0

SPECIFICATION = """\
{{
  "spec": "shotfs-path/1",
  "show": "bench",
  "roots": {{"data": "file://{data}", "published": "file://{published}"}},
  "defaults": {{"origin": "data", "flow": "in", "immutable": "on-close", "negative_ttl": "60s"}},
  "fields": {{
    "group": {{"type": "str", "pattern": "[a-z0-9]+"}},
    "name": {{"type": "str", "pattern": "[a-z0-9]+"}},
    "frame": {{"type": "frame", "pad": 4}}
  }},
  "templates": {{
    "file": {{"path": "{{group}}/{{name}}.bin"}},
    "frames": {{
      "path": "written/frames/{{name}}.{{frame}}.exr", "origin": "published", "flow": "out",
      "owner": "caller", "directory_mode": "0777", "grace": "10m"
    }}
  }}
}}
"""

CONFIGURATION = """\
[mount]
allow_other = {others}

[cache]
directory = "{directory}/cache"
bytes_max = "32 GiB"
free_bytes_min = "256 MiB"

[control]
socket = "{socket}"

[log]
level = "warning"
file = "{directory}/shotfs.log"

[shows.bench]
spec = "bench.json"
"""


@dataclass(slots=True)
class Opened:
    """A system that is mounted.

    Attributes:
        directory: with the data, or where frames are written.
        pid: of the process that serves it; None: native.
        fsync: what is written needs one to be durable when close() returns, and gets it.
    """

    directory: str
    pid: int | None
    fsync: bool = False


def usable(wanted: list[str]) -> tuple[list[str], list[str]]:
    """Return those of *wanted* that can be measured here, and a note for each of the others."""
    if is_root() or PRIVILEGED not in wanted:
        return wanted, []
    return [one for one in wanted if one != PRIVILEGED], ["not root: no privileged mount"]


def writes(system: str) -> bool:
    """Whether *system* can be written to."""
    return system != ZERO_UPCALL


@contextmanager
def opened(site: Site, system: str) -> Iterator[Opened]:
    """Mount *system* over the data."""
    with ExitStack() as stack:
        scratch = stack.enter_context(site.scratch())
        if system == NATIVE:
            yield Opened(site.data, None)
            return
        if system in OURS:
            node = _prepare(site, cache_owner(system), f"{site.place}/{cache_owner(system)}")
            one = _mount_ours(site, stack, node, system)
        elif system == BINDFS:
            one = _of_peer(peers.mount_bindfs(stack, site.data, scratch))
        elif system == RCLONE:
            peer = peers.mount_rclone(
                stack, [site.data], scratch, cache=cache_of(site, system), others=is_root()
            )
            one = _of_peer(peer)
        else:
            peer = peers.mount_s3fs(
                stack, site.s3_url, BUCKET, scratch,
                cache=cache_of(site, system), others=is_root(), part_mib=S3FS_PART_MIB,
            )  # fmt: skip
            one = _of_peer(peer)
        _wait_quiet(one)
        yield one


@contextmanager
def opened_for_writing(site: Site, system: str) -> Iterator[Opened]:
    """Mount *system* with nothing in it; what was written is removed at the end."""
    with ExitStack() as stack:
        scratch = stack.enter_context(site.scratch())
        native = f"{scratch}/native"
        os.mkdir(native)
        give_to_reader(native)
        if system == NATIVE:
            one = Opened(native, None, fsync=True)
        elif system == BINDFS:
            one = _of_peer(peers.mount_bindfs(stack, native, scratch))
            one.fsync = True
        elif system == RCLONE:
            peer = peers.mount_rclone(stack, [native], scratch, writable=True, others=is_root())
            one = _of_peer(peer)
        elif system == S3FS:
            peer = peers.mount_s3fs(
                stack, site.s3_url, BUCKET, scratch, writable=True, others=is_root()
            )
            one = _of_peer(peer)
            _take_frames_away(stack, one)
        else:
            directory = f"{scratch}/ours"
            node = _prepare(site, f"w{site.turns}", directory, unprivileged=system == UNPRIVILEGED)
            one = _mount_ours(site, stack, node, system)
            one.directory += "/written/frames"
            stack.callback(_abandon, one.pid, node.mountpoint)
        _wait_quiet(one)
        yield one


def cache_owner(system: str) -> str:
    """Return the name of the cache that *system* uses: those of one user share it."""
    return "cached-user" if system == UNPRIVILEGED or not is_root() else "cached-root"


def cache_of(site: Site, system: str) -> str | None:
    """Return the directory with what *system* has cached on disk; None: it caches nothing."""
    if system in OURS:
        return f"{site.place}/{cache_owner(system)}/cache"
    return f"{site.place}/cached-{system}" if system in (RCLONE, S3FS) else None


def wait_kept(site: Site, system: str, size_bytes: int) -> None:
    """Return when a mount of ours has *size_bytes* in its cache, verified.

    Raises:
        ServiceFailed: it has not.
    """
    node = _prepare(site, cache_owner(system), f"{site.place}/{cache_owner(system)}")
    deadline = time.monotonic() + KEPT_TIMEOUT_S
    while (cache := node.status()["cache"])["streams"] or cache["bytes"] < size_bytes:
        if time.monotonic() > deadline:
            raise service.ServiceFailed(f"{system}: {size_bytes} bytes are not cached: {cache}")
        time.sleep(0.05)


def _of_peer(peer: peers.Peer) -> Opened:
    return Opened(peer.mountpoint, peer.pid)


def _take_frames_away(stack: ExitStack, one: Opened) -> None:
    """Write into a directory of the bucket, and delete what is in it at the end."""
    one.directory += "/frames"
    os.makedirs(one.directory, exist_ok=True)
    os.chmod(one.directory, 0o777)

    def remove() -> None:
        for name in os.listdir(one.directory):
            os.unlink(f"{one.directory}/{name}")

    stack.callback(remove)


def _prepare(site: Site, name: str, directory: str, *, unprivileged: bool | None = None) -> Mounted:
    """Write the configuration of a node of ours into *directory*, unless it is there."""
    if unprivileged is None:
        unprivileged = name == "cached-user"
    sockets = f"{site.sockets}/{name}"
    node = Mounted(name, f"{directory}/shotfs.toml", f"{directory}/mount", f"{sockets}/s")
    if os.path.exists(directory):
        return node
    published = f"{directory}/published"
    os.makedirs(published)
    os.mkdir(node.mountpoint)
    os.mkdir(sockets)
    with open(f"{directory}/bench.json", "w", encoding="utf-8") as file:
        file.write(SPECIFICATION.format(data=site.data, published=published))
    # The readers are the unprivileged user: a mount by root is for others.
    others = "true" if is_root() and not unprivileged else "false"
    with open(node.config, "w", encoding="utf-8") as file:
        file.write(CONFIGURATION.format(directory=directory, socket=node.socket, others=others))
    if unprivileged:
        for path in (directory, published, node.mountpoint, sockets):
            give_to_reader(path)
    return node


def _mount_ours(site: Site, stack: ExitStack, node: Mounted, system: str) -> Opened:
    options = ("--read-only", "--zero-upcall") if system == ZERO_UPCALL else ()
    prefix = as_reader() if system == UNPRIVILEGED else []
    service.mount(stack, node, options=options, prefix=prefix)
    status = node.status()
    fast_path = FAST_PATHS.get(system)
    kernel = status["kernel"]
    if fast_path is not None and not kernel[fast_path]:
        site.note(f"{system}: no {fast_path}: {kernel[f'{fast_path}_problem']}")
    return Opened(f"{node.mountpoint}/bench", int(status["pid"]))


def _abandon(pid: int | None, mountpoint: str) -> None:
    """End a mount whose outputs nobody wants: an unmount would publish 2 GB first."""
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    processes.unmount(mountpoint)


def _wait_quiet(one: Opened) -> None:
    """Return when the process has stopped working, as after its start; at the latest in 3 s."""
    if one.pid is None:
        return
    deadline = time.monotonic() + QUIET_TIMEOUT_S
    before_s = usage.cpu_s(one.pid)
    while time.monotonic() < deadline:
        time.sleep(QUIET_S)
        now_s = usage.cpu_s(one.pid)
        if now_s - before_s < QUIET_S / 10:
            return
        before_s = now_s
