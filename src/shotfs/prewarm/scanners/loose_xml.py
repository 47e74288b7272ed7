"""Loose XML: documents with a bare ``<`` in the values of attributes, as a parser takes them.

MaterialX 1.39 writes ``value="wood.<UDIM>.exr"``, which XML forbids and its own reader takes.
"""

from __future__ import annotations

import re
from enum import Enum, auto

_IN_TAG = re.compile(rb"[\"'>]")


class _State(Enum):
    TEXT = auto()
    TAG = auto()
    VALUE = auto()
    SKIPPED = auto()
    """A comment, or an instruction."""


class Escaper:
    """Passes a document on, piece by piece, with ``&lt;`` for what stands bare in values."""

    def __init__(self) -> None:
        self._state = _State.TEXT
        self._end = b""
        self._kept = b""

    def feed(self, piece: bytes) -> bytes:
        """Return what of the document so far was not returned yet, and is known to be right."""
        data, self._kept = self._kept + piece, b""
        done: list[bytes] = []
        at = 0
        while at < len(data):
            stop = self._step(data, at, done)
            if stop is None:
                break
            at = stop
        else:
            return b"".join(done)
        self._kept = data[at:]
        return b"".join(done)

    def finish(self) -> bytes:
        """Return the rest."""
        return self._kept

    def _step(self, data: bytes, at: int, done: list[bytes]) -> int | None:
        """Pass on the next part of *data*; return where it ends, None where that is not seen."""
        match self._state:
            case _State.TEXT:
                stop = data.find(b"<", at)
                if stop < 0:
                    stop = len(data)
                elif len(data) - stop < len(b"<!--"):
                    if stop == at:
                        return None
                elif stop == at:
                    return self._opened(data, at, done)
                done.append(data[at:stop])
                return stop
            case _State.TAG:
                found = _IN_TAG.search(data, at)
                stop = len(data) if found is None else found.end()
                done.append(data[at:stop])
                if found is not None:
                    self._state = _State.TEXT if found.group() == b">" else _State.VALUE
                    self._end = found.group()
                return stop
            case _State.VALUE:
                stop = data.find(self._end, at)
                inside = data[at:] if stop < 0 else data[at : stop + 1]
                done.append(inside.replace(b"<", b"&lt;"))
                if stop >= 0:
                    self._state = _State.TAG
                return at + len(inside)
            case _State.SKIPPED:
                stop = data.find(self._end, at)
                if stop < 0:
                    # Its end may be cut in two.
                    stop = max(at, len(data) - len(self._end) + 1)
                    done.append(data[at:stop])
                    return None if stop == at else stop
                self._state = _State.TEXT
                done.append(data[at : stop + len(self._end)])
                return stop + len(self._end)

    def _opened(self, data: bytes, at: int, done: list[bytes]) -> int:
        for begin, end in ((b"<!--", b"-->"), (b"<?", b"?>")):
            if data.startswith(begin, at):
                self._state, self._end = _State.SKIPPED, end
                done.append(begin)
                return at + len(begin)
        self._state = _State.TAG
        done.append(b"<")
        return at + 1
