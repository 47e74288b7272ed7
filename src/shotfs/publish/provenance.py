"""Provenance: who wrote an output, and what an object says of where it comes from.

Pure. Metadata is for people and tools: nothing here ever believes what an object says of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from shotfs.publish.entry import PublishTerms

PREFIX = "shotfs-"

METADATA_BYTES_MAX = 1536
"""Of all that stands here together, names and values. S3 takes 2 KiB; tiers add what they record
(digest, mtime) to it."""

VALUE_CHARACTERS_MAX = 256


@dataclass(frozen=True, slots=True)
class Writer:
    """Who created a file or opened it for writing last.

    Attributes:
        job: the render job; "" if it is in none; None if that could not be told.
        uid: the user; None where nobody is known.
    """

    job: str | None
    uid: int | None


UNKNOWN = Writer(None, None)


def written_by(terms: PublishTerms, writer: Writer) -> PublishTerms:
    """Return *terms* of a file that *writer* created, or has just opened for writing."""
    said = {f"{PREFIX}job": writer.job or "", f"{PREFIX}uid": _text(writer.uid)}
    return replace(
        terms,
        job=writer.job,
        uid=writer.uid,
        released=False,
        metadata=_with(terms.metadata, said),
    )


def moved(before: PublishTerms, terms: PublishTerms) -> PublishTerms:
    """Return *terms* of a file's new name, which was under *before*: its writer is the same."""
    said = {f"{PREFIX}job": before.job or "", f"{PREFIX}uid": _text(before.uid)}
    return replace(
        terms,
        job=before.job,
        uid=before.uid,
        released=before.released,
        renamed=True,
        metadata=_with(terms.metadata, said),
    )


def metadata(said: Mapping[str, str], fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return what an object says: *said*, and the fields of its path, in ASCII.

    Args:
        said: by name, without prefix; what is empty is left out.
        fields: name and text. A name of an HTTP header has no capitals, and some proxies drop
            those with underscores: ``shot_name`` is told as ``field-shot-name``.

    Returns:
        At most `METADATA_BYTES_MAX`; what does not fit is left out, fields first.
    """
    every = {f"{PREFIX}{name}": _plain(text) for name, text in said.items()}
    for name, text in fields:
        every[f"{PREFIX}field-{name.lower().replace('_', '-')}"] = _plain(text)
    return _fitting(every)


def _with(known: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Return *known* with *said* before it: who wrote something is never left out."""
    both = {name: _plain(text) for name, text in said.items()}
    both |= {name: text for name, text in known.items() if name not in said}
    return _fitting(both)


def _fitting(every: Mapping[str, str]) -> dict[str, str]:
    """Return the first of *every*, whose values are plain, that fit together; no empty ones."""
    fitting: dict[str, str] = {}
    left = METADATA_BYTES_MAX
    for name, text in every.items():
        if text:
            left -= len(name) + len(text)
            if left < 0:
                break
            fitting[name] = text
    return fitting


def _plain(text: str) -> str:
    """Return *text* as the value of an HTTP header: printable ASCII, single spaces."""
    if len(text) <= VALUE_CHARACTERS_MAX and text.isascii() and text.isprintable():
        # Nearly every one, and there are ten in each create.
        return text if "  " not in text and text == text.strip() else " ".join(text.split())
    ascii_text = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
    return "".join(sign for sign in ascii_text if sign.isprintable())[:VALUE_CHARACTERS_MAX]


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
