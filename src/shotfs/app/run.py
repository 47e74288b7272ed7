"""Running: from the configuration to a serving mount, and the order in which it ends.

Shutdown: the queue of outputs drains, the kernel mount goes, the control socket goes, then the
parts of the node in the opposite order of their making.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import resource
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import trio

from shotfs.app.node import Node, check_origins, open_node
from shotfs.app.process import prepare_process
from shotfs.app.service import NodeService
from shotfs.config import Loaded
from shotfs.control.server import serve as serve_control
from shotfs.errors import MountFailed, ShotfsError
from shotfs.fuse.mount import Mount
from shotfs.namespace import SpecWatch
from shotfs.observe import logs, loop_lag
from shotfs.observe.metrics import Metrics
from shotfs.pathspec import Specification

log = logging.getLogger(__name__)

SIGNAL_DRAIN_S = 25.0
"""How long SIGTERM drains: clouds give a preempted node 30 s."""

GARBAGE_THRESHOLD = 50_000
"""Allocations between collections of the youngest generation: a full collection over the objects
that start-up made took 90 ms (field notes), so they are frozen and it comes seldom."""


def run_mount(
    loaded: Loaded,
    mountpoint: str,
    *,
    read_only: bool,
    zero_upcall: bool,
    ready: Callable[[], None],
) -> int:
    """Mount, serve until told to stop, unmount. Blocks.

    Args:
        loaded: the configuration.
        mountpoint: absolute path of an empty directory.
        read_only: refuse every change, whatever the configuration says.
        zero_upcall: let the kernel open files without asking, whatever the configuration says.
        ready: called when the mount serves and the control socket answers.

    Returns:
        The exit code.

    Raises:
        ShotfsError: it could not start; nothing is left mounted.
    """
    read_only = read_only or loaded.settings.mount.read_only
    zero_upcall = zero_upcall or loaded.settings.mount.zero_upcall
    if zero_upcall and not read_only:
        raise MountFailed(
            f"cannot mount {mountpoint}: files that are opened without asking cannot be written",
            fix="mount with --read-only too (mount.read_only), or without --zero-upcall",
        )

    async def serve(node: Node) -> int:
        mount = Mount(
            node.filesystem,
            node.settings.mount,
            node.metrics,
            mountpoint=mountpoint,
            read_only=read_only,
            zero_upcall=zero_upcall,
            backing_directory=node.settings.cache.directory,
        )
        async with trio.open_nursery() as nursery:
            specs = watch_specs(node, mount)
            service = NodeService(node, mount, mount.stop, specs)
            # Before the mount: a signal that comes while it is made must not leave a dead one.
            nursery.start_soon(service.run)
            nursery.start_soon(_handle_signals, service, nursery.cancel_scope)
            serving = functools.partial(_serve_mount, mount, nursery.cancel_scope)
            await nursery.start(serving)
            nursery.start_soon(_drop_corrupt_pages, node, mount)
            nursery.start_soon(specs.run)
            await _start_around(nursery, node, service)
            ready()
        return service.leaving.exit_code

    return _run(loaded, serve, read_only=read_only)


def run_serve(loaded: Loaded, *, ready: Callable[[], None]) -> int:
    """Serve the control socket without a mount until told to stop. As `run_mount` otherwise."""

    async def serve(node: Node) -> int:
        async with trio.open_nursery() as nursery:
            specs = watch_specs(node, None)
            service = NodeService(node, None, nursery.cancel_scope.cancel, specs)
            nursery.start_soon(service.run)
            nursery.start_soon(_handle_signals, service, nursery.cancel_scope)
            nursery.start_soon(_discard_corrupt, node)
            nursery.start_soon(specs.run)
            await _start_around(nursery, node, service)
            ready()
        return service.leaving.exit_code

    return _run(loaded, serve, read_only=False)


def _run(loaded: Loaded, serve: Callable[[Node], Awaitable[int]], *, read_only: bool) -> int:
    metrics = Metrics()
    settings = loaded.settings.log

    async def main() -> int:
        async with open_node(loaded, metrics, read_only=read_only) as node:
            return await serve(node)

    writer = logs.configure(
        settings.level,
        settings.format,
        settings.file,
        on_drop=metrics.log_records_dropped.inc,
    )
    _raise_descriptor_limit()
    prepare_process()
    with writer:
        try:
            return trio.run(main)
        except BaseExceptionGroup as group:
            raise _one(group) from group


def _raise_descriptor_limit() -> None:
    """Take every descriptor that the administrator allows: each open file may need one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve_mount(
    mount: Mount, scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]
) -> None:
    await mount.serve(task_status=task_status)
    scope.cancel()


async def _start_around(nursery: trio.Nursery, node: Node, service: NodeService) -> None:
    """Start what every service has beside its mount: ways to ask it, the watchdog of the loop."""
    await nursery.start(
        functools.partial(
            serve_control, service, node.settings.control, functools.partial(_is_user, node)
        )
    )
    nursery.start_soon(loop_lag.watch, node.metrics)
    nursery.start_soon(service.cache.run)
    nursery.start_soon(service.prewarming.run)
    nursery.start_soon(service.watch)
    if service.metrics_port is not None:
        nursery.start_soon(service.metrics_port.run)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)


def _is_user(node: Node, uid: int, gid: int, pid: int) -> bool:
    """Whether a process may use the mount, and so may ask about it."""
    del gid, pid
    return node.settings.mount.allow_other or uid == os.getuid()


def watch_specs(node: Node, mount: Mount | None) -> SpecWatch:
    """Return what keeps the specifications of *node* in step with their documents."""

    async def validate(spec: Specification) -> None:
        known = node.shows.origins
        if any(url not in known for url in spec.origins):
            await check_origins([spec], node.tiers)

    async def swapped(show: str) -> None:
        node.filesystem.respecified(show)
        if mount is not None:
            await mount.forget_show(show)
        # As at the start: collections need not go through the new specification.
        gc.freeze()

    return SpecWatch(
        node.shows,
        node.loader,
        node.metrics,
        check_s=node.settings.network.spec_check_s,
        validate=validate,
        swapped=swapped,
    )


async def _handle_signals(service: NodeService, scope: trio.CancelScope) -> None:
    """Drain and end on the first SIGTERM or SIGINT; end at once on the second.

    SIGHUP looks whether the specifications changed.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        # Room for one: whoever asks while somebody waits for his turn gets the same answer.
        reload_in, reload_out = trio.open_memory_channel[None](1)
        async with trio.open_nursery() as nursery, reload_in:
            nursery.start_soon(_reload_specs, service, reload_out)
            await _heed(received, service, scope, reload_in)


async def _heed(
    received: AsyncIterator[int],
    service: NodeService,
    scope: trio.CancelScope,
    reload_in: trio.MemorySendChannel[None],
) -> None:
    count = 0
    async for number in received:
        if number == signal.SIGHUP:
            log.info("signal", extra={"signal": "SIGHUP"})
            with contextlib.suppress(trio.WouldBlock):
                reload_in.send_nowait(None)
            continue
        count += 1
        log.info("signal", extra={"signal": signal.Signals(number).name, "count": count})
        if count > 1:
            scope.cancel()
            return
        service.leaving.begin(signal.Signals(number).name, SIGNAL_DRAIN_S)


async def _reload_specs(service: NodeService, wanted: trio.MemoryReceiveChannel[None]) -> None:
    async for _ in wanted:
        await service.reload_specs(())


async def _drop_corrupt_pages(node: Node, mount: Mount) -> None:
    async for revision in node.corrupt:
        await mount.drop_pages(await node.filesystem.distrust(revision))


async def _discard_corrupt(node: Node) -> None:
    async for revision in node.corrupt:
        log.warning("corrupt content was dropped", extra={"key": revision.key})


def _one(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the exception that a person should see: one that we raised on purpose, if any."""
    ours, rest = group.split(ShotfsError)
    inner = (ours or rest or group).exceptions[0]
    return _one(inner) if isinstance(inner, BaseExceptionGroup) else inner
