"""What tools/bench/warm measures on: the data, who reads it, and the loops that do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import httpx
from rich.console import Console
from running import place
from running.processes import StartFailed

from bench import peers
from bench.results import Results

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
LOOPS = os.path.join(os.path.dirname(os.path.realpath(__file__)), "warm_loops.py")
# Tables of seven systems are wide; a log need not be as narrow as a terminal.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 220)

NOBODY = 65534
"""Who reads and writes where we are root, as jobs on a farm; the unprivileged mount is theirs."""

DAC_READ_SEARCH = 2
SMALL_BYTES = 32 * 1024
STAT_BYTES = 1024
SEARCH_PATH = 10
PROCESSES = 8
MIB = 1 << 20
BUCKET = "bench"
LOOP_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        name: for the report.
        big_bytes: the file that is read in sequence.
        scattered_bytes: each of the two files that are first touched here and there.
        crowd_bytes: each of the files that are read in sequence at once.
        small_files: of 32 KiB, and as many for stat, and for many processes.
        s3_files: as many of them are put into the bucket: the S3 server is slow.
        misses: names that are looked for and are not there.
        entries: of the directory that is listed.
        frames: that are written.
        frame_bytes: each.
        reads: pages that one pass reads here and there, in the big file.
        first_reads: and in a file that is touched first.
        limit_s: after which a first touch of many files ends, also if it is not through.
        sequential_limit_s: after which a first pass over a large file ends.
        write_limit_s: after which no further frame is written.
        loop_s: how long "again" goes on.
        memory_bytes: that are touched before large files are read.
    """

    name: str
    big_bytes: int
    scattered_bytes: int
    crowd_bytes: int
    small_files: int
    s3_files: int
    misses: int
    entries: int
    frames: int
    frame_bytes: int
    reads: int
    first_reads: int
    limit_s: float
    sequential_limit_s: float
    write_limit_s: float
    loop_s: float
    memory_bytes: int

    @property
    def input_bytes(self) -> int:
        """Of all files that are read."""
        small_bytes = 2 * self.small_files * SMALL_BYTES
        large_bytes = self.big_bytes + 2 * self.scattered_bytes + PROCESSES * self.crowd_bytes
        return large_bytes + small_bytes


FULL = Scale(
    name="full", big_bytes=1024 * MIB, scattered_bytes=64 * MIB, crowd_bytes=32 * MIB,
    small_files=2000, s3_files=500, misses=10_000, entries=100_000, frames=200,
    frame_bytes=10_000_000, reads=20_000, first_reads=8000, limit_s=1.5, sequential_limit_s=10.0,
    write_limit_s=6.0, loop_s=0.5, memory_bytes=1536 * MIB,
)  # fmt: skip
QUICK = Scale(
    name="quick", big_bytes=96 * MIB, scattered_bytes=8 * MIB, crowd_bytes=4 * MIB,
    small_files=200, s3_files=50, misses=500, entries=2000, frames=4,
    frame_bytes=10_000_000, reads=2000, first_reads=500, limit_s=0.3, sequential_limit_s=2.0,
    write_limit_s=1.0, loop_s=0.1, memory_bytes=64 * MIB,
)  # fmt: skip


@dataclass(slots=True)
class Site:
    """What stays while systems are mounted and unmounted.

    Attributes:
        place: the directory of everything.
        sockets: a directory with a short name.
        s3_url: an S3 server with the data; "" where no system needs it.
    """

    scale: Scale
    results: Results
    place: str
    sockets: str
    s3_url: str = ""
    turns: int = 0

    @property
    def data(self) -> str:
        """The native directory."""
        return f"{self.place}/data"

    def names(self, system: str) -> str:
        """Return the file that lists the small files that *system* has."""
        return f"{self.place}/names-s3" if system == "s3fs" else f"{self.place}/names"

    @property
    def missing_names(self) -> str:
        """The file that lists what is not there."""
        return f"{self.place}/names-missing"

    def note(self, text: str) -> None:
        """Say something of the figures, once."""
        if text not in self.results.notes:
            self.results.notes.append(text)

    @contextmanager
    def scratch(self) -> Iterator[str]:
        """A new directory for one mount; removed with all that it holds."""
        self.turns += 1
        directory = f"{self.place}/turns/{self.turns}"
        os.makedirs(directory)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def run(self, workload: str, pid: int | None, **arguments: Any) -> dict[str, dict[str, float]]:
        """Run one workload of `warm_loops` as the user who reads; return its phases."""
        os.sync()  # what an earlier run wrote does not get in the way of this one
        text = json.dumps({**arguments, "pid": pid})
        done = subprocess.run(
            # -I -S: nothing of this environment is imported, the interpreter starts in 10 ms.
            [*as_reader(), os.path.realpath(sys.executable), "-I", "-S", LOOPS, workload],
            check=False,
            input=text,
            capture_output=True,
            text=True,
            timeout=LOOP_TIMEOUT_S,
            start_new_session=True,
        )
        if done.returncode != 0:
            raise StartFailed(
                f"the loop {workload!r} failed with {text[:500]}:\n{done.stderr[-2000:]}"
            )
        measured: dict[str, dict[str, float]] = json.loads(done.stdout)
        return measured


def is_root() -> bool:
    """Whether a privileged mount can be measured, and readers can be somebody else."""
    return os.geteuid() == 0


def as_reader() -> list[str]:
    """Return the command that runs another one without privileges.

    It keeps one right where it can, to read below directories that are closed: the project may lie
    in root's home. That is no right to mount.
    """
    if not is_root():
        return []
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        effective = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    if effective >> DAC_READ_SEARCH & 1:
        command += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    else:
        command += ["--inh-caps=-all"]
    return command


def give_to_reader(path: str) -> None:
    """Let the reader own *path*."""
    if is_root():
        os.chown(path, NOBODY, NOBODY)


def build(
    stack: ExitStack,
    scale: Scale,
    results: Results,
    above: str | None,
    *,
    with_inputs: bool,
    with_s3: bool,
) -> Site:
    """Make the data; *stack* ends and removes everything.

    Args:
        stack: ends it.
        scale: how much.
        results: what is measured goes there.
        above: the directory in which all is made; None: the project's.
        with_inputs: whether to make the files that are read.
        with_s3: whether to start an S3 server, with the data.

    Raises:
        StartFailed: no room, another run is under way, or a server did not start.
    """
    # Everything is on loopback and without TLS; rclone 1.60 cannot start with a bundle of its own.
    os.environ.pop("AWS_CA_BUNDLE", None)
    os.umask(0o022)
    directory = f"{above or ROOT}/.bench-warm"
    _check_reach(above or ROOT)
    lock = above or f"{ROOT}/tools/bench/warm"
    sockets = place.take(stack, directory, lock, keep=False)
    os.chmod(sockets, 0o711)
    _check_room(scale, directory)
    site = Site(scale, results, directory, sockets)
    keys: list[str] = []
    os.mkdir(site.data)
    if with_inputs:
        console.print(f"making the data below {directory}")
        _make_data(site)
        names = names_in(site.names("s3fs"))
        keys = [*input_paths(names), *(f"stat/{name}" for name in names)]
        keys += [f"path{index}/there.bin" for index in range(SEARCH_PATH)]
    if with_s3:
        site.s3_url = peers.start_moto(stack, directory)
        _fill_bucket(site, keys)
    return site


def touch_memory(size_bytes: int) -> None:
    """Have so much memory at hand.

    A virtual machine may have given its free pages back to the host, and who touches them first
    pays a multiple of what a copy costs.
    """
    number = os.memfd_create("memory at hand")
    try:
        for _ in range(size_bytes // MIB):
            os.write(number, bytes(MIB))
    finally:
        os.close(number)


def read_below(directory: str) -> None:
    """Read all files below *directory*, so that they are in the page cache."""
    buffer = bytearray(MIB)
    for above, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(above, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb", buffering=0) as file:
                    while file.readinto(buffer):
                        pass


def input_paths(names: list[str]) -> list[str]:
    """Return the files that are read, in a mount; *names* are the small ones that are there."""
    large = ["big/b.bin", "scattered/p.bin", "scattered/m.bin"]
    large += [f"crowd/c{index}.bin" for index in range(PROCESSES)]
    return large + [f"{group}/{name}" for group in ("small", "many") for name in names]


def names_in(path: str) -> list[str]:
    """Return the names that the file *path* lists."""
    with open(path, encoding="utf-8") as file:
        return file.read().split()


def _check_reach(directory: str) -> None:
    """Raise StartFailed if the user who reads, and mounts, cannot get to *directory*."""
    if not is_root():
        return
    above = directory
    while True:
        if not os.stat(above).st_mode & 0o001:
            raise StartFailed(
                f"{above} is closed to user {NOBODY}, who reads and mounts in this benchmark; "
                f"use --place with a directory that everybody can get to, say /var/tmp"
            )
        if above == "/":
            return
        above = os.path.dirname(above)


def _check_room(scale: Scale, directory: str) -> None:
    """Raise StartFailed if the data does not fit on the disk, or not into the page cache."""
    written_bytes = 3 * scale.frames * scale.frame_bytes
    # native, rclone, s3fs, two of ours; and what the S3 server keeps in memory.
    needed = 5 * scale.input_bytes + written_bytes
    free = shutil.disk_usage(directory).free
    if free < needed + (4 << 30):
        raise StartFailed(
            f"{directory} needs {needed / 1e9:.0f} GB and 4 GB to spare, {free / 1e9:.0f} GB are "
            f"free; use --place or --quick"
        )
    with open("/proc/meminfo", encoding="ascii") as lines:
        available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvail"))
    needed = 7 * scale.input_bytes + written_bytes
    if available * 1024 < needed:
        raise StartFailed(
            f"{needed / 1e9:.0f} GB of memory are needed to hold all files in the page cache, "
            f"{available * 1024 / 1e9:.0f} GB are available; use --quick"
        )


def _make_data(site: Site) -> None:
    scale, data = site.scale, site.data
    groups = ["big", "scattered", "crowd", "small", "many", "stat", "listed"]
    for group in [*groups, *(f"path{index}" for index in range(SEARCH_PATH))]:
        os.makedirs(f"{data}/{group}")
    _random_file(f"{data}/big/b.bin", scale.big_bytes)
    for name in ("p", "m"):
        _random_file(f"{data}/scattered/{name}.bin", scale.scattered_bytes)
    for index in range(PROCESSES):
        _random_file(f"{data}/crowd/c{index}.bin", scale.crowd_bytes)
    names = [f"s{index:05d}.bin" for index in range(scale.small_files)]
    for group, size_bytes in (("small", SMALL_BYTES), ("many", SMALL_BYTES), ("stat", STAT_BYTES)):
        for name in names:
            _random_file(f"{data}/{group}/{name}", size_bytes)
    for index in range(SEARCH_PATH):
        _random_file(f"{data}/path{index}/there.bin", STAT_BYTES)
    for index in range(scale.entries):
        path = f"{data}/listed/f{index:06d}.bin"
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    # As a loader looks for its plug-ins: each name in every directory of the search path.
    missing = [
        f"path{index}/n{number:05d}.bin"
        for number in range(scale.misses // SEARCH_PATH)
        for index in range(SEARCH_PATH)
    ]
    _write_names(site.names("native"), names)
    _write_names(site.names("s3fs"), names[: scale.s3_files])
    _write_names(site.missing_names, missing)


def _fill_bucket(site: Site, keys: Sequence[str]) -> None:
    credential = f"AWS4-HMAC-SHA256 Credential={peers.S3_KEY}/20260101/{peers.S3_REGION}/s3"
    with httpx.Client(
        base_url=site.s3_url,
        headers={"Authorization": credential},
        trust_env=False,
        timeout=LOOP_TIMEOUT_S,
    ) as client:
        client.put(f"/{BUCKET}").raise_for_status()
        for key in keys:
            with open(f"{site.data}/{key}", "rb") as file:
                size = str(os.fstat(file.fileno()).st_size)
                client.put(
                    f"/{BUCKET}/{key}", content=_in_pieces(file), headers={"Content-Length": size}
                ).raise_for_status()


def _in_pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield *file* in parts: of a whole body the client copies what is left after each part."""
    while piece := file.read(MIB):
        yield piece


def _random_file(path: str, size_bytes: int) -> None:
    with open(path, "wb") as file:
        file.writelines(
            os.urandom(min(MIB, size_bytes - start)) for start in range(0, size_bytes, MIB)
        )


def _write_names(path: str, names: list[str]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(names))
