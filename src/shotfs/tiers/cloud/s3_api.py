"""S3's API through s3fs' client: its credentials, its endpoint, its connections.

s3fs' and botocore's own retries are off; ours are around everything.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

import trio

from shotfs.errors import AccessDenied, ShotfsError
from shotfs.tiers.cloud.bridge import in_loop, request
from shotfs.tiers.cloud.clients import IMPORTING
from shotfs.tiers.cloud.errors import check_credentials_file, translate
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.progress import Progress

_DEFAULT_REGION = "us-east-1"


class S3Api:
    """Calls to one bucket's endpoint. One a tier; any task may call it."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._fs: Any = None
        self._lock = threading.Lock()

    async def call(
        self,
        method: str,
        what: str,
        arguments: Mapping[str, object],
        *,
        bulk_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Call a method of the boto client; return its answer.

        Args:
            method: its name.
            what: for messages.
            arguments: of the method.
            bulk_bytes: how many bytes move, for the deadline; None for metadata.
            progress: of the body, if there is one.

        Raises:
            ShotfsError: as `translate` decides; 404 is ObjectNotFound, 412 PreconditionFailed.
        """
        fs = await self._opened()

        async def ask() -> Any:
            return await fs._call_s3(method, **arguments)  # noqa: SLF001  # call_s3 would block

        answer: dict[str, Any] = await self._request(what, ask, bulk_bytes, progress)
        return answer

    async def read(
        self, what: str, length_bytes: int, arguments: Mapping[str, object]
    ) -> tuple[bytes, Mapping[str, Any]]:
        """Return the body that get_object answers with, and what else the answer says."""
        fs = await self._opened()

        async def ask() -> tuple[bytes, Mapping[str, Any]]:
            answer = await fs._call_s3("get_object", **arguments)  # noqa: SLF001
            async with answer["Body"] as body:
                return await body.read(), answer

        answer: tuple[bytes, Mapping[str, Any]] = await self._request(what, ask, length_bytes)
        return answer

    async def _request(
        self, what: str, ask: Any, bulk_bytes: int | None, progress: Progress | None = None
    ) -> Any:
        origin = self._origin
        return await request(
            origin,
            what,
            ask,
            limiter=origin.metadata if bulk_bytes is None else origin.bulk,
            deadline_s=origin.network.metadata_timeout_s
            if bulk_bytes is None
            else origin.bulk_deadline_s(bulk_bytes),
            progress=progress,
        )

    async def _opened(self) -> Any:
        if self._fs is None:
            try:
                await trio.to_thread.run_sync(
                    self._open, abandon_on_cancel=True, limiter=self._origin.metadata
                )
            except ShotfsError:
                raise
            except Exception as exc:
                raise translate(exc, self._origin, self._origin.name) from exc
        return self._fs

    def _open(self) -> None:
        with self._lock:
            if self._fs is None:
                self._fs = self._make()

    def _make(self) -> Any:
        with IMPORTING:
            from s3fs import S3FileSystem

        origin, settings = self._origin, self._origin.settings
        check_credentials_file(origin)
        options: dict[str, Any] = {
            "use_listings_cache": False,
            "skip_instance_cache": True,
            "anon": settings.anonymous,
            "client_kwargs": {"region_name": settings.region} if settings.region else {},
            "config_kwargs": {
                "retries": {"max_attempts": 0},
                "connect_timeout": origin.network.metadata_timeout_s,
                "read_timeout": origin.network.progress_timeout_s,
                "max_pool_connections": 2 * origin.connections_max + 1,
                # We send Content-MD5 ourselves; not every server knows S3's trailing checksums.
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
        }
        if settings.endpoint_url is not None:
            options["endpoint_url"] = settings.endpoint_url.rstrip("/")
        if settings.access_key_env is not None:
            options["key"], options["secret"] = self.keys()
        elif settings.credentials_file is not None:
            from aiobotocore.session import (  # type: ignore[import-untyped]  # ships no types
                AioSession,
            )

            options["session"] = AioSession()
            options["session"].set_config_variable("credentials_file", settings.credentials_file)
        fs = S3FileSystem(**(options | settings.options))
        fs.retries = 1
        return fs

    def keys(self) -> tuple[str, str]:
        """Return the access key's id and the secret, from the environment.

        Raises:
            AccessDenied: a variable is not set.
        """
        settings = self._origin.settings
        values = []
        for setting in ("access_key_env", "secret_key_env"):
            variable = str(getattr(settings, setting))
            if variable not in os.environ:
                raise AccessDenied(
                    f"{self._origin.name}: environment variable {variable} is not set",
                    fix=f"set it for the service; {self._origin.setting(setting)} names it",
                )
            values.append(os.environ[variable])
        return values[0], values[1]

    def credentials_session(self) -> Any:
        """Return a blocking botocore session that finds credentials as s3fs does."""
        from botocore.session import Session

        session = Session()
        if self._origin.settings.credentials_file is not None:
            session.set_config_variable("credentials_file", self._origin.settings.credentials_file)
        return session

    def region(self, session: Any) -> str:
        """Return the region to sign for."""
        found = self._origin.settings.region or session.get_config_variable("region")
        return str(found or _DEFAULT_REGION)

    async def aclose(self) -> None:
        """Close the connections."""
        fs, self._fs = self._fs, None
        if fs is not None and fs._s3 is not None:  # noqa: SLF001  # s3fs has no public close
            await in_loop(fs._s3.close)  # noqa: SLF001
