"""The gcp-storage-emulator of PyPI, in a process of its own: a second opinion on the JSON API.

It ignores preconditions and its XML paths are thin (field notes): nothing about create-only can
be tested against it.
"""

from __future__ import annotations

from typing import Self

import httpx

from tests.servers.process import ServerProcess, python


class GcsEmulator:
    """The emulator, keeping everything in memory."""

    def __init__(self) -> None:
        self.process = ServerProcess(
            python(
                "-m", "gcp_storage_emulator", "start",
                "--host", "127.0.0.1", "--port", "{port}", "--in-memory", "--quiet",
            )
        )  # fmt: skip

    @property
    def endpoint(self) -> str:
        return self.process.endpoint

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def create_bucket(self, name: str) -> None:
        with httpx.Client(trust_env=False) as client:
            answer = client.post(
                f"{self.endpoint}/storage/v1/b", params={"project": "test"}, json={"name": name}
            )
        answer.raise_for_status()
