"""The job barrier through two real mounts: what job A wrote, job B on another node finds."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from shotfs.control.client import Client
from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC, ShotfsNode
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

SHOT = "render/xy_1_100_030_00_v005"

BARRIER: dict[str, Any] = {
    **SPEC,
    "defaults": {**SPEC["defaults"], "negative_ttl": "1h"},
    "templates": {
        **SPEC["templates"],
        "passes": {
            "path": "passes/{name}.exr",
            "flow": "out",
            "immutable": "on-close",
            "seal": "on-job-end",
        },
    },
}

RENDER = """
set -e
mkdir -p "$1" "$2"
for frame in 1001 1002 1003; do
    printf 'frame %s' $frame > "$1/beauty.$frame.exr.tmp"
    mv "$1/beauty.$frame.exr.tmp" "$1/beauty.$frame.exr"
done
printf 'left behind' > "$1/crashed.1004.exr.tmp"
printf 'pass 1, ' > "$2/light.exr"
printf 'pass 2' >> "$2/light.exr"
"""


def answer(node: ShotfsNode, *arguments: str, code: int) -> dict[str, Any]:
    """What a command says in JSON, that ends with *code*."""
    done = node.command(*arguments, "--json", check=False)
    assert done.returncode == code, f"{done.stdout}{done.stderr}"
    return dict(json.loads(done.stdout))


def test_the_next_job_on_another_node_finds_what_the_job_wrote(
    new_node: NewNode, gcs: GcsBucket
) -> None:
    origin, settings = f"gs://{gcs.bucket}/ant", gcs_settings(gcs)
    first = new_node(origin, spec=BARRIER, settings=settings).mount()
    second = new_node(origin, spec=BARRIER, settings=settings).mount()
    gcs.put(f"ant/{SHOT}/slate.0001.exr", b"slate")
    frame, light = second.show / SHOT / "beauty.1001.exr", second.show / "passes/light.exr"
    assert [one.name for one in (second.show / SHOT).iterdir()] == ["slate.0001.exr"]
    assert not frame.exists()
    assert not light.exists()

    subprocess.run(
        ["sh", "-c", RENDER, "render", str(first.show / SHOT), str(first.show / "passes")],
        env={"PATH": "/usr/bin:/bin", "SHOTFS_JOB": "7"},
        check=True,
        timeout=60,
    )
    scratch = first.show / SHOT / "crashed.1004.exr.tmp"
    assert scratch.read_bytes() == b"left behind"
    report = answer(first, "publish", "finish", "--job", "7", "--wait", code=0)
    # On a slow machine the service has seen by itself that no process of the job is left.
    assert report["released"] <= 1
    assert (report["removed"], report["waited"]["count"]) == (1, 0)
    assert not scratch.exists()
    assert gcs.read("ant/passes/light.exr") == b"pass 1, pass 2"
    assert answer(first, "publish", "wait", "--job", "7", "--deadline", "0", code=0)["arrived"]

    assert not frame.exists(), "as it was, for an hour"
    second.command("refresh", str(frame))
    assert frame.name in {one.name for one in (second.show / SHOT).iterdir()}
    with Client(second.socket) as client:
        client.refresh(f"ant/{SHOT}")
        client.refresh("ant/passes")
    assert sorted(one.name for one in (second.show / SHOT).iterdir()) == [
        "beauty.1001.exr", "beauty.1002.exr", "beauty.1003.exr", "slate.0001.exr",
    ]  # fmt: skip
    for number in (1001, 1002, 1003):
        found = (second.show / SHOT / f"beauty.{number}.exr").read_bytes()
        assert found == b"frame %d" % number
    assert light.read_bytes() == b"pass 1, pass 2"


def test_wait_says_what_is_missing_and_why(new_node: NewNode, gcs: GcsBucket) -> None:
    node = new_node(f"gs://{gcs.bucket}/ant", spec=BARRIER, settings=gcs_settings(gcs)).mount()
    subprocess.run(
        ["sh", "-c", 'mkdir -p "$1" && printf x > "$1/light.exr"', "sh", str(node.show / "passes")],
        env={"PATH": "/usr/bin:/bin", "SLURM_JOB_ID": "7", "SHOTFS_JOB": "another one"},
        check=True,
        timeout=60,
    )
    path = str(node.show / "passes")
    report = answer(node, "publish", "wait", path, "--deadline", "0", code=1)
    # The process of the job has ended already, so the service may have seen that, too.
    (item,) = report["items"] or [{"path": "ant/passes/light.exr", "job": "another one"}]
    assert (item["path"], item["job"]) == ("ant/passes/light.exr", "another one")
    assert answer(node, "publish", "wait", "--job", "7", "--deadline", "0", code=0)["count"] == 0
    # Nobody says that the job has ended: the service sees it by itself.
    assert answer(node, "publish", "wait", path, "--deadline", "90s", code=0)["arrived"]
    assert gcs.read("ant/passes/light.exr") == b"x"
    metadata = gcs.get("ant/passes/light.exr").metadata
    assert metadata["shotfs-job"] == "another one"
    assert metadata["shotfs-template"] == "passes"
    assert metadata["shotfs-field-name"] == "light"
    assert len(metadata["shotfs-spec"]) == 32
