"""`version`: how versions are named, which comes after which, and the next one.

Numbers (``v%03d``) are counted up, which takes agreement between whoever counts. ULIDs are made
anywhere without asking: 48 bits of time and 80 random bits (github.com/ulid/spec), so two sites
never collide; with the site's name before them everybody sees where a version was made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from shotfs.errors import InvalidArgument
from shotfs.pathspec import regex
from shotfs.pathspec.fields.base import (
    Field,
    FieldValue,
    Heading,
    Matcher,
    NoText,
    VersionAlias,
    name_problem,
)
from shotfs.pathspec.fields.numbers import PAD_MAX, Numbers, number_shape
from shotfs.pathspec.regex import Chars, Regex, Repeat, Sequence
from shotfs.pathspec.section import Section

ULID, SITE_ULID = "ulid", "site-ulid"
DEFAULT_SCHEME = "v%03d"
ALIASES_MAX = 64
FOLLOWS_PUBLISH = "latest"
"""The alias that moves when a version is published, where the document does not say."""
ON_PUBLISH, BY_HAND = "on-publish", "by-hand"
RANDOMNESS_BYTES = 10

ALIAS_PATTERN = "[A-Za-z][A-Za-z0-9_-]{0,63}"
SCHEME_PATTERN = f"({ULID}|{SITE_ULID}|[^/]*%0[0-9]+d)"
_ALIAS_NAME = re.compile(ALIAS_PATTERN, re.ASCII)
_SCHEME = re.compile(r"(?P<before>[^%]*)%0(?P<pad>[0-9]{1,4})d", re.ASCII)
_SITE = re.compile(r"[a-z0-9]{1,16}", re.ASCII)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID_LENGTH = 26
_TIME_MS_MAX = 2**48 - 1
_RANDOM_BITS = 80
_ULID_SHAPE = Sequence((regex.chars("01234567"), Repeat(regex.chars(_CROCKFORD), 25, 25)))
"""26 characters of 5 bits hold two bits more than a ULID has: the first is 7 at most."""


@dataclass(frozen=True, slots=True)
class Ulids:
    """Versions that are ULIDs, perhaps with the name of a site before them. The value is text."""

    sites: bool

    def parse(self, text: str) -> str:
        """Return *text*."""
        return text

    def format(self, value: FieldValue) -> str:
        """Return *value*, which must be text."""
        if not isinstance(value, str):
            raise NoText("versions of this scheme are no numbers")
        return value


def version_field(heading: Heading, section: Section) -> Field | None:
    """Return the field of a `version`, or None when it has mistakes."""
    scheme = section.text("scheme") if "scheme" in section else DEFAULT_SCHEME
    if scheme is None:
        return None
    codec: Numbers | Ulids | None
    if scheme == ULID:
        shape: Regex = _ULID_SHAPE
        codec, wants = Ulids(sites=False), "a ULID (26 digits and capitals)"
    elif scheme == SITE_ULID:
        site = Repeat(Chars(((48, 57), (97, 122))), 1, 16)
        shape = Sequence((site, regex.chars("-"), _ULID_SHAPE))
        codec, wants = Ulids(sites=True), "a site's name, - and a ULID"
    else:
        codec = _numbered(section, scheme)
        if codec is None:
            return None
        digits = number_shape(codec.pad, strict=True, negative=False, least=None, most=None)
        assert digits is not None, "there is no range"
        shape = Sequence((regex.literal(codec.before), digits))
        wants = f"a version like {codec.format(1)}"
    aliases = _aliases(section, shape)
    if aliases is None:
        return None
    return heading.field(wants, shape, codec, aliases=aliases)


def _numbered(section: Section, scheme: str) -> Numbers | None:
    found = _SCHEME.fullmatch(scheme)
    if found is None or (found["before"] and name_problem(found["before"]) is not None):
        section.problem(
            "scheme",
            f"{scheme[:100]!r} is no version scheme",
            f'write "{DEFAULT_SCHEME}", "{ULID}" or "{SITE_ULID}"',
        )
        return None
    pad = int(found["pad"])
    if not 1 <= pad <= PAD_MAX:
        section.problem("scheme", f"the scheme pads to {pad} digits", f"pad to 1..{PAD_MAX}")
        return None
    return Numbers(pad, found["before"])


def _aliases(section: Section, shape: Regex) -> tuple[VersionAlias, ...] | None:
    raw = section.raw("aliases")
    if raw is None:
        return ()
    if isinstance(raw.value, dict):
        members = section.section("aliases")
        assert members is not None, "it is an object"
        members.unique()
        names = tuple(members)
        found = [_described_alias(members, name) for name in islice(names, ALIASES_MAX)]
    else:
        listed = section.texts("aliases")
        if listed is None:
            return None
        names = listed
        found = [VersionAlias(name, "", name == FOLLOWS_PUBLISH) for name in names]
    if len(names) > ALIASES_MAX:
        section.problem("aliases", f"more than {ALIASES_MAX} aliases", "remove some")
        return None
    is_version = Matcher(shape)
    for name in names:
        if _ALIAS_NAME.fullmatch(name) is None:
            section.problem(
                "aliases",
                f"{name[:100]!r} cannot name an alias",
                "use up to 64 letters, digits, _ and -, beginning with a letter",
            )
            return None
        if is_version(name):
            section.problem(
                "aliases", f'"{name}" is a version of the scheme itself', "choose another name"
            )
            return None
    return tuple(one for one in found if one is not None)


def _described_alias(members: Section, name: str) -> VersionAlias | None:
    one = members.section(name)
    if one is None:
        return None
    one.only(("usage", "moves"))
    moves = one.word("moves", (ON_PUBLISH, BY_HAND))
    follows = name == FOLLOWS_PUBLISH if moves is None else moves == ON_PUBLISH
    return VersionAlias(name, one.text("usage") or "", follows)


def version_key(field: Field, text: str) -> tuple[int, str]:
    """Return what sorts versions of *field*, oldest first: their numbers, or their times.

    Raises:
        InvalidArgument: *text* is no version of the field.
    """
    value = field.parse(text)
    if isinstance(value, int):
        return value, text
    assert isinstance(value, str), "versions are numbers or text"
    return _ulid_number(value), text


def next_version(
    field: Field, existing: Iterable[str], *, site: str | None, now_ms: int, randomness: bytes
) -> str:
    """Return the version that comes after all of *existing*.

    Numbers: the highest and one, or 1. ULIDs: of *now_ms* and *randomness*; where an existing one
    is as late or later (of this millisecond, or by a clock that ran ahead), the latest and one, so
    that the new one still sorts after it.

    Args:
        field: of type version.
        existing: names; those that are no versions of the field (aliases, scratch) do not count.
        site: the node's site, for the scheme ``site-ulid``.
        now_ms: milliseconds since 1970-01-01 UTC.
        randomness: 10 bytes from `secrets`.

    Raises:
        InvalidArgument: the field is no version, or there is no *site* to name.
    """
    codec = field.codec
    if field.kind != "version" or not isinstance(codec, (Numbers, Ulids)):
        raise InvalidArgument(f'field "{field.name}" is no version but of type {field.kind}')
    before = _before(field, site) if isinstance(codec, Ulids) and codec.sites else ""
    taken = (name for name in existing if field.problem(name) is None)
    if isinstance(codec, Numbers):
        return field.format(max(map(codec.parse, taken), default=0) + 1)
    return field.format(before + _next_ulid(map(_ulid_number, taken), now_ms, randomness))


def _before(field: Field, site: str | None) -> str:
    if site is None:
        raise InvalidArgument(
            f'versions of field "{field.name}" begin with the name of the site, and there is none',
            fix="set node.site in the configuration",
        )
    if _SITE.fullmatch(site) is None:
        raise InvalidArgument(
            f'the site {site[:100]!r} cannot begin versions of field "{field.name}"',
            fix="name it with 1 to 16 lower-case letters and digits (node.site)",
        )
    return f"{site}-"


def _ulid_number(text: str) -> int:
    import ulid  # it reads the metadata of its distribution: only when needed

    return int.from_bytes(ulid.ULID.from_str(text[-_ULID_LENGTH:]).bytes, "big")


def _next_ulid(taken: Iterable[int], now_ms: int, randomness: bytes) -> str:
    import ulid

    if not 0 <= now_ms <= _TIME_MS_MAX:
        raise InvalidArgument(f"{now_ms} ms is no time that a ULID can hold")
    if len(randomness) != RANDOMNESS_BYTES:
        raise InvalidArgument(f"a ULID takes {RANDOMNESS_BYTES} random bytes")
    fresh = (now_ms << _RANDOM_BITS) | int.from_bytes(randomness, "big")
    latest = max(taken, default=-1)
    # Beyond the last random bit the time goes on by itself: one bit more is the next millisecond.
    number = fresh if fresh > latest else latest + 1
    if number >= 1 << 128:
        raise InvalidArgument("there is no ULID after the last one")
    return str(ulid.ULID.from_bytes(number.to_bytes(16, "big")))
