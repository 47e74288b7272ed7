"""Foreign errors into ours: the one place that knows how other libraries say no.

Statuses and exceptions of aiohttp, google-auth, botocore, obstore and the operating system come
in; a `TierError` that names the URL, the fix and the setting comes out. Libraries are looked up
in `sys.modules`: one that was never imported raised nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable, Iterator

from shotfs.errors import (
    AccessDenied,
    BucketNotFound,
    ObjectNotFound,
    PreconditionFailed,
    RevisionChanged,
    ShotfsError,
    TierBusy,
    TierCorrupt,
    TierError,
    TierTimeout,
    TierUnavailable,
)
from shotfs.tiers.cloud.origin import Origin

_TEXT_CHARACTERS_MAX = 300
_STATUS = re.compile(r"non-2xx status code: (\d{3})[^:]*:?\s*(.*)", re.DOTALL)
_KIND = re.compile(r"\bkind: (Connect|Timeout|Interrupted|Decode|Request|Unknown)\b")

# S3's 400 and 503, GCS's 403 and 429. Only in the place of a code: the page of a load balancer may
# have such words, and that the store is asked too often is the store's to say.
_BUSY_CODE = re.compile(
    r"(?:^\s*|<Code>\s*|\"reason\":\s*\")"
    r"(?:rateLimitExceeded|userRateLimitExceeded|SlowDown|RequestTimeout)\b"
)
_CORRUPT_REASONS = (
    "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody",
    "doesn't match calculated",  # GCS, of a checksum in the resource
)  # fmt: skip
_DENIED_REASONS = (
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "RequestTimeTooSkewed", "AuthorizationHeaderMalformed",
)  # fmt: skip


class EngineUnfit(TierError):
    """The server does not send what obstore needs; the other engine can do without."""


def bucket_not_found(origin: Origin) -> BucketNotFound:
    """Return the error for a root that does not exist."""
    return BucketNotFound(
        f"{origin.name} does not exist",
        fix=f"create it, or correct the URL in the specification{_endpoint(origin)}",
    )


def _endpoint(origin: Origin) -> str:
    """Say where we look, for the stores where a setting decides that."""
    if origin.root.scheme not in ("gs", "s3"):
        return ""
    used = origin.settings.endpoint_url or "not set: the provider's own"
    return f" ({origin.setting('endpoint_url')} is {used})"


def object_not_found(origin: Origin, key: str) -> ObjectNotFound:
    """Return the error for a key without an object."""
    return ObjectNotFound(f"{origin.url(key)} does not exist")


def revision_changed(origin: Origin, key: str, version: str) -> RevisionChanged:
    """Return the error for an object that is not the revision that was asked for."""
    return RevisionChanged(f"{origin.url(key)} is not version {version} any more")


def check_whole(origin: Origin, key: str, content_range: str | None, size_bytes: int) -> None:
    """Raise RevisionChanged if a Content-Range says that the object has another size."""
    whole = (content_range or "").rpartition("/")[2]
    if whole.isdecimal() and int(whole) != size_bytes:
        raise RevisionChanged(f"{origin.url(key)} has {whole} bytes, not {size_bytes}")


def version_gone(origin: Origin, key: str, version: str) -> RevisionChanged:
    """Return the error for an old version of an object that the store does not have any more."""
    return RevisionChanged(
        f"{origin.url(key)}: its version {version} is not kept any more",
        fix="look at the bucket's lifecycle rules: they say how long old versions are kept",
    )


def precondition_failed(origin: Origin, key: str, expected: str | None) -> PreconditionFailed:
    """Return the error for a put or delete that lost."""
    if expected is None:
        return PreconditionFailed(f"{origin.url(key)} exists already")
    return PreconditionFailed(f"{origin.url(key)} is not version {expected} any more")


def access_denied(origin: Origin, what: str, text: str) -> AccessDenied:
    """Return the error for credentials that are wrong or not enough."""
    return AccessDenied(
        f"{what}: access denied: {shortened(text)}",
        fix=f"check {origin.setting('credentials_file')} (or access_key_env, anonymous) and that"
        " the account may read, list and, for outputs, create objects there",
    )


def unavailable(origin: Origin, what: str, text: str) -> TierUnavailable:
    """Return the error for a tier that cannot be reached or is overloaded."""
    return TierUnavailable(
        f"{what}: {shortened(text)}",
        fix=f"check the network and that the server runs{_endpoint(origin)}",
    )


def busy(what: str, text: str) -> TierBusy:
    """Return the error for a tier that answers, but has no time for this request."""
    return TierBusy(
        f"{what}: {shortened(text)}",
        fix="the store asks for fewer requests: lower network.connections_max, or raise its quota",
    )


def timed_out(origin: Origin, what: str, deadline_s: float | None = None) -> TierTimeout:
    """Return the error for a request that did not end in *deadline_s* (None: that stood still)."""
    waited_s = origin.network.progress_timeout_s if deadline_s is None else deadline_s
    return TierTimeout(
        f"{what}: no answer, or no progress, for {waited_s:g} s",
        fix="check the network; network.metadata_timeout_s and network.progress_timeout_s say how"
        " long we wait",
    )


def no_place(origin: Origin, what: str, waited_s: float) -> TierTimeout:
    """Return the error for a request that could not begin: those before it did not end."""
    return TierTimeout(
        f"{what}: {origin.connections_max} requests to this origin are under way and none ended"
        f" within {waited_s:g} s",
        fix="check that the origin answers; network.connections_max (or that of the origin) is the"
        " limit",
    )


def corrupt(what: str, text: str) -> TierCorrupt:
    """Return the error for bytes that contradict what was said of them."""
    return TierCorrupt(f"{what}: {shortened(text)}")


def shortened(text: str) -> str:
    """Return *text* in one line of bounded length: a server's answer may be a whole page."""
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_CHARACTERS_MAX else line[:_TEXT_CHARACTERS_MAX] + "..."


def from_status(origin: Origin, what: str, status: int, text: str) -> ShotfsError:
    """Return the error for an HTTP status of 400 and more.

    404 and 412 mean different things to different requests: adapters that can tell more decide
    before they come here. What is busy is an answer, what is unavailable counts for the breaker.
    """
    said = f"HTTP {status} {text}".strip()
    if _BUSY_CODE.search(text):
        return busy(what, said)
    if any(reason in text for reason in _CORRUPT_REASONS):
        return corrupt(what, said)
    if status in (401, 403, 407) or any(reason in text for reason in _DENIED_REASONS):
        return access_denied(origin, what, said)
    if status in (404, 410):
        return ObjectNotFound(f"{what} does not exist")
    if status == 412:
        return PreconditionFailed(f"{what}: {shortened(said)}")
    if status == 416:
        return RevisionChanged(f"{what} is shorter than it was: {shortened(said)}")
    # 409 is S3's answer to two conditional writes at once: ask again, then one of them lost.
    if status in (408, 409, 425, 429):
        return busy(what, said)
    if status >= 500 and status != 501:
        return unavailable(origin, what, said)
    return TierError(f"{what}: {shortened(said)}")


def translate(exc: BaseException, origin: Origin, what: str) -> ShotfsError:
    """Return our error for a foreign exception from a metadata or upload request."""
    if isinstance(exc, ShotfsError):
        return exc
    if isinstance(exc, TimeoutError | asyncio.TimeoutError):
        return timed_out(origin, what)
    for known in (_from_botocore, _from_aiohttp, _from_google):
        found = known(exc, origin, what)
        if found is not None:
            return found
    if isinstance(exc, FileNotFoundError):
        return ObjectNotFound(f"{what} does not exist")
    if isinstance(exc, PermissionError):
        return access_denied(origin, what, str(exc))
    if isinstance(exc, ConnectionError | OSError):
        return unavailable(origin, what, f"{type(exc).__name__}: {exc}")
    return TierError(f"{what}: {type(exc).__name__}: {shortened(str(exc))}")


def _from_botocore(exc: BaseException, origin: Origin, what: str) -> ShotfsError | None:
    library = sys.modules.get("botocore.exceptions")
    if library is None:
        return None
    # s3fs hides the answer of the server in the cause of an OSError.
    for one in (exc, exc.__cause__):
        if isinstance(one, library.ClientError):
            answer = one.response
            error = answer.get("Error", {})
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            text = f"{error.get('Code', '')} {error.get('Message', '')}"
            if "NoSuchBucket" in text:
                return bucket_not_found(origin)
            return from_status(origin, what, int(status), text)
    if isinstance(exc, library.NoCredentialsError | library.PartialCredentialsError):
        return access_denied(origin, what, str(exc))
    if isinstance(exc, library.ReadTimeoutError | library.ConnectTimeoutError):
        return timed_out(origin, what)
    if isinstance(exc, library.HTTPClientError | library.ConnectionError):
        return unavailable(origin, what, str(exc))
    return None


def _from_aiohttp(exc: BaseException, origin: Origin, what: str) -> ShotfsError | None:
    library = sys.modules.get("aiohttp")
    if library is None:
        return None
    if isinstance(exc, library.ServerTimeoutError):
        return timed_out(origin, what)
    if isinstance(exc, library.ClientPayloadError):
        return corrupt(what, f"the answer ended early: {exc}")
    if isinstance(exc, library.ClientResponseError):
        if isinstance(exc.__cause__, library.http_exceptions.HttpProcessingError):
            # aiohttp calls it a 400, as if the server had refused us.
            return unavailable(origin, what, f"the answer is not HTTP: {exc.message}")
        return from_status(origin, what, exc.status, exc.message)
    if isinstance(exc, library.ClientError):
        return unavailable(origin, what, f"{type(exc).__name__}: {exc}")
    return None


def _from_google(exc: BaseException, origin: Origin, what: str) -> ShotfsError | None:
    wrapper = sys.modules.get("gcsfs.retry")
    if wrapper is not None and isinstance(exc, wrapper.HttpError | wrapper.NonRetryableError):
        # gcsfs' forms of a token that could not be refreshed.
        return access_denied(origin, what, str(exc))
    library = sys.modules.get("google.auth.exceptions")
    if library is None or not isinstance(exc, library.GoogleAuthError):
        return None
    if isinstance(exc, library.TransportError):
        return unavailable(origin, what, str(exc))
    return access_denied(origin, what, str(exc))


def from_obstore(exc: Exception, origin: Origin, what: str) -> ShotfsError:
    """Return our error for an exception of obstore's `get` or of its stream.

    obstore 0.12 gives most conditions as one class whose text carries the Debug form of the Rust
    error, so the text is what there is to look at (all forms below were provoked, 2026-11).

    Raises nothing; `EngineUnfit` is returned when the server is one that obstore cannot use.
    """
    text = str(exc)
    first = text.partition("\n")[0]
    # The body of an answer has lines of its own: S3's begins with one for XML.
    said = text.partition("\n\nDebug source:")[0]
    name = type(exc).__name__
    if isinstance(exc, FileNotFoundError):
        return ObjectNotFound(f"{what} does not exist: {shortened(first)}")
    if name in ("PermissionDeniedError", "UnauthenticatedError"):
        return access_denied(origin, what, first)
    if name in ("PreconditionError", "NotModifiedError"):
        return RevisionChanged(f"{what} was replaced since it was looked up")
    if "Header missing from response" in text or name == "NotSupportedError":
        return EngineUnfit(f"{what}: {shortened(first)}")
    if "NotPartial" in text or name == "InvalidPathError":
        return EngineUnfit(f"{what}: {shortened(first)}")
    status = _STATUS.search(said)
    if status is not None:
        if status[1] == "501":
            return EngineUnfit(f"{what}: {shortened(first)}")
        return from_status(origin, what, int(status[1]), status[2])
    kind = _KIND.search(text)
    if kind is not None and kind[1] == "Timeout":
        return timed_out(origin, what)
    if kind is not None and kind[1] in ("Interrupted", "Decode"):
        return corrupt(what, f"the answer ended early: {first}")
    reason = re.search(r'(?:message|error): "([^"]+)"', text)
    return unavailable(origin, what, f"{first}{': ' + reason[1] if reason else ''}")


def from_os(exc: OSError, origin: Origin, key: str) -> ShotfsError:
    """Return our error for an OSError of a plain directory."""
    what = origin.url(key)
    if exc.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        return object_not_found(origin, key)
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessDenied(
            f"{what}: {exc.strerror}",
            fix="give the service user the right to read (and, for outputs, write) there",
        )
    if exc.errno in (errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENETDOWN):
        return unavailable(origin, what, exc.strerror or str(exc))
    return TierError(f"{what}: {exc.strerror or exc}", errno=exc.errno)


@contextlib.contextmanager
def os_errors(origin: Origin, key: str, root_exists: Callable[[], bool]) -> Iterator[None]:
    """Translate the OSErrors of a plain directory; a missing one may be the root's."""
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR) and not root_exists():
            raise bucket_not_found(origin) from exc
        raise from_os(exc, origin, key) from exc


def check_credentials_file(origin: Origin) -> None:
    """Raise AccessDenied if the credentials file cannot be read; a blocking look at the disk.

    gcsfs would take the path of a missing file for a token and send it to Google.
    """
    path = origin.settings.credentials_file
    if path is not None and not os.access(path, os.R_OK):
        raise AccessDenied(
            f"{origin.name}: the credentials file {path} does not exist or cannot be read",
            fix=f"correct {origin.setting('credentials_file')}, or let the service user read it",
        )
