"""The scripts for render managers, as installed, with the environment that each documents."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from shotfs.cli.integration_files import install, integration
from shotfs.control.client import Client
from tests.unit.prewarm.localize.served import Served, let_through

PLACE = "ant/library/kit"


class Farm:
    """A host where the scripts are installed for *served*."""

    def __init__(self, served: Served, directory: Path) -> None:
        self.served = served
        self.place = directory
        self.conf = directory / "job.conf"
        for name in ("gridengine", "slurm", "opencue", "openjd"):
            install(integration(name), str(directory), replace=False)
        common = directory / "shotfs-job.sh"
        text, count = re.subn(
            "(?m)^SHOTFS_JOB_CONF=.*$", f"SHOTFS_JOB_CONF={self.conf}", common.read_text()
        )
        assert count == 1
        common.write_text(text)
        self.program = directory / "shotfs"
        self.program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m shotfs "$@"\n')
        self.program.chmod(0o755)
        self.settings()

    def settings(self, *more: str, config: Path | None = None) -> None:
        config = self.served.node.config if config is None else config
        # Of a key that is there twice the first counts.
        lines = [*more, f"SHOTFS_COMMAND={self.program}", f"SHOTFS_CONFIG={config}"]
        self.conf.write_text("".join(f"{line}\n" for line in lines))

    def run(
        self,
        script: str,
        *arguments: str,
        given: str = "",
        uid: int | None = None,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        """Run *script* with nothing but *environment*: render managers give little."""
        return subprocess.run(
            [str(self.place / script), *arguments],
            env={"PATH": "/usr/bin:/bin", **environment},
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )

    def pinned(self, owner: str) -> list[str]:
        with Client(self.served.socket) as client:
            return sorted(str(pin["path"]) for pin in client.pins(owner)["pins"])


@pytest.fixture(scope="module")
def kit(served: Served) -> list[str]:
    names = [f"{PLACE}/{name}" for name in ("a.tx", "b.tx")]
    for name in names:
        served.put(name, name.encode())
    return names


@pytest.fixture
def farm(served: Served, kit: list[str], tmp_path: Path) -> Farm:
    return Farm(served, tmp_path / "opt")


def test_grid_engine_pins_what_a_task_needs_until_it_ends(farm: Farm, kit: list[str]) -> None:
    task = {"JOB_ID": "4711", "SGE_TASK_ID": "1001", "JOB_NAME": "beauty"}
    done = farm.run("gridengine/prolog", **task, SHOTFS_PREWARM=PLACE)
    assert done.returncode == 0, done.stderr
    assert farm.pinned("4711.1001") == kit
    assert farm.run("gridengine/epilog", **{**task, "SGE_TASK_ID": "1002"}).returncode == 0
    assert farm.pinned("4711.1001") == kit, "another task of the job ends before this one"
    assert farm.run("gridengine/epilog", **task).returncode == 0
    assert farm.pinned("4711.1001") == []


def test_a_job_that_names_nothing_starts_at_once(farm: Farm) -> None:
    farm.settings("SHOTFS_COMMAND=/bin/false", "SHOTFS_PREWARM_REQUIRED=1")
    for script in ("gridengine/prolog", "slurm/prolog", "slurm/task-prolog"):
        done = farm.run(script, JOB_ID="1", SGE_TASK_ID="undefined", SLURM_JOB_ID="1")
        assert done.returncode == 0
        assert done.stderr == ""
    assert farm.run("gridengine/prolog").returncode == 0
    assert farm.run("gridengine/epilog").returncode == 0


def test_what_goes_wrong_keeps_no_job_from_starting_and_drains_no_node(farm: Farm) -> None:
    starts = [
        ("gridengine/prolog", {"JOB_ID": "1", "SHOTFS_PREWARM": "xy_010"}),
        ("slurm/prolog", {"SLURM_JOB_ID": "1", "SLURM_JOB_COMMENT": "prewarm=xy_010"}),
        ("slurm/task-prolog", {"SLURM_JOB_ID": "1", "SHOTFS_PREWARM": "xy_010"}),
    ]
    for program in (f"{farm.place}/nothing", "/bin/false"):
        farm.settings(f"SHOTFS_COMMAND={program}")
        for script, environment in starts:
            done = farm.run(script, **environment)
            assert done.returncode == 0, script
            assert "the job reads on demand" in done.stderr
            told = script == "slurm/task-prolog"
            assert ("print shotfs: no service of shotfs answers" in done.stdout) is told
    farm.settings("SHOTFS_COMMAND=/bin/false", "SHOTFS_PREWARM_REQUIRED=1")
    codes = [farm.run(script, **environment).returncode for script, environment in starts]
    assert codes == [99, 0, 1], "put back; any other would drain the node; the task fails"


def test_a_prewarm_that_takes_too_long_is_given_up(farm: Farm) -> None:
    farm.program.write_text('#!/bin/sh\n[ "$1" = status ] || exec sleep 60\n')
    common = farm.place / "shotfs-job.sh"
    common.write_text(common.read_text().replace("SHOTFS_PREWARM_S + 5", "SHOTFS_PREWARM_S"))
    farm.settings("SHOTFS_PREWARM_S=1")
    done = farm.run("gridengine/prolog", JOB_ID="1", SHOTFS_PREWARM=PLACE)
    assert (done.returncode, "prewarm ended with 124" in done.stderr) == (0, True)


def test_what_is_not_there_is_said_and_the_job_starts(farm: Farm) -> None:
    farm.settings("SHOTFS_PREWARM_S=soon")
    done = farm.run("gridengine/prolog", JOB_ID="1", SHOTFS_PREWARM="ant/library/nothing")
    assert done.returncode == 0
    assert "SHOTFS_PREWARM_S=soon is no number of seconds" in done.stderr
    assert "ant/library/nothing" in done.stderr


def test_slurm_pins_what_the_comment_of_a_job_names(farm: Farm, kit: list[str]) -> None:
    job = {"SLURM_JOB_ID": "815", "SLURM_JOB_USER": "ada", "SLURM_ARRAY_TASK_ID": "1001"}
    comment = f"for the client prewarm={PLACE} urgent"
    # What a user puts into the environment is no setting of a script that root runs.
    done = farm.run("slurm/prolog", **job, SLURM_JOB_COMMENT=comment, SHOTFS_PREWARM="ant/secret")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert farm.pinned("815") == kit
    assert farm.run("slurm/epilog", **job).returncode == 0
    assert farm.pinned("815") == []


def test_slurm_prewarms_the_frames_that_the_comment_names(farm: Farm) -> None:
    farm.program.write_text('#!/bin/sh\necho "asked: $*"\n')
    job = {"SLURM_JOB_ID": "818", "SLURM_JOB_COMMENT": "frames=1001-1010 prewarm=xy_010"}
    done = farm.run("slurm/prolog", **job)
    asked = "asked: prewarm --pin 818 --deadline 90s --frames 1001-1010 -- xy_010\n"
    assert (done.returncode, done.stderr) == (0, asked)


def test_a_prolog_starts_no_service(farm: Farm) -> None:
    calls = farm.place / "calls"
    farm.program.write_text(f'#!/bin/sh\necho "$1" >>{calls}\nexit 4\n')
    done = farm.run("gridengine/prolog", JOB_ID="1", SHOTFS_PREWARM="xy_010")
    assert (done.returncode, calls.read_text()) == (0, "status\n")
    assert "no service of shotfs answers (4)" in done.stderr


def test_a_job_of_grid_engine_that_is_no_array_may_name_its_frames(farm: Farm) -> None:
    farm.program.write_text('#!/bin/sh\necho "asked: $*"\n')
    chunk = {"JOB_ID": "1", "SGE_TASK_ID": "undefined", "SHOTFS_FRAMES": "1001-1010"}
    done = farm.run("gridengine/prolog", **chunk, SHOTFS_PREWARM="xy_010")
    asked = "asked: prewarm --pin 1 --deadline 90s --frames 1001-1010 -- xy_010\n"
    assert (done.returncode, done.stderr) == (0, asked)


def test_a_task_of_slurm_is_told_its_job_and_frame(farm: Farm, kit: list[str]) -> None:
    job = {"SLURM_JOB_ID": "816", "SLURM_ARRAY_TASK_ID": "1002", "SHOTFS_PREWARM": PLACE}
    done = farm.run("slurm/task-prolog", **job)
    assert done.stdout.splitlines() == ["export SHOTFS_JOB=816", "export SHOTFS_FRAME=1002"]
    assert farm.pinned("816") == kit
    farm.run("slurm/epilog", SLURM_JOB_ID="816")


def test_s12_what_runs_for_others_takes_no_settings_from_the_environment(
    farm: Farm, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    secret = tmp_path / "secret.json"
    secret.write_text("a secret")
    done = farm.run(
        "gridengine/prolog",
        JOB_ID="7",
        SHOTFS_COMMAND=str(trap),
        SHOTFS_CONFIG=str(secret),
        SHOTFS_PREWARM=f"--evict * {secret} ../secret.json a/../../job.conf prolog {PLACE}",
    )
    assert done.returncode == 0
    assert not (tmp_path / "sprung").exists()
    assert f"not prewarmed: {secret}" in done.stderr
    for refused in ("--evict", "../secret.json", "a/../../job.conf"):
        assert f"not prewarmed: {refused}\n" in done.stderr
    assert "a secret" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run something as another user")
def test_s12_a_user_who_may_not_pin_prewarms_without(farm: Farm) -> None:
    farm.served.put("ant/library/his/c.tx", b"c")
    for place in (farm.place, farm.served.node.directory):
        let_through(place)
    task = {"SLURM_JOB_ID": "817", "SHOTFS_PREWARM": "ant/library/his", "HOME": "/"}
    farm.settings("SHOTFS_PREWARM_REQUIRED=1")
    done = farm.run("slurm/task-prolog", uid=65534, **task)
    assert done.returncode == 0, done.stderr
    assert "they are for the admin group" in done.stderr
    assert farm.pinned("817") == []
    assert farm.served.node.command("prewarm", "--check", "ant/library/his").returncode == 0


def test_the_load_sensor_says_which_shots_are_warm(farm: Farm, kit: list[str]) -> None:
    farm.served.node.command("prewarm", PLACE)
    farm.settings(f'SHOTFS_WARM="{PLACE} ant/library/nothing"')
    done = farm.run("gridengine/load-sensor", given="\nquit\nnever read\n")
    host = os.uname().nodename
    assert done.stdout.splitlines() == [
        "begin",
        f"{host}:warm_ant_library_kit:1",
        f"{host}:warm_ant_library_nothing:0",
        "end",
    ]
    farm.settings(f"SHOTFS_WARM={PLACE}", "# a comment", "PATH=/nowhere")
    assert farm.run("slurm/warm-features").stdout == "warm_ant_library_kit\n"


def test_the_wrapper_of_opencue_names_job_and_frame_and_ends_as_the_command(
    farm: Farm, kit: list[str]
) -> None:
    frame = {
        "CUE_JOB": "ant-xy_010-ada_beauty", "CUE_IFRAME": "1003", "shot": "xy_010",
        "SHOTFS_PREWARM": PLACE,
    }  # fmt: skip
    script = 'echo "$SHOTFS_JOB $SHOTFS_FRAME $SHOTFS_SHOT $*"; exit 3'
    done = farm.run("opencue/shotfs-cue", "sh", "-c", script, "sh", "a b", "c", **frame)
    assert done.returncode == 3, done.stderr
    assert done.stdout == "ant-xy_010-ada_beauty 1003 xy_010 a b c\n"
    assert farm.pinned("ant-xy_010-ada_beauty.1003") == []
    assert farm.run("opencue/shotfs-cue", "true").returncode == 0, "outside of OpenCue"
    farm.settings("SHOTFS_COMMAND=/bin/false")
    killed = farm.run("opencue/shotfs-cue", "sh", "-c", "kill -KILL $$", **frame)
    assert killed.returncode == 128 + 9
    farm.settings("SHOTFS_COMMAND=/bin/false", "SHOTFS_PREWARM_REQUIRED=1")
    done = farm.run("opencue/shotfs-cue", "echo", "never", **frame)
    assert (done.returncode, done.stdout) == (75, "")


JOB = """
specificationVersion: jobtemplate-2023-09
name: render
steps:
  - name: frame
    script:
      actions:
        onRun:
          command: sh
          args: ["{{Task.File.Run}}"]
      embeddedFiles:
        - name: Run
          type: TEXT
          data: |
            echo "job is $SHOTFS_JOB"
            shotfs cache pins
"""


@pytest.fixture
def openjd() -> str:
    found = shutil.which("openjd", path=os.path.dirname(sys.executable))
    if found is None:
        pytest.skip("openjd-cli is not installed")
    return found


def test_a_session_of_openjd_is_warm_when_its_task_runs_and_leaves_no_pin(
    farm: Farm, kit: list[str], openjd: str, tmp_path: Path
) -> None:
    template = farm.place / "openjd" / "shotfs.env.yaml"
    job = tmp_path / "job.yaml"
    job.write_text(JOB)

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment: Mapping[str, str] = {
            **farm.served.node.environment,
            "PATH": f"{farm.place}:{os.environ['PATH']}",
        }
        return subprocess.run(
            [openjd, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    assert "passes validation" in call("check", str(template)).stdout
    run = ("run", str(job), "--environment", str(template), "--step", "frame")
    done = call(*run, "-p", f"ShotfsPrewarm={PLACE}")
    assert done.returncode == 0, done.stdout
    session = re.search(r"job is (\S+)", done.stdout)
    assert session is not None
    assert all(name in done.stdout for name in kit), "pinned while the task ran"
    assert farm.pinned(f"{session[1]}.{session[1]}") == []
    assert "2 pins" in done.stdout
    farm.program.write_text("#!/bin/sh\nexit 1\n")
    job.write_text(JOB.replace("shotfs cache pins", "true"))
    assert call(*run, "-p", f"ShotfsPrewarm={PLACE}").returncode == 0, "it reads on demand"
    required = ("-p", f"ShotfsPrewarm={PLACE}", "-p", "ShotfsRequired=YES")
    assert call(*run, *required).returncode != 0
