"""Which integrations there are, and the files of each: package data, which nobody imports."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

import shotfs
from shotfs.errors import InvalidArgument, PathExists

PACKAGE = os.path.dirname(os.path.abspath(shotfs.__file__))
HERE = os.path.join(PACKAGE, "integrations")
LOCALIZING = os.path.join(PACKAGE, "localizing")

COMMON = "shotfs-job.sh"


@dataclass(frozen=True, slots=True)
class Integration:
    """Files for one program.

    Attributes:
        name: on the command line, and of its directory.
        purpose: what it does, in one line.
        files: relative to `HERE`; the first is what one begins to read.
        with_client: the package `shotfs.localizing` goes along, as ``shotfs_localizing``.
    """

    name: str
    purpose: str
    files: tuple[str, ...]
    with_client: bool = False


INTEGRATIONS = {
    one.name: one
    for one in (
        Integration(
            "nuke",
            "filename filter: files of a show come here when Nuke opens them, without a mount",
            ("nuke/shotfs_nuke.py", "nuke/init.py"),
            with_client=True,
        ),
        Integration(
            "gridengine",
            "prolog, epilog and load sensor of Grid Engine",
            ("gridengine/prolog", "gridengine/epilog", "gridengine/load-sensor", COMMON),
        ),
        Integration(
            "slurm",
            "prologs, epilog and features of Slurm",
            (
                "slurm/prolog",
                "slurm/epilog",
                "slurm/task-prolog",
                "slurm/warm-features",
                COMMON,
            ),
        ),
        Integration(
            "openjd",
            "environment template of OpenJD, for Deadline Cloud too",
            ("openjd/shotfs.env.yaml",),
        ),
        Integration("opencue", "wrapper of commands of OpenCue", ("opencue/shotfs-cue", COMMON)),
    )
}


def integration(name: str) -> Integration:
    """Return the integration *name*.

    Raises:
        InvalidArgument: there is none of that name.
    """
    found = INTEGRATIONS.get(name)
    if found is None:
        raise InvalidArgument(
            f"there is no integration {name!r}", fix=f"one of: {', '.join(INTEGRATIONS)}"
        )
    return found


def text_of(file: str) -> str:
    """Return the text of one of the files."""
    with open(os.path.join(HERE, file), encoding="utf-8") as source:
        return source.read()


def install(chosen: Integration, into: str, *, replace: bool) -> list[str]:
    """Copy the files of *chosen* below the directory *into*; return where they are.

    Args:
        chosen: what to copy.
        into: made if it is not there.
        replace: files that are there already are replaced.

    Raises:
        PathExists: one of them is there; nothing was copied.
        OSError: they cannot be written.
    """
    wanted = {os.path.join(into, file): os.path.join(HERE, file) for file in chosen.files}
    if chosen.with_client:
        package = os.path.join(into, chosen.name, "shotfs_localizing")
        for name in sorted(os.listdir(LOCALIZING)):
            if name.endswith(".py"):
                wanted[os.path.join(package, name)] = os.path.join(LOCALIZING, name)
    # What integrations share may be there, from another one.
    there = [one for one in wanted if os.path.lexists(one) and os.path.basename(one) != COMMON]
    if there and not replace:
        raise PathExists(f"{there[0]}: exists", fix="--replace replaces what is there")
    for target, source in wanted.items():
        os.makedirs(os.path.dirname(target), exist_ok=True)
        begun = f"{target}.new"
        shutil.copyfile(source, begun)
        # Wheels do not keep the permission to execute: scripts begin with #!.
        with open(begun, "rb") as file:
            os.chmod(begun, 0o755 if file.read(2) == b"#!" else 0o644)
        os.replace(begun, target)
    return list(wanted)
