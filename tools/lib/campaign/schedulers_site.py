"""What jobs of the campaign work with: an origin, a node that is mounted, and our scripts on it.

The origin is the strict GCS server in threads of this process, so what it sent can be counted and
it can go down. Everything lies below one directory that every user may enter.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.fuse.modes import MODES
from tests.fuse.node import SPEC, ShotfsNode
from tests.servers.gcs import Fault, FaultHandle, GcsServer

from shotfs.cli.integration_files import install, integration
from shotfs.control.client import Client
from shotfs.errors import ServiceNotRunning

SHOT = "xy_1_100_030_00"
LAYERS = ("bg", "fg")
FRAME_BYTES = 256 * 1024
FRAMES = range(1001, 1013)
BUCKET = "studio"
ADMIN_GROUP = "sgeadmin"
"""Of those who may pin, besides root: Grid Engine's prolog runs as this user."""

_TEMPLATES: dict[str, Any] = {
    **SPEC["templates"],
    "plates": {"path": "plates/{shot}/{name}.{frame}.exr", "immutable": "on-close"},
}


class Site:
    """One render node of a farm; *stack* ends all of it.

    Args:
        stack: unmounts, ends the servers.
        place: an empty directory.
    """

    def __init__(self, stack: ExitStack, place: Path) -> None:
        self.place = place
        self.origin = stack.enter_context(GcsServer())
        self.origin.store.create_bucket(BUCKET)
        for frame in FRAMES:
            for layer in LAYERS:
                key = f"ant/plates/{SHOT}/{layer}.{frame}.exr"
                self.origin.store.put(BUCKET, key, os.urandom(FRAME_BYTES))
        self.node = ShotfsNode(
            place / "node",
            f"gs://{BUCKET}/ant",
            spec={**SPEC, "templates": _TEMPLATES},
            mode=MODES["native"],
            settings=(
                f'[origins."gs://{BUCKET}"]\nendpoint_url = "{self.origin.endpoint}"\n'
                "anonymous = true\n[mount]\nallow_other = true\n[lookahead]\nenabled = false\n"
                f'[control]\nadmin_group = "{ADMIN_GROUP}"\n'
            ),
        )
        stack.callback(self.node.clear)
        for directory in (place, self.node.directory):
            directory.chmod(0o755)
        self.scripts = place / "opt"
        self._install_scripts()
        self.node.mount()

    def _install_scripts(self) -> None:
        """Install the scripts as an administrator does, with another place for the settings."""
        for name in ("slurm", "gridengine", "opencue"):
            install(integration(name), str(self.scripts), replace=False)
        common = self.scripts / "shotfs-job.sh"
        text, count = re.subn(
            "(?m)^SHOTFS_JOB_CONF=[^ ]*",
            f"SHOTFS_JOB_CONF={self.scripts}/job.conf",
            common.read_text(),
        )
        assert count == 1, "the scripts keep the name of their settings elsewhere"
        common.write_text(text)
        program = self.scripts / "shotfs"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shotfs "$@"\n')
        program.chmod(0o755)
        self.settings()

    def settings(self, *more: str) -> None:
        """Write /etc/shotfs/job.conf of this node."""
        lines = [
            f"SHOTFS_COMMAND={self.scripts}/shotfs",
            f"SHOTFS_CONFIG={self.node.config}",
            f"SHOTFS_SHOWS={self.node.mountpoint}",
            *more,
        ]
        (self.scripts / "job.conf").write_text("".join(f"{line}\n" for line in lines))

    # --- what is there ---------------------------------------------------------------------------

    def plates(self, frame: int) -> list[str]:
        """Return the paths of the plates of *frame*, below the mount."""
        return [f"ant/plates/{SHOT}/{layer}.{frame}.exr" for layer in LAYERS]

    def fetched(self) -> dict[str, int]:
        """Return how many bytes of which files the origin has sent since `forget_all`.

        Recordings, which the node shares through the origin, do not count.
        """
        sent = self.origin.journal.sent_bytes()
        return {path: count for path, count in sent.items() if "/.shotfs/" not in path}

    def fetched_bytes(self) -> int:
        """Return how many bytes that is."""
        return sum(self.fetched().values())

    def pinned(self, owner: str = "") -> list[str]:
        """Return the paths that *owner* pins, in order; "": anybody."""
        with Client(self.node.socket) as client:
            return sorted(str(pin["path"]) for pin in client.pins(owner)["pins"])

    def answers(self) -> bool:
        """Return whether a service answers on the node's socket."""
        try:
            self.node.status()
        except ServiceNotRunning:
            return False
        return True

    def reaches_origin(self) -> bool:
        """Return whether the node has seen that its origin is back; reads the last frame."""
        # What the kernel still has of that frame would be read during an outage, too.
        if not all(one["reachable"] for one in self.node.status()["origins"].values()):
            return False
        try:
            for path in self.plates(FRAMES[-1]):
                (self.node.mountpoint / path).read_bytes()
        except OSError:
            return False
        return True

    def prewarming(self) -> list[dict[str, Any]]:
        """Return the prewarms that have not ended."""
        with Client(self.node.socket) as client:
            return [one for one in client.prewarm.list() if one["state"] != "ended"]

    def recording(self) -> list[dict[str, Any]]:
        """Return the runs that the recorder follows now, each with its subject."""
        with Client(self.node.socket) as client:
            return list(client.record.recordings()["active"])

    def forget_all(self) -> None:
        """Begin anew: nothing pinned, nothing cached, nothing counted."""
        if not self.origin.listening:
            self.origin.come_up()
        self.origin.faults.clear()
        with Client(self.node.socket) as client:
            for owner in {str(pin["owner"]) for pin in client.pins("")["pins"]}:
                client.unpin((), owner)
            client.evict(None)
        self.origin.journal.clear()
        self.settings()

    def stall(self) -> FaultHandle:
        """Let reads of content wait, until `Faults.clear`."""
        return self.origin.fault(Fault("stall", operation="read", times=None))


def let_all_write(directory: Path) -> Path:
    """Make *directory* for jobs of any user."""
    directory.mkdir(parents=True)
    directory.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
    return directory


def as_user(name: str) -> Sequence[str]:
    """Return the prefix of a command that *name* runs."""
    return ("setpriv", f"--reuid={name}", "--regid=nogroup", "--clear-groups", "--reset-env")
