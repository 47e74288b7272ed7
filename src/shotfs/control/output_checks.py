"""Outputs that somebody has to do something about, as `status` and `doctor` say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shotfs.control.checks import Finding, Verdict


class _Trouble(NamedTuple):
    one: str
    several: str
    command: str
    verdict: Verdict


_TROUBLES: Mapping[str, _Trouble] = {
    "conflicts": _Trouble(
        "1 output lost a race and is kept in quarantine: the origin has other bytes there",
        "{} outputs lost a race and are kept in quarantine: the origin has other bytes there",
        "shotfs publish conflicts",
        Verdict.NOTE,  # the node is fine, and what it renders arrives
    ),
    "failed": _Trouble(
        "1 output is refused by its origin, or damaged",
        "{} outputs are refused by their origin, or damaged",
        "shotfs publish queue --state failed",
        Verdict.WRONG,
    ),
    "partial": _Trouble(
        "1 partial file is kept: its writer died before it closed it",
        "{} partial files are kept: their writers died before they closed them",
        "shotfs publish conflicts",
        Verdict.NOTE,
    ),
}


def troubles_of(status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each kind of trouble with outputs that *status* tells of."""
    spool = status.get("spool") or {}
    for name, trouble in _TROUBLES.items():
        count = spool.get(name) or 0
        if count:
            text = trouble.one if count == 1 else trouble.several.format(count)
            yield Finding("outputs", trouble.verdict, text, trouble.command)
