"""Strings in USD that name files, though their type does not say so. Pure."""

from __future__ import annotations

import re

from shotfs.pathspec.sequences import find_tokens

_NAMED_SO = re.compile(
    r"(?:^|[:_])(?:file|filename|filepath|map|texture|path|image|procedural)s?$"
    r"|(?:file|filename|texture|path)$",
    re.IGNORECASE,
)
_HAS_SUFFIX = re.compile(r"[^/\\]\.[A-Za-z][A-Za-z0-9]{0,7}$")


def names_a_file(attribute: str, text: str) -> bool:
    """Whether the string *text* of *attribute* (``inputs:filename``) has the form of a path."""
    if len(text) > 4096 or not _HAS_SUFFIX.search(text):
        return False
    if "\n" in text or "://" in text:
        return False
    by_name = bool(_NAMED_SO.search(attribute.rpartition(":")[2]))
    return by_name and ("/" in text or "\\" in text or bool(find_tokens(text)) or " " not in text)
