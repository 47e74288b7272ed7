"""A file descriptor that several tasks use and the last of them closes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from shotfs.tiers.base import Span


class Descriptor:
    """An open file. Whoever uses it across an await holds it with `using`.

    A number that is closed under a thread that still reads from it may be another file by then.
    """

    __slots__ = ("_users", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._users = 1

    @contextmanager
    def using(self) -> Iterator[int]:
        """Keep the file open for the block; gives its number."""
        self._users += 1
        try:
            yield self.number
        finally:
            self.release()

    def release(self) -> None:
        """One user less; the last one closes the file."""
        self._users -= 1
        if self._users == 0:
            os.close(self.number)

    def read_now(self, span: Span) -> bytearray | None:
        """Return *span* if all of it is in the kernel's page cache, without blocking; else None."""
        buffer = bytearray(span.length_bytes)
        try:
            count = os.preadv(self.number, [buffer], span.start, os.RWF_NOWAIT)
        except OSError:
            return None  # not now; or the disk failed, which `read` will meet, too
        return buffer if count == span.length_bytes else None

    def failure(self) -> OSError | None:
        """Return the error with which the disk refuses to be read at all; None: it does not."""
        try:
            os.preadv(self.number, [bytearray(1)], 0, os.RWF_NOWAIT)
        except OSError as error:
            return error if error.errno == errno.EIO else None  # EAGAIN: it is not in memory
        return None

    def read(self, span: Span) -> bytearray:
        """Return *span*, from a thread.

        Raises:
            EOFError: the file is shorter.
            OSError: the disk failed.
        """
        buffer = bytearray(span.length_bytes)
        done = 0
        with memoryview(buffer) as view:
            while done < len(buffer):
                count = os.preadv(self.number, [view[done:]], span.start + done)
                if count == 0:
                    raise EOFError(f"file ends at byte {span.start + done}")
                done += count
        return buffer
