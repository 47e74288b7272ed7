"""Through the kernel: what is recorded is what programs really opened, whatever dies meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from shotfs.control.client import Client
from shotfs.prewarm.manifest.reading import open_manifest
from tests.fuse.node import ShotfsNode, wait_until
from tests.scenes import usd_stage

SHOT = "xy_1_100_030_00"
EXAMPLES = Path("/usr/share/doc/povray/examples/advanced")
RENDER = Path(usd_stage.__file__).with_name("usd_render.py")


def shotfs(node: ShotfsNode, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "shotfs", *arguments],
        env=node.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def recorded(path: Path) -> set[str]:
    with open_manifest(str(path)) as manifest:
        return {entry.path for entry in manifest}


def test_what_povray_opened_is_what_was_recorded(
    node: ShotfsNode, origin: Path, tmp_path: Path
) -> None:
    scene = "library/balcony/balcony.pov"
    shutil.copytree(EXAMPLES / "balcony", origin / "library/balcony")
    names = {f"ant/library/balcony/{name}" for name in os.listdir(EXAMPLES / "balcony")}
    (origin / "library/balcony/unread.inc").write_text("#declare Unread = 1;")
    rendered = node.command(
        "exec", "--shot", SHOT, "--task", "lighting", "--frame", "1001", "-o", f"{tmp_path}/m.json",
        "--", "povray", f"+I{node.show}/{scene}", f"+L{node.show}/library/balcony",
        "+W16", "+H12", "-D", "-GA", "-O/dev/null",
    )  # fmt: skip
    assert "shotfs: read 11 files" in rendered.stderr
    assert recorded(tmp_path / "m.json") == names
    with Client(node.socket) as client:
        stored = client.record.recordings()["stored"]
    assert [(one["shot"], one["task"], one["frame"]) for one in stored] == [
        (SHOT, "lighting", "1001")
    ]
    compared = node.command(
        "manifest", "diff", "--recorded", "--scanned", SHOT,
        "--scene", f"{node.show}/{scene}", "--json", "--remember",
    )  # fmt: skip
    report = json.loads(compared.stdout)
    assert [(one["name"], one["precision"], one["recall"]) for one in report["scanners"]] == [
        ("povray", 1.0, 1.0)
    ]


def test_what_a_render_of_a_stage_reads_is_recorded_and_what_the_scanner_says(
    node: ShotfsNode, origin: Path, tmp_path: Path
) -> None:
    top = origin / "library/usd"
    top.mkdir(parents=True)
    stage = usd_stage.build(str(top))
    scene = f"{node.show}/library/usd/{stage.scene}"
    frames = (str(usd_stage.FIRST), str(usd_stage.LAST))
    node.command(
        "exec", "--job", "7", "--shot", SHOT, "-o", f"{tmp_path}/m.jsonl",
        "--", sys.executable, str(RENDER), scene, *frames,
    )  # fmt: skip
    assert recorded(tmp_path / "m.jsonl") == {f"ant/library/usd/{path}" for path in stage.read}
    # The scene that was opened first is the one to scan.
    compared = node.command("manifest", "diff", "--recorded", "--scanned", SHOT, "--json")
    total = json.loads(compared.stdout)["total"]
    assert (total["precision"], total["recall"]) == (1.0, 1.0)


def frames_known(node: ShotfsNode) -> list[str]:
    with Client(node.socket) as client:
        return [one["frame"] for one in client.record.recordings()["stored"]]


def test_a_killed_service_keeps_what_had_ended(
    node: ShotfsNode, origin: Path, tmp_path: Path
) -> None:
    (origin / "library").mkdir(exist_ok=True)
    (origin / "library/one").write_bytes(b"content")

    def command(frame: str, end: str) -> list[str]:
        script = f"cat {node.show}/library/one; touch {tmp_path}/{frame}; {end}"
        return ["exec", "--shot", SHOT, "--frame", frame, "--", "sh", "-c", script]

    # A command that is killed, and one whose `shotfs exec` is: what they read is learned.
    killed = node.command(*command("1", "kill -9 $$"), check=False)
    assert killed.returncode == 128 + signal.SIGKILL
    going_on = shotfs(node, *command("2", "exec sleep 60"))
    wait_until((tmp_path / "2").exists)
    (child,) = Path(f"/proc/{going_on.pid}/task/{going_on.pid}/children").read_text().split()
    going_on.kill()
    going_on.wait()
    os.kill(int(child), signal.SIGKILL)
    going_on.communicate(timeout=60)
    wait_until(lambda: frames_known(node) == ["1", "2"])
    # A service that is killed: its render goes on, and ends by the signal that was for it.
    going_on = shotfs(node, *command("3", "exec sleep 60"))
    wait_until((tmp_path / "3").exists)
    node.kill()
    going_on.send_signal(signal.SIGTERM)
    _, said = going_on.communicate(timeout=60)
    assert going_on.returncode == 128 + signal.SIGTERM
    assert "the recording is lost" in said
    node.clear()
    node.mount()
    assert frames_known(node) == ["1", "2"]
