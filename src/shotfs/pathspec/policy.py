"""Policy keys: read from `defaults` and from templates, and filled up with sensible defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from shotfs.pathspec.model import Durability, Flow, Immutable, Policy, Rewrite
from shotfs.pathspec.problems import suggest
from shotfs.pathspec.section import Section

SCRATCH_DEFAULT = ("*.tmp", "*.part", "*.lock", "*.pov-state", ".*.sw?", "*~", ".nfs*")
"""Names that renderers, editors and NFS clients make beside their outputs (semantics.md)."""

SCRATCH_MAX = 64

BUILT_IN: Mapping[str, Any] = {
    "flow": Flow.IN,  # the cautious direction: nothing can be written by mistake
    "immutable": Immutable.NEVER,
    "durability": None,  # the node knows whether it may vanish
    "rewrite": Rewrite.REFUSE,
    "ttl": 60.0,
    "negative_ttl": 5.0,  # short: a file that another node just made should appear soon
    "mode": 0o644,
    "directory_mode": 0o755,
    "uid": None,
    "gid": None,
    "owner": "service",
    "scratch": SCRATCH_DEFAULT,
    "grace": 0.0,
    "priority": 0,
}
"""What is in force where the document says nothing. `origin` has no such default."""

TTL_S_MAX = 10 * 366 * 86400.0
GRACE_S_MAX = 86400.0
PRIORITY_MAX = 1000
ID_MAX = 2**32 - 2

_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)", re.ASCII)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s?#\0]+")


def _duration(section: Section, name: str, most_s: float) -> float | None:
    raw = section.raw(name)
    assert raw is not None, "readers are called for members that are there"
    value = raw.value
    seconds: float
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= most_s else most_s + 1 if value > 0 else -1.0
    else:
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            section.problem(
                name,
                f'"{name}" must be a duration',
                'write seconds (90) or "90s", "10m", "2h", "1d"',
            )
            return None
        seconds = float(found.group(1)) * _UNITS_S[found.group(2)]
    if not 0 <= seconds <= most_s:
        section.problem(name, f'"{name}" must be from 0 to {most_s:.0f} seconds')
        return None
    return seconds


def _mode(section: Section, name: str) -> int | None:
    text = section.text(name)
    if text is None:
        return None
    if re.fullmatch(r"0?[0-7]{3}", text, re.ASCII) is None:
        section.problem(name, f'"{text[:20]}" is no mode', 'write octal digits, like "0644"')
        return None
    return int(text, 8)


def _id(section: Section, name: str) -> int | None:
    raw = section.raw(name)
    return None if raw is None or raw.value is None else section.integer(name, 0, ID_MAX)


def _scratch(section: Section, name: str) -> tuple[str, ...] | None:
    patterns = section.texts(name)
    if patterns is None:
        return None
    if len(patterns) > SCRATCH_MAX:
        section.problem(name, f"more than {SCRATCH_MAX} scratch patterns")
        return None
    for pattern in patterns:
        if pattern in ("", "*") or "/" in pattern or len(pattern) > 255:
            section.problem(
                name,
                f"{pattern[:100]!r} cannot be a scratch pattern",
                'write patterns of file names, like "*.tmp"; "*" would make every file scratch',
            )
            return None
    return patterns


def _durability(section: Section, name: str) -> Durability | None:
    word = section.word(name, list(Durability))
    return None if word is None else Durability(word)


_READERS: dict[str, Callable[[Section, str], Any]] = {
    "origin": Section.text,
    "flow": lambda section, name: Flow(section.word(name, list(Flow)) or Flow.IN),
    "immutable": lambda section, name: Immutable(
        section.word(name, list(Immutable)) or Immutable.NEVER
    ),
    "durability": _durability,
    "rewrite": lambda section, name: Rewrite(section.word(name, list(Rewrite)) or Rewrite.REFUSE),
    "ttl": lambda section, name: _duration(section, name, TTL_S_MAX),
    "negative_ttl": lambda section, name: _duration(section, name, TTL_S_MAX),
    "mode": _mode,
    "directory_mode": _mode,
    "uid": _id,
    "gid": _id,
    "owner": lambda section, name: section.word(name, ("service", "caller")),
    "scratch": _scratch,
    "grace": lambda section, name: _duration(section, name, GRACE_S_MAX),
    "priority": lambda section, name: section.integer(name, -PRIORITY_MAX, PRIORITY_MAX),
}

KEYS = tuple(_READERS)
"""All policy keys of the document, in the order in which people are shown them."""

_NULLABLE = ("uid", "gid")


def read_policy(section: Section) -> dict[str, Any]:
    """Return the policy keys that *section* sets, as values; mistakes are noted and left out."""
    values: dict[str, Any] = {}
    for name in section:
        if name in _READERS:
            value = _READERS[name](section, name)
            if value is not None or name in _NULLABLE:
                values[name] = value
    return values


def make_policy(values: Mapping[str, Any], origin: str) -> Policy:
    """Return the policy of *values* over the built-in defaults."""
    of = {**BUILT_IN, **values}
    return Policy(
        origin=origin,
        tiers=(origin,),
        flow=of["flow"],
        immutable=of["immutable"],
        durability=of["durability"],
        rewrite=of["rewrite"],
        ttl_s=of["ttl"],
        negative_ttl_s=of["negative_ttl"],
        mode=of["mode"],
        directory_mode=of["directory_mode"],
        uid=of["uid"],
        gid=of["gid"],
        owner_caller=of["owner"] == "caller",
        scratch=of["scratch"],
        grace_s=of["grace"],
        priority=of["priority"],
    )


def read_root(section: Section, name: str) -> str | None:
    """Return the URL of the root *name*, without a trailing slash."""
    url = section.text(name)
    if url is None:
        return None
    reason = url_problem(url)
    if reason is None:
        return url.rstrip("/")
    section.problem(name, f'"{url[:200]}" is no origin URL: {reason}', 'write "gs://bucket/prefix"')
    return None


def url_problem(url: str) -> str | None:
    """Return why *url* cannot be an origin, or None."""
    if _URL.fullmatch(url) is None:
        return "it must be scheme://bucket/prefix, without spaces, ? and #"
    scheme, _, rest = url.partition("://")
    if scheme == "file" and not rest.startswith("/"):
        return "a file URL has three slashes: file:///directory"
    elements = rest.strip("/").split("/")
    if elements == [""]:
        return "the bucket or directory is missing"
    if "" in elements or "." in elements or ".." in elements:
        return 'it holds an empty, "." or ".." part'
    return None


def find_origin(
    name: str | None, roots: Mapping[str, str], section: Section, template: str
) -> str | None:
    """Return the root URL that *name*, a root's name or a URL, stands for.

    None stands for the only root; where there is none or more than one, that is a mistake.
    """
    if name is None:
        if len(roots) == 1:
            return next(iter(roots.values()))
        section.missing(
            f'template "{template}" has no origin',
            'add "origin" here or under "defaults": the name of a root, or a URL',
        )
        return None
    if name in roots:
        return roots[name]
    if "://" in name:
        reason = url_problem(name)
        if reason is None:
            return name.rstrip("/")
        section.problem("origin", f'"{name[:200]}" is no origin URL: {reason}')
        return None
    fix = suggest(name, roots) if roots else 'name it under "roots", with the URL of a bucket'
    section.problem("origin", f'"{name[:200]}" is no root', fix)
    return None
