"""How diskcache stores rows here: text and integers as keys, JSON as values, nothing pickled.

diskcache pickles by default, and then whoever can write the directory runs code here
(CVE-2025-69872).
"""

from __future__ import annotations

import json
from typing import Any

import diskcache


class RowDamaged(Exception):
    """A row is not what `PlainDisk` writes."""


class PlainDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache ships no types
    """Integers and text as keys, JSON as values, everything in the database, nothing pickled."""

    def put(self, key: object) -> tuple[int | str, bool]:
        """Return *key* as it is stored."""
        if type(key) is int or type(key) is str:
            return key, True
        raise TypeError(f"a key is an int or a str, not {type(key).__name__}")

    def get(self, key: object, raw: object) -> int | str:
        """Return the key that was stored as *key*."""
        if raw and (type(key) is int or type(key) is str):
            return key
        raise RowDamaged(f"key {key!r}")

    def store(  # the base class fixes the parameters
        self,
        value: object,
        read: object,
        key: object = None,  # noqa: ARG002  # files would be named after it, and there are none
    ) -> tuple[int, int, None, str]:
        """Return the columns of *value*: always JSON, never a file of its own."""
        if read:
            raise TypeError("the database keeps no files")
        return 0, 1, None, json.dumps(value, separators=(",", ":"))

    def fetch(
        self,
        mode: object,
        filename: object,
        value: object,
        read: object,  # noqa: ARG002  # asks for an open file, and there are none
    ) -> Any:
        """Return the value of the columns that `store` made."""
        return decoded(mode, filename, value)


def decoded(mode: object, filename: object, value: object) -> Any:
    """Return the value of the columns that `PlainDisk.store` made.

    Raises:
        RowDamaged, ValueError: it made none of them.
    """
    if mode != 1 or filename is not None or type(value) is not str:
        raise RowDamaged(f"value of mode {mode!r}")
    return json.loads(value)
