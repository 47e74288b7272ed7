"""A job of the campaign: tells when it has begun, reads plates when told to, ends when told to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from tests.fuse.node import wait_until

from campaign.schedulers_site import Site, let_all_write

PATIENCE_S = 90.0
"""How long a scheduler on a loaded machine may take for anything."""

_SCRIPT = """#!/bin/sh
cd {directory} || exit 3
task=${{SLURM_ARRAY_TASK_ID:-${{SGE_TASK_ID:-0}}}}
[ "$task" != undefined ] || task=0
owner=${{SLURM_JOB_ID:-$JOB_ID}}
[ -n "$SLURM_JOB_ID" ] || [ "$task" = 0 ] || owner=$JOB_ID.$task
wait_for() {{ until [ -e "$1" ]; do sleep 0.1; done }}
echo "$owner" "$SHOTFS_JOB" "$SHOTFS_FRAME" >begun.new.$task
mv begun.new.$task begun.$task
wait_for read.$task
frame=$task
[ "$frame" != 0 ] || frame=1001
{before} cat {shows}/ant/plates/*/??.$frame.exr >bytes.new.$task || exit 4
mv bytes.new.$task bytes.$task
wait_for leave.$task
"""


class Scheduler(Protocol):
    """What Slurm and Grid Engine have in common here."""

    @property
    def name(self) -> str:
        """For people."""

    def version(self) -> str:
        """Return what it is."""

    def submit(
        self,
        script: Path,
        *,
        prewarm: str = "",
        required: bool = False,
        tasks: str = "",
        options: Sequence[str] = (),
    ) -> str:
        """Submit *script* as nobody; return the job's number."""

    def cancel(self, job: str) -> None:
        """Cancel *job* as its user."""

    def states(self, job: str) -> dict[str, str]:
        """Return the state of each task of *job*, by its frame ("0": it is no array)."""

    def ended(self, job: str) -> bool:
        """Return whether nothing of *job* runs or waits, its epilog included."""

    def warm(self) -> set[str]:
        """Return what the scheduler knows to be warm on the node: ``warm_SHOT``."""

    def options_warm(self, feature: str) -> Sequence[str]:
        """Return what asks for a node with *feature*, for `submit`."""

    def trouble(self) -> str:
        """Return what keeps the node from taking jobs, "" for nothing."""


class Work:
    """The directory of one job, and the gates in it. Task "0": the job is no array.

    Args:
        site: what it reads.
        name: of the directory, once in a campaign.
        before: a command that reads for the job, say ``env -i``.
    """

    def __init__(self, site: Site, name: str, *, before: str = "") -> None:
        self.directory = let_all_write(site.place / "jobs" / name)
        self.script = self.directory / "render.sh"
        self.script.write_text(
            _SCRIPT.format(directory=self.directory, shows=site.node.mountpoint, before=before)
        )
        self.script.chmod(0o755)

    def wait_begun(self, task: str = "0") -> list[str]:
        """Wait for *task* to begin; return its owner of pins, and what it was told of itself."""
        return self._wait_for(f"begun.{task}").read_text().split(" ")

    def has_begun(self, task: str = "0") -> bool:
        """Return whether *task* has begun."""
        return (self.directory / f"begun.{task}").exists()

    def read(self, task: str = "0") -> int:
        """Let *task* read its plates; return how many bytes it read."""
        (self.directory / f"read.{task}").touch()
        return self._wait_for(f"bytes.{task}").stat().st_size

    def leave(self, task: str = "0") -> None:
        """Let *task* end."""
        (self.directory / f"leave.{task}").touch()

    def pass_through(self, task: str = "0") -> None:
        """Let *task* go through all gates as soon as it begins."""
        for gate in ("read", "leave"):
            (self.directory / f"{gate}.{task}").touch()

    def log(self, task: str = "0") -> str:
        """Return what the job, its prolog and its epilog printed, as the scheduler keeps it."""
        with suppress(FileNotFoundError):
            return (self.directory / f"log.{task}").read_text(errors="replace")
        return ""

    def _wait_for(self, name: str) -> Path:
        file = self.directory / name
        wait_until(file.exists, PATIENCE_S)
        return file
