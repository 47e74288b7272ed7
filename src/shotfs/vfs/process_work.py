"""What a process works on: the render job, shot, task, frame and view that its environment names,
or the job that its control group does. Reads /proc; blocks. An environment is read whole, once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

from shotfs.errors import InvalidArgument
from shotfs.prewarm.manifest.frames import parse_frames
from shotfs.prewarm.manifest.subject import Subject

log = logging.getLogger(__name__)

ENVIRONMENT_BYTES_MAX = 1024 * 1024
CGROUP_BYTES_MAX = 64 * 1024

TEXT_CHARACTERS_MAX = 128
"""Of each name. A process may set what it likes."""

SUBJECT_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "show": ("SHOTFS_SHOW", "show"),
    "shot": ("SHOTFS_SHOT", "shot"),
    "task": ("SHOTFS_TASK", "CUE_LAYER"),
    "frame": ("SHOTFS_FRAME", "CUE_IFRAME", "zframe", "SLURM_ARRAY_TASK_ID", "SGE_TASK_ID"),
    "view": ("SHOTFS_VIEW",),
}
"""Where render managers name what a process works on, besides its job: `shotfs exec`, OpenCue (the
names in lower case are rqd's), Slurm and Grid Engine. The first that says something counts."""

_SUBJECT = {
    name: tuple(variable.encode() for variable in variables)
    for name, variables in SUBJECT_VARIABLES.items()
}

_SLURM = re.compile(rb"slurm.*/job_([0-9]{1,20})(?:/|$)", re.MULTILINE)
"""In /proc/PID/cgroup, v1 and v2: `0::/system.slice/slurmstepd.scope/job_42/step_0/user/task_0`."""


def work_of(directory: str, variables: Sequence[bytes]) -> Subject | None:
    """Return what a process works on.

    Args:
        directory: of the process, in /proc.
        variables: names of the environment variables that name the job; the first that a process
            has, and that says something, counts. (): nobody's environment is read.

    Returns:
        With an empty job if it is in none; None where that cannot be told: its environment may not
        be read, or it has ended.
    """
    environment = _read(f"{directory}/environ", ENVIRONMENT_BYTES_MAX) if variables else None
    if environment is None:
        job = _cgroup_job(directory) if variables else ""
        return Subject(job=job) if job else None
    wanted = {*variables, *(one for names in _SUBJECT.values() for one in names)}
    said: dict[bytes, bytes] = {}
    for entry in environment.split(b"\0"):
        key, found, value = entry.partition(b"=")
        if found and value and key in wanted:
            said.setdefault(key, value)
    texts = {name: _first(said, names) for name, names in _SUBJECT.items()}
    texts["frame"] = _frame(texts["frame"])
    return Subject(job=_first(said, variables) or _cgroup_job(directory), **texts)


def job_of(directory: str, variables: Sequence[bytes]) -> str | None:
    """Return the job of a process, "" for none; None as `work_of`."""
    work = work_of(directory, variables)
    return None if work is None else work.job


def _first(said: Mapping[bytes, bytes], names: Sequence[bytes]) -> str:
    for name in names:
        if name in said:
            text = said[name].decode("utf-8", "replace")
            return "".join(sign for sign in text if sign.isprintable())[:TEXT_CHARACTERS_MAX]
    return ""


def _frame(text: str) -> str:
    """Return *text* if it names frames. Grid Engine says "undefined" outside of array jobs."""
    try:
        parse_frames(text)
    except InvalidArgument:
        return ""
    return text


def _cgroup_job(directory: str) -> str:
    found = _SLURM.search(_read(f"{directory}/cgroup", CGROUP_BYTES_MAX) or b"")
    return "" if found is None else found[1].decode()


def _read(path: str, bytes_max: int) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(bytes_max)
    except OSError as error:
        # Another user's, and we are not root: that is how it is, and no news each time.
        log.debug("no job: %s", error)
        return None
