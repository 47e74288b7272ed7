"""Fixtures that give running servers on loopback. Each starts when a test first asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count

# Before any client library is imported:
# gcsfs probes every bucket over gRPC unless told not to (field notes: 60 s an operation).
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
# No test may find, or wait for, credentials of the machine that it runs on.
os.environ["NO_GCE_CHECK"] = "true"
os.environ["GCE_METADATA_HOST"] = os.environ["GCE_METADATA_IP"] = "127.0.0.1:9"
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import pytest

from tests.servers.gcs import GcsServer
from tests.servers.handles import GcsBucket

_numbers = count(1)


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
