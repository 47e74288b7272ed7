"""The client of the control socket, for the command line and other programs on the node.

Synchronous: a command has nothing else to do. Each call is one request with a time limit.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self, cast
from urllib.parse import quote, urlencode

import httpx

from shotfs import errors
from shotfs.control.conflict_client import ConflictClient
from shotfs.control.prewarm_client import PrewarmClient
from shotfs.control.publish_client import PublishClient
from shotfs.control.record_client import RecordClient
from shotfs.control.socket import check_path
from shotfs.errors import DeadlineExceeded, NotPermitted, ServiceNotRunning, ShotfsError

ANSWER_TIMEOUT_S = 10.0
"""How long the service may take to answer what it knows from memory."""

EVICT_TIMEOUT_S = 600.0
"""How long an eviction may take: it deletes files, a million of them at most."""

RELOAD_TIMEOUT_S = 300.0
"""How long a specification may take to be read from its origin and proven."""

ORIGIN_TIMEOUT_S = 600.0
"""How long an answer may take for which the service lists a version in its origin."""

DELETE_TIMEOUT_S = 3600.0
"""How long the service may delete a version from its origin: 200,000 objects at most."""

WHY_TIMEOUT_S = 30.0
"""How long an answer about one path may take; the service waits shorter for the path's origin."""

SCAN_TIMEOUT_S = 600.0
"""How long the service may look which of a million cached files lie below a path."""

DOWNLOAD_IDLE_S = 120.0
"""How long a download may stand still."""

DOWNLOAD_BLOCK_BYTES = 1024 * 1024

SEND_TIMEOUT_S = 120.0
"""How long the service may take to keep a page of a manifest."""

RESCUE_TIMEOUT_S = 3600.0
"""How long a rescue may take: it reads and sends whatever a node could not send."""

DRAIN_SLACK_S = 15.0
"""How much longer than its deadline a drain may take to answer."""


class Client:
    """A connection to the service on the socket *path*; a context manager.

    Every method may raise:

        ServiceNotRunning: nobody listens on the socket.
        NotPermitted: the socket's directory or the service refuses this user.
        DeadlineExceeded: the service listens but does not answer.
        ShotfsError: what the service says, with the class that it had there.
    """

    def __init__(self, path: str, *, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        check_path(path)
        self._socket = path
        self._timeout_s = timeout_s
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=path), base_url="http://shotfs", timeout=timeout_s
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    @property
    def publish(self) -> PublishClient:
        """What can be asked of outputs on their way to the origin."""
        return PublishClient(self._json)

    @property
    def conflicts(self) -> ConflictClient:
        """What can be asked of outputs that are kept aside."""
        return ConflictClient(self._json, self._download)

    @property
    def prewarm(self) -> PrewarmClient:
        """What can be asked of prewarms."""
        return PrewarmClient(self._json, self._send)

    @property
    def record(self) -> RecordClient:
        """What can be asked of recordings of what jobs open."""
        return RecordClient(self._json, self._download)

    def status(self) -> dict[str, Any]:
        """Return what the service is and how it is (`control.service.Service.status`)."""
        return self._json("GET", "/v1/status")

    def cache_stats(self) -> dict[str, Any]:
        """Return the numbers of the cache."""
        return self._json("GET", "/v1/cache")

    def metrics_text(self) -> str:
        """Return all metrics in the Prometheus text format."""
        return self._request("GET", "/v1/metrics", None, self._timeout_s).text

    def queue(
        self,
        *,
        limit: int = 1000,
        state: str | None = None,
        under: str | None = None,
        job: str | None = None,
    ) -> dict[str, Any]:
        """Return {count, bytes, oldest_s, items}: what is not in the origin yet.

        Args:
            limit: items at most.
            state: only outputs in it.
            under: only outputs at or below this path.
            job: only outputs of this render job.
        """
        asked = {"limit": limit, "state": state, "under": under, "job": job}
        said = {name: value for name, value in asked.items() if value is not None}
        return self._json("GET", f"/v1/queue?{urlencode(said, errors='surrogateescape')}")

    def evict(self, bytes_wanted: int | None) -> dict[str, Any]:
        """Free bytes of the cache; None frees everything that may go."""
        return self._json("POST", "/v1/cache/evict", {"bytes": bytes_wanted}, EVICT_TIMEOUT_S)

    def reload_specs(self, shows: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Load what changed of the specifications of *shows* (none: of all); return what was found
        of each (`control.service.Service.reload_specs`).
        """
        answer = self._json("POST", "/v1/specs/reload", {"shows": list(shows)}, RELOAD_TIMEOUT_S)
        return list(answer["shows"])

    def drain(
        self, deadline_s: float, *, emergency: bool = False, stop: bool = False
    ) -> dict[str, Any]:
        """Publish what is in the spool; return {count, items} of what remains
        (`control.service.Service.drain`).
        """
        body = {"deadline_s": deadline_s, "emergency": emergency, "stop": stop}
        return self._json("POST", "/v1/drain", body, deadline_s + DRAIN_SLACK_S)

    def rescue(self, url: str | None, node: str | None, *, dry_run: bool) -> dict[str, Any]:
        """Publish what nodes left in an emergency place; return {count, items}."""
        body = {"url": url, "node": node, "dry_run": dry_run}
        return self._json("POST", "/v1/rescue", body, RESCUE_TIMEOUT_S)

    def why(self, path: str) -> dict[str, Any]:
        """Return what *path* (relative to the mount) is, and what it waits for."""
        return self._json("GET", _query("/v1/why", path), timeout_s=WHY_TIMEOUT_S)

    def look(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Return what each of *paths* is (`control.cache_service.CacheService.look`).

        Args:
            paths: as text that UTF-8 can carry, at most 60,000 bytes of JSON.
        """
        body = {"paths": list(paths)}
        return list(self._json("POST", "/v1/look", body, ORIGIN_TIMEOUT_S)["files"])

    def entries(
        self, below: str = "", *, after: str = "", limit: int = 1000, order: str = "digest"
    ) -> dict[str, Any]:
        """Return {entries, after}: a page of what is cached at or below a path."""
        asked = urlencode({"after": after, "limit": limit, "order": order})
        target = f"{_query('/v1/cache/entries', below)}&{asked}"
        return self._json("GET", target, timeout_s=ORIGIN_TIMEOUT_S)

    def pin(
        self, paths: Sequence[str], owner: str, *, for_s: float | None, limit: int, fetch: bool
    ) -> dict[str, Any]:
        """Pin files and what is below directories (`control.cache_service.CacheService.pin`)."""
        body = {
            "paths": list(paths), "owner": owner, "for_s": for_s, "limit": limit, "fetch": fetch,
        }  # fmt: skip
        return self._json("POST", "/v1/cache/pin", body, ORIGIN_TIMEOUT_S)

    def unpin(self, paths: Sequence[str], owner: str) -> int:
        """Remove the pins of *owner* at or below *paths*, none: all; return how many."""
        body = {"paths": list(paths), "owner": owner}
        return int(self._json("POST", "/v1/cache/unpin", body, EVICT_TIMEOUT_S)["files"])

    def pins(self, owner: str = "", *, after: str = "", limit: int = 1000) -> dict[str, Any]:
        """Return {pins, after}: a page of the pins of *owner*, "": of everybody."""
        asked = urlencode({"owner": owner, "after": after, "limit": limit})
        return self._json("GET", f"/v1/cache/pins?{asked}")

    def fetching(self, number: int) -> dict[str, Any]:
        """Return how far a pin that fetches is (`vfs.cached_paths.Fetching`)."""
        return self._json("GET", f"/v1/cache/fetch?number={number}")

    def evict_paths(self, paths: Sequence[str], *, limit: int) -> dict[str, Any]:
        """Evict what is cached of files and below directories."""
        body = {"paths": list(paths), "limit": limit}
        return self._json("POST", "/v1/cache/evict-paths", body, ORIGIN_TIMEOUT_S)

    def top(self) -> dict[str, Any]:
        """Return what the node is doing now."""
        return self._json("GET", "/v1/top")

    def refresh(self, path: str, *, tree: bool = False) -> dict[str, Any]:
        """Have the origins asked again about *path* (relative to the mount); return what changed.

        See `control.cache_service.CacheService.refresh`.
        """
        body = {"path": path, "tree": tree}
        return self._json("POST", "/v1/refresh", body, ORIGIN_TIMEOUT_S)

    def start_verify(
        self, *, repair: bool, bytes_per_s: int | None, paths: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Have the cache checked in the background (`control.cache_service`); return how it began.

        Raises:
            CacheBusy: it is being checked already.
            PathNotFound: nothing of one of *paths* is cached.
        """
        body = {"repair": repair, "bytes_per_s": bytes_per_s, "paths": list(paths)}
        return self._json("POST", "/v1/cache/verify", body, SCAN_TIMEOUT_S)

    def verification(self) -> dict[str, Any] | None:
        """Return how far the check of the cache is, or how the last one ended; None: none was."""
        found = self._json("GET", "/v1/cache/verify")["verification"]
        return None if found is None else dict(found)

    def stop_verify(self) -> dict[str, Any] | None:
        """End the check of the cache; return as `verification`."""
        found = self._json("POST", "/v1/cache/verify/stop", {})["verification"]
        return None if found is None else dict(found)

    def version(self, path: str) -> dict[str, Any]:
        """Return what the version directory *path* (relative to the mount) is."""
        return self._json("GET", _query("/v1/version", path), timeout_s=ORIGIN_TIMEOUT_S)

    def next_version(self, path: str) -> str:
        """Return *path* with the next version in it."""
        found = self._json("GET", _query("/v1/version/next", path), timeout_s=ORIGIN_TIMEOUT_S)
        return str(found["path"])

    def verify_version(self, path: str) -> dict[str, Any]:
        """Compare a published version's origin with its manifest."""
        return self._json("GET", _query("/v1/version/verify", path), timeout_s=ORIGIN_TIMEOUT_S)

    def version_history(self, path: str) -> list[dict[str, Any]]:
        """Return what happened to the version *path*, oldest first."""
        found = self._json("GET", _query("/v1/version/history", path), timeout_s=ORIGIN_TIMEOUT_S)
        return list(found["history"])

    def retract_version(
        self,
        path: str,
        *,
        why: str,
        delete: bool,
        alias_to: str | None,
        pinned_too: bool,
        dry_run: bool,
    ) -> dict[str, Any]:
        """Take the published version directory *path* back."""
        body = {
            "path": path,
            "why": why,
            "delete": delete,
            "alias_to": alias_to,
            "pinned_too": pinned_too,
            "dry_run": dry_run,
        }
        timeout_s = DELETE_TIMEOUT_S if delete else ORIGIN_TIMEOUT_S
        return self._json("POST", "/v1/version/retract", body, timeout_s)

    def restore_version(self, path: str, *, why: str) -> dict[str, Any]:
        """Let the version directory *path*, which was taken back, count again."""
        body = {"path": path, "why": why}
        return self._json("POST", "/v1/version/restore", body, ORIGIN_TIMEOUT_S)

    def alias_history(self, path: str) -> list[dict[str, Any]]:
        """Return the moves of the alias *path*, oldest first."""
        found = self._json("GET", _query("/v1/version/aliases", path), timeout_s=ORIGIN_TIMEOUT_S)
        return list(found["history"])

    def publish_version(
        self, path: str, *, why: str, aliases: bool, deadline_s: float
    ) -> dict[str, Any]:
        """Publish the version directory *path*; outputs have *deadline_s* to arrive."""
        body = {"path": path, "why": why, "aliases": aliases, "deadline_s": deadline_s}
        timeout_s = deadline_s + ORIGIN_TIMEOUT_S
        return self._json("POST", "/v1/version/publish", body, timeout_s)

    def move_alias(
        self, path: str, version: str | None, *, why: str, force: bool
    ) -> dict[str, Any]:
        """Let the alias *path* point to *version*; None: nowhere."""
        body = {"path": path, "version": version, "why": why, "force": force}
        return self._json("POST", "/v1/version/alias", body, ORIGIN_TIMEOUT_S)

    def stop(self, *, drain: bool, deadline_s: float) -> None:
        """Ask the service to stop; returns when it has begun to."""
        self._json("POST", "/v1/stop", {"drain": drain, "deadline_s": deadline_s})

    def _json(
        self, method: str, path: str, body: Any = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        response = self._request(method, path, body, timeout_s or self._timeout_s)
        try:
            return cast("dict[str, Any]", response.json())
        except ValueError as exc:
            raise ShotfsError(
                f"the service on {self._socket} answered {path} with something that is not JSON",
                fix="is it shotfs? client and service may be of different versions",
            ) from exc

    def _download(self, path: str, file: BinaryIO) -> None:
        """Write the answer to a GET of *path* to *file*, as it comes.

        Raises:
            ShotfsError: it ended too early; what *file* has is not whole.
        """
        try:
            self._knock()
            with self._http.stream("GET", path, timeout=DOWNLOAD_IDLE_S) as response:
                if response.is_error:
                    response.read()
                    raise _error_of(response)
                file.writelines(response.iter_raw(DOWNLOAD_BLOCK_BYTES))
        except httpx.TimeoutException as exc:
            raise DeadlineExceeded(
                f"the service on {self._socket} sent nothing for {DOWNLOAD_IDLE_S:g} s",
                fix="its log tells why: the origin may be slow or away",
            ) from exc
        except (httpx.TransportError, ConnectionError, FileNotFoundError, PermissionError) as exc:
            raise self._unreachable(exc) from exc

    def _send(self, path: str, lines: bytes) -> None:
        """Post *lines* to *path*."""
        self._exchange("POST", path, lines, "application/x-ndjson", SEND_TIMEOUT_S)

    def _request(self, method: str, path: str, body: Any, timeout_s: float) -> httpx.Response:
        # ASCII: names that are not UTF-8 come as lone surrogates, which have no UTF-8.
        content = None if body is None else json.dumps(body).encode("ascii")
        return self._exchange(method, path, content, "application/json", timeout_s)

    def _exchange(
        self, method: str, path: str, content: bytes | None, kind: str, timeout_s: float
    ) -> httpx.Response:
        timeout = httpx.Timeout(timeout_s, connect=self._timeout_s)
        try:
            self._knock()
            response = self._http.request(
                method,
                path,
                content=content,
                headers={"Content-Type": kind},
                timeout=timeout,
            )
        except httpx.TimeoutException as exc:
            raise DeadlineExceeded(
                f"the service on {self._socket} did not answer within {timeout_s:g} s",
                fix="its log tells what it does; systemctl restart shotfs ends it",
            ) from exc
        except (httpx.TransportError, OSError) as exc:
            raise self._unreachable(exc) from exc
        if response.is_error:
            raise _error_of(response)
        return response

    def _knock(self) -> None:
        """Connect once and close. httpcore 1.0 leaks the socket of a connection that fails, and
        hides its errno; a service that is not running is what a command meets most often.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
            knocking.settimeout(self._timeout_s)
            knocking.connect(self._socket)

    def _unreachable(self, error: Exception) -> ShotfsError:
        if isinstance(error, PermissionError):
            return NotPermitted(
                f"this user may not reach the control socket {self._socket}",
                fix="run as the service's user, or with sudo",
            )
        if not isinstance(error, httpx.ConnectError | ConnectionRefusedError | FileNotFoundError):
            return ServiceNotRunning(
                f"the service on {self._socket} closed the connection without an answer",
                fix="it stops, or has too many connections of this user: try again",
            )
        return ServiceNotRunning(
            f"no shotfs service answers on {self._socket}",
            fix="start one with: shotfs mount /shows   (or shotfs serve); if it runs with another "
            "configuration, name it: --config FILE",
        )


def _query(endpoint: str, path: str) -> str:
    return f"{endpoint}?path={quote(path, safe='/', errors='surrogateescape')}"


def _error_of(response: httpx.Response) -> ShotfsError:
    """Return the service's error as the class that it had there."""
    try:
        report = response.json()
        message, fix = str(report["message"]), report.get("fix")
        number = int(report["errno"])
        name = str(report["error"])
    except (ValueError, KeyError, TypeError, json.JSONDecodeError):
        return ShotfsError(f"the service answered HTTP {response.status_code}")
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, ShotfsError)):
        kind = ShotfsError
    if issubclass(kind, errors.DocumentInvalid):
        # Its constructor wants the list of mistakes; the message has them as text already.
        kind = ShotfsError
    return kind(message, fix=fix, errno=number)
