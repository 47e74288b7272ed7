"""One JSON object whose long list is read item by item: how other systems write manifests.

Blocking. Memory is bounded by one item and one block.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from shotfs.errors import ManifestInvalid
from shotfs.prewarm.manifest.reading import no_number, read_some

BLOCK_BYTES = 256 * 1024
ITEM_CHARACTERS_MAX = 1024 * 1024
"""Of one item, or of all that is beside the list."""

_SPACE = re.compile(r"[ \t\r\n]*")


class ItemStream:
    """Iterates over the items of the list *key* of one JSON object.

    Args:
        stream: bytes; not closed.
        name: what messages call it.
        key: of the list.

    Attributes:
        others: what else the object has; whole once the iteration is at its end.

    Raises:
        ManifestInvalid: it is no such object, or an item is too large.
        OSError: reading failed.
    """

    def __init__(self, stream: BinaryIO, name: str, key: str) -> None:
        self.others: dict[str, Any] = {}
        self._item_at = 0
        self._stream = stream
        self._name = name
        self._key = key
        self._text = ""
        self._at = 0
        self._lines_before = 1
        self._incremental = codecs.getincrementaldecoder("utf-8")()
        self._ended = False
        self._decoder = json.JSONDecoder(parse_constant=no_number)

    def __iter__(self) -> Iterator[Any]:
        self._expect("{")
        found = False
        while self._next_sign() != "}":
            if found or self.others:
                self._expect(",")
            key = self._value()
            if not isinstance(key, str):
                raise self._damaged("a name was expected")
            self._expect(":")
            if key == self._key and not found:
                found = True
                yield from self._items()
            elif key in self.others or key == self._key:
                raise self._damaged(f"{key[:80]!r} is there twice")
            else:
                self.others[key] = self._value()
                if len(self.others) > 100:
                    raise self._damaged("an object with more than 100 names")
        self._expect("}")
        if self._next_sign() != "":
            raise self._damaged("text after the end of the document")
        if not found:
            raise self._damaged(f"it has no list {self._key!r}")

    def _items(self) -> Iterator[Any]:
        self._expect("[")
        first = True
        while self._next_sign() != "]":
            if not first:
                self._expect(",")
                self._next_sign()
            first = False
            self._item_at = self._at
            yield self._value()
        self._expect("]")

    # --- the text ---------------------------------------------------------------------------------

    def _next_sign(self) -> str:
        """Skip white space; return the sign that follows, "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = self._at if found is None else found.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _expect(self, sign: str) -> None:
        if self._next_sign() != sign:
            raise self._damaged(f"{sign!r} was expected")
        self._at += 1

    def _value(self) -> Any:
        self._next_sign()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as exc:
                if len(self._text) - self._at > ITEM_CHARACTERS_MAX or not self._more():
                    reason = exc.msg if isinstance(exc, json.JSONDecodeError) else str(exc)
                    raise self._damaged(reason[:1].lower() + reason[1:]) from exc
                continue
            # A number that ends where the block does may go on.
            if end < len(self._text) or not self._more():
                self._at = end
                return value

    def _more(self) -> bool:
        """Read another block; False at the end."""
        if self._ended:
            return False
        data = read_some(self._stream, self._name, BLOCK_BYTES)
        self._ended = not data
        try:
            text = self._incremental.decode(data, final=self._ended)
        except UnicodeDecodeError as exc:
            raise self._damaged(f"not UTF-8: {exc.reason}") from exc
        self._lines_before += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + text
        self._at = self._item_at = 0
        return True

    # --- what is wrong ----------------------------------------------------------------------------

    def invalid(self, reason: str, fix: str = "write or copy it again") -> ManifestInvalid:
        """Return the error that *reason* is, of the item that was read last."""
        line = self._lines_before + self._text.count("\n", 0, self._item_at)
        return ManifestInvalid(f"{self._name}:{line}: {reason}", fix=fix)

    def _damaged(self, reason: str) -> ManifestInvalid:
        self._item_at = self._at
        return self.invalid(reason)
