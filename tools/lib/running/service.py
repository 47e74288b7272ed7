"""A shotfs service as its users have it: through the command line, the mount and the socket."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from running import interrupts, processes
from shotfs.control.client import Client

SHOTFS = os.path.join(os.path.dirname(sys.executable), "shotfs")
MOUNT_TIMEOUT_S = 100.0
UNMOUNT_TIMEOUT_S = 90.0
_SAMPLE = re.compile(r"^([a-z_]+)(\{[^}]*\})? (\S+)$", re.MULTILINE)


class ServiceFailed(Exception):
    """A shotfs command failed; the message has what it said."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """A mount that serves.

    Attributes:
        name: of the node, for people.
        config: the configuration file that it runs with.
        mountpoint: where it is mounted.
        socket: its control socket.
    """

    name: str
    config: str
    mountpoint: str
    socket: str

    def status(self) -> Mapping[str, Any]:
        """Return what ``shotfs status --json`` shows."""
        with Client(self.socket) as client:
            return client.status()

    def counters(self) -> Counters:
        """Return all metrics at this moment."""
        with Client(self.socket) as client:
            text = client.metrics_text()
        return Counters(
            {name + (labels or ""): float(value) for name, labels, value in _SAMPLE.findall(text)}
        )

    def wait_until_published(self, timeout_s: float) -> float:
        """Return when no output is waiting any more, with how long that took in seconds.

        Raises:
            ServiceFailed: outputs still wait after *timeout_s*; names them and why.
        """
        started = time.monotonic()
        with Client(self.socket) as client:
            while True:
                queue = client.queue()
                waited_s = time.monotonic() - started
                if queue["count"] == 0:
                    return waited_s
                if waited_s > timeout_s:
                    raise ServiceFailed(
                        f"{queue['count']} outputs of {self.name} are not in the bucket after "
                        f"{timeout_s:g} s: {queue['items'][:3]}"
                    )
                time.sleep(0.05)

    def evict_all(self) -> None:
        """Empty the cache."""
        with Client(self.socket) as client:
            client.evict(None)


@dataclass(frozen=True, slots=True)
class Counters:
    """A reading of all metrics: ``name{labels}`` to value."""

    values: Mapping[str, float]

    def total(self, name: str, label: str = "") -> float:
        """Return the sum over the samples of *name* whose labels contain *label*."""
        return sum(
            value
            for sample, value in self.values.items()
            if sample.partition("{")[0] == name and label in sample
        )


def run(*arguments: str, timeout_s: float, prefix: Sequence[str] = ()) -> str:
    """Run ``shotfs`` with *arguments*; return what it printed.

    Args:
        *arguments: of the command.
        timeout_s: how long it may take.
        prefix: a command that runs it, say as somebody else.

    Raises:
        ServiceFailed: it ended with an error, or took longer than *timeout_s*.
    """
    command = [*prefix, SHOTFS, *arguments]
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as exc:
        raise ServiceFailed(f"{' '.join(command)} did not end within {timeout_s:g} s") from exc
    if done.returncode != 0:
        raise ServiceFailed(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
        )
    return done.stdout


def mount(
    stack: ExitStack, node: Mounted, *, options: Sequence[str] = (), prefix: Sequence[str] = ()
) -> None:
    """Mount *node* in the background; *stack* unmounts it.

    Args:
        stack: unmounts it.
        node: its configuration and mount point.
        options: of ``shotfs mount``.
        prefix: a command that runs it, say as somebody else.

    Raises:
        ServiceFailed: it could not be mounted.
    """
    with interrupts.held():
        os.makedirs(node.mountpoint, exist_ok=True)
        stack.callback(unmount, node, prefix=prefix)
    arguments = ("mount", "--config", node.config, *options, node.mountpoint)
    run(*arguments, timeout_s=MOUNT_TIMEOUT_S, prefix=prefix)


def unmount(node: Mounted, *, prefix: Sequence[str] = ()) -> None:
    """Unmount *node* as a user does; a mount that cannot be unmounted so is detached."""
    if node.mountpoint not in processes.mounts_below(os.path.dirname(node.mountpoint)):
        return
    with contextlib.suppress(ServiceFailed):
        arguments = ("unmount", "--config", node.config, node.mountpoint)
        run(*arguments, timeout_s=UNMOUNT_TIMEOUT_S, prefix=prefix)
    processes.unmount(node.mountpoint)
