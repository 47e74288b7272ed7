"""An origin that is away: at mount, while mounted, and when it comes back."""

from __future__ import annotations

import errno
import json
import os
import time
from typing import Any

import pytest

from tests.faults.conftest import IMPATIENT, REQUEST_DEADLINE_S, NewGcsNode
from tests.faults.processes import cat, errno_of
from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC, ShotfsNode
from tests.servers.gcs import Fault
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

SLACK_S = 5.0
"""What a busy machine may add to a deadline."""

PATIENCE_S = 20.0
"""What a busy machine may take where nothing is waited for. What must not be waited for takes
longer."""


SHOT = "render/xy_1_100_030_00_v005"


def test_s07_an_origin_that_is_down_at_mount_is_a_warning_and_cached_files_work(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    cached = ["library/wood/oak.png", f"{SHOT}/beauty.1001.exr"]
    for name in (*cached, "library/wood/elm.png"):
        gcs.put(f"ant/{name}", name.encode())
    node = new_gcs_node().mount()
    for name in cached:
        assert (node.show / name).read_bytes() == name.encode()
    node.unmount()
    gcs.server.go_down()
    node.mount()
    node.wait_logged("WARN", "origin unreachable; what is cached still works", gcs.endpoint)
    for name in cached:
        assert (node.show / name).read_bytes() == name.encode()
    assert errno_of(cat(node.show / "library/wood/elm.png"), timeout_s=30) == errno.ENETDOWN
    gcs.server.come_up()
    node.wait_reachable()
    assert (node.show / "library/wood/elm.png").read_bytes() == b"library/wood/elm.png"


def test_s07_an_origin_that_goes_down_while_mounted_is_enetdown_until_it_is_back(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    library = gcs_node.show / "library"
    for name in ("oak", "elm"):
        gcs.put(f"ant/library/{name}.png", name.encode())
    assert (library / "oak.png").read_bytes() == b"oak"
    assert (library / "elm.png").stat().st_size == 3
    gcs.server.go_down()

    assert (library / "oak.png").read_bytes() == b"oak"
    started = time.monotonic()
    for name in ("elm.png", "ash.png"):
        # One was looked up before, of the other nothing is known.
        assert errno_of(cat(library / name), timeout_s=30) == errno.ENETDOWN
    with pytest.raises(OSError, match="Network is down"):
        os.listdir(library)
    assert time.monotonic() - started < REQUEST_DEADLINE_S + SLACK_S
    gcs_node.wait_logged("WARN", f"gs://{gcs.bucket}/ant", "operation=")

    gcs.server.come_up()
    gcs_node.wait_reachable()
    assert (library / "elm.png").read_bytes() == b"elm"
    assert sorted(os.listdir(library)) == ["elm.png", "oak.png"]


def test_s07_outputs_go_on_while_the_origin_is_gone_and_are_published_when_it_is_back(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    directory = gcs_node.show / SHOT
    directory.mkdir()
    gcs.server.go_down()
    for frame in range(1001, 1004):
        scratch = directory / f"beauty.{frame}.exr.tmp"
        scratch.write_bytes(b"frame %d" % frame)
        scratch.rename(directory / f"beauty.{frame}.exr")
    assert (directory / "beauty.1002.exr").read_bytes() == b"frame 1002"
    waiting = gcs_node.queue()
    assert len(waiting) == 3
    # A directory that was not made here may exist in the origin: the truth is that nobody knows,
    # and who looks a name up to read gets the same answer as who is about to make it (ADR 0015).
    with pytest.raises(OSError, match="Network is down"):
        (gcs_node.show / "render/xy_1_100_030_00_v006").mkdir()
    gcs.server.come_up()
    gcs_node.wait_published()
    assert gcs.names() == [f"ant/{SHOT}/beauty.{frame}.exr" for frame in range(1001, 1004)]
    assert gcs.read(f"ant/{SHOT}/beauty.1003.exr") == b"frame 1003"


def test_s07_an_outage_is_seen_in_status_and_metrics_nobody_waits_in_it_and_it_ends_by_itself(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    library = gcs_node.show / "library"
    gcs.put("ant/library/oak.png", b"oak")
    assert library.joinpath("oak.png").stat().st_size == 3
    origin = f"gs://{gcs.bucket}/ant"
    assert gcs_node.status()["origins"][origin]["reachable"] is True
    assert gcs_node.metric("shotfs_origin_up") == 1
    gcs.server.go_down()
    for number in range(3):
        assert errno_of(cat(library / f"{number}.png"), timeout_s=30) == errno.ENETDOWN
    gcs_node.wait_reachable(reachable=False)
    found = gcs_node.status()["origins"][origin]
    assert (found["reachable"], found["outages"]) == (False, 1)
    assert found["since"]
    assert found["last_error"]
    assert f"{origin}.reachable" in gcs_node.command("status").stdout
    assert gcs_node.metric("shotfs_origin_up") == 0
    # Some hundred requests that nobody waits for: each would have taken its attempts and pauses.
    asked = gcs_node.metric("shotfs_tier_requests_total")
    refused = gcs_node.metric("shotfs_origin_refused_total")
    for number in range(200):
        with pytest.raises(OSError, match="Network is down"):
            os.stat(library / f"other-{number}.png")
    assert gcs_node.metric("shotfs_origin_refused_total") - refused >= 200
    assert gcs_node.metric("shotfs_tier_requests_total") - asked < 50, "only its own probes"
    gcs.server.come_up()
    gcs_node.wait_reachable()
    assert (library / "oak.png").read_bytes() == b"oak"
    gcs_node.wait_logged("WARN", f"origin {origin} is back after")
    assert gcs_node.metric("shotfs_origin_up") == 1


def test_s07_a_node_that_restarts_in_an_outage_shows_what_it_showed_before(
    new_gcs_node: NewGcsNode, gcs: GcsBucket
) -> None:
    for name in ("oak", "elm"):
        gcs.put(f"ant/library/wood/{name}.png", name.encode())
    gcs.put(f"ant/{SHOT}/beauty.1001.exr", b"frame")
    node = new_gcs_node().mount()
    assert sorted(os.listdir(node.show / "library/wood")) == ["elm.png", "oak.png"]
    assert os.listdir(node.show / SHOT) == ["beauty.1001.exr"]
    for name in ("library/wood/oak.png", f"{SHOT}/beauty.1001.exr"):
        assert (node.show / name).read_bytes()
    node.unmount()
    gcs.server.go_down()
    node.mount()
    node.wait_reachable(reachable=False)
    started = time.monotonic()
    assert sorted(os.listdir(node.show / "library/wood")) == ["elm.png", "oak.png"]
    assert os.listdir(node.show / SHOT) == ["beauty.1001.exr"]
    assert (node.show / SHOT / "beauty.1001.exr").read_bytes() == b"frame"
    assert (node.show / "library/wood/elm.png").stat().st_size == 3
    # Nobody has listed it; half of a listing would be a wrong answer.
    with pytest.raises(OSError, match="Network is down"):
        os.listdir(node.show / "library")
    assert time.monotonic() - started < REQUEST_DEADLINE_S + SLACK_S
    gcs.server.come_up()
    node.wait_reachable()
    assert (node.show / "library/wood/elm.png").read_bytes() == b"elm"


def test_s03_a_mutable_file_is_shown_in_an_outage_only_where_its_template_says_so(
    new_node: NewNode, gcs: GcsBucket
) -> None:
    templates: dict[str, Any] = {
        "config": {"path": "config/{name}.json", "ttl": "0s", "stale_if_error": "1h"},
        "strict": {"path": "strict/{name}.json", "ttl": "0s"},
    }
    gcs.put("ant/config/a.json", b"one")
    gcs.put("ant/strict/a.json", b"one")
    node = new_node(
        f"gs://{gcs.bucket}/ant",
        spec={**SPEC, "templates": templates},
        settings=f"{IMPATIENT}{gcs_settings(gcs)}",
    ).mount()
    for name in ("config", "strict"):
        assert os.listdir(node.show / name) == ["a.json"]
        assert (node.show / name / "a.json").read_bytes() == b"one"
    for restarted in (False, True):
        gcs.server.go_down()
        if restarted:
            node.remount()
        assert (node.show / "config/a.json").read_bytes() == b"one"
        assert os.listdir(node.show / "config") == ["a.json"]
        with pytest.raises(OSError, match="Network is down"):
            (node.show / "strict/a.json").stat()
        with pytest.raises(OSError, match="Network is down"):
            os.listdir(node.show / "strict")
        gcs.server.come_up()
        node.wait_reachable()
    gcs.put("ant/config/a.json", b"newest")
    assert (node.show / "config/a.json").read_bytes() == b"newest"


def test_what_nobody_could_answer_in_an_outage_is_asked_again_after_it(
    new_node: NewNode, gcs: GcsBucket
) -> None:
    spec = {**SPEC, "defaults": {**SPEC["defaults"], "negative_ttl": "1h"}}
    node = new_node(
        f"gs://{gcs.bucket}/ant", spec=spec, settings=f"{IMPATIENT}{gcs_settings(gcs)}"
    ).mount()
    (node.show / SHOT).mkdir()
    gcs.server.go_down()
    frame = node.show / SHOT / "beauty.1001.exr"
    # Made here, so that it counts as missing, or no frame could be written; but only for now.
    assert not frame.exists()
    assert errno_of(cat(node.show / "library/oak.png"), timeout_s=30) == errno.ENETDOWN
    gcs.put(f"ant/{SHOT}/beauty.1001.exr", b"of another node")
    gcs.put("ant/library/oak.png", b"oak")
    gcs.server.come_up()
    node.wait_reachable()
    assert frame.read_bytes() == b"of another node"
    assert (node.show / "library/oak.png").read_bytes() == b"oak"


def test_refresh_shows_what_somebody_else_did_and_takes_nothing_away_in_an_outage(
    new_node: NewNode, gcs: GcsBucket
) -> None:
    spec = {**SPEC, "defaults": {**SPEC["defaults"], "negative_ttl": "1h", "ttl": "1h"}}
    templates = {**SPEC["templates"], "config": {"path": "config/{name}.json"}}
    node = new_node(
        f"gs://{gcs.bucket}/ant",
        spec={**spec, "templates": templates},
        settings=f"{IMPATIENT}{gcs_settings(gcs)}",
    ).mount()
    gcs.put("ant/config/a.json", b"one")
    gcs.put("ant/library/oak.png", b"oak")
    config, oak = node.show / "config/a.json", node.show / "library/oak.png"
    assert (config.read_bytes(), oak.read_bytes()) == (b"one", b"oak")
    assert not (node.show / "library/elm.png").exists()
    assert os.listdir(node.show / "config") == ["a.json"]
    gcs.put("ant/config/a.json", b"second")
    gcs.put("ant/config/b.json", b"new")
    gcs.put("ant/library/elm.png", b"elm")
    assert config.read_bytes() == b"one"
    told = json.loads(node.command("refresh", str(node.show / "config"), "--tree", "--json").stdout)
    assert [(one["path"], one["what"], one["immutable"]) for one in told["changes"]] == [
        ("ant/config/a.json", "changed", False),
        ("ant/config/b.json", "new", False),
    ]
    assert config.read_bytes() == b"second"
    assert sorted(os.listdir(node.show / "config")) == ["a.json", "b.json"]
    node.command("refresh", str(node.show / "library/elm.png"))
    assert (node.show / "library/elm.png").read_bytes() == b"elm"
    gcs.put("ant/library/oak.png", b"by hand")
    done = node.command("refresh", str(oak), check=False)
    assert (done.returncode, "IMMUTABLE" in done.stdout) == (1, True), done.stderr
    assert oak.read_bytes() == b"by hand"
    gcs.server.go_down()
    done = node.command("refresh", str(node.show / "library"), "--tree", check=False)
    assert done.returncode == 6, done.stdout + done.stderr
    assert (config.read_bytes(), oak.read_bytes()) == (b"second", b"by hand")
    gcs.server.come_up()


def test_s07_cached_files_stay_fast_while_their_directory_cannot_be_asked_about(
    new_node: NewNode, gcs: GcsBucket
) -> None:
    gcs.put(f"ant/{SHOT}/beauty.1001.exr", b"frame")
    node = new_node(
        f"gs://{gcs.bucket}/ant",
        settings=f"{gcs_settings(gcs)}[network]\nmetadata_timeout_s = {2 * PATIENCE_S}\n",
    ).mount()
    assert (node.show / SHOT / "beauty.1001.exr").read_bytes() == b"frame"
    node.remount()
    stall = gcs.fault(Fault("stall", operation="list", times=None, bucket=gcs.bucket))
    started = time.monotonic()
    assert (node.show / SHOT / "beauty.1001.exr").read_bytes() == b"frame"
    assert time.monotonic() - started < PATIENCE_S, "it waited for the listing"
    assert stall.hits >= 1


def test_a_bucket_that_goes_away_while_mounted_is_enxio_and_its_name_is_logged(
    gcs_node: ShotfsNode, gcs: GcsBucket
) -> None:
    gcs.put("ant/library/oak.png", b"oak")
    assert (gcs_node.show / "library/oak.png").read_bytes() == b"oak"
    gcs.server.store.delete_bucket(gcs.bucket, force=True)
    try:
        assert errno_of(cat(gcs_node.show / "library/elm.png"), timeout_s=30) == errno.ENXIO
        gcs_node.wait_logged("WARN", f"gs://{gcs.bucket}/ant does not exist")
        assert (gcs_node.show / "library/oak.png").read_bytes() == b"oak"
    finally:
        gcs.server.store.create_bucket(gcs.bucket)
    gcs.put("ant/library/elm.png", b"elm")
    assert (gcs_node.show / "library/elm.png").read_bytes() == b"elm"
