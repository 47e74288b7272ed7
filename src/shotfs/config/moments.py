"""Moments as people write them: ``2026-11-21T06:00:00Z``, ``2026-11-21 07:00+01:00``, ``-2h``."""

from __future__ import annotations

from datetime import UTC, datetime

from shotfs.config.mistake import Mistake
from shotfs.config.units import parse_duration

EXAMPLES = "2026-11-21T06:00:00Z, 2026-11-21T07:00:00+01:00, or -2h (two hours ago)"


def parse_moment(text: str, now_ns: int) -> int:
    """Return the moment that *text* means, in nanoseconds since the epoch.

    Args:
        text: ISO 8601 with a zone, or a duration with a minus before it.
        now_ns: the time of day, nanoseconds since the epoch.

    Raises:
        Mistake: it is not understood, has no zone, or is not in the past.
    """
    stripped = text.strip()
    at_ns = _ago(stripped, now_ns) if stripped.startswith("-") else _iso(stripped)
    if at_ns >= now_ns:
        raise Mistake(f"{text} is not in the past", f"write an earlier time: {EXAMPLES}")
    if at_ns < 0:
        raise Mistake(f"{text} is before 1970", f"write a later time: {EXAMPLES}")
    return at_ns


def format_moment(at_ns: int) -> str:
    """Return a moment in UTC, in whole microseconds, so that parsing gives it back."""
    moment = datetime.fromtimestamp(at_ns // 10**9, UTC).replace(microsecond=at_ns // 1000 % 10**6)
    return moment.isoformat().replace("+00:00", "Z")


def _ago(text: str, now_ns: int) -> int:
    try:
        return now_ns - int(parse_duration(text[1:].strip()) * 10**9)
    except Mistake as exc:
        raise Mistake(f"{text!r} is not a time: {exc.message}", f"write {EXAMPLES}") from None


def _iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Mistake(f"{text[:60]!r} is not a time", f"write {EXAMPLES}") from None
    if moment.tzinfo is None:
        raise Mistake(
            f"{text} does not say in which time zone", f"add Z for UTC, or an offset: {EXAMPLES}"
        )
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000
