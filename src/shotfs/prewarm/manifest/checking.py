"""Checking: makes entries and heads of what comes from outside. Pure.

Everything that a manifest says is checked here, once, by `entry_of` and `head_of`; whoever has an
`Entry` may trust it. A million entries pass through, so the way of a good entry has few steps, and
what is wrong with a bad one is found out afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from shotfs.digest import Digest
from shotfs.errors import InvalidArgument
from shotfs.prewarm.manifest.entry import Entry, Source, Use
from shotfs.prewarm.manifest.frames import check_frames
from shotfs.prewarm.manifest.head import FORMAT, Head
from shotfs.prewarm.manifest.subject import Subject

PATH_CHARACTERS_MAX = 4096
NAMES_MAX = 256
"""Views, and scanners, of one entry."""
NAME_CHARACTERS_MAX = 255
"""Of a view, a scanner, a show, a job."""
RANGES_MAX = 256
"""Ranges that one entry remembers; `merging` joins the nearest of more."""
NUMBER_MAX = 2**63 - 1
SECONDS_MAX = 1e12

_ENTRY_KEYS = frozenset(Entry.__slots__)
_USE_KEYS = frozenset(Use.__slots__)
_HEAD_KEYS = frozenset(Head.__slots__) | {"format"}
_SUBJECT_KEYS = frozenset(Subject.__slots__)
_DIGEST = re.compile(r"[0-9a-f]{32}")
_is_digest = _DIGEST.fullmatch
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}Z", re.ASCII)


class Mistake(Exception):
    """What is wrong with an entry or a head; who reads adds the file and the line."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def entry_of(row: Any) -> Entry:
    """Return the entry that the JSON value *row* spells.

    Raises:
        Mistake: it does not spell one, or a path that a manifest may not name.
    """
    if type(row) is not dict or not row.keys() <= _ENTRY_KEYS:
        raise _no_entry(row)
    get: Any = row.get
    path: Any = get("path")
    if (
        type(path) is not str
        or "//" in path
        or "/." in path
        or path[:1] in "./"  # also of ""
        or path[-1] == "/"
        or "\0" in path
        or len(path) > PATH_CHARACTERS_MAX
    ):
        check_path(path)
    digest: Any = get("digest")
    if digest is not None and (type(digest) is not str or _is_digest(digest) is None):
        raise Mistake(f"{_shown(path)}: {_shown(digest)} is no digest", _DIGEST_FIX)
    size_bytes = get("size_bytes")
    if size_bytes is not None and (
        type(size_bytes) is not int or not 0 <= size_bytes <= NUMBER_MAX
    ):
        raise _no_count(path, "size_bytes", size_bytes)
    mtime_ns = get("mtime_ns")
    if mtime_ns is not None and (type(mtime_ns) is not int or abs(mtime_ns) > NUMBER_MAX):
        raise _no_count(path, "mtime_ns", mtime_ns)
    confidence = get("confidence", 1.0)
    if type(confidence) not in (float, int) or not 0 <= confidence <= 1:
        raise Mistake(
            f"{_shown(path)}: {_shown(confidence)} is no confidence",
            "a number from 0 (never read) to 1 (always)",
        )
    frames = get("frames", "")
    views = get("views")
    scanners = get("scanners")
    use = get("use")
    try:
        if frames != "":
            check_frames(frames)
        return Entry(
            path,
            cast("Digest | None", digest),
            size_bytes,
            mtime_ns,
            frames,
            () if views is None else _names(*_strings(views)),
            _sources(*_strings(get("sources"))),
            () if scanners is None else _names(*_strings(scanners)),
            float(confidence),
            None if use is None else _use(path, use),
        )
    except InvalidArgument as exc:
        raise Mistake(f"{_shown(path)}: frames: {exc.message}", exc.fix or "") from None
    except (TypeError, AttributeError):
        raise _no_lists(path, row) from None


def file_of(path: Any, digest: Any, size_bytes: Any) -> Entry:
    """Return the entry of which only this is said.

    Raises:
        Mistake: as `entry_of`.
    """
    if (
        type(path) is not str
        or "//" in path
        or "/." in path
        or path[:1] in "./"
        or path[-1] == "/"
        or "\0" in path
        or len(path) > PATH_CHARACTERS_MAX
        or (digest is not None and (type(digest) is not str or _is_digest(digest) is None))
        or (
            size_bytes is not None
            and (type(size_bytes) is not int or not 0 <= size_bytes <= NUMBER_MAX)
        )
    ):
        # Says what is wrong with it.
        row = {"path": path, "digest": digest, "size_bytes": size_bytes, "sources": ["hand"]}
        return entry_of(row)
    return Entry(path, cast("Digest | None", digest), size_bytes)


def check_path(path: Any) -> None:
    """Refuse what is no path of a manifest: one that leaves the mount, or has two spellings.

    Raises:
        Mistake: absolute, empty, too long, or with an empty part, ``.``, ``..`` or a NUL in it.
    """
    if type(path) is not str or not path:
        raise Mistake(
            f"{_shown(path)} is no path" if path is not None else "a path is missing", _PATH_FIX
        )
    if len(path) > PATH_CHARACTERS_MAX:
        raise Mistake(
            f"a path has {len(path)} characters: {_shown(path)}",
            f"at most {PATH_CHARACTERS_MAX} are possible",
        )
    if path.startswith("/"):
        raise Mistake(f"{_shown(path)} is absolute", _PATH_FIX)
    if "\0" in path:
        raise Mistake(f"{_shown(path)} has a NUL in it", _PATH_FIX)
    parts = path.split("/")
    if ".." in parts:
        raise Mistake(f"{_shown(path)} leaves its directory with '..'", _PATH_FIX)
    if "" in parts or "." in parts:
        raise Mistake(f"{_shown(path)} has an empty part or '.' in it", _PATH_FIX)


def head_of(row: Any) -> Head:
    """Return the head that the JSON value *row* spells.

    Raises:
        Mistake: it does not spell one, or one of another format.
    """
    if not isinstance(row, dict) or "format" not in row:
        raise Mistake(
            "this is no manifest of shotfs: it says no format",
            f'its head begins {{"format": "{FORMAT}"; other kinds: shotfs manifest import',
        )
    if row["format"] != FORMAT:
        raise Mistake(
            f"the format is {_shown(row['format'])}; this shotfs reads {FORMAT}",
            "write it again with this version of shotfs, or read it with one that knows it",
        )
    _only(row, _HEAD_KEYS, "the head")
    subject = row.get("subject", {})
    if not isinstance(subject, dict):
        raise Mistake(f"the head: {_shown(subject)} is no subject", 'like {"show": "ant"}')
    _only(subject, _SUBJECT_KEYS, "the head's subject")
    texts = {name: row.get(name, "") for name in ("created_at", "created_by", "generator")}
    for name, value in {**texts, **subject}.items():
        if type(value) is not str or len(value) > NAME_CHARACTERS_MAX:
            raise Mistake(
                f"the head: {name}: {_shown(value)} is no text",
                f"a string of at most {NAME_CHARACTERS_MAX} characters",
            )
    if texts["created_at"] and not _MOMENT.fullmatch(texts["created_at"]):
        raise Mistake(
            f"the head: created_at: {_shown(texts['created_at'])} is no time",
            "like 2026-11-21T22:00:00Z",
        )
    counts = counts_of(row)
    return Head(Subject(**subject), **texts, count=counts["count"], size_bytes=counts["size_bytes"])


def counts_of(row: Mapping[str, Any]) -> dict[str, int | None]:
    """Return ``count`` and ``size_bytes`` of a head, or of the foot.

    Raises:
        Mistake: they are no counts.
    """
    counts = {name: row.get(name) for name in ("count", "size_bytes")}
    for name, value in counts.items():
        if value is not None and (type(value) is not int or not 0 <= value <= NUMBER_MAX**2):
            raise Mistake(f"{name}: {_shown(value)} is no count", "a whole number from 0 on")
    return counts


# --- parts of an entry ---------------------------------------------------------------------------

_PATH_FIX = "paths are relative to the mount, like ant/tex/wood.1001.exr"
_DIGEST_FIX = "xxh3-128: 32 lowercase hexadecimal digits"


def _strings(value: Any) -> list[str]:
    if type(value) is not list:
        raise TypeError
    return value


@lru_cache(maxsize=4096)
def _names(*names: str) -> tuple[str, ...]:
    if len(names) > NAMES_MAX or not all(
        type(name) is str and 0 < len(name) <= NAME_CHARACTERS_MAX for name in names
    ):
        raise TypeError
    return tuple(sorted(set(names)))


@lru_cache(maxsize=256)
def _sources(*names: str) -> tuple[Source, ...]:
    try:
        found = tuple(sorted({Source(name) for name in names}))
    except ValueError:
        raise TypeError from None
    if not found:
        raise TypeError
    return found


def _use(path: str, row: Any) -> Use:
    if type(row) is not dict or not row.keys() <= _USE_KEYS:
        raise Mistake(
            f"{_shown(path)}: {_shown(row)} is no use",
            f"an object with some of {', '.join(Use.__slots__)}",
        )
    get: Any = row.get
    runs, cold = get("runs", 1), get("cold", 0)
    stall_s, first_s = get("stall_s", 0.0), get("first_s", 0.0)
    # Spelled out, since half of a million entries have a use; NaN compares with nothing.
    if type(runs) is not int or not 0 <= runs <= NUMBER_MAX:
        raise _no_count(path, "runs", runs)
    if type(cold) is not int or not 0 <= cold <= NUMBER_MAX:
        raise _no_count(path, "cold", cold)
    if type(stall_s) not in (float, int) or not 0 <= stall_s <= SECONDS_MAX:
        raise _no_count(path, "stall_s", stall_s)
    if type(first_s) not in (float, int) or not 0 <= first_s <= SECONDS_MAX:
        raise _no_count(path, "first_s", first_s)
    ranges = get("ranges", [])
    return Use(
        runs, cold, float(stall_s), float(first_s), _ranges(path, ranges) if ranges != [] else ()
    )


def _ranges(path: str, rows: Any) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    at = -1
    try:
        for start, stop in rows:
            if type(start) is not int or type(stop) is not int or not at < start < stop:
                found = []
                break
            found.append((start, stop))
            at = stop
    except (TypeError, ValueError):
        found = []
    if not found or type(rows) is not list or len(rows) > RANGES_MAX or at > NUMBER_MAX:
        raise Mistake(
            f"{_shown(path)}: ranges: {_shown(rows)}",
            f"at most {RANGES_MAX} pairs [start, stop] in bytes, sorted, none touching the next",
        )
    return tuple(found)


# --- what is wrong -------------------------------------------------------------------------------


def _shown(value: Any) -> str:
    """Return *value* short enough for a message."""
    text = ascii(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _only(row: Mapping[str, Any], names: frozenset[str], what: str) -> None:
    for name in row:
        if name not in names:
            raise Mistake(f"{what} has a field {_shown(name)}", f"it may have {_listed(names)}")


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))


def _no_entry(row: Any) -> Mistake:
    if not isinstance(row, dict):
        return Mistake(f"{_shown(row)} is no entry", 'an object like {"path": ..., "sources": ...}')
    unknown = next(iter(row.keys() - _ENTRY_KEYS))
    where = f"{_shown(row['path'])}: " if isinstance(row.get("path"), str) else ""
    return Mistake(
        f"{where}an entry has a field {_shown(unknown)}", f"it may have {_listed(_ENTRY_KEYS)}"
    )


def _no_count(path: str, name: str, value: Any) -> Mistake:
    what = "a whole number" if name == "mtime_ns" else "a number that is not negative"
    return Mistake(f"{_shown(path)}: {name}: {_shown(value)}", f"{what}, at most {NUMBER_MAX}")


def _no_lists(path: str, row: Mapping[str, Any]) -> Mistake:
    """Return which of the lists of *row* is wrong, or its frames."""
    if not isinstance(row.get("frames", ""), str):
        return Mistake(f"{_shown(path)}: frames: {_shown(row['frames'])}", "text like 1001-1010")
    sources = row.get("sources")
    try:
        _sources(*_strings(sources))
    except TypeError:
        known = ", ".join(Source)
        return Mistake(
            f"{_shown(path)}: sources: {_shown(sources)}", f"a list of at least one of {known}"
        )
    return Mistake(
        f"{_shown(path)}: views: {_shown(row.get('views'))}, scanners: "
        f"{_shown(row.get('scanners'))}",
        f"each a list of at most {NAMES_MAX} names",
    )
