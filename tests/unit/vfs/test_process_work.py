"""What a process works on, as its environment or its control group says."""

from __future__ import annotations

from pathlib import Path

import pytest

from shotfs.prewarm.manifest import Subject
from shotfs.vfs.process_work import TEXT_CHARACTERS_MAX, job_of, work_of

JOB = (b"SHOTFS_JOB", b"JOB_ID")


def directory(
    tmp_path: Path, environment: bytes | None, cgroup: bytes | None = b"0::/user.slice\n"
) -> str:
    for name, content in (("environ", environment), ("cgroup", cgroup)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("environment", "subject"),
    [
        (
            (
                b"SHOTFS_JOB=j1\0SHOTFS_SHOW=ant\0SHOTFS_SHOT=s10\0SHOTFS_TASK=fx\0"
                b"SHOTFS_FRAME=1001-1010\0SHOTFS_VIEW=left"
            ),
            Subject("ant", "s10", "fx", "1001-1010", "left", "j1"),
        ),
        (
            # As OpenCue's rqd sets them.
            b"show=ant\0shot=s10\0CUE_LAYER=beauty\0CUE_IFRAME=1001\0CUE_FRAME=1001-beauty\0",
            Subject("ant", "s10", "beauty", "1001"),
        ),
        (b"JOB_ID=77\0SGE_TASK_ID=12\0", Subject(frame="12", job="77")),
        (b"JOB_ID=77\0SGE_TASK_ID=undefined\0", Subject(job="77")),
        (b"SHOTFS_FRAME=1-99999999999\0", Subject()),
        (b"SHOTFS_SHOT=" + b"x" * 1000 + b"\0", Subject(shot="x" * TEXT_CHARACTERS_MAX)),
        (b"SHOTFS_SHOT=a\n\x1bb\xff\0", Subject(shot="ab\ufffd")),
        (b"SHOTFS_SHOT=\0shot=s20\0", Subject(shot="s20")),
        (b"", Subject()),
    ],
    ids=["ours", "opencue", "sge array", "sge", "too many frames", "long", "odd", "empty", "none"],
)
def test_the_environment_names_the_work(
    tmp_path: Path, environment: bytes, subject: Subject
) -> None:
    assert work_of(directory(tmp_path, environment), JOB) == subject


@pytest.mark.parametrize(
    "cgroup",
    [
        b"0::/system.slice/slurmstepd.scope/job_4242/step_0/user/task_0\n",
        b"9:name=systemd:/\n5:devices:/slurm/uid_1000/job_4242/step_batch\n0::/\n",
    ],
    ids=["v2", "v1"],
)
def test_slurms_control_group_names_the_job_where_the_environment_does_not(
    tmp_path: Path, cgroup: bytes
) -> None:
    at = directory(tmp_path, b"SHOTFS_SHOT=s10\0", cgroup)
    assert work_of(at, JOB) == Subject(shot="s10", job="4242")
    (tmp_path / "environ").unlink()
    assert job_of(at, JOB) == "4242", "another user's environment may not be read"
    assert work_of(at, ()) is None, "nobody's work is to be known"


def test_a_process_of_which_nothing_can_be_told_is_not_one_in_no_job(tmp_path: Path) -> None:
    assert job_of(directory(tmp_path, None), JOB) is None
    assert job_of(directory(tmp_path, b"X=1\0"), JOB) == ""
    assert job_of(str(tmp_path / "gone"), JOB) is None
