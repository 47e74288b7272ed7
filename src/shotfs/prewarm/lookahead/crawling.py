"""Crawling: processes that walk through trees, of which nothing is concluded. Pure.

`rsync`, a backup, an indexer open one file after the other, each once: what they open next is easy
to guess, and would be fetched for nobody. Programs that are known to do so are never followed. Of
others, those that no job started are not followed from when they open files as no artist does.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from shotfs.prewarm.watching import Reader

_WALKING = (
    "ag b2sum b3sum bacula-fd baloo_file bash borg bup cat cksum cmp cp dash diff du duplicity fd"
    " file find grep gsutil kopia locate ls md5sum mlocate mv nautilus nfsd plocate rclone restic"
    " rg rsnapshot rsync s3cmd sh sha1sum sha256sum smbd stat sum tar tracker-miner tumblerd"
    " updatedb xxhsum zip zsh"
)
PROGRAMS = frozenset(_WALKING.split())
"""What the kernel calls programs that copy, search, compare or list."""

PROCESSES_MAX = 1_024
DIRECTORIES_MAX = 64
"""An artist's application reads assets from many directories, but not in a minute."""

WINDOW_S = 60.0
FILES_MAX = 2_000


@dataclass(slots=True)
class _Process:
    name: str
    began_s: float
    files: int = 0
    directories: set[str] = field(default_factory=set)
    crawls: bool = False


class Crawlers:
    """Who is not followed."""

    def __init__(self) -> None:
        self._processes: OrderedDict[int, _Process] = OrderedDict()

    def ignores(self, reader: Reader, path: str, at_s: float, *, known: bool) -> bool:
        """Whether nothing is concluded from *reader* opening *path*.

        Args:
            reader: who opens.
            path: mount-relative.
            at_s: when.
            known: a job started it: such may open what they like, as fast as they like.
        """
        if reader.name in PROGRAMS:
            return True
        if known:
            return False
        process = self._processes.get(reader.pid)
        if process is None or process.name != reader.name:
            process = self._processes[reader.pid] = _Process(reader.name, at_s)
            if len(self._processes) > PROCESSES_MAX:
                self._processes.popitem(last=False)
        if at_s - process.began_s > WINDOW_S:
            process.began_s, process.files = at_s, 0
            process.directories.clear()
        process.files += 1
        process.directories.add(path.rpartition("/")[0])
        if process.files > FILES_MAX or len(process.directories) > DIRECTORIES_MAX:
            process.crawls = True
            process.directories.clear()
        return process.crawls
