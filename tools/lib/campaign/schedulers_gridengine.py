"""A Grid Engine of one node: sge_qmaster and sge_execd in a cell of their own.

Grid Engine knows hosts by what their addresses resolve to, and localhost is none of those. So it
needs the name and the hosts file that `own_host` gives to this namespace.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from running import processes
from tests.fuse.node import wait_until

from campaign.schedulers_site import SHOT, as_user

SHARE = Path("/usr/share/gridengine")
BINARIES = Path("/usr/lib/gridengine")
ADMIN = "sgeadmin"
HOST = "shotfs-node"
QUEUE = "farm.q"
WARM = f"warm_{SHOT}"


def own_host(place: Path) -> None:
    """Give this namespace a name, a hosts file and a loopback of its own."""
    hosts = place / "hosts"
    hosts.write_text(f"127.0.0.1 {HOST} localhost\n")
    hosts.chmod(0o644)
    for command in (
        ["hostname", HOST],
        ["mount", "--bind", str(hosts), "/etc/hosts"],
        ["ip", "link", "set", "lo", "up"],
        # Slurm looks names up with AI_ADDRCONFIG, which a host with 127.0.0.1 alone fails.
        ["ip", "address", "add", "192.0.2.1/32", "dev", "lo"],
    ):
        subprocess.run(command, check=True, timeout=20)


class GridEngine:
    """Grid Engine as the campaign uses it; *stack* ends its daemons.

    Args:
        stack: ends them.
        place: an empty directory that every user may enter.
        scripts: where `shotfs integrations install` put ours.
    """

    name = "gridengine"

    def __init__(self, stack: ExitStack, place: Path, scripts: Path) -> None:
        self.place = place
        self.scripts = scripts
        self._environment: Mapping[str, str] = {
            "SGE_ROOT": str(place),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": str(processes.free_port()),
            "SGE_EXECD_PORT": str(processes.free_port()),
        }
        self._make_cell()
        self._daemon(stack, "sge_qmaster")
        wait_until(lambda: self._answers("qconf", "-sh"), 60)
        self.run("qconf", "-as", HOST)
        self._daemon(stack, "sge_execd")
        self._configure()
        wait_until(lambda: self.trouble() == "", 60)

    def _make_cell(self) -> None:
        """Make what Debian's init_cluster makes, here instead of in /var."""
        for name in ("default/common", "spool/qmaster/job_scripts", "spool/execd", "spool/db"):
            (self.place / name).mkdir(parents=True)
        (self.place / "util").symlink_to(SHARE / "util")
        for name in ("bin", "lib", "utilbin"):
            (self.place / name).mkdir()
            (self.place / name / "lx-amd64").symlink_to(BINARIES)
        common = self.place / "default/common"
        (common / "act_qmaster").write_text(f"{HOST}\n")
        bootstrap = (SHARE / "default-bootstrap").read_text()
        bootstrap = bootstrap.replace("/var/spool/gridengine/spooldb", f"{self.place}/spool/db")
        bootstrap = bootstrap.replace("/var/spool/gridengine", f"{self.place}/spool")
        (common / "bootstrap").write_text(bootstrap)
        configuration = self.place / "configuration"
        text = (SHARE / "default-configuration").read_text()
        for key, value in {
            "execd_spool_dir": f"{self.place}/spool/execd",
            "min_uid": "0",
            "min_gid": "0",
            "load_report_time": "00:00:02",
        }.items():
            text = re.sub(rf"(?m)^{key}\s.*$", f"{key} {value}", text)
        configuration.write_text(text)
        for top in (self.place / "default", self.place / "spool"):
            for path in (top, *top.rglob("*")):
                shutil.chown(path, ADMIN, ADMIN)
        for command in (
            ("spoolinit", "berkeleydb", "libspoolb", f"{self.place}/spool/db", "init"),
            ("spooldefaults", "configuration", str(configuration)),
            ("spooldefaults", "complexes", str(SHARE / "util/resources/centry")),
            ("spooldefaults", "usersets", str(SHARE / "util/resources/usersets")),
            ("spooldefaults", "managers", ADMIN),
            ("spooldefaults", "managers", "root"),
        ):
            self.run(str(BINARIES / command[0]), *command[1:], user=ADMIN)

    def _daemon(self, stack: ExitStack, name: str) -> None:
        processes.start(
            stack,
            [name],
            log=str(self.place / f"{name}.log"),
            environment={**self._environment, "SGE_ND": "1"},
            cwd="/",
        )

    def _configure(self) -> None:
        """Make the queue with our prolog and epilog, as the user who may pin."""
        self.change("schedule", "-ssconf", "-Msconf", {
            "schedule_interval": "0:0:2", "flush_submit_sec": "1", "flush_finish_sec": "1",
        })  # fmt: skip
        template = self.run("qconf", "-sq")
        self._write_and_load("queue", "-Aq", template, {
            "qname": QUEUE,
            "hostlist": HOST,
            "slots": "2",
            "load_thresholds": "NONE",
            "pe_list": "NONE",
            "shell": "/bin/sh",
            "prolog": f"{ADMIN}@{self.scripts}/gridengine/prolog",
            "epilog": f"{ADMIN}@{self.scripts}/gridengine/epilog",
        })  # fmt: skip

    def change(self, name: str, show: str, load: str, values: Mapping[str, str]) -> None:
        """Change *values* in what ``qconf`` shows with *show*; it takes it back with *load*."""
        self._write_and_load(name, load, self.run("qconf", show), values)

    def _write_and_load(self, name: str, load: str, text: str, values: Mapping[str, str]) -> None:
        for key, value in values.items():
            text, count = re.subn(rf"(?m)^{key}\s.*$", f"{key} {value}", text)
            if not count:
                text += f"{key} {value}\n"
        file = self.place / name
        file.write_text(text)
        self.run("qconf", load, str(file))

    def run(self, *command: str, user: str = "root") -> str:
        """Run one of Grid Engine's commands as *user*; return what it printed."""
        done = self._run(command, user)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _run(self, command: Sequence[str], user: str) -> subprocess.CompletedProcess[str]:
        prefix = as_user(user) if user != "root" else ()
        return subprocess.run(
            [*prefix, "env", *(f"{k}={v}" for k, v in self._environment.items()), *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd="/",
        )

    def _answers(self, *command: str) -> bool:
        return self._run(command, "root").returncode == 0

    def version(self) -> str:
        """Return what it is."""
        return f"Grid Engine ({self._run(['qstat', '-help'], 'root').stdout.splitlines()[0]})"

    def submit(
        self,
        script: Path,
        *,
        prewarm: str = "",
        required: bool = False,
        tasks: str = "",
        options: Sequence[str] = (),
    ) -> str:
        """Submit *script* as nobody; return the job's number.

        Args:
            script: what the job runs, in its own directory.
            prewarm: for the prolog.
            required: it must come.
            tasks: of an array job: ``1001-1003``.
            options: further ones of qsub.
        """
        variables = [f"SHOTFS_PREWARM={prewarm}"] if prewarm else []
        variables += ["SHOTFS_PREWARM_REQUIRED=1"] if required else []
        log = script.parent / ("log.$TASK_ID" if tasks else "log.0")
        said = self.run(
            "qsub", "-terse", "-wd", str(script.parent), "-j", "y", "-o", str(log),
            *(["-v", ",".join(variables)] if variables else []),
            *(["-t", tasks] if tasks else []), *options, str(script),
            user="nobody",
        )  # fmt: skip
        return said.strip().partition(".")[0]

    def cancel(self, job: str) -> None:
        """Cancel *job* as its user."""
        self.run("qdel", job, user="nobody")

    def states(self, job: str) -> dict[str, str]:
        """Return the state of each task of *job* that is not done, by its frame."""
        found = {}
        for row in self.run("qstat", "-u", "*").splitlines()[2:]:
            words = row.split()
            if words[0] == job:
                found[words[-1] if len(words) > 9 else "0"] = words[4]
        return found

    def ended(self, job: str) -> bool:
        """Return whether nothing of *job* runs or waits, its epilog included."""
        return not self.states(job)

    def warm(self) -> set[str]:
        """Return what our load sensor, which the first call adds, says is warm."""
        complexes = self.run("qconf", "-sc")
        if WARM not in complexes:
            (self.place / "complexes").write_text(
                f"{complexes}{WARM} {WARM} BOOL == YES NO FALSE 0\n"
            )
            self.run("qconf", "-Mc", str(self.place / "complexes"))
            sensor = f"{self.scripts}/gridengine/load-sensor"
            self.change("global", "-sconf", "-Mconf", {"load_sensor": sensor})
        return set(re.findall(r"hl:(warm_\w+)=(?:1|TRUE)", self.run("qhost", "-F")))

    def options_warm(self, feature: str) -> Sequence[str]:
        """Return what asks for a node with *feature*."""
        return ("-l", f"{feature}=1")

    def trouble(self) -> str:
        """Return what keeps the queue from taking jobs, "" for nothing."""
        rows = self.run("qstat", "-f").splitlines()
        row = next(line for line in rows if line.startswith(QUEUE))
        words = row.split()
        return f"the queue is in state {words[5]}" if len(words) > 5 else ""
