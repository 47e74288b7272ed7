"""A real node for tests: its own configuration, cache, spool, socket and kernel mount."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shotfs.control.client import Client
from shotfs.fuse import mountpoint as mountpoints
from tests.fuse import modes
from tests.fuse.modes import KernelMode

SPEC: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "show": "ant",
    "roots": {"main": "ORIGIN"},
    "defaults": {"origin": "main", "ttl": "1h", "negative_ttl": "0s"},
    "fields": {
        "seq": {"type": "str", "pattern": "[a-z]{2}"},
        "act": {"type": "int", "min": 1, "max": 9},
        "scene": {"type": "int", "pad": 3},
        "cut": {"type": "int", "pad": 3},
        "take": {"type": "int", "pad": 2},
        "shot": {"type": "compound", "format": "{seq}_{act}_{scene}_{cut}_{take}"},
        "version": {"type": "version", "scheme": "v%03d"},
        "name": {"type": "str", "pattern": "[^/]+"},
        "frame": {"type": "frame", "pad": 4},
        "rest": {"type": "tree"},
    },
    "templates": {
        "library": {"path": "library/{rest}", "immutable": "on-close"},
        "config": {"path": "config/{name}.json", "flow": "inout", "ttl": "0s"},
        "frames": {
            "path": "render/{shot}_{version}/{name}.{frame}.exr",
            "flow": "out",
            "immutable": "on-close",
            "directory_mode": "0777",
        },
        "compared": {
            "path": "compared/{name}.exr",
            "flow": "out",
            "immutable": "on-close",
            "rewrite": "compare",
        },
        "notes": {"path": "notes/{rest}", "flow": "inout", "grace": "1h"},
    },
}
"""Every kind of policy that the kernel tests need. `notes` is never sealed: it stays local."""


class ShotfsNode:
    """One node in *directory* with shows whose origin is *origin*.

    Args:
        directory: everything of the node lies below it.
        origin: root URL.
        spec: document; ``ORIGIN`` in its roots is replaced.
        settings: TOML tables that are appended to the configuration, verbatim.
        mode: how the kernel works with the mount; None: as ``pytest --kernel-mode`` says.
    """

    def __init__(
        self,
        directory: Path,
        origin: str,
        *,
        spec: Mapping[str, Any] = SPEC,
        settings: str = "",
        mode: KernelMode | None = None,
    ) -> None:
        self.mode = modes.chosen() if mode is None else mode
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.mountpoint = directory / "shows"
        self.mountpoint.mkdir(exist_ok=True)
        self.config = directory / "shotfs.toml"
        self.socket = str(directory / "control.sock")
        self.log = directory / "shotfs.log"
        self.pid: int | None = None
        document = json.dumps(spec).replace("ORIGIN", origin)
        (directory / "spec.json").write_text(document)
        self.write_config(settings)

    def write_config(self, settings: str) -> None:
        """Write the configuration: paths of this node and *settings*."""
        tables = {
            "cache": f'directory = "{self.directory}/cache"\nfree_bytes_min = 0',
            "spool": "free_bytes_min = 0",
            "preemption": 'watch = "off"',
            "control": f'socket = "{self.socket}"',
            "log": f'file = "{self.log}"\nlevel = "debug"',
            "shows.ant": 'spec = "spec.json"',
        }
        if self.mode.settings:
            rows = (f"{key} = {value}" for key, value in self.mode.settings.items())
            tables["mount"] = "\n".join(rows)
        extra: dict[str, str] = {}
        name = ""
        for line in settings.strip().splitlines():
            if line.startswith("["):
                name = line.strip("[] ")
            else:
                extra[name] = extra.get(name, "") + line.strip() + "\n"
        for name, body in extra.items():
            keys = {row.partition("=")[0].strip() for row in body.splitlines()}
            kept = [
                row
                for row in tables.get(name, "").splitlines()
                if row.partition("=")[0].strip() not in keys
            ]
            tables[name] = "\n".join([*kept, body])
        self.config.write_text("".join(f"[{name}]\n{body}\n\n" for name, body in tables.items()))

    @property
    def show(self) -> Path:
        """The show's directory in the mount."""
        return self.mountpoint / "ant"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its service and of commands."""
        return {**os.environ, **self.mode.environment, "SHOTFS_CONFIG": str(self.config)}

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``shotfs`` with this node's configuration."""
        return subprocess.run(
            [sys.executable, "-m", "shotfs", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=check,
            timeout=100,
        )

    def mount(self, *options: str) -> ShotfsNode:
        """Mount in the node's mode; raises with the command's messages if that fails."""
        options = (*self.mode.options, *options)
        done = self.command("mount", *options, str(self.mountpoint), check=False)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.log_text()}"
        status = self.status()
        self.pid = int(status["pid"])
        self.mode.check(status["kernel"])
        return self

    def unmount(self) -> None:
        """Drain and unmount."""
        done = self.command("unmount", "--deadline", "30", str(self.mountpoint), check=False)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{self.log_text()}"

    def remount(self) -> ShotfsNode:
        """Unmount and mount again, with whatever the configuration says now."""
        self.unmount()
        return self.mount()

    def kill(self) -> None:
        """kill -9 the service and wait until it is gone."""
        assert self.pid is not None
        os.kill(self.pid, signal.SIGKILL)
        self.wait_ended()

    def wait_ended(self) -> None:
        """Wait until the service is gone."""
        wait_until(lambda: not self.running)

    def clear(self) -> None:
        """Leave nothing behind, whatever state the node is in."""
        if self.running:
            self.kill()
        for _ in range(3):
            if mountpoints.inspect(str(self.mountpoint)) in (
                mountpoints.MountpointState.READY,
                mountpoints.MountpointState.MISSING,
            ):
                return
            mountpoints.detach(str(self.mountpoint), lazy=True)

    # --- asking ----------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the service that `mount` started is still there."""
        return self.pid is not None and _alive(self.pid)

    def memory_bytes(self, field: str = "VmRSS") -> int:
        """Return the resident memory of the service; ``VmHWM`` is the most that it ever had."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as lines:
            row = next(line for line in lines if line.startswith(f"{field}:"))
        return int(row.split()[1]) * 1024

    def status(self) -> Mapping[str, Any]:
        """Return the service's status."""
        with Client(self.socket) as client:
            return client.status()

    def metric(self, name: str) -> float:
        """Return the sum of all series of the metric *name*."""
        with Client(self.socket) as client:
            lines = client.metrics_text().splitlines()
        values = [
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((f"{name} ", f"{name}{{"))
        ]
        return sum(values)

    def queue(self) -> list[Mapping[str, Any]]:
        """Return what is not in the origin yet."""
        with Client(self.socket) as client:
            return list(client.queue()["items"])

    def wait_published(self) -> None:
        """Wait until the queue of outputs is empty."""
        wait_until(lambda: not self.queue())

    def wait_outputs_published(self) -> None:
        """Wait until every whole output is in the origin; what was never closed does not count."""
        wait_until(lambda: all(item["state"] == "failed" for item in self.queue()))

    def wait_queue(self, *, state: str, count: int = 1) -> list[Mapping[str, Any]]:
        """Wait until *count* outputs are in *state*, and return these."""

        def found() -> list[Mapping[str, Any]]:
            return [item for item in self.queue() if item["state"] == state]

        wait_until(lambda: len(found()) == count)
        return found()

    def wait_reachable(self, *, reachable: bool = True) -> None:
        """Wait until the service reaches all of its origins, or knows that it reaches none."""

        def found() -> bool:
            origins = self.status()["origins"].values()
            return all(one["reachable"] is reachable for one in origins if "reachable" in one)

        wait_until(found)

    def log_text(self) -> str:
        """Return what the service logged."""
        return self.log.read_text() if self.log.exists() else ""

    def wait_logged(self, *texts: str) -> None:
        """Wait until one line of the log has all *texts*; a thread of the service writes it."""
        wait_until(
            lambda: any(
                all(text in line for text in texts) for line in self.log_text().splitlines()
            )
        )

    def xattr(self, path: Path, name: str) -> str:
        """Return the extended attribute ``user.shotfs.<name>``."""
        return os.getxattr(path, f"user.shotfs.{name}").decode()


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    """Return when *condition* holds. For other processes' state, of which no event tells us."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s} s: {condition}"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
