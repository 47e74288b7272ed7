"""Plain lists: a path a line, or with columns between tabs; lines end with NUL where names need it.

What `find`, `xargs -0` and spreadsheets speak. Blocking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from shotfs.digest import Digest, parse_digest
from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest.checking import Mistake, check_path
from shotfs.prewarm.manifest.entry import Entry, Source
from shotfs.prewarm.manifest.reading import read_some, unpacked
from shotfs.prewarm.manifest.sorting import in_order

COLUMNS = ("path", "size", "digest", "mtime")
"""Size in bytes, mtime in nanoseconds since the epoch; ``-`` is: not known."""

LINE_BYTES_MAX = 64 * 1024
_BLOCK_BYTES = 256 * 1024
_UNKNOWN = "-"


def read_plain(
    stream: BinaryIO,
    name: str,
    *,
    columns: Sequence[str] = ("path",),
    null: bool = False,
    strip: str = "",
    below: str = "",
    source: Source = Source.HAND,
) -> Iterator[Entry]:
    """Yield the files of the list *stream*, sorted by path; a path that is there twice once.

    Empty lines are passed over, and a ``./`` at the beginning of a path is.

    Args:
        stream: its bytes, packed with gzip or not; not closed. Names that are no UTF-8 survive.
        name: what messages call it.
        columns: of each line, some of `COLUMNS`, between tabs.
        null: records end with NUL and not with a line end.
        strip: the directory that absolute paths lie in, like a mount point.
        below: the directory of the mount that paths are relative to.
        source: who says so.

    Raises:
        ManifestInvalid: a line has another form, or a path that a manifest may not name.
        OSError: reading failed.
    """
    prefix = f"{below}/" if below else ""
    cut = f"{strip.rstrip('/')}/" if strip else ""

    def entries() -> Iterator[Entry]:
        for number, line in enumerate(_lines(stream, name, b"\0" if null else b"\n"), start=1):
            if not line:
                continue
            try:
                yield _entry(
                    line.decode("utf-8", "surrogateescape"), columns, cut, prefix, source, null=null
                )
            except Mistake as mistake:
                raise ManifestInvalid(
                    f"{name}:{number}: {mistake.message}", fix=mistake.fix
                ) from None

    return in_order(entries())


def _lines(stream: BinaryIO, name: str, end: bytes) -> Iterator[bytes]:
    data = unpacked(stream)
    rest = b""
    while block := read_some(data, name, _BLOCK_BYTES):
        lines = (rest + block).split(end)
        rest = lines.pop()
        yield from lines
        if len(rest) > LINE_BYTES_MAX:
            raise ManifestInvalid(
                f"{name}: a line of more than {LINE_BYTES_MAX} bytes",
                fix="is it a list of paths? with NULs between them: --null",
            )
    if rest:
        yield rest


def _entry(
    line: str, columns: Sequence[str], cut: str, prefix: str, source: Source, *, null: bool
) -> Entry:
    if not null and line.endswith("\r"):
        raise Mistake(f"{line[:200]!r} ends as lines of Windows do", "dos2unix, or --null")
    values = line.split("\t") if len(columns) > 1 else [line]
    if len(values) != len(columns):
        raise Mistake(
            f"{line[:200]!r} has {len(values)} columns",
            f"{len(columns)} are expected, with tabs between them: {','.join(columns)}",
        )
    said = dict(zip(columns, values, strict=True))
    path = said["path"]
    if cut and path.startswith(cut):
        path = path[len(cut) :]
    path = prefix + path.removeprefix("./")
    check_path(path)
    return Entry(
        path,
        _digest(said.get("digest", _UNKNOWN)),
        _number(said.get("size", _UNKNOWN), "size"),
        _number(said.get("mtime", _UNKNOWN), "mtime"),
        sources=(source,),
    )


def _number(text: str, what: str) -> int | None:
    if text == _UNKNOWN:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Mistake(f"{what}: {text[:80]!r} is no number", f"digits, or {_UNKNOWN}")
    return int(text)


def _digest(text: str) -> Digest | None:
    if text == _UNKNOWN:
        return None
    try:
        return parse_digest(text)
    except ValueError as exc:
        raise Mistake(str(exc)[:200], f"xxh3-128 in hexadecimal, or {_UNKNOWN}") from None


def write_plain(
    stream: BinaryIO,
    name: str,
    entries: Iterable[Entry],
    *,
    columns: Sequence[str] = ("path",),
    null: bool = False,
    below: str = "",
) -> tuple[int, int]:
    """Write *entries* as a list; return their count and bytes.

    Args:
        stream: where to.
        name: what messages call it.
        entries: all below *below*; their order stays.
        columns: of each line, some of `COLUMNS`, with tabs between them.
        null: end records with NUL.
        below: the directory that paths are written relative to.

    Raises:
        ManifestInvalid: a path has a line end or a tab in it that a list of this form cannot
            carry, or cannot be a name on a disk.
        OSError: writing failed.
    """
    cut = len(below) + 1 if below else 0
    end = "\0" if null else "\n"
    count = size_bytes = 0
    for entry in entries:
        path = entry.path[cut:]
        _check_writable(path, name, columns, null=null)
        values = {
            "path": path,
            "size": entry.size_bytes,
            "digest": entry.digest,
            "mtime": entry.mtime_ns,
        }
        cells = (values[column] for column in columns)
        line = "\t".join(_UNKNOWN if cell is None else str(cell) for cell in cells)
        stream.write((line + end).encode("utf-8", "surrogateescape"))
        count += 1
        size_bytes += entry.size_bytes or 0
    return count, size_bytes


def _check_writable(path: str, name: str, columns: Sequence[str], *, null: bool) -> None:
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ManifestInvalid(
            f"{name}: {path[:200]!r} cannot be a name on a disk here", fix="leave it out: --below"
        ) from None
    if not null and ("\n" in path or path.endswith("\r")):
        raise ManifestInvalid(
            f"{name}: {path[:200]!r} has a line end in it", fix="end records with NUL: --null"
        )
    if len(columns) > 1 and "\t" in path:
        raise ManifestInvalid(
            f"{name}: {path[:200]!r} has a tab in it", fix="write paths only: --columns path"
        )
