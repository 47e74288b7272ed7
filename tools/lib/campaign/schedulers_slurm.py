"""A Slurm of one node: munged, slurmctld and slurmd with configuration and state of their own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from running import processes
from tests.fuse.node import wait_until

from campaign.schedulers_site import as_user

NODE = f"shotfs{secrets.randbelow(10**6)}"
"""Of one run: slurmd names control groups by it."""

DONE = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"})

_CONF = """
ClusterName=shotfs
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
AuthType=auth/munge
AuthInfo=socket={place}/munge/socket
CredType=cred/munge
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldDebug=verbose
SlurmdDebug=debug
ProctrackType=proctrack/{proctrack}
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=2
MaxArraySize=10000
Prolog={scripts}/slurm/prolog
Epilog={scripts}/slurm/epilog
TaskProlog={scripts}/slurm/task-prolog
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={slurmd_port} CPUs=2 State=UNKNOWN
PartitionName=farm Nodes={node} Default=YES MaxTime=INFINITE OverTimeLimit=0 State=UP
"""


class Slurm:
    """Slurm as the campaign uses it; *stack* ends its daemons.

    Args:
        stack: ends them.
        place: an empty directory that every user may enter.
        scripts: where `shotfs integrations install` put ours.
    """

    name = "slurm"

    def __init__(self, stack: ExitStack, place: Path, scripts: Path) -> None:
        self.place = place
        self.scripts = scripts
        self.cgroups = _cgroups_can_be_used()
        for name in ("munge", "state", "spool"):
            (place / name).mkdir(parents=True)
        place.chmod(0o755)
        (place / "munge").chmod(0o755)
        self.conf = place / "slurm.conf"
        self.conf.write_text(
            _CONF.format(
                host=os.uname().nodename,
                node=NODE,
                place=place,
                scripts=scripts,
                ctld_port=processes.free_port(),
                slurmd_port=processes.free_port(),
                proctrack="cgroup" if self.cgroups else "linuxproc",
            )
        )
        if self.cgroups:
            (place / "cgroup.conf").write_text(
                "CgroupPlugin=autodetect\nCgroupAutomount=no\nCgroupMountpoint=/sys/fs/cgroup\n"
            )
        self._start(stack)

    def _start(self, stack: ExitStack) -> None:
        munge = self.place / "munge"
        key = munge / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        self._daemon(
            stack, "munged", "--foreground", "--force", f"--socket={munge}/socket",
            f"--key-file={key}", f"--pid-file={munge}/pid", f"--log-file={munge}/log",
            f"--seed-file={munge}/seed",
        )  # fmt: skip
        wait_until((munge / "socket").exists)
        self._daemon(stack, "slurmctld", "-D", "-f", str(self.conf))
        # slurmd changes its environment for prologs: none of ours may be of use to them.
        if self.cgroups:
            stack.callback(_remove_cgroups)
        self._daemon(stack, "slurmd", "-D", "-f", str(self.conf), "-N", NODE)
        wait_until(lambda: self._node_state() == "IDLE", 60)

    def _daemon(self, stack: ExitStack, *command: str) -> None:
        log = str(self.place / f"{command[0]}.log")
        processes.start(stack, command, log=log, environment=self._environment, cwd="/")

    @property
    def _environment(self) -> Mapping[str, str]:
        return {"SLURM_CONF": str(self.conf)}

    def run(self, *command: str, user: str = "root") -> str:
        """Run one of Slurm's commands as *user*; return what it printed."""
        prefix = as_user(user) if user != "root" else ()
        done = subprocess.run(
            [*prefix, "env", *(f"{k}={v}" for k, v in self._environment.items()), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd="/",
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def version(self) -> str:
        """Return what it is."""
        how = "cgroup" if self.cgroups else "linuxproc: control groups cannot be used here"
        return f"{self.run('sinfo', '--version').strip()}, proctrack/{how}"

    def submit(
        self,
        script: Path,
        *,
        prewarm: str = "",
        own: str = "",
        required: bool = False,
        tasks: str = "",
        options: Sequence[str] = (),
    ) -> str:
        """Submit *script* as nobody; return the job's number.

        Args:
            script: what the job runs, in its own directory.
            prewarm: words of the comment, for the prolog: ``prewarm=...``.
            own: for TaskProlog, which runs as the job's own user.
            required: what *own* names must come.
            tasks: of an array job: ``1001-1003``.
            options: further ones of sbatch.
        """
        environment = [f"SHOTFS_PREWARM={own}"] if own else []
        environment += ["SHOTFS_PREWARM_REQUIRED=1"] if required else []
        output = script.parent / ("log.%a" if tasks else "log.0")
        said = self.run(
            "env", *environment, "sbatch", "--parsable", f"--chdir={script.parent}",
            f"--output={output}", *([f"--comment=prewarm={prewarm}"] if prewarm else []),
            *([f"--array={tasks}"] if tasks else []), *options, str(script),
            user="nobody",
        )  # fmt: skip
        return said.strip().partition(";")[0]

    def cancel(self, job: str) -> None:
        """Cancel *job* as its user."""
        self.run("scancel", job, user="nobody")

    def states(self, job: str) -> dict[str, str]:
        """Return the state of each task of *job*, by its frame ("0": it is no array)."""
        rows = self.run("scontrol", "--oneliner", "show", "job", job).splitlines()
        known = [dict(word.partition("=")[::2] for word in row.split()) for row in rows if row]
        return {row.get("ArrayTaskId", "0"): row["JobState"] for row in known}

    def ended(self, job: str) -> bool:
        """Return whether nothing of *job* runs or waits, its epilog included."""
        return set(self.states(job).values()) <= DONE and self._node_state() == "IDLE"

    def warm(self) -> set[str]:
        """Let our script renew the node's features, as cron does; return them."""
        script = f"{self.scripts}/slurm/warm-features"
        self.run("env", f"SLURMD_NODENAME={NODE}", script, "--apply")
        return set(self._node().get("ActiveFeatures", "").split(","))

    def options_warm(self, feature: str) -> Sequence[str]:
        """Return what asks for a node with *feature*."""
        return (f"--constraint={feature}",)

    def trouble(self) -> str:
        """Return what keeps the node from taking jobs, "" for nothing."""
        state = self._node_state()
        return "" if state in {"IDLE", "MIXED", "ALLOCATED"} else f"the node is {state}"

    def _node_state(self) -> str:
        return self._node().get("State", "")

    def _node(self) -> dict[str, str]:
        row = self.run("scontrol", "--oneliner", "show", "node", NODE)
        return dict(word.partition("=")[::2] for word in row.split())


def _cgroups_can_be_used() -> bool:
    """Return whether a control group can be made here, as proctrack/cgroup does."""
    tops = [Path("/sys/fs/cgroup/freezer"), Path("/sys/fs/cgroup")]
    for top in tops:
        if not top.is_dir():
            continue
        group = top / f"shotfs-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            group.mkdir()
            group.rmdir()
        except OSError:
            return False
        return True
    return False


def _remove_cgroups() -> None:
    """End what still runs in the groups that slurmd made, and remove them."""
    for top in Path("/sys/fs/cgroup").glob(f"*/slurm_{NODE}"):
        with suppress(AssertionError):  # busy still: it stays, empty
            wait_until(partial(_is_removed, top), 20)


def _is_removed(top: Path) -> bool:
    for directory, _, _ in os.walk(top, topdown=False):
        with suppress(OSError):  # it ended, or slurmstepd removed it
            for pid in Path(directory, "cgroup.procs").read_text().split():
                if int(pid) > 0:  # 0: of another namespace
                    os.kill(int(pid), signal.SIGKILL)
            os.rmdir(directory)
    return not top.exists()
