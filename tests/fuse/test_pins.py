"""Pinned views through a real mount: as of a time (`--at`), and as a pin file says (`--pin`)."""

from __future__ import annotations

import copy
import errno
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC, ShotfsNode, wait_until
from tests.servers.handles import GcsBucket, S3Bucket
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY

pytestmark = pytest.mark.kernel

NOW = datetime.now(UTC)
YESTERDAY = NOW - timedelta(days=1)
MORNING = NOW - timedelta(hours=8)
NOON = NOW - timedelta(hours=4)
AT = (NOW - timedelta(hours=6)).isoformat()
"""Between morning and noon."""

READ_ONLY = os.strerror(errno.EROFS)
STALE = os.strerror(errno.ESTALE)

SHOT = "render/xy_1_100_030_00"


def _spec() -> dict[str, Any]:
    spec = copy.deepcopy(SPEC)
    spec["fields"]["version"]["aliases"] = ["latest"]
    return spec


@pytest.fixture
def bucket(gcs: GcsBucket) -> GcsBucket:
    """A bucket that keeps versions, with a past."""
    gcs.keep_versions()
    return gcs


@pytest.fixture
def new(new_node: NewNode, gcs: GcsBucket) -> Callable[[], ShotfsNode]:
    """Return a function that makes a node, not mounted, with the bucket as its origin."""

    def make() -> ShotfsNode:
        return new_node(f"gs://{gcs.bucket}/ant", spec=_spec(), settings=gcs_settings(gcs))

    return make


def put(gcs: GcsBucket, name: str, data: bytes, now: datetime) -> None:
    gcs.put(f"ant/{name}", data, now=now)


def alias(gcs: GcsBucket, *moves: tuple[str, datetime]) -> None:
    """Let the alias of the shot point where *moves* say."""
    path = f"{SHOT}_latest"
    history = []
    for version, when in moves:
        at = when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        history.append({"version": version, "at": at, "by": "anna@node", "why": ""})
        document = {"alias": "shotfs-alias/1", "path": path, "history": history}
        put(gcs, f".shotfs/aliases/{path}.json", json.dumps(document).encode(), when)


def past_of(gcs: GcsBucket) -> None:
    """Make the past that the tests look at."""
    put(gcs, "config/changed.json", b"old", YESTERDAY)
    put(gcs, "config/changed.json", b"newer", NOON)
    put(gcs, "config/deleted.json", b"was here", YESTERDAY)
    gcs.delete("ant/config/deleted.json", now=NOON)
    put(gcs, "config/later.json", b"not yet", NOON)
    put(gcs, f"{SHOT}_v004/beauty.0001.exr", b"four", YESTERDAY)
    put(gcs, f"{SHOT}_v005/beauty.0001.exr", b"five", NOON)
    alias(gcs, ("v004", MORNING), ("v005", NOON))


def test_as_of_a_time_what_was_overwritten_deleted_and_moved_is_as_it_was(
    new: Callable[[], ShotfsNode], bucket: GcsBucket
) -> None:
    past_of(bucket)
    live, then = new().mount(), new().mount("--at", AT)

    assert (live.show / "config/changed.json").read_bytes() == b"newer"
    assert (then.show / "config/changed.json").read_bytes() == b"old"
    assert sorted(os.listdir(live.show / "config")) == ["changed.json", "later.json"]
    assert sorted(os.listdir(then.show / "config")) == ["changed.json", "deleted.json"]
    assert (then.show / "config/deleted.json").read_bytes() == b"was here"
    assert not (then.show / "config/later.json").exists()
    assert os.readlink(live.show / f"{SHOT}_latest") == "xy_1_100_030_00_v005"
    assert os.readlink(then.show / f"{SHOT}_latest") == "xy_1_100_030_00_v004"
    assert (then.show / f"{SHOT}_latest/beauty.0001.exr").read_bytes() == b"four"
    # What never changes is as ever.
    assert (then.show / f"{SHOT}_v005/beauty.0001.exr").read_bytes() == b"five"

    status = then.status()["view"]
    assert status["mutable_paths"] == {f"gs://{bucket.bucket}/ant": "as of the time"}
    assert live.status()["view"] is None


def test_what_a_view_showed_once_it_shows_for_ever_and_asks_no_more(
    new: Callable[[], ShotfsNode], bucket: GcsBucket
) -> None:
    past_of(bucket)
    node = new().mount("--at", AT)
    changed = node.show / "config/changed.json"
    assert changed.read_bytes() == b"old"
    assert not (node.show / "config/later.json").exists()
    assert sorted(os.listdir(node.show / "config")) == ["changed.json", "deleted.json"]

    asked = len(bucket.requests())
    for _ in range(3):
        assert changed.read_bytes() == b"old"
        assert not (node.show / "config/later.json").exists()
        assert sorted(os.listdir(node.show / "config")) == ["changed.json", "deleted.json"]
    assert len(bucket.requests()) == asked

    # The live catalog of the same cache directory learned nothing of it, nor this of that one.
    node.unmount()
    live = node.mount()
    assert changed.read_bytes() == b"newer"
    live.unmount()
    node.mount("--at", AT)
    asked = len(bucket.requests("read"))
    assert changed.read_bytes() == b"old"
    assert len(bucket.requests("read")) == asked


def test_mutable_paths_of_a_view_are_read_only_and_new_outputs_are_not(
    new: Callable[[], ShotfsNode], bucket: GcsBucket
) -> None:
    past_of(bucket)
    node = new().mount("--at", AT)
    for path, flags in (
        ("config/changed.json", os.O_WRONLY),
        ("config/new.json", os.O_CREAT | os.O_WRONLY),
    ):
        with pytest.raises(OSError, match=READ_ONLY):
            os.open(node.show / path, flags)
    for change in (
        lambda: os.unlink(node.show / "config/changed.json"),
        lambda: os.truncate(node.show / "config/changed.json", 0),
    ):
        with pytest.raises(OSError, match=READ_ONLY):
            change()
    node.wait_logged("config/changed.json", "shown as of")

    os.mkdir(node.show / f"{SHOT}_v006")
    output = node.show / f"{SHOT}_v006/beauty.0001.exr"
    output.write_bytes(b"six")
    assert output.read_bytes() == b"six"
    node.wait_published()
    assert bucket.read(f"ant/{SHOT}_v006/beauty.0001.exr") == b"six"
    assert "xy_1_100_030_00_v006" in os.listdir(node.show / "render")


def test_a_bucket_without_versions_keeps_a_view_from_starting_and_says_why(
    new: Callable[[], ShotfsNode], gcs: GcsBucket
) -> None:
    put(gcs, "config/changed.json", b"live", YESTERDAY)
    node = new()
    refused = node.command("mount", "--at", "-6h", str(node.mountpoint), check=False)
    assert refused.returncode != 0
    said = " ".join(refused.stderr.split())
    assert f"gs://{gcs.bucket}/ant keeps no versions" in said
    assert f"gcloud storage buckets update gs://{gcs.bucket} --versioning" in said
    assert "--at-without-versions" in said
    assert not os.path.ismount(node.mountpoint)


def test_a_time_that_is_none_is_refused_with_an_example(new: Callable[[], ShotfsNode]) -> None:
    node = new()
    refused = node.command(
        "mount", "--at", "2026-01-01T00:00:00", str(node.mountpoint), check=False
    )
    assert refused.returncode == 2
    shown = " ".join(refused.stderr.replace("│", " ").split())
    assert "time zone" in shown
    assert "2026-11-21T06:00:00Z" in shown


def test_an_old_version_that_the_bucket_dropped_is_stale_with_the_reason(
    new: Callable[[], ShotfsNode], bucket: GcsBucket
) -> None:
    past_of(bucket)
    node = new().mount("--at", AT)
    assert os.stat(node.show / "config/changed.json").st_size == 3
    versions = bucket.server.store.bucket(bucket.bucket).objects["ant/config/changed.json"]
    bucket.delete("ant/config/changed.json", generation=versions[0].generation)
    with pytest.raises(OSError, match=STALE):
        (node.show / "config/changed.json").read_bytes()
    node.wait_logged("config/changed.json", "any more")
    assert os.stat(node.show / "config/changed.json").st_size == 3


# --- pin files -----------------------------------------------------------------------------------


def pin(node: ShotfsNode, *arguments: str) -> Path:
    """Make a pin file with this node's configuration."""
    target = node.directory / "job.pin.json"
    done = node.command("pin", "create", *arguments, "-o", str(target), "--force", check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_below_pinned_trees_the_world_is_the_pin_file_and_elsewhere_it_is_live(
    new: Callable[[], ShotfsNode], bucket: GcsBucket
) -> None:
    put(bucket, "config/changed.json", b"old", YESTERDAY)
    put(bucket, "config/deleted.json", b"was here", YESTERDAY)
    put(bucket, "notes/live.txt", b"live", YESTERDAY)
    put(bucket, f"{SHOT}_v004/beauty.0001.exr", b"four", YESTERDAY)
    alias(bucket, ("v004", MORNING))
    node = new()
    file = pin(node, "ant/config", f"ant/{SHOT}_latest")

    put(bucket, "config/changed.json", b"newer", NOW)
    put(bucket, "config/later.json", b"later", NOW)
    bucket.delete("ant/config/deleted.json", now=NOW)
    put(bucket, f"{SHOT}_v004/beauty.0002.exr", b"late", NOW)
    put(bucket, f"{SHOT}_v005/beauty.0001.exr", b"five", NOW)
    alias(bucket, ("v004", MORNING), ("v005", NOW))
    live = new().mount()
    node.mount("--pin", str(file))

    assert (live.show / "config/changed.json").read_bytes() == b"newer"
    assert os.readlink(live.show / f"{SHOT}_latest") == "xy_1_100_030_00_v005"
    asked = len(bucket.requests())
    assert os.stat(node.show / "config/changed.json").st_size == 3
    assert sorted(os.listdir(node.show / "config")) == ["changed.json", "deleted.json"]
    assert not (node.show / "config/later.json").exists()
    assert os.readlink(node.show / f"{SHOT}_latest") == "xy_1_100_030_00_v004"
    assert os.listdir(node.show / f"{SHOT}_latest") == ["beauty.0001.exr"]
    assert len(bucket.requests()) == asked, "lookups and listings of pinned trees ask nobody"

    assert (node.show / "config/changed.json").read_bytes() == b"old"
    assert (node.show / "config/deleted.json").read_bytes() == b"was here"
    assert (node.show / f"{SHOT}_latest/beauty.0001.exr").read_bytes() == b"four"
    # Other paths are live.
    assert (node.show / f"{SHOT}_v005/beauty.0001.exr").read_bytes() == b"five"
    (node.show / "notes/new.txt").write_bytes(b"new")
    assert "xy_1_100_030_00_latest" in os.listdir(node.show / "render")

    for path in ("config/changed.json", "config/new.json", f"{SHOT}_v004/beauty.0002.exr"):
        with pytest.raises(OSError, match=READ_ONLY):
            os.open(node.show / path, os.O_CREAT | os.O_WRONLY)
    shown = node.status()["view"]["pin"]
    assert (shown["files"], shown["aliases"], shown["trees"]) == (3, 1, 3)
    assert shown["same_spec"]


def test_a_pinned_revision_that_is_gone_is_stale_and_verify_names_it(
    new: Callable[[], ShotfsNode], gcs: GcsBucket
) -> None:
    put(gcs, "config/a.json", b"old a", YESTERDAY)
    put(gcs, "config/b.json", b"old b", YESTERDAY)
    node = new()
    file = pin(node, "ant/config")
    put(gcs, "config/a.json", b"newer", NOW)
    node.mount("--pin", str(file))
    assert (node.show / "config/b.json").read_bytes() == b"old b"
    for _ in range(2):
        with pytest.raises(OSError, match=STALE):
            (node.show / "config/a.json").read_bytes()
    assert os.stat(node.show / "config/a.json").st_size == 5

    done = node.command("pin", "verify", str(file), "--json", check=False)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["same"], report["kept"], report["gone"]) == (1, 0, 1)
    [lost] = report["gone_files"]
    assert lost["path"] == "config/a.json"
    assert "any more" in lost["reason"]


def test_outputs_that_are_not_published_yet_are_refused_by_name(
    new: Callable[[], ShotfsNode], bucket: GcsBucket
) -> None:
    node = new().mount()
    (node.show / "notes/waits.txt").write_bytes(b"within its grace")
    for _ in ("with the service", "without it"):
        refused = node.command(
            "pin", "create", "ant/notes", "-o", str(node.directory / "no.json"), check=False
        )
        assert refused.returncode == 1
        assert "1 outputs are not published yet" in refused.stderr
        assert "ant/notes/waits.txt" in refused.stderr
        if node.running:
            node.kill()
    assert not (node.directory / "no.json").exists()


def test_a_view_of_an_s3_bucket_reads_old_versions_by_their_id(
    new_node: NewNode, s3: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTFS_TEST_ACCESS_KEY", ACCESS_KEY)
    monkeypatch.setenv("SHOTFS_TEST_SECRET_KEY", SECRET_KEY)
    s3.keep_versions()
    s3.put("ant/config/changed.json", b"old")
    s3.put("ant/config/deleted.json", b"was here")
    node = new_node(
        f"s3://{s3.bucket}/ant",
        spec=_spec(),
        settings=f'[origins."s3://{s3.bucket}"]\nendpoint_url = "{s3.endpoint}"\n'
        'access_key_env = "SHOTFS_TEST_ACCESS_KEY"\nsecret_key_env = "SHOTFS_TEST_SECRET_KEY"\n'
        f'region = "{REGION}"\n',
    )
    file = pin(node, "ant/config")
    # S3 tells whole seconds, and nothing can set another process's clock: until the next one.
    then = datetime.now(UTC).replace(microsecond=0)
    wait_until(lambda: datetime.now(UTC) > then + timedelta(seconds=1))
    s3.put("ant/config/changed.json", b"newer")
    s3.delete("ant/config/deleted.json")

    for option in (("--at", then.isoformat()), ("--pin", str(file))):
        node.mount(*option)
        assert (node.show / "config/changed.json").read_bytes() == b"old", option
        assert sorted(os.listdir(node.show / "config")) == ["changed.json", "deleted.json"]
        assert (node.show / "config/deleted.json").read_bytes() == b"was here"
        node.unmount()
    node.mount()
    assert (node.show / "config/changed.json").read_bytes() == b"newer"
    assert os.listdir(node.show / "config") == ["changed.json"]
