"""Fixtures that give running servers on loopback. Each starts when a test first asks for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

# Before any client library is imported:
# gcsfs probes every bucket over gRPC unless told not to (field notes: 60 s an operation).
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
# No test may find, or wait for, credentials of the machine that it runs on.
os.environ["NO_GCE_CHECK"] = "true"
os.environ["GCE_METADATA_HOST"] = os.environ["GCE_METADATA_IP"] = "127.0.0.1:9"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import pytest
from hypothesis import HealthCheck, settings

from tests.fuse import modes
from tests.servers.gcs import GcsServer
from tests.servers.gcs_emulator import GcsEmulator
from tests.servers.handles import EmulatorBucket, GcsBucket, HttpRoot, NginxRoot, S3Bucket
from tests.servers.http import HttpServer
from tests.servers.http_proxy import HttpProxy
from tests.servers.nginx import Nginx, program
from tests.servers.proxy import Proxy
from tests.servers.s3 import S3Server

_numbers = count(1)

# Warnings are errors. These are what client libraries do, and nothing of ours can change it.
_CLIENTS_WARNINGS = (
    # gcsfs hands aiohttp chunks of over 1 MiB as memoryviews, on purpose (it is zero-copy).
    "ignore:Sending a large body directly with raw bytes:ResourceWarning",
)


# An example is right or wrong, however long a loaded machine takes over it: by itself hypothesis
# fails one that takes 200 ms, or examples that are slowly made.
settings.register_profile(
    "loaded", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("loaded")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line say how the kernel works with the mounts of the tests."""
    parser.addoption(
        "--kernel-mode",
        choices=sorted(modes.MODES),
        default=modes.SHIPPED.name,
        help="how the kernel works with mounts (tests/fuse/modes.py)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the mode; let through the warnings that are known and not ours."""
    modes.choose(config.getoption("--kernel-mode"))
    for line in _CLIENTS_WARNINGS:
        config.addinivalue_line("filterwarnings", line)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, on mounts that nobody can write to, tests that need more than published files."""
    if modes.chosen().writable:
        return
    left_out = [item for item in items if item.get_closest_marker("published") is None]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.get_closest_marker("published") is not None]


def _fresh_name(kind: str) -> str:
    return f"{kind}-{os.getpid()}-{next(_numbers)}"


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """The session's strict GCS server. Tests use `gcs`, which also cleans up after them."""
    with GcsServer() as server:
        yield server


@pytest.fixture
def gcs(gcs_server: GcsServer) -> Iterator[GcsBucket]:
    """A fresh bucket on the strict GCS server; faults and counters are those of this test."""
    name = _fresh_name("gcs")
    gcs_server.store.create_bucket(name)
    yield GcsBucket(gcs_server.endpoint, name, gcs_server)
    gcs_server.faults.clear()
    if not gcs_server.listening:
        gcs_server.come_up()
    gcs_server.store.delete_bucket(name, force=True)
    gcs_server.journal.clear()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """The session's moto server, a process of its own."""
    with S3Server() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server) -> S3Bucket:
    """A fresh bucket on moto; it goes with the server."""
    if not s3_server.process.running:
        s3_server.process.start()
    name = _fresh_name("s3")
    s3_server.create_bucket(name)
    return S3Bucket(s3_server.endpoint, name, s3_server)


@pytest.fixture(scope="session")
def gcs_emulator_server() -> Iterator[GcsEmulator]:
    """The session's gcp-storage-emulator, a process of its own."""
    with GcsEmulator() as server:
        yield server


@pytest.fixture
def gcs_emulator(gcs_emulator_server: GcsEmulator) -> EmulatorBucket:
    """A fresh bucket on the gcp-storage-emulator, which ignores preconditions."""
    name = _fresh_name("emulator")
    gcs_emulator_server.create_bucket(name)
    return EmulatorBucket(gcs_emulator_server.endpoint, name, gcs_emulator_server)


@pytest.fixture
def http_root(tmp_path: Path) -> Iterator[HttpRoot]:
    """An empty directory, served by our plain HTTP server."""
    path = tmp_path / "http"
    path.mkdir()
    with HttpServer(str(path)) as server:
        yield HttpRoot(server.endpoint + "/", path, server)


@pytest.fixture
def nginx_root(tmp_path: Path) -> Iterator[NginxRoot]:
    """An empty directory, served by nginx; skips where nginx is not installed."""
    if program() is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    path, prefix = tmp_path / "nginx", tmp_path / "nginx-prefix"
    path.mkdir()
    prefix.mkdir()
    with Nginx(str(path), str(prefix)) as server:
        yield NginxRoot(server.endpoint + "/", path, server)


@pytest.fixture
def proxy() -> Iterator[Callable[[int], Proxy]]:
    """A function that puts a proxy before a port of 127.0.0.1; all end with the test."""
    with ExitStack() as stack:
        yield lambda port: stack.enter_context(Proxy(port))


@pytest.fixture
def http_proxy() -> Iterator[Callable[[int], HttpProxy]]:
    """As `proxy`, but it looks into HTTP and follows rules for requests."""
    with ExitStack() as stack:
        yield lambda port: stack.enter_context(HttpProxy(port))
