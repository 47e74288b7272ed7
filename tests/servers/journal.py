"""What the server did: one record a request, and totals."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

RECORDS_MAX = 100_000


@dataclass(slots=True)
class RequestRecord:
    """One request, filled in while it is served.

    Attributes:
        operation: what it was, the same word for both APIs; see `OPERATIONS`.
        api: "json", "xml" or "other".
        range: the Range or Content-Range header, or "".
        status: 0 until an answer is sent, and for requests that never got one.
        received_bytes: of the request's body.
        sent_bytes: of the answer's body.
        complete: the answer went out whole.
    """

    method: str
    operation: str
    api: str
    bucket: str
    object: str
    range: str = ""
    status: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    complete: bool = False


OPERATIONS = frozenset(
    {
        "bucket_list", "bucket_get", "bucket_insert", "bucket_delete", "bucket_patch",
        "list", "stat", "read", "insert", "patch", "delete", "copy", "compose",
        "resumable_start", "resumable_chunk", "resumable_status", "resumable_abort",
        "multipart_start", "multipart_part", "multipart_complete", "multipart_abort",
        "unknown",
    }
)  # fmt: skip


class Journal:
    """Records of requests, newest last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: deque[RequestRecord] = deque(maxlen=RECORDS_MAX)

    def begin(self, record: RequestRecord) -> None:
        with self._lock:
            self._records.append(record)

    def records(
        self,
        operation: str | None = None,
        *,
        bucket: str | None = None,
        object: str | None = None,  # noqa: A002  the word that the stores use
    ) -> list[RequestRecord]:
        """Return the requests, oldest first, that are equal in everything given."""
        if operation is not None and operation not in OPERATIONS:
            raise ValueError(f"no such operation: {operation!r}")
        with self._lock:
            return [
                record
                for record in self._records
                if operation in (None, record.operation)
                and bucket in (None, record.bucket)
                and object in (None, record.object)
            ]

    def counts(self, *, bucket: str | None = None) -> Counter[str]:
        """Return how many requests there were of each operation."""
        return Counter(record.operation for record in self.records(bucket=bucket))

    def sent_bytes(self, *, bucket: str | None = None) -> Counter[str]:
        """Return how many content bytes were sent of each object."""
        total: Counter[str] = Counter()
        for record in self.records("read", bucket=bucket):
            if record.status in (200, 206):
                total[record.object] += record.sent_bytes
        return total

    def clear(self) -> None:
        with self._lock:
            self._records.clear()

    def as_json(self, *, bucket: str | None = None) -> dict[str, Any]:
        return {
            "counts": dict(self.counts(bucket=bucket)),
            "sent_bytes": dict(self.sent_bytes(bucket=bucket)),
            "requests": [asdict(record) for record in self.records(bucket=bucket)],
        }
