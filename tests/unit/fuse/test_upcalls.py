"""Whatever goes wrong in a handler, the kernel gets an errno and the mount lives on."""

from __future__ import annotations

import errno
import inspect
import logging
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, NoReturn

import pyfuse3
import pytest
import trio
from trio.testing import MockClock

from shotfs.errors import PathNotFound, PublishedImmutable, SpoolFull, TierUnavailable
from shotfs.fuse.inodes import Node
from shotfs.fuse.listings import _OpenDirectory
from shotfs.fuse.open_files import OpenFile
from shotfs.fuse.operations import Operations
from shotfs.fuse.passthrough import Passthrough
from shotfs.fuse.upcalls import upcall
from shotfs.observe.metrics import Metrics
from shotfs.vfs import Caller

DEADLINE_S = 60.0


class Requests:
    """Handlers that end in all the ways there are."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.request_deadline_s = DEADLINE_S

    @upcall("lookup")
    async def fail(self, error: BaseException) -> None:
        raise error

    @upcall("lookup")
    async def wait(self) -> None:
        await trio.sleep_forever()

    @upcall("read", deadline=False)
    async def wait_without_deadline(self) -> None:
        await trio.sleep(10 * DEADLINE_S)

    def _double(self, number: int) -> int | None:
        if number < 0:
            raise PathNotFound("less than nothing")
        return 2 * number if number else None

    @upcall("getattr", now=_double)
    async def double(self, number: int) -> int:
        await trio.sleep(10 * DEADLINE_S)
        return 2 * number

    @upcall("lookup")
    async def fail_in_tasks(self, *errors: Exception) -> None:
        async def one(error: Exception) -> NoReturn:
            raise error

        async with trio.open_nursery() as nursery:
            for error in errors:
                nursery.start_soon(one, error)


async def _outcome(call: Coroutine[Any, Any, object]) -> int:
    try:
        await call
    except pyfuse3.FUSEError as error:
        return int(error.errno)
    return 0


async def _errno_of(call: Coroutine[Any, Any, object]) -> int:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await call
    number: int = caught.value.errno
    return number


def _error_count(metrics: Metrics) -> float:
    snapshot = metrics.snapshot()
    return sum(snapshot[name] for name in snapshot if name.startswith("shotfs_upcall_errors_total"))


async def test_an_unexpected_exception_is_eio_with_a_logged_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    requests = Requests()
    assert await _errno_of(requests.fail(ZeroDivisionError("a mistake of ours"))) == errno.EIO
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert "a mistake of ours" in caplog.text
    assert "Traceback" in caplog.text
    assert _error_count(requests.metrics) == 1


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (PathNotFound("a/b: no such file"), errno.ENOENT),
        (PublishedImmutable("a/b: published", errno=errno.EEXIST), errno.EEXIST),
        (PublishedImmutable("a/b: published"), errno.EPERM),
        (SpoolFull("the spool is full"), errno.ENOSPC),
        (TierUnavailable("the origin is gone"), errno.ENETDOWN),
        (OSError(errno.ENOSPC, "a full disk below"), errno.ENOSPC),
        (OSError(errno.ENOENT, "a file of ours is gone"), errno.EIO),
        (OSError("without a number"), errno.EIO),
        (pyfuse3.FUSEError(errno.EXDEV), errno.EXDEV),
    ],
)
async def test_errors_on_purpose_have_their_errno(error: Exception, number: int) -> None:
    assert await _errno_of(Requests().fail(error)) == number


async def test_errors_on_purpose_are_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await _errno_of(Requests().fail(TierUnavailable("gs://film: gone", fix="look at the network")))
    assert "look at the network" in caplog.text
    assert "Traceback" not in caplog.text


async def test_a_group_has_the_errno_of_what_is_in_it(caplog: pytest.LogCaptureFixture) -> None:
    assert await _errno_of(Requests().fail_in_tasks(PathNotFound("gone"))) == errno.ENOENT
    nested = ExceptionGroup("outer", [ExceptionGroup("inner", [ValueError("a mistake")])])
    assert await _errno_of(Requests().fail(nested)) == errno.EIO
    assert "a mistake" in caplog.text


async def test_s07_a_request_without_an_answer_is_etimedout_at_its_deadline(
    autojump_clock: MockClock,
) -> None:
    requests = Requests()
    started = trio.current_time()
    assert await _errno_of(requests.wait()) == errno.ETIMEDOUT
    assert trio.current_time() - started == DEADLINE_S


async def test_requests_that_watch_their_own_progress_have_no_deadline_here(
    autojump_clock: MockClock,
) -> None:
    started = trio.current_time()
    await Requests().wait_without_deadline()
    assert trio.current_time() - started == 10 * DEADLINE_S


async def test_an_answer_that_is_ready_is_given_without_awaiting() -> None:
    requests = Requests()
    with trio.CancelScope() as scope:
        scope.cancel()  # whatever awaits ends here
        assert await requests.double(4) == 8
    assert not scope.cancelled_caught
    assert dict(requests.metrics.upcalls.values())[("getattr",)] == 1
    assert requests.metrics.upcall_seconds["getattr"].count == 1


async def test_s07_what_is_not_ready_has_the_deadline(autojump_clock: MockClock) -> None:
    requests = Requests()
    started = trio.current_time()
    assert await _errno_of(requests.double(0)) == errno.ETIMEDOUT
    assert trio.current_time() - started == DEADLINE_S
    assert requests.metrics.upcall_seconds["getattr"].count == 1


async def test_a_ready_error_has_its_errno_and_is_counted() -> None:
    requests = Requests()
    assert await _errno_of(requests.double(-1)) == errno.ENOENT
    assert _error_count(requests.metrics) == 1


async def test_cancellation_passes_through_and_is_not_counted_as_an_error() -> None:
    requests = Requests()
    with trio.CancelScope() as scope:
        scope.cancel()
        await requests.wait()
    assert scope.cancelled_caught
    assert _error_count(requests.metrics) == 0


# --- every handler that pyfuse3 calls ----------------------------------------------------------


class Broken:
    """A file system, handle or snapshot of which everything fails as nobody foresaw."""

    path = "ant"

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def fail(*arguments: object, **options: object) -> NoReturn:
            raise RuntimeError(f"{name} is broken")

        return fail

    def __len__(self) -> int:
        return 3


ARGUMENTS: dict[str, object] = {
    "inode": 7,
    "parent_inode": 7,
    "parent_inode_old": 7,
    "parent_inode_new": 7,
    "new_parent_inode": 7,
    "name": b"user.shotfs.state",
    "name_old": b"old",
    "name_new": b"new",
    "new_name": b"new",
    "target": b"there",
    "value": b"",
    "mode": 0o100644,
    "rdev": 0,
    "flags": 0,
    "fh": 1,
    "off": 0,
    "size": 1,
    "buf": b"x",
    "datasync": False,
    "start_id": 0,
    "token": None,
    "ctx": SimpleNamespace(uid=0, gid=0, pid=1),
    "attr": SimpleNamespace(),
    "fields": SimpleNamespace(
        update_mode=False,
        update_uid=False,
        update_gid=False,
        update_size=False,
        update_atime=False,
        update_mtime=False,
    ),
}

NOT_OURS = {"init", "forget", "stacktrace", "access", "poll"}
"""Not answered, or not asked of us: access is the kernel's under default_permissions, and poll is
refused once by pyfuse3, after which the kernel says "always ready" by itself."""

HANDLERS = sorted(
    name
    for name, method in inspect.getmembers(pyfuse3.Operations, inspect.isfunction)
    if not name.startswith("_") and name not in NOT_OURS
)


@pytest.fixture
def operations() -> Operations:
    """Operations with an inode and an open file, on a file system that is broken throughout."""
    broken: Any = Broken()
    made = Operations(
        broken,
        Metrics(),
        request_deadline_s=DEADLINE_S,
        serving=lambda: None,
        passthrough=Passthrough(bytes_min=0, files_max=0),
    )
    node = Node(7, "ant", 7)
    made._inodes._nodes[7] = node
    made._files._files[1] = OpenFile(broken, node)
    made._listings._open[1] = _OpenDirectory(node, Caller(0, 0, 1), broken, None)
    return made


@pytest.mark.parametrize("name", HANDLERS)
async def test_no_handler_lets_anything_but_an_errno_out(operations: Operations, name: str) -> None:
    handler = getattr(operations, name)
    assert getattr(Operations, name) is not getattr(pyfuse3.Operations, name), "not implemented"
    values = [ARGUMENTS[parameter] for parameter in inspect.signature(handler).parameters]
    # Twice: what the first call takes away (an open file) is missing at the second.
    outcomes = [await _outcome(handler(*values)) for _ in range(2)]
    assert set(outcomes) <= {0, errno.EIO, errno.EPERM}


@pytest.mark.parametrize("name", ["lookup", "open", "read", "readdir", "flush", "rename", "statfs"])
async def test_a_broken_file_system_is_eio(
    operations: Operations, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    handler = getattr(operations, name)
    values = [ARGUMENTS[parameter] for parameter in inspect.signature(handler).parameters]
    assert await _errno_of(handler(*values)) == errno.EIO
    assert "is broken" in caplog.text
    assert "Traceback" in caplog.text


async def test_an_inode_that_the_kernel_should_not_know_is_estale(operations: Operations) -> None:
    context: Any = ARGUMENTS["ctx"]
    assert await _errno_of(operations.getattr(pyfuse3.InodeT(99), context)) == errno.ESTALE


async def test_forgetting_more_than_was_looked_up_is_no_error(operations: Operations) -> None:
    await operations.forget([(pyfuse3.InodeT(7), 10), (pyfuse3.InodeT(99), 1)])
    assert operations.inode_count == 1
