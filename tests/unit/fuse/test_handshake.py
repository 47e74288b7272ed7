"""What is said to the kernel when a session opens."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from shotfs.fuse import handshake
from shotfs.fuse.handshake import PARALLEL_DIROPS, amended, device_descriptors

ASYNC_READ = 1 << 0


def _request(flags: int, flags_2: int = 0) -> bytes:
    """A FUSE_INIT request: header, version 7.42, read-ahead, flags, and what newer kernels add."""
    header = struct.pack("=IIQQIIIHH", 104, 26, 2, 0, 0, 0, 0, 0, 0)
    return header + struct.pack("=IIIII", 7, 42, 131072, flags, flags_2) + bytes(44)


def _amended(answer: bytes, request: bytes, *, max_background: int) -> bytes:
    return amended(answer, request, max_background=max_background, passthrough=False)[0]


def _answer(flags: int, *, error: int = 0) -> bytes:
    header = struct.pack("=IiQ", 80, error, 2)
    body = struct.pack("=IIIIHHI", 7, 38, 131072, flags, 12, 9, 131072)
    return header + body + b"\x5a" * 36


def _said(answer: bytes) -> tuple[int, int, int]:
    """Return flags, max_background and congestion_threshold."""
    _, _, _, flags, background, threshold = struct.unpack_from("=IIIIHH", answer, 16)
    return flags, background, threshold


def test_what_the_kernel_offers_is_asked_for_beside_what_the_library_wants() -> None:
    made = _amended(_answer(ASYNC_READ), _request(PARALLEL_DIROPS), max_background=1000)
    assert _said(made) == (ASYNC_READ | PARALLEL_DIROPS, 1000, 750)


def test_what_the_kernel_does_not_offer_is_not_asked_for() -> None:
    made = _amended(_answer(ASYNC_READ), _request(ASYNC_READ), max_background=100)
    assert _said(made) == (ASYNC_READ, 100, 75)


def test_everything_else_stays_as_the_library_said_it() -> None:
    before = _answer(ASYNC_READ)
    made = _amended(before, _request(PARALLEL_DIROPS), max_background=65535)
    assert len(made) == len(before)
    assert made[:28] == before[:28]
    assert made[36:] == before[36:]


@pytest.mark.parametrize(
    ("answer", "request_"),
    [
        (_answer(0, error=-71), _request(PARALLEL_DIROPS)),
        (_answer(0)[:24], _request(PARALLEL_DIROPS)),
        (b"", _request(PARALLEL_DIROPS)),
        (_answer(0), b"\0" * 50),
    ],
    ids=["refusal", "old protocol", "nothing", "no request"],
)
def test_what_is_no_successful_answer_is_passed_on_as_it_is(answer: bytes, request_: bytes) -> None:
    assert amended(answer, request_, max_background=1000, passthrough=True) == (answer, None)


INIT_EXT = 1 << 30
PASSTHROUGH = 1 << 5  # of the second word


def _extended(answer: bytes) -> tuple[int, int, int]:
    """Return flags, flags2 and max_stack_depth."""
    _, _, _, flags, *_, flags_2, depth = struct.unpack_from("=IIIIHHIIHHII", answer, 16)
    return flags, flags_2, depth


def _blank_answer() -> bytes:
    return _answer(ASYNC_READ)[:44] + bytes(36)


def test_passthrough_is_agreed_where_both_sides_want_it() -> None:
    made, agreed = amended(
        _blank_answer(), _request(INIT_EXT, PASSTHROUGH), max_background=12, passthrough=True
    )
    assert _extended(made) == (ASYNC_READ | INIT_EXT, PASSTHROUGH, 1)
    assert agreed is not None
    assert agreed.passthrough


@pytest.mark.parametrize(
    ("offered", "offered_2", "wanted"),
    [(INIT_EXT, 0, True), (0, PASSTHROUGH, True), (INIT_EXT, PASSTHROUGH, False)],
    ids=["an old kernel", "no second word", "nobody wants it"],
)
def test_passthrough_is_not_agreed_else(offered: int, offered_2: int, wanted: bool) -> None:
    made, agreed = amended(
        _blank_answer(), _request(offered, offered_2), max_background=12, passthrough=wanted
    )
    assert _extended(made) == (ASYNC_READ, 0, 0)
    assert agreed is not None
    assert not agreed.passthrough


def test_other_devices_and_files_are_not_taken_for_the_fuse_device(tmp_path: Path) -> None:
    before = device_descriptors()
    with open("/dev/null", "rb"), open(tmp_path / "fuse", "wb"):
        assert device_descriptors() == before


@pytest.mark.kernel
def test_the_fuse_device_is_found_by_what_it_is() -> None:
    try:
        descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as exc:
        pytest.skip(f"no FUSE device here: {exc}")
    try:
        assert descriptor in device_descriptors()
    finally:
        os.close(descriptor)


def _talk(number: int) -> None:
    """Use the socket that stands in for *number*, then fail."""
    with handshake._stand_in(number) as (device, ours):
        assert os.fstat(number).st_ino != os.fstat(device).st_ino
        ours.send(b"request")
        assert os.read(number, 100) == b"request"
        os.write(number, b"answer")
        assert ours.recv(100) == b"answer"
        raise ZeroDivisionError


def test_the_device_is_back_in_its_place_whatever_happens_meanwhile(tmp_path: Path) -> None:
    # Any file can stand for the device here: only descriptors are moved.
    with open(tmp_path / "device", "wb") as file:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ZeroDivisionError):
            _talk(file.fileno())
        assert os.path.samestat(os.fstat(file.fileno()), os.stat(tmp_path / "device"))
        assert not os.get_inheritable(file.fileno())
        assert len(os.listdir("/proc/self/fd")) == before
