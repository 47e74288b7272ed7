"""Policy keys: read from `defaults` and from templates, and filled up with sensible defaults."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from shotfs.pathspec.model import (
    Durability,
    Fill,
    Flow,
    Immutable,
    Lookahead,
    Policy,
    Retention,
    Retract,
    Rewrite,
    SealOn,
)
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
    "negative_ttl": 5.0,
    "stale_if_error": 0.0,  # S3 holds unless somebody says that an old file is better than none
    "fill": Fill.AUTO,
    "mode": 0o644,
    "directory_mode": 0o755,
    "uid": None,
    "gid": None,
    "owner": "service",
    "scratch": SCRATCH_DEFAULT,
    "grace": 0.0,
    "seal": SealOn.CLOSE,
    "retract": Retract.NEVER,  # published is published; and nobody has to ask whether it still is
    "priority": 0,
    "prewarm": Lookahead(),
    "retention": Retention(),
}
"""What is in force where the document says nothing. `origin` and `tiers` have no such default."""

NEGATIVE_TTL_OUTPUT_S = 1.0
"""How long an output is remembered as missing: the next job on another node waits for it. Jobs ask
for what others are about to write, and seldom: a second costs them one question a second at most,
while all that ask within it share one answer. What nobody writes (flow in) has five seconds."""

TTL_S_MAX = 10 * 366 * 86400.0
GRACE_S_MAX = 86400.0
PRIORITY_MAX = 1000
ID_MAX = 2**32 - 2
TIERS_MAX = 8
PREWARM_MAX = 1000
RETENTION_DAYS_MAX = 36_600
RETENTION_VERSIONS_MAX = 1_000_000

_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)", re.ASCII)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


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


def _tiers(section: Section, name: str) -> tuple[str, ...] | None:
    tiers = section.texts(name)
    if tiers is not None and len(tiers) > TIERS_MAX:
        section.problem(name, f"more than {TIERS_MAX} tiers", "leave the slower ones out")
        return None
    return tiers


def _prewarm(section: Section, name: str) -> Lookahead | None:
    one = section.section(name)
    if one is None:
        return None
    one.only(("frames", "udims"))
    frames = one.integer("frames", 0, PREWARM_MAX)
    udims = one.integer("udims", 0, PREWARM_MAX)
    return Lookahead(frames, udims)


def _retention(section: Section, name: str) -> Retention | None:
    one = section.section(name)
    if one is None:
        return None
    one.only(("days", "versions"))
    versions = one.integer("versions", 1, RETENTION_VERSIONS_MAX)
    return Retention(_days(one) if "days" in one else None, versions)


def _days(section: Section) -> float | None:
    raw = section.raw("days")
    assert raw is not None, "it is there"
    if not isinstance(raw.value, int | float) or isinstance(raw.value, bool):
        section.problem("days", f'"days" must be a number, not {raw.kind}')
        return None
    if not 0 < raw.value <= RETENTION_DAYS_MAX:
        section.problem("days", f'"days" must be over 0 and at most {RETENTION_DAYS_MAX}')
        return None
    return float(raw.value)


_READERS: dict[str, Callable[[Section, str], Any]] = {
    "origin": Section.text,
    "tiers": _tiers,
    "flow": lambda section, name: Flow(section.word(name, list(Flow)) or Flow.IN),
    "immutable": lambda section, name: Immutable(
        section.word(name, list(Immutable)) or Immutable.NEVER
    ),
    "durability": _durability,
    "rewrite": lambda section, name: Rewrite(section.word(name, list(Rewrite)) or Rewrite.REFUSE),
    "ttl": lambda section, name: _duration(section, name, TTL_S_MAX),
    "negative_ttl": lambda section, name: _duration(section, name, TTL_S_MAX),
    "stale_if_error": lambda section, name: _duration(section, name, TTL_S_MAX),
    "fill": lambda section, name: Fill(section.word(name, list(Fill)) or Fill.AUTO),
    "mode": _mode,
    "directory_mode": _mode,
    "uid": _id,
    "gid": _id,
    "owner": lambda section, name: section.word(name, ("service", "caller")),
    "scratch": _scratch,
    "grace": lambda section, name: _duration(section, name, GRACE_S_MAX),
    "seal": lambda section, name: SealOn(section.word(name, list(SealOn)) or SealOn.CLOSE),
    "retract": lambda section, name: Retract(section.word(name, list(Retract)) or Retract.NEVER),
    "priority": lambda section, name: section.integer(name, -PRIORITY_MAX, PRIORITY_MAX),
    "prewarm": _prewarm,
    "retention": _retention,
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


def built_in(flow: Flow) -> Mapping[str, Any]:
    """Return what is in force for templates of this *flow* where the document says nothing."""
    return {**BUILT_IN, "negative_ttl": NEGATIVE_TTL_OUTPUT_S} if flow.writable else BUILT_IN


def make_policy(values: Mapping[str, Any], tiers: tuple[str, ...]) -> Policy:
    """Return the policy of *values* over the built-in defaults; the origin is the last tier."""
    of = {**built_in(values.get("flow", BUILT_IN["flow"])), **values}
    return Policy(
        origin=tiers[-1],
        tiers=tiers,
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
        prewarm=of["prewarm"],
        retention=of["retention"],
        stale_if_error_s=of["stale_if_error"],
        fill=of["fill"],
        seal=of["seal"],
        retract=of["retract"],
    )
