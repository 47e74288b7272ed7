"""Mount: the life of one kernel mount, from the session to the last handle.

pyfuse3 keeps its session in module globals, so a process has one mount. Never touch the mount from
the process that serves it: the event loop would wait for itself.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pyfuse3
import trio

from shotfs.config import MountSettings
from shotfs.errors import MountFailed
from shotfs.fuse import features, handshake, tuning
from shotfs.fuse.forgetting import Forgetting
from shotfs.fuse.inode_reads import InodeReads
from shotfs.fuse.inodes import Node
from shotfs.fuse.mountpoint import ensure_ready
from shotfs.fuse.native_opens import NativeOpens
from shotfs.fuse.operations import Operations
from shotfs.fuse.passthrough import Passthrough
from shotfs.fuse.probe import ProbeFile, read_through
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
        zero_upcall: the kernel opens files without asking, where the helper can; *read_only* then.
        backing_directory: on the disk whose files the kernel shall read by itself.

    Attributes:
        passthrough: files that the kernel reads and writes by itself.
    """

    def __init__(
        self,
        filesystem: FileSystem,
        settings: MountSettings,
        metrics: Metrics,
        *,
        mountpoint: str,
        read_only: bool,
        zero_upcall: bool,
        backing_directory: str,
    ) -> None:
        self.mountpoint = mountpoint
        self.read_only = read_only
        self.tuned = tuning.Tuned(None, None)
        self._settings = settings
        self._session = trio.Event()
        self._ending = trio.Event()
        self._backing_directory = backing_directory
        self._forgetting = Forgetting(filesystem.waits.looks_in)
        self.passthrough = Passthrough(
            bytes_min=settings.passthrough_bytes_min, files_max=settings.passthrough_files_max
        )
        self._zero_upcall_problem = features.zero_upcall_obstacle() if zero_upcall else ""
        self._zero_upcall = zero_upcall and not self._zero_upcall_problem
        self._inode_reads = InodeReads(filesystem) if self._zero_upcall else None
        self.operations = Operations(
            filesystem,
            metrics,
            request_deadline_s=settings.request_deadline_s,
            serving=self._session.set,
            passthrough=self.passthrough,
            native_files_max=settings.native_files_max,
            inode_reads=self._inode_reads,
        )
        self._native_opens = NativeOpens(filesystem, self.operations.inode)
        filesystem.on_shortage(self.operations.front.retire_idle)

    def features(self) -> Mapping[str, Any]:
        """Return which fast paths of the kernel are in use, and why not."""
        return {
            **features.report(
                self.passthrough,
                zero_upcall=self._zero_upcall,
                zero_upcall_problem=self._zero_upcall_problem,
            ),
            **self.operations.front.report(),
        }

    def count_opens(self) -> None:
        """Bring the opens that the native thread answered to the metrics."""
        self.operations.front.count_opens()

    async def serve(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Mount, answer requests until somebody unmounts or `stop` is called, and clean up.

        Raises:
            MountFailed: it cannot be mounted; nothing is left mounted.
        """
        await trio.to_thread.run_sync(ensure_ready, self.mountpoint)
        descriptor = await self._mount()
        front = self.operations.front
        try:
            passthrough_problem = await self._open_session(descriptor)
            # From here on that number is not the device any more.
            device = front.start(descriptor, self._settings.native_thread)
            self._forgetting.begin(device)
            if passthrough_problem:
                self.passthrough.stop(passthrough_problem)
            else:
                self.passthrough.start(device)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run, nursery)
                nursery.start_soon(self._cut, nursery)
                if self._inode_reads is not None:
                    nursery.start_soon(self._inode_reads.run)
                if front.active:
                    nursery.start_soon(front.run)
                    nursery.start_soon(self._native_opens.run)
                await self._tune()
                await self._prove_passthrough()
                log.info("serving", extra={"mountpoint": self.mountpoint})
                task_status.started()
        finally:
            self._forgetting.end()
            # From here on the library has no session: whoever calls it for one ends the process.
            self._ending.set()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(front.stop)
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
        nodes = self.operations.known_inodes(identities)
        for node in nodes:
            self.operations.front.retire(node)
            await self._forgetting.drop_pages(node)
        # The names stand for other inodes now; stat would show the old ones for their TTL.
        await self.forget_names([node.path for node in nodes])

    async def forget_show(self, show: str) -> None:
        """Make the kernel ask again about every path of *show*: another specification is in force.

        What is open stays open; files keep their inodes and their pages.
        """
        # Owner and mode of files may be others: the native thread knows the old ones.
        self.operations.front.retire_all(lambda node: node.path.startswith(f"{show}/"))
        nodes = self.operations.inodes()
        await self._forgetting.forget_show(show)
        await self._forgetting.forget_attributes(nodes, show, files=False)

    async def forget_names(self, paths: Sequence[str]) -> None:
        """Make the kernel look *paths* up again: something else lies there now.

        Names below a directory go with its own, except those that somebody uses.
        """
        names: list[tuple[Node, str]] = []
        for path in paths:
            directory, _, name = path.rpartition("/")
            known = self.operations.known_inodes((directory_identity(directory),))
            names.extend((node, name) for node in known)
        await self._forgetting.forget_names(names)

    async def forget_directories(self, path: str) -> None:
        """Make the kernel ask again for owner and mode of *path* and of directories below it."""
        nodes = self.operations.inodes()
        await self._forgetting.forget_attributes(nodes, path, files=False)

    async def forget_tree(self, path: str) -> None:
        """Make the kernel ask again about *path* and everything below it: names and attributes."""
        nodes = self.operations.inodes()
        await self.forget_names([path])
        await self._forgetting.forget_attributes(nodes, path, files=True)

    async def _run(self, nursery: trio.Nursery) -> None:
        await pyfuse3.main(min_tasks=IDLE_TASKS, max_tasks=self._settings.requests_max)
        nursery.cancel_scope.cancel()

    async def _cut(self, nursery: trio.Nursery) -> None:
        await self._ending.wait()
        await trio.sleep(STOP_GRACE_S)
        nursery.cancel_scope.cancel()

    async def _open_session(self, descriptor: int) -> str:
        """Agree with the kernel; return why there is no passthrough, "" if there is."""
        # Opens that never come cannot say what backs a file.
        obstacle = "zero_upcall" if self._zero_upcall else ""
        obstacle = obstacle or features.passthrough_obstacle(self._settings.passthrough)
        with trio.move_on_after(START_DEADLINE_S) as scope:
            try:
                agreed = await handshake.open_session(
                    descriptor,
                    self._session,
                    max_background=self._settings.blocked_reads_max,
                    passthrough=not obstacle,
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
        if agreed.passthrough:
            return ""
        return obstacle or "this kernel does not offer it (Linux 6.9 and later)"

    async def _prove_passthrough(self) -> None:
        """Read a test file through the mount before anybody else reads."""
        if not self.passthrough.active:
            return
        try:
            probe = await trio.to_thread.run_sync(ProbeFile, self._backing_directory)
        except OSError as exc:
            self.passthrough.stop(f"no test file can be made: {exc}")
            return
        try:
            with self.operations.showing(probe):
                problem = await read_through(self.mountpoint, probe)
        finally:
            probe.remove()
        if problem:
            log.warning("files are opened without passthrough: %s", problem)
            self.passthrough.stop(problem)

    async def _mount(self) -> int:
        """Mount; return the descriptor of the FUSE device."""
        options = {"fsname=shotfs", "subtype=shotfs", "default_permissions"}
        if self._settings.allow_other:
            options.add("allow_other")
        if self.read_only:
            options.add("ro")
        if self._zero_upcall_problem:
            log.warning("files are opened one by one: %s", self._zero_upcall_problem)
        features.set_reads_by_inode(self._zero_upcall)
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
