"""GCS's JSON API through the session, the credentials and the endpoint of gcsfs.

gcsfs' own `_call` is not used for the request itself: it retries inside (up to six times with
pauses of up to 32 s, against our deadlines and budget) and drops the body of a 404, which alone
tells a missing object from a missing bucket.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import trio

from shotfs.errors import ShotfsError
from shotfs.tiers.cloud.bridge import in_loop, request
from shotfs.tiers.cloud.clients import IMPORTING
from shotfs.tiers.cloud.errors import access_denied, check_credentials_file, translate
from shotfs.tiers.cloud.gcs_token import AccessToken
from shotfs.tiers.cloud.origin import Origin
from shotfs.tiers.cloud.progress import Body, Progress
from shotfs.tiers.cloud.threads import in_thread

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The message of an error answer, or the start of its body."""
        try:
            error = json.loads(self.body)["error"]
            reasons = [str(one.get("reason", "")) for one in error.get("errors", [])]
            return " ".join([str(error.get("message", "")), *reasons]).strip()
        except (ValueError, LookupError, TypeError, AttributeError):
            return self.body[:400].decode(errors="replace")

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            ValueError: it is none.
        """
        document = json.loads(self.body)
        if not isinstance(document, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004  # wrong data, not a wrong call
        return document


class GcsApi:
    """Requests to the JSON API of one bucket's endpoint. One a tier; any task may call it.

    Attributes:
        token: what the requests are signed with.
    """

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.token = AccessToken(self.file_system)
        self._fs: Any = None
        self._lock = threading.Lock()

    def file_system(self) -> Any:
        """Return the gcsfs file system, made at the first call.

        Call it in a thread: it imports, and may look for credentials over the network.
        """
        with self._lock:
            if self._fs is None:
                self._fs = self._make()
            return self._fs

    def _make(self) -> Any:
        # Otherwise every bucket is probed over gRPC, 60 s and more with a custom endpoint.
        os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
        with IMPORTING:
            from gcsfs import GCSFileSystem

        settings = self._origin.settings
        check_credentials_file(self._origin)
        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
        if settings.anonymous:
            options["token"] = "anon"  # noqa: S105  # gcsfs' word for none
        elif settings.credentials_file is not None:
            options["token"] = settings.credentials_file
        if settings.endpoint_url is not None:
            options["endpoint_url"] = settings.endpoint_url.rstrip("/")
        try:
            return GCSFileSystem(**(options | settings.options))
        except (KeyError, ValueError) as exc:
            # gcsfs' way of saying that it cannot make sense of the file.
            if settings.credentials_file is None:
                raise
            text = f"{settings.credentials_file} holds no account that gcsfs can use"
            raise access_denied(self._origin, self._origin.name, text) from exc

    async def url(self, kind: str, *path: str, **query: str | int | None) -> str:
        """Return the URL of an API call.

        Args:
            kind: ``storage`` or ``upload/storage``.
            path: its elements, not yet quoted.
            query: parameters; those that are None are left out.
        """
        location = (await self._opened())._location  # noqa: SLF001  # gcsfs has no public name
        quoted = "/".join(quote(part, safe="") for part in path)
        pairs = {name: value for name, value in query.items() if value is not None}
        return f"{location}/{kind}/v1/{quoted}" + (f"?{urlencode(pairs)}" if pairs else "")

    async def ask(
        self,
        method: str,
        url: str,
        *,
        what: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        bulk_bytes: int | None = None,
    ) -> Answer:
        """Send one request; return its answer, whatever its status.

        Args:
            method: of HTTP.
            url: from `url` or from an answer; sent as it is.
            what: for messages.
            headers: beside those of gcsfs.
            body: of the request.
            bulk_bytes: how many bytes move, for the deadline; None for metadata.

        Raises:
            TierUnavailable, TierTimeout, TierCorrupt, AccessDenied: as `translate` decides.
        """
        fs = await self._opened()
        sent = await self._headers(fs, dict(headers or {}))
        answer = await self._request(fs, method, url, what, sent, body, bulk_bytes)
        if answer.status == 401 and await self._renewed(fs, sent):
            sent = await self._headers(fs, dict(headers or {}))
            answer = await self._request(fs, method, url, what, sent, body, bulk_bytes)
        return answer

    async def _request(
        self,
        fs: Any,
        method: str,
        url: str,
        what: str,
        sent: dict[str, str],
        body: bytes,
        bulk_bytes: int | None,
    ) -> Answer:
        origin = self._origin
        bulk = bulk_bytes is not None
        progress = Progress(origin.upload_idle_s(len(body))) if body and bulk else None
        content = io.BytesIO(body) if progress is None else Body(body, progress)
        return await request(
            origin,
            what,
            lambda: self._send(fs, method, url, sent, content if body else None),
            limiter=origin.bulk if bulk else origin.metadata,
            deadline_s=origin.bulk_deadline_s(bulk_bytes)
            if bulk_bytes is not None
            else origin.network.metadata_timeout_s,
            progress=progress,
        )

    async def _send(
        self, fs: Any, method: str, url: str, headers: dict[str, str], content: io.BytesIO | None
    ) -> Answer:
        import aiohttp
        import yarl

        network = self._origin.network
        await fs._set_session()  # noqa: SLF001  # the session belongs to gcsfs' loop
        async with fs.session.request(
            method,
            yarl.URL(url, encoded=True),
            headers=headers,
            # A BytesIO, because aiohttp warns of large bytes objects.
            data=content,
            # The deadline of the whole is the caller's.
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=network.metadata_timeout_s,
                sock_read=network.progress_timeout_s,
            ),
            allow_redirects=False,
        ) as response:
            body = await response.read()
            names = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, names, body)

    async def _headers(self, fs: Any, headers: dict[str, str]) -> dict[str, str]:
        def add() -> dict[str, str]:
            # Refreshes the token when it is about to expire, blocking.
            made: dict[str, str] = fs._get_headers(headers)  # noqa: SLF001  # gcsfs has no public name
            return made

        if fs.credentials.credentials is None:
            return add()  # anonymous: nothing blocks
        return await self._with_credentials(add)

    async def _renewed(self, fs: Any, sent: Mapping[str, str]) -> bool:
        """Whether there is another token than the one that was *sent*."""
        if fs.credentials.credentials is None:
            return False
        names = {name.lower(): value for name, value in sent.items()}
        refused = names.get("authorization", "").removeprefix("Bearer ")
        return await self._with_credentials(lambda: self.token.renew(refused))

    async def _with_credentials(self, function: Callable[[], _T]) -> _T:
        """Run *function*, which may ask for a token, in a thread."""
        try:
            return await in_thread(self._origin, self._origin.name, function)
        except ShotfsError:
            raise
        except Exception as exc:
            raise translate(exc, self._origin, self._origin.name) from exc

    async def _opened(self) -> Any:
        if self._fs is None:
            try:
                # No deadline of ours: importing on a busy machine is no fault of the origin, and
                # google-auth's searches end by themselves.
                await trio.to_thread.run_sync(
                    self.file_system, abandon_on_cancel=True, limiter=self._origin.metadata
                )
            except ShotfsError:
                raise
            except Exception as exc:
                raise translate(exc, self._origin, self._origin.name) from exc
        return self._fs

    async def aclose(self) -> None:
        """Close the connections."""
        fs, self._fs = self._fs, None
        if fs is not None and fs._session is not None:  # noqa: SLF001  # gcsfs has no public close
            await in_loop(fs._session.close)  # noqa: SLF001
