"""Puts a stand-in for `shotfs.app` into every process that has this directory in PYTHONPATH.

The stand-in mounts the tiny file system and serves the fake service on the control socket, so the
commands are tested as real processes without the real service. SHOTFS_FAKE says how it behaves.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEHAVIOUR = os.environ.get("FAKE_SHOTFS", "")


def _service(mountpoint: str | None, ended: Any) -> Any:
    from tests.unit.control.fake_service import FakeService, Item, State

    items = [Item("show/a.exr", State.SEALED, 7, "origin is down")]

    class Service(FakeService):
        async def stop(self, drain: bool, deadline_s: float) -> None:
            ended.set()

        def status(self) -> Any:
            return {**super().status(), "pid": os.getpid(), "cache": {"bytes_used": 2048}}

    return Service(items=items if BEHAVIOUR == "stuck" else [], mountpoint=mountpoint)


async def _run(loaded: Any, mountpoint: str | None, ready: Callable[[], None]) -> None:
    import trio
    from tests.unit.control import tiny_mount

    from shotfs.control import server

    ended = trio.Event()

    async def end_on_signal() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                ended.set()
                return

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_on_signal)
        control = loaded.settings.control
        service = _service(mountpoint, ended)
        await nursery.start(server.serve, service, control, lambda *_: True)
        if mountpoint is None:
            ready()
        else:

            async def mount() -> None:
                await tiny_mount.serve(mountpoint, ready, hangs=False, options=set())
                ended.set()

            nursery.start_soon(mount)
        await ended.wait()
        nursery.cancel_scope.cancel()


def run_mount(
    loaded: Any,
    mountpoint: str,
    *,
    read_only: bool,
    zero_upcall: bool,
    ready: Callable[[], None],
) -> int:
    import trio

    from shotfs.errors import AccessDenied, CacheBusy

    if BEHAVIOUR == "denied":
        raise ExceptionGroup(
            "nursery", [AccessDenied("gs://b: 401", fix="look at credentials_file")]
        )
    if BEHAVIOUR == "busy":
        raise CacheBusy("cache directory is in use by pid 7", fix="set cache.directory")
    if BEHAVIOUR == "file missing":
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/x/spec.json")
    if BEHAVIOUR == "bug":
        raise ZeroDivisionError("oops")
    if BEHAVIOUR == "silent":
        print("last words", file=sys.stderr, flush=True)
        os._exit(9)
    if BEHAVIOUR == "killed while mounted":
        trio.run(_run, loaded, mountpoint, lambda: os.kill(os.getpid(), signal.SIGKILL))
    if BEHAVIOUR == "slow":
        trio.run(_run, loaded, mountpoint, lambda: None)
        return 0
    Path(os.environ["FAKE_RECORD"]).write_text(
        f"{read_only} {zero_upcall} {mountpoint} {os.getcwd()} {os.getsid(0) == os.getpid()} "
        f"{os.environ.get('NOTIFY_SOCKET')}"
    )
    trio.run(_run, loaded, mountpoint, ready)
    return 0


def run_serve(loaded: Any, *, ready: Callable[[], None]) -> int:
    import trio

    trio.run(_run, loaded, None, ready)
    return 0


application = types.ModuleType("shotfs.app")
application.run_mount = run_mount  # type: ignore[attr-defined]
application.run_serve = run_serve  # type: ignore[attr-defined]
sys.modules["shotfs.app"] = application
