"""Preemption: hears from a cloud's metadata server that this node is taken away.

Google Compute Engine: a long poll of ``instance/preempted`` (TRUE, 30 s before the end) and of
``instance/maintenance-event`` (TERMINATE_ON_HOST_MAINTENANCE). Amazon EC2: ``spot/instance-action``
every five seconds, with a session token of IMDSv2; 404 is the usual answer. A server that fails is
asked again, at growing pauses, for ever. Nothing but the very answer that means a notice is taken
for one: no error page, no redirect, no proxy's word.

References: cloud.google.com/compute/docs/instances/create-use-preemptible and
docs/metadata/getting-live-migration-notice; docs.aws.amazon.com/AWSEC2/latest/UserGuide,
spot-instance-termination-notices and instancedata-data-retrieval.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import trio

from shotfs.config.preemption_models import PreemptionSettings
from shotfs.observe.metrics import Metrics

log = logging.getLogger(__name__)

METADATA_URL = "http://169.254.169.254"
"""Of both clouds. Link-local: a machine outside of them sends one packet and hears nothing."""

PROBE_S = 1.0
"""How long 'auto' waits for each cloud's answer."""

LONG_POLL_S = 60
"""How long Google's server holds a question; a firewall may forget a connection that is silent."""

ANSWER_S = 5.0
"""How long any other answer may take, and how much longer than the poll a long one."""

POLL_S = 5.0
"""How often EC2 is asked; what Amazon recommends."""

TOKEN_S = 21_600
"""For how long a session token of IMDSv2 is asked for: the longest there is."""

PAUSE_S, PAUSE_S_MAX = 1.0, 60.0
"""Between attempts while the server fails: doubled each time."""

ANSWER_BYTES_MAX = 4096
"""The largest answer that is read; ours have less than 200 bytes."""

GCE_DRAIN_S = 25.0
"""Google leaves 30 s."""

EC2_DRAIN_S_MAX, EC2_SPARE_S, EC2_DRAIN_S_MIN = 110.0, 10.0, 15.0
"""Amazon leaves two minutes, and says until when. A wrong clock must not make that nothing."""


@dataclass(frozen=True, slots=True)
class Notice:
    """This node is taken away.

    Attributes:
        source: gce or ec2.
        what: what the cloud said.
        drain_s: how long there is for draining, in seconds.
    """

    source: str
    what: str
    drain_s: float


class _Unexpected(Exception):
    """An answer that says nothing: another status, another server."""


FAILURES = (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, _Unexpected)
"""What a question may end with that another one may not."""


class PreemptionWatch:
    """Waits for one notice.

    Args:
        settings: where to listen.
        metrics: counts notices.
        noticed: told of it, once.
        utc_now: the time of day; a test may replace it.
        jitter: returns numbers in [0, 1).
    """

    def __init__(
        self,
        settings: PreemptionSettings,
        metrics: Metrics,
        noticed: Callable[[Notice], None],
        *,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._noticed = noticed
        self._utc_now = utc_now
        self._jitter = jitter
        self._url = settings.endpoint_url or METADATA_URL
        self._source: str | None = None
        self._state = "off" if settings.watch == "off" else "starting"
        self._problem: str | None = None
        self._notice: Notice | None = None

    def status(self) -> Mapping[str, Any]:
        """Return what `shotfs status` shows."""
        return {
            "watch": self._settings.watch,
            "source": self._source,
            "state": self._state,
            "problem": self._problem,
            "notice": None if self._notice is None else self._notice.what,
        }

    async def run(self) -> None:
        """Watch until a notice comes; return at once where no cloud is, or nobody wants that."""
        if self._settings.watch == "off":
            return
        try:
            async with httpx.AsyncClient(
                base_url=self._url, trust_env=False, follow_redirects=False, timeout=ANSWER_S
            ) as client:
                await self._watch(client)
        except Exception:  # a mistake in here must not take the mount with it
            log.exception("preemption notices are not watched any more")
            self._state, self._problem = "failed", "see the log"

    async def _watch(self, client: httpx.AsyncClient) -> None:
        watch = self._settings.watch
        self._source = await self._find(client) if watch == "auto" else watch
        if self._source is None:
            self._state = "no cloud here"
            return
        log.info("preemption notices are watched", extra={"source": self._source})
        self._state = "watching"
        async with trio.open_nursery() as nursery:
            asks: list[Callable[[httpx.AsyncClient], Awaitable[Notice | None]]]
            if self._source == "gce":
                asks = [_GoogleKey("preempted", _preempted), _GoogleKey(*_MAINTENANCE)]
            else:
                asks = [_Amazon(self._utc_now)]
            for ask in asks:
                nursery.start_soon(self._ask_for_ever, client, ask, nursery.cancel_scope)

    async def _find(self, client: httpx.AsyncClient) -> str | None:
        """Return which cloud answers; None: none does."""
        for source, ask in (("gce", _is_google), ("ec2", _token)):
            with trio.move_on_after(PROBE_S):
                try:
                    await ask(client)
                except FAILURES as error:
                    log.debug("no metadata server of %s: %r", source, error)
                else:
                    return source
        return None

    async def _ask_for_ever(
        self,
        client: httpx.AsyncClient,
        ask: Callable[[httpx.AsyncClient], Awaitable[Notice | None]],
        scope: trio.CancelScope,
    ) -> None:
        failures = 0
        while True:
            try:
                notice = await ask(client)
            except FAILURES as error:
                failures += 1
                self._problem = str(error) or repr(error)
                if failures == 1:
                    log.warning("the metadata server fails, it is asked again: %s", self._problem)
                pause_s = min(PAUSE_S_MAX, PAUSE_S * 2.0 ** min(failures - 1, 16))
                await trio.sleep(pause_s * (0.5 + 0.5 * self._jitter()))
                continue
            if failures:
                log.info("the metadata server answers again")
            failures, self._problem = 0, None
            if notice is not None:
                self._tell(notice)
                scope.cancel()
                return

    def _tell(self, notice: Notice) -> None:
        if self._notice is not None:
            return
        self._notice, self._state = notice, "noticed"
        self._metrics.preemption_notices[notice.source].inc()
        log.warning("this node is taken away: %s", notice.what, extra={"drain_s": notice.drain_s})
        self._noticed(notice)


async def _asked(
    client: httpx.AsyncClient,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str],
    params: Mapping[str, str] | None = None,
    timeout_s: float = ANSWER_S,
) -> tuple[httpx.Response, str]:
    """Ask; return the answer and its text.

    Raises:
        httpx.HTTPError, TimeoutError: there is no answer.
        _Unexpected: it is too long.
    """
    body = bytearray()
    length_bytes = 0
    with trio.move_on_after(timeout_s + ANSWER_S) as scope:
        async with client.stream(
            method, path, headers=headers, params=params, timeout=timeout_s
        ) as response:
            # To its end: a generator that is left half-way is complained of when it is collected.
            async for block in response.aiter_bytes():
                length_bytes += len(block)
                body += block[: ANSWER_BYTES_MAX - len(body)]
    if scope.cancelled_caught:
        raise TimeoutError(f"{path}: the answer does not end")
    if length_bytes > ANSWER_BYTES_MAX:
        raise _Unexpected(f"{path}: the answer has {length_bytes} bytes")
    return response, body.decode("ascii", "replace").strip()


# --- Google Compute Engine -----------------------------------------------------------------------

_FLAVOR = {"Metadata-Flavor": "Google"}


def _check_google(response: httpx.Response) -> None:
    if response.status_code != 200 or response.headers.get("metadata-flavor") != "Google":
        raise _Unexpected(f"{response.url.path}: {response.status_code}, or no Metadata-Flavor")


async def _is_google(client: httpx.AsyncClient) -> None:
    path = "/computeMetadata/v1/instance/preempted"
    response, _ = await _asked(client, "GET", path, headers=_FLAVOR)
    _check_google(response)


def _preempted(value: str) -> Notice | None:
    return Notice("gce", "preempted", GCE_DRAIN_S) if value == "TRUE" else None


def _maintained(value: str) -> Notice | None:
    ends = value == "TERMINATE_ON_HOST_MAINTENANCE"
    return Notice("gce", value, GCE_DRAIN_S) if ends else None


_MAINTENANCE = ("maintenance-event", _maintained)


class _GoogleKey:
    """Asks for one key: its value at first, then to be told when it changes."""

    def __init__(self, key: str, notice_of: Callable[[str], Notice | None]) -> None:
        self._path = f"/computeMetadata/v1/instance/{key}"
        self._notice_of = notice_of
        self._etag: str | None = None

    async def __call__(self, client: httpx.AsyncClient) -> Notice | None:
        params: dict[str, str] = {}
        timeout_s = ANSWER_S
        if self._etag is not None:
            params = {
                "wait_for_change": "true",
                "last_etag": self._etag,
                "timeout_sec": str(LONG_POLL_S),
            }
            timeout_s += LONG_POLL_S
        began = trio.current_time()
        etag, self._etag = self._etag, None  # after a failure the value itself is asked for again
        response, value = await _asked(
            client, "GET", self._path, params=params, headers=_FLAVOR, timeout_s=timeout_s
        )
        _check_google(response)
        notice = self._notice_of(value)
        self._etag = response.headers.get("etag") or "0"
        if notice is None and etag is not None and trio.current_time() - began < PAUSE_S:
            await trio.sleep(PAUSE_S)  # a server that does not wait must not keep us busy
        return notice


# --- Amazon EC2 ----------------------------------------------------------------------------------


async def _token(client: httpx.AsyncClient) -> str:
    headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}
    response, text = await _asked(client, "PUT", "/latest/api/token", headers=headers)
    if response.status_code != 200 or not text or not text.isprintable():
        raise _Unexpected(f"/latest/api/token: {response.status_code}")
    return text


class _Amazon:
    """Asks for the action; five seconds later again."""

    def __init__(self, utc_now: Callable[[], datetime]) -> None:
        self._utc_now = utc_now
        self._session = ""
        self._asked_before = False

    async def __call__(self, client: httpx.AsyncClient) -> Notice | None:
        if self._asked_before:
            await trio.sleep(POLL_S)
        self._asked_before = True
        if not self._session:
            self._session = await _token(client)
        path = "/latest/meta-data/spot/instance-action"
        headers = {"X-aws-ec2-metadata-token": self._session}
        response, text = await _asked(client, "GET", path, headers=headers)
        if response.status_code == 404:
            return None
        if response.status_code != 200:
            self._session = ""  # 401: it has expired
            raise _Unexpected(f"{path}: {response.status_code}")
        return self._notice_of(text)

    def _notice_of(self, text: str) -> Notice:
        try:
            document = json.loads(text)
            action = document["action"]
        except (ValueError, KeyError, TypeError) as error:
            raise _Unexpected(f"spot/instance-action: not JSON with an action: {text!r}") from error
        if action not in ("terminate", "stop", "hibernate"):
            raise _Unexpected(f"spot/instance-action: unknown action {action!r}")
        return Notice("ec2", f"{action} at {document.get('time')}", self._drain_s(document))

    def _drain_s(self, document: Mapping[str, Any]) -> float:
        try:
            ends = datetime.fromisoformat(str(document["time"]))
            left_s = (ends - self._utc_now()).total_seconds() - EC2_SPARE_S
        except (KeyError, ValueError, TypeError):
            return EC2_DRAIN_S_MAX
        return min(EC2_DRAIN_S_MAX, max(EC2_DRAIN_S_MIN, left_s))
