"""The bucket: a GCS emulator on loopback, and a plain client that knows nothing of shotfs."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import httpx
from running import processes


def start_emulator(stack: ExitStack, bucket: str, log: str) -> str:
    """Start the emulator from PyPI, its data in memory; *stack* ends it. Return its URL.

    Raises:
        StartFailed: it did not start.
    """
    port = processes.free_port()
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--quiet", "--in-memory"]
    process = processes.start(
        stack,
        [*command, "--host", "127.0.0.1", "--port", str(port), "--default-bucket", bucket],
        log=log,
    )
    processes.wait_for_port(process, port, name="the GCS emulator", log=log)
    return f"http://127.0.0.1:{port}"


class PlainBucket:
    """Objects by plain requests of the JSON API: what any other tool of a studio would see."""

    def __init__(self, endpoint_url: str, bucket: str) -> None:
        self._http = httpx.Client(base_url=endpoint_url, timeout=20)
        self._bucket = bucket

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def upload(self, key: str, content: bytes) -> None:
        """Store *content* under *key*."""
        answer = self._http.post(
            f"/upload/storage/v1/b/{self._bucket}/o",
            params={"uploadType": "media", "name": key},
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        answer.raise_for_status()

    def download(self, key: str) -> bytes:
        """Return the bytes of *key*."""
        answer = self._http.get(self._path(key), params={"alt": "media"})
        answer.raise_for_status()
        return answer.content

    def describe(self, key: str) -> dict[str, Any] | None:
        """Return the object's resource (size, generation, metadata), or None if there is none."""
        answer = self._http.get(self._path(key))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        answer.raise_for_status()
        resource: dict[str, Any] = answer.json()
        return resource

    def wait_for(self, key: str, timeout_s: float) -> dict[str, Any]:
        """Return the object's resource as soon as it exists.

        Raises:
            TimeoutError: it did not appear within *timeout_s*.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            resource = self.describe(key)
            if resource is not None:
                return resource
            time.sleep(0.1)
        raise TimeoutError(f"{key} is not in the bucket after {timeout_s:g} s")

    def _path(self, key: str) -> str:
        return f"/storage/v1/b/{self._bucket}/o/{quote(key, safe='')}"
