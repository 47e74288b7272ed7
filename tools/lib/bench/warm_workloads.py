"""What tools/bench/warm measures, in groups that share one mount: large files, small ones, a large
directory, outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from bench.warm_site import PROCESSES, Scale, Site, read_below, touch_memory
from bench.warm_systems import S3FS, Opened, cache_of, opened, opened_for_writing, writes


@dataclass(frozen=True, slots=True)
class Workload:
    """A row of the table.

    Attributes:
        title: with ``{}`` for what depends on the scale.
        unit: of its speed, or "s": then less is better.
        of_scale: fills the title in.
    """

    title: str
    unit: str
    of_scale: Callable[[Scale], str] = lambda _: ""

    @property
    def per_gb(self) -> bool:
        """Whether the daemon's CPU time is told for a gigabyte; else it is for an operation."""
        return self.unit == "MB/s"

    def named(self, scale: Scale) -> str:
        """Return the title at *scale*."""
        return self.title.format(self.of_scale(scale))


def _size(scale: Scale) -> str:
    return (
        f"{scale.big_bytes >> 30} GiB" if scale.big_bytes >> 30 else f"{scale.big_bytes >> 20} MiB"
    )


def _files(scale: Scale) -> str:
    return f"{scale.small_files:,}"


def _misses(scale: Scale) -> str:
    return f"{scale.misses:,}"


def _entries(scale: Scale) -> str:
    return f"{scale.entries:,}"


def _frames(scale: Scale) -> str:
    return f"{scale.frames} frames of {scale.frame_bytes // 1_000_000} MB"


WORKLOADS: Mapping[str, Workload] = {
    "seq_first": Workload("{} in sequence, first touch", "MB/s", _size),
    "seq_again": Workload("{} in sequence, again", "MB/s", _size),
    "random_first": Workload("4 KiB random reads, first touch", "reads/s"),
    "random_again": Workload("4 KiB random reads, {} touched before", "reads/s", _size),
    "mmap_first": Workload("4 KiB random reads by mmap, first touch", "reads/s"),
    "mmap_again": Workload("4 KiB random reads by mmap, {} touched before", "reads/s", _size),
    "seq_8_first": Workload("8 processes in sequence, first touch", "MB/s"),
    "seq_8_again": Workload("8 processes in sequence, again", "MB/s"),
    "small_first": Workload("{} files of 32 KiB, first touch", "files/s", _files),
    "small_again": Workload("{} files of 32 KiB, again", "files/s", _files),
    "small_8_first": Workload("8 processes, {} files, first touch", "files/s", _files),
    "small_8_again": Workload("8 processes, {} files, again", "files/s", _files),
    "stat_first": Workload("stat of {} files, first touch", "stat/s", _files),
    "stat_again": Workload("stat of {} files, again", "stat/s", _files),
    "negative_first": Workload("{} names that are not there, first", "lookups/s", _misses),
    "negative_again": Workload("{} names that are not there, again", "lookups/s", _misses),
    "readdir_first": Workload("{} entries, scandir and stat, first", "s", _entries),
    "readdir_again": Workload("{} entries, scandir and stat, again", "s", _entries),
    "ls": Workload("{} entries, ls -l, after that", "s", _entries),
    "write": Workload("{}: create, write, close", "MB/s", _frames),
}  # fmt: skip

Phase = Mapping[str, float]


class Recorder:
    """Takes what the loops measured down.

    Args:
        site: has the results.
        system: that is measured.
    """

    def __init__(self, site: Site, system: str) -> None:
        self._site = site
        self._system = system

    def add(self, key: str, phase: Phase) -> None:
        """Note one run of the workload *key*: its speed, and the daemon's CPU time."""
        workload = WORKLOADS[key]
        results = self._site.results
        title = workload.named(self._site.scale)
        seconds, cpu_s = phase["seconds"], phase["cpu_s"]
        if workload.unit == "s":
            results.add(title, self._system, seconds, "s")
        elif workload.per_gb:
            results.add(title, self._system, phase["bytes"] / seconds / 1e6, workload.unit)
        else:
            results.add(title, self._system, phase["count"] / seconds, workload.unit)
        if workload.unit == "s":
            results.add(f"{title}, CPU", self._system, cpu_s, "s")
        elif workload.per_gb:
            results.add(f"{title}, CPU", self._system, cpu_s / phase["bytes"] * 1e9, "s/GB")
        else:
            results.add(f"{title}, CPU", self._system, cpu_s / phase["count"] * 1e6, "µs each")

    def pair(self, key: str, phases: Mapping[str, Phase]) -> None:
        """Note the phases of first touch and again."""
        self.add(f"{key}_first", phases["first"])
        self.add(f"{key}_again", phases["again"])


def large(site: Site, system: str) -> None:
    """One large file, pages of it, and eight at once."""
    scale = site.scale
    with _mounted(site, system) as one:
        note = Recorder(site, system)
        directory = one.directory
        limits = {"limit_s": scale.sequential_limit_s, "loop_s": scale.loop_s}
        touch_memory(scale.memory_bytes)
        big = f"{directory}/big/b.bin"
        note.pair("seq", site.run("sequential", one.pid, path=big, **limits))
        for key, mapped, name in (("random", False, "p"), ("mmap", True, "m")):
            fresh = site.run(
                "scattered", one.pid, path=f"{directory}/scattered/{name}.bin", mapped=mapped,
                reads=scale.first_reads, limit_s=scale.limit_s, loop_s=0.0,
            )  # fmt: skip
            note.add(f"{key}_first", fresh["first"])
            warm = site.run(
                "scattered", one.pid, path=big, mapped=mapped, reads=scale.reads,
                limit_s=scale.limit_s, loop_s=scale.loop_s,
            )  # fmt: skip
            note.add(f"{key}_again", warm["first"])
        paths = [f"{directory}/crowd/c{index}.bin" for index in range(PROCESSES)]
        note.pair("seq_8", site.run("crowd_of_readers", one.pid, paths=paths, **limits))


def small(site: Site, system: str) -> None:
    """Small files, stat, and names that are not there."""
    scale = site.scale
    limits = {"limit_s": scale.limit_s, "loop_s": scale.loop_s}
    with _mounted(site, system) as one:
        note = Recorder(site, system)
        names = site.names(system)
        for key, what, below, which in (
            ("small", "read", "small", names),
            ("stat", "stat", "stat", names),
            ("negative", "miss", ".", site.missing_names),
        ):
            phases = site.run(
                "files", one.pid, what=what, directory=f"{one.directory}/{below}", names=which,
                **limits,
            )  # fmt: skip
            note.pair(key, phases)
        phases = site.run(
            "crowd_of_files", one.pid, directory=f"{one.directory}/many", names=names,
            processes=PROCESSES, **limits,
        )  # fmt: skip
        note.pair("small_8", phases)


def listing(site: Site, system: str) -> None:
    """A directory of many entries; not of the S3 server, which would answer a HEAD for each."""
    if system == S3FS:
        return
    with _mounted(site, system) as one:
        note = Recorder(site, system)
        phases = site.run("listing", one.pid, directory=f"{one.directory}/listed")
        entries = {phase["count"] for phase in phases.values()}
        assert entries == {site.scale.entries}, f"{system} listed {entries} entries"
        note.pair("readdir", phases)
        note.add("ls", phases["ls"])


def outputs(site: Site, system: str) -> None:
    """Frames that are written."""
    if not writes(system):
        return
    scale = site.scale
    with opened_for_writing(site, system) as one:
        phases = site.run(
            "frames", one.pid, directory=one.directory, count=scale.frames,
            size_bytes=scale.frame_bytes, fsync=one.fsync, limit_s=scale.write_limit_s,
        )  # fmt: skip
        Recorder(site, system).add("write", phases["first"])


def _mounted(site: Site, system: str) -> AbstractContextManager[Opened]:
    """Mount *system*; what it reads from is in the page cache then."""
    read_below(cache_of(site, system) or site.data)
    return opened(site, system)


GROUPS: Mapping[str, Callable[[Site, str], None]] = {
    "large": large,
    "small": small,
    "listing": listing,
    "outputs": outputs,
}
