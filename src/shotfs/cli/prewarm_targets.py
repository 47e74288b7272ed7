"""What TARGETs of `shotfs prewarm` are: files that this command reads, or names for the service.

Manifests and scenes are read here, with the rights of who runs the command and in his process;
everything else goes to the service as it is written, paths relative to the mount.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from shotfs.cli import output

if TYPE_CHECKING:
    from shotfs.prewarm.manifest import Entry
    from shotfs.prewarm.manifest.files import Files

STANDARD = "-"

HEAD_BYTES = 4096

JSON = (".jsonl", ".json")
"""How names of manifests end; a list of paths is never called so."""


@dataclass(slots=True)
class Sorted:
    """Targets, by who looks them up.

    Attributes:
        names: for the service.
        manifests: files to be read here; ``-`` is standard input.
        scenes: files to be scanned here.
    """

    names: list[str] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)
    scenes: list[str] = field(default_factory=list)


def sort_targets(targets: Sequence[str], mountpoint: str | None, *, scan: bool) -> Sorted:
    """Return who looks up which of *targets*.

    Args:
        targets: as people write them.
        mountpoint: of the service; None: it has no mount.
        scan: whether scene files are followed.

    Raises:
        InvalidArgument: one of them cannot be a target.
    """
    from shotfs.errors import InvalidArgument
    from shotfs.prewarm.scanners import registry

    found = Sorted()
    for target in targets:
        if not target.strip():
            raise InvalidArgument(
                "a TARGET is empty", fix="is a variable not set? name a shot, a path or a manifest"
            )
        inside = _inside(target, mountpoint)
        is_file = target == STANDARD or os.path.isfile(target)
        if is_file and scan and target != STANDARD and registry.reads(target):
            found.scenes.append(os.path.abspath(target))
        elif is_file and inside is None:
            found.manifests.append(target)
        else:
            found.names.append(target if inside is None else inside)
    return found


def _inside(target: str, mountpoint: str | None) -> str | None:
    """Return *target* relative to the mount if it is a path below it; "." and ".." are resolved.

    Raises:
        InvalidArgument: an absolute path elsewhere that is no file; the mount itself.
    """
    from shotfs.errors import InvalidArgument

    if target == STANDARD:
        return None
    whole = os.path.normpath(os.path.join(_here(), target))
    if mountpoint is not None and whole.startswith(f"{mountpoint}/"):
        relative = whole[len(mountpoint) + 1 :]
        # In the mount a name may be that of a shot: a path is what lies there, or has slashes.
        if os.path.isabs(target) or "/" in target or os.path.lexists(whole):
            return relative
        return None
    if whole == mountpoint:
        raise InvalidArgument(
            f"{target}: is the mount itself", fix="name a show in it, or something of a show"
        )
    if os.path.isabs(target) and not os.path.isfile(target):
        where = "the service has no mount" if mountpoint is None else f"it is {mountpoint}"
        what = "it is a directory" if os.path.isdir(target) else "there is no such file"
        raise InvalidArgument(
            f"{target}: {what}, and it is not below the mount point: {where}",
            fix="give a path below it, or one that begins with a show, like ant/render/x",
        )
    return None


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def entries_of(manifest: str, *, mountpoint: str | None, below: str) -> Iterator[Entry]:
    """Yield the files of a manifest: ours, one of Deadline Cloud, or a plain list of paths.

    Args:
        manifest: its file; ``-`` is standard input.
        mountpoint: what absolute paths of a plain list begin with.
        below: what the root of a Deadline Cloud manifest stands for, in the mount.

    Raises:
        ManifestInvalid: it is none, or damaged.
        OSError: it cannot be read.
    """
    with _opened(manifest, mountpoint=mountpoint, below=below) as entries:
        yield from entries


def files_of(manifest: str, *, mountpoint: str | None, below: str) -> Iterator[Files]:
    """Yield path, digest and size of a manifest's files in its order; as `entries_of`.

    One of ours is read without an object for each entry.
    """
    from shotfs.prewarm.manifest import ManifestReader

    with _opened(manifest, mountpoint=mountpoint, below=below) as entries:
        if isinstance(entries, ManifestReader):
            yield from entries.files()
        else:
            yield from _paged(entries)


@contextmanager
def _opened(manifest: str, *, mountpoint: str | None, below: str) -> Iterator[Iterable[Entry]]:
    from shotfs.prewarm.manifest import ManifestReader
    from shotfs.prewarm.manifest.deadline import read_deadline
    from shotfs.prewarm.manifest.plain import read_plain
    from shotfs.prewarm.manifest.reading import unpacked

    name = "standard input" if manifest == STANDARD else manifest
    raw = sys.stdin.buffer if manifest == STANDARD else open(manifest, "rb")  # noqa: SIM115 - closed below
    try:
        stream = unpacked(raw)
        head = _head_of(stream)
        if b'"hashAlg"' in head or b'"manifestVersion"' in head:
            yield read_deadline(stream, name, below=below)
        elif head.lstrip().startswith(b"{") or name.removesuffix(".gz").endswith(JSON):
            # One that was cut off, or is something else, is no list of paths for that.
            yield ManifestReader(stream, name)
        else:
            yield read_plain(stream, name, strip=mountpoint or "")
    finally:
        if manifest != STANDARD:
            raw.close()


def in_order(scenes: Sequence[Entry], manifests: Sequence[Iterable[Entry]]) -> Iterator[Files]:
    """Yield the files of *scenes* and *manifests* sorted by path, each once.

    Of one that several name, the first says what it is.
    """
    from shotfs.prewarm.manifest.merging import by_path, merged

    yield from _paged(merged([*reversed(manifests), sorted(scenes, key=by_path)]))


def _paged(entries: Iterable[Entry]) -> Iterator[Files]:
    from shotfs.prewarm.manifest.files import files_of as columns_of
    from shotfs.prewarm.manifest.reading import PAGE_ENTRIES

    waiting = iter(entries)
    while page := list(islice(waiting, PAGE_ENTRIES)):
        yield columns_of(page)


def _head_of(stream: BinaryIO) -> bytes:
    peek = getattr(stream, "peek", None)
    head: bytes = b"" if peek is None else peek(HEAD_BYTES)
    return head[:HEAD_BYTES]


def scanned(
    scenes: Sequence[str], mountpoint: str | None, frames: str, views: Sequence[str]
) -> Sequence[Entry]:
    """Return what the scenes *scenes*, and those that they name, need; tell what is not known.

    Raises:
        InvalidArgument: there is no mount to read them through.
    """
    from shotfs.errors import InvalidArgument
    from shotfs.prewarm.scanners.base import Scope
    from shotfs.prewarm.scanners.closure import close_over
    from shotfs.prewarm.scanners.local_files import LocalFiles

    if mountpoint is None:
        raise InvalidArgument(
            f"{scenes[0]}: scenes are read through a mount, and the service has none",
            fix="mount first; or scan where one is: shotfs manifest scan -o FILE",
        )
    scope = Scope(frames=frames, views=tuple(views), variables=dict(os.environ))
    found = close_over(scenes, LocalFiles(), root=mountpoint, scope=scope)
    for trouble in found.troubles:
        output.warn(f"{trouble.path}: {trouble.reason}")
    outside = [one for one in found.outside if one not in scenes]
    more = found.counts.outside - len(found.outside) + len(outside)
    told = (
        (found.counts.missing, "missing"),
        (found.counts.unresolved, "not known"),
        (more, "outside of the mount"),
    )
    if any(count for count, _ in told):
        parts = ", ".join(
            f"{output.counted(count, 'file')} {what}" for count, what in told if count
        )
        output.warn(f"scanned: {parts}", fix="shotfs manifest scan --unresolved FILE lists them")
    return found.entries
