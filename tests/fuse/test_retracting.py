"""A published version is taken back and restored, through real mounts of two nodes."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import ShotfsNode
from tests.fuse.test_versions import APPROVED, FRAME, LATEST, SPEC, VERSION
from tests.servers.handles import GcsBucket

pytestmark = pytest.mark.kernel

OLDER = "render/xy_010_v004"
OLDER_FRAME = f"{OLDER}/beauty/xy_010_v004.1001.exr"

RETRACTABLE: dict[str, Any] = {
    **SPEC,
    "defaults": {**SPEC["defaults"], "ttl": "1h", "retract": "publisher"},
    "fields": {
        **SPEC["fields"],
        "version": {
            "type": "version",
            "scheme": "v%03d",
            "aliases": {"latest": {"moves": "on-publish"}, "approved": {"moves": "by-hand"}},
        },
    },
}


def _node(new_node: NewNode, gcs: GcsBucket, name: str) -> ShotfsNode:
    settings = f'[node]\nname = "{name}"\n{gcs_settings(gcs)}'
    return new_node(f"gs://{gcs.bucket}/ant", spec=RETRACTABLE, settings=settings).mount()


def _make(node: ShotfsNode, name: str, content: bytes) -> None:
    path: Path = node.show / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_s02_s11_a_version_is_taken_back_on_two_nodes_and_restored(
    new_node: NewNode, gcs: GcsBucket
) -> None:
    anna, bert = _node(new_node, gcs, "anna"), _node(new_node, gcs, "bert")
    for version, frame in ((OLDER, OLDER_FRAME), (VERSION, FRAME)):
        _make(anna, frame, frame.encode())
        anna.command("version", "publish", f"ant/{version}")
    anna.command("version", "alias", f"ant/{APPROVED}", "v005")
    assert (bert.show / LATEST / "beauty/xy_010_v005.1001.exr").read_bytes() == FRAME.encode()
    assert (bert.show / FRAME).exists()

    with open(bert.show / FRAME, "rb") as reader:
        assert reader.read(6) == b"render"
        done = anna.command(
            "version", "retract", str(anna.show / VERSION), "--reason", "wrong colour", "--json"
        )
        report = json.loads(done.stdout)
        assert report["aliases"] == [{"path": f"ant/{LATEST}", "version": "v004", "moved": True}]
        assert report["staying"] == [f"ant/{APPROVED}"]

        # At once where it was done; on the other node after a refresh, or the template's hour.
        for node in (anna, bert):
            if node is bert:
                assert (bert.show / FRAME).exists()
                for path in (VERSION, LATEST):
                    bert.command("refresh", f"ant/{path}")
            assert not (node.show / FRAME).exists()
            assert not (node.show / VERSION).exists()
            assert "xy_010_v005" not in os.listdir(node.show / "render")
            assert os.readlink(node.show / LATEST) == "xy_010_v004"
            assert os.readlink(node.show / APPROVED) == "xy_010_v005"
            with pytest.raises(FileNotFoundError):
                os.listdir(node.show / APPROVED)
            with pytest.raises(PermissionError) as caught:
                (node.show / VERSION).mkdir()
            assert caught.value.errno == errno.EPERM

        # Who had it open reads on, and sees the file that he opened.
        assert os.fstat(reader.fileno()).st_size == len(FRAME)
        assert reader.read() == FRAME.encode()[6:]

    why = bert.command("why", str(bert.show / FRAME)).stdout
    assert "taken back by" in why
    assert "wrong colour" in why
    shown = json.loads(bert.command("version", "show", f"ant/{VERSION}", "--json").stdout)
    assert shown["state"] == "retracted"

    anna.command("version", "restore", f"ant/{VERSION}", "--reason", "was right")
    bert.command("refresh", f"ant/{VERSION}")
    bert.command("refresh", f"ant/{LATEST}")
    for node in (anna, bert):
        assert (node.show / FRAME).read_bytes() == FRAME.encode()
        assert os.readlink(node.show / LATEST) == "xy_010_v005"
        assert "xy_010_v005" in os.listdir(node.show / "render")
    history = bert.command("version", "history", f"ant/{VERSION}").stdout
    states = [row.split()[0] for row in history.splitlines()]
    assert states == ["state", "sealed", "retracted", "restored"]
