"""`shotfs cache verify`: what the cache's disk damaged is named, dropped and fetched again (S6)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xxhash

from shotfs.control.client import Client
from tests.faults.conftest import NewGcsNode
from tests.fuse.node import ShotfsNode, wait_until
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

MIB = 1 << 20


def _blob(node: ShotfsNode, content: bytes) -> Path:
    digest = xxhash.xxh3_128_hexdigest(content)
    return node.directory / "cache/blobs" / digest[:2] / digest


def _damage(node: ShotfsNode, content: bytes) -> None:
    path = _blob(node, content)
    path.chmod(0o600)
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def test_s06_a_blob_that_the_disk_damaged_is_named_dropped_and_fetched_again(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    wood, brick = os.urandom(2 * MIB), os.urandom(4096)
    gcs.put("ant/library/wood.png", wood)
    gcs.put("ant/library/brick.png", brick)
    path = gcs_node.show / "library/wood.png"
    assert path.read_bytes() == wood
    assert (gcs_node.show / "library/brick.png").read_bytes() == brick
    wait_until(lambda: gcs_node.status()["cache"]["files"] == 2)
    done = gcs_node.command("cache", "verify", "--json")
    assert json.loads(done.stdout)["files"] == 2

    _damage(gcs_node, wood)
    done = gcs_node.command("cache", "verify", check=False)
    assert done.returncode == 1
    assert "ant/library/wood.png: corrupt" in done.stdout
    assert "--repair" in done.stdout
    assert _blob(gcs_node, wood).exists()

    # Neither the pages that the kernel has of it nor an open file show the damage afterwards.
    with open(path, "rb", buffering=0) as reader:
        os.posix_fadvise(reader.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert reader.read(4096) != wood[:4096]
        done = gcs_node.command(
            "cache", "verify", "--repair", "--json", str(path.parent), check=False
        )
        assert done.returncode == 1
        (found,) = json.loads(done.stdout)["corrupt"]
        assert (found["paths"], found["dropped"]) == (["ant/library/wood.png"], True)
        wait_until(lambda: path.read_bytes() == wood)
        if gcs_node.mode.passthrough:
            # Nothing makes the kernel answer EIO: it has nothing to read any more.
            assert os.pread(reader.fileno(), 4096, MIB) == b""
        else:
            with pytest.raises(OSError, match="Input/output error"):
                os.pread(reader.fileno(), 4096, MIB)
    wait_until(lambda: gcs_node.status()["cache"]["files"] == 2)
    assert gcs_node.command("cache", "verify").returncode == 0


def test_verify_of_a_path_that_is_not_cached_says_so(gcs_node: ShotfsNode) -> None:
    done = gcs_node.command("cache", "verify", "ant/library/none.png", check=False)
    assert done.returncode == 1
    assert "ant/library/none.png: nothing of it is in the cache" in done.stderr


def test_a_check_survives_the_end_of_its_command_and_is_stopped_by_another(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    gcs.put("ant/library/wood.png", os.urandom(40 * MIB))
    (gcs_node.show / "library/wood.png").read_bytes()
    wait_until(lambda: gcs_node.status()["cache"]["files"] == 1)
    with subprocess.Popen(
        [sys.executable, "-m", "shotfs", "cache", "verify", "--rate", "1MiB"],
        env={**os.environ, "SHOTFS_CONFIG": str(gcs_node.config)},
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        with Client(gcs_node.socket) as client:
            wait_until(lambda: client.verification() is not None)
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=30)
    assert command.returncode == 130
    assert "the service goes on" in said
    status = gcs_node.command("cache", "verify", "--status", "--json")
    assert json.loads(status.stdout)["state"] == "running"
    second = gcs_node.command("cache", "verify", check=False)
    assert second.returncode == 5
    assert "verified already" in second.stderr
    stopped = gcs_node.command("cache", "verify", "--stop", "--json", check=False)
    assert json.loads(stopped.stdout)["state"] == "stopped"
    assert stopped.returncode == 1


def test_s06_without_a_service_the_directory_is_checked_and_repaired(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    node = new_gcs_node().mount()
    wood = os.urandom(MIB)
    gcs.put("ant/library/wood.png", wood)
    path = node.show / "library/wood.png"
    assert path.read_bytes() == wood
    wait_until(lambda: node.status()["cache"]["files"] == 1)
    node.unmount()
    assert node.command("cache", "verify").returncode == 0
    _damage(node, wood)
    done = node.command("cache", "verify", "--repair", "--json", check=False)
    assert done.returncode == 1
    assert "a blob is corrupt" not in done.stderr
    (found,) = json.loads(done.stdout)["corrupt"]
    assert found["origins"] == [f"gs://{gcs.bucket}/ant/library/wood.png"]
    assert node.command("cache", "verify", "--status", check=False).returncode == 4
    node.mount()
    assert path.read_bytes() == wood
