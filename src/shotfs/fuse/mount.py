"""Mount: the life of one kernel mount, from the session to the last handle.

pyfuse3 keeps its session in module globals, so a process has one mount. Never touch the mount from
the process that serves it: the event loop would wait for itself.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Sequence

import pyfuse3
import trio
from pyfuse3 import InodeT

from shotfs.config import MountSettings
from shotfs.errors import MountFailed
from shotfs.fuse import forgetting, handshake, tuning
from shotfs.fuse.mountpoint import ensure_ready
from shotfs.fuse.operations import Operations
from shotfs.observe.metrics import Metrics
from shotfs.vfs import FileSystem
from shotfs.vfs.attributes import directory_identity

log = logging.getLogger(__name__)

STOP_GRACE_S = 0.5
"""How long requests under way may still answer when the session ends; then they are cancelled, and
the kernel answers ENOTCONN. A cold read of a stalled origin would keep the process for minutes."""

START_DEADLINE_S = 20
"""How long the kernel may take to open the session."""

IDLE_TASKS = 8
"""Request tasks that stay when nothing is asked; each keeps a buffer of 1 MiB."""


class Mount:
    """A file system at a mount point.

    Args:
        filesystem: what is mounted.
        settings: of the mount.
        metrics: counts requests.
        mountpoint: absolute path of an empty directory.
        read_only: the kernel refuses every change.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        settings: MountSettings,
        metrics: Metrics,
        *,
        mountpoint: str,
        read_only: bool,
    ) -> None:
        self.mountpoint = mountpoint
        self.read_only = read_only
        self.tuned = tuning.Tuned(None, None)
        self._settings = settings
        self._descriptor = -1
        self._session = trio.Event()
        self._ending = trio.Event()
        self.operations = Operations(
            filesystem,
            metrics,
            request_deadline_s=settings.request_deadline_s,
            serving=self._session.set,
        )

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Mount, answer requests until somebody unmounts or `stop` is called, and clean up.

        Raises:
            MountFailed: it cannot be mounted; nothing is left mounted.
        """
        await trio.to_thread.run_sync(ensure_ready, self.mountpoint)
        self._descriptor = await self._mount()
        try:
            await self._open_session(self._descriptor)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run, nursery)
                nursery.start_soon(self._cut, nursery)
                await self._tune()
                log.info("serving", extra={"mountpoint": self.mountpoint})
                task_status.started()
        finally:
            self._descriptor = -1
            # From here on the library has no session: whoever calls it for one ends the process.
            self._ending.set()
            with trio.CancelScope(shield=True):
                # In a thread: it waits for the kernel, which may wait for an answer of ours.
                await trio.to_thread.run_sync(pyfuse3.close)
                await self.operations.abandon_all()
            log.info("unmounted", extra={"mountpoint": self.mountpoint})

    def stop(self) -> None:
        """End the session: `serve` returns. Requests under way are abandoned after a moment."""
        if self._session.is_set() and not self._ending.is_set():
            pyfuse3.terminate()
        self._ending.set()

    async def drop_pages(self, identities: Sequence[int]) -> None:
        """Make the kernel forget the content of these files, and their names: it was wrong."""
        for node in self.operations.known_inodes(identities):
            if self._ending.is_set():
                return
            try:
                # In a thread: it may wait for a read that waits for an answer of ours.
                await trio.to_thread.run_sync(pyfuse3.invalidate_inode, InodeT(node.number))
            except OSError as exc:
                log.info("pages not dropped: %s", exc, extra={"inode": node.number})
            # The name stands for another inode now; stat would show the old one for its TTL.
            await self.forget_name(node.path)

    async def forget_show(self, show: str) -> None:
        """Make the kernel ask again about every path of *show*: another specification is in force.

        What is open stays open; files keep their inodes and their pages.
        """
        if self._descriptor < 0:
            return
        nodes = self.operations.inodes()
        # One of our own: the session's may be closed meanwhile, and stand for another file.
        descriptor = os.dup(self._descriptor)
        try:
            await trio.to_thread.run_sync(forgetting.forget_names, descriptor, show)
            await trio.to_thread.run_sync(forgetting.forget_directories, nodes, show)
        finally:
            os.close(descriptor)

    async def forget_name(self, path: str) -> None:
        """Make the kernel look *path* up again: something else lies there now."""
        directory, _, name = path.rpartition("/")
        for node in self.operations.known_inodes((directory_identity(directory),)):
            await trio.to_thread.run_sync(forgetting.forget_name, InodeT(node.number), name)

    async def forget_below(self, path: str) -> None:
        """Make the kernel ask again for owner and mode of *path* and of directories below it."""
        nodes = self.operations.inodes()
        await trio.to_thread.run_sync(forgetting.forget_directories, nodes, path)

    async def _run(self, nursery: trio.Nursery) -> None:
        await pyfuse3.main(min_tasks=IDLE_TASKS, max_tasks=self._settings.requests_max)
        nursery.cancel_scope.cancel()

    async def _cut(self, nursery: trio.Nursery) -> None:
        await self._ending.wait()
        await trio.sleep(STOP_GRACE_S)
        nursery.cancel_scope.cancel()

    async def _open_session(self, descriptor: int) -> None:
        with trio.move_on_after(START_DEADLINE_S) as scope:
            try:
                await handshake.open_session(
                    descriptor, self._session, max_background=self._settings.blocked_reads_max
                )
            except OSError as exc:
                raise MountFailed(
                    f"{self.mountpoint}: the kernel has ended the session ({exc.strerror})",
                    fix="somebody may have unmounted it meanwhile: mount again",
                ) from exc
        if scope.cancelled_caught:
            raise MountFailed(
                f"{self.mountpoint}: the kernel did not open the session "
                f"within {START_DEADLINE_S} s"
            )

    async def _mount(self) -> int:
        """Mount; return the descriptor of the FUSE device."""
        options = {"fsname=shotfs", "subtype=shotfs", "default_permissions"}
        if self._settings.allow_other:
            options.add("allow_other")
        if self.read_only:
            options.add("ro")
        before = handshake.device_descriptors()
        try:
            await trio.to_thread.run_sync(
                functools.partial(pyfuse3.init, self.operations, self.mountpoint, options)
            )
        except RuntimeError as exc:
            raise MountFailed(
                f"{self.mountpoint}: cannot be mounted ({exc})", fix=_mount_fix(self._settings)
            ) from exc
        (descriptor,) = handshake.device_descriptors() - before
        return descriptor

    async def _tune(self) -> None:
        self.tuned = await trio.to_thread.run_sync(
            functools.partial(
                tuning.tune,
                self.mountpoint,
                max_background=self._settings.blocked_reads_max,
                readahead_bytes=self._settings.readahead_bytes,
            )
        )


def _mount_fix(settings: MountSettings) -> str:
    if not os.path.exists("/dev/fuse"):
        return "load the fuse module (modprobe fuse), or give the container --device /dev/fuse"
    if settings.allow_other and os.geteuid() != 0:
        return "add `user_allow_other` to /etc/fuse.conf, or set mount.allow_other = false"
    return "run `shotfs doctor`; it checks /dev/fuse, fusermount3 and the mount point"
