"""Canonical lines: entries spelled as `encoding` spells them, read with one expression a block.

For who wants path, digest and size of a million entries and nothing else. What matches is an entry
that `checking.entry_of` accepts; what does not may be one all the same, so whoever is told None
reads those lines as JSON. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from itertools import chain, islice
from operator import lt
from typing import Any, cast

from shotfs.digest import Digest
from shotfs.prewarm.manifest.checking import NUMBER_MAX, Mistake, entry_of
from shotfs.prewarm.manifest.files import Files, good_paths

_COUNT = r"(?:0|[1-9][0-9]{0,17}|[1-8][0-9]{18})"
_SECONDS = r"(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,17})?"
_PLAIN = r"[ !#-\[\]-~]"
_NAMES = rf'\["{_PLAIN}{{1,255}}"(?:,"{_PLAIN}{{1,255}}"){{0,255}}\]'
_RANGE = r"\[[0-9]{1,19},[0-9]{1,19}\]"

_entries_in = re.compile(
    rf'^\{{"path":"({_PLAIN}{{1,4096}})"'
    r'(?:,"digest":"([0-9a-f]{32})")?'
    rf'(?:,"size_bytes":({_COUNT}))?'
    rf'(?:,"mtime_ns":-?{_COUNT})?'
    r'(?:,"frames":"([0-9x,-]+)")?'
    rf'(?:,"views":{_NAMES})?'
    r',"sources":(\[[a-z",]+\])'
    rf'(?:,"scanners":{_NAMES})?'
    r'(?:,"confidence":(?:1(?:\.0)?|0(?:\.[0-9]{1,17})?))?'
    rf'(?:,"use":\{{"runs":{_COUNT}(?:,"cold":{_COUNT})?'
    rf'(?:,"stall_s":{_SECONDS})?(?:,"first_s":{_SECONDS})?'
    rf'(?:,"ranges":(\[{_RANGE}(?:,{_RANGE}){{0,255}}\]))?\}})?\}}$',
    re.MULTILINE | re.ASCII,
).findall


def files_in(lines: Sequence[bytes]) -> Files | None:
    """Return the files that *lines* spell, one a line; None: read them as JSON."""
    try:
        found = _entries_in(b"\n".join(lines).decode("ascii"))
        if not lines or len(found) != len(lines):
            return None
        paths, digests, sizes, frames, sources, ranges = zip(*found, strict=True)
        _check(set(frames), set(sources))
        if not (good_paths(list(paths)) and _are_ranges({one for one in ranges if one})):
            return None
        said = cast("list[Digest | None]", [one or None for one in digests])
        counts = ",".join([one or "null" for one in sizes])
        return Files(paths, said, json.loads(f"[{counts}]"))
    except (Mistake, ValueError, TypeError):
        return None


def _check(frames: Collection[str], sources: Collection[str]) -> None:
    """Check what most entries have in common.

    Raises:
        Mistake, ValueError, TypeError: some are none.
    """
    for text in sources:
        entry_of({"path": "a", "sources": json.loads(text)})
    for text in frames:
        entry_of({"path": "a", "sources": ["hand"], "frames": text})


def _are_ranges(texts: Collection[str]) -> bool:
    """Whether each of *texts*, pairs of numbers, is sorted ranges, none touching the next."""
    rows = cast("list[Any]", json.loads(f"[{','.join(texts)}]"))
    for row in rows:
        numbers = list(chain.from_iterable(row))
        if numbers[-1] > NUMBER_MAX or not all(map(lt, numbers, islice(numbers, 1, None))):
            return False
    return True
