"""Names: from a subject, which an environment made up, to keys and file names, and back. Pure.

A text becomes one path element that is never empty, hidden, "." or "..", and that every file system
and object store takes: what is no ASCII letter, digit or one of ``-._`` is written as in a URL, and
so is a point or a low line at its start. "" is ``_``. Long ones are cut, with a hash for the rest.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

import xxhash

from shotfs.pathspec import RESERVED
from shotfs.prewarm.manifest.subject import Subject

DIRECTORY = f"{RESERVED}/recorded"
"""Below the root of an origin, and below this node's directory of a show."""

NOTHING = "_"

SUFFIX = ".jsonl"

ELEMENT_BYTES_MAX = 160
"""Of one element, so that a file of that name and a temporary one beside it are possible."""

_ELEMENT = re.compile(r"[A-Za-z0-9%_-][A-Za-z0-9%._~-]*")

_PLAIN = re.compile(r"[A-Za-z0-9-][A-Za-z0-9._-]*")


def element_of(text: str) -> str:
    """Return the path element that stands for *text*."""
    if not text:
        return NOTHING
    written = text
    if _PLAIN.fullmatch(text) is None:
        written = quote(text, safe="", errors="surrogateescape").replace("~", "%7E")
        if written[0] in "._":
            written = f"%{ord(written[0]):02X}{written[1:]}"
    if len(written) > ELEMENT_BYTES_MAX:
        digest = xxhash.xxh3_64_hexdigest(text.encode(errors="surrogateescape"))
        # A tilde is in no other element, so a cut one is never the name of another text.
        written = f"{written[: ELEMENT_BYTES_MAX - 17]}~{digest}"
    return written


def text_of_element(element: str) -> str:
    """Return what `element_of` was given; of a long text its beginning."""
    if element == NOTHING:
        return ""
    return unquote(element.partition("~")[0], errors="surrogateescape")


def group_of(subject: Subject) -> str:
    """Return the directory of what is recorded of *subject*, whichever frame, below `DIRECTORY`."""
    names = (subject.shot, subject.task, subject.view)
    return "/".join(element_of(name) for name in names)


def name_of(frame: str) -> str:
    """Return the name of the object of *frame* in it."""
    return f"{element_of(frame)}{SUFFIX}"


def frame_of_name(name: str) -> str | None:
    """Return the frame of an object's name, "" for all of them; None if it is no such name."""
    if not name.endswith(SUFFIX):
        return None
    frame = text_of_element(name.removesuffix(SUFFIX))
    # As `name_of` writes it: who finds 01001 would look for 1001, and find nothing.
    return frame if re.fullmatch(r"0|-?[1-9][0-9]{0,9}|", frame) else None


def is_element(text: str) -> bool:
    """Whether *text*, from a listing of an origin, may be an element that `element_of` made."""
    return _ELEMENT.fullmatch(text) is not None and len(text) <= ELEMENT_BYTES_MAX


def key_of(subject: Subject) -> str:
    """Return the key of the object of *subject* below the root of its show's origin."""
    return f"{DIRECTORY}/{group_of(subject)}/{name_of(subject.frame)}"
