"""Keys and root URLs: what may be asked of a tier, decided before anything is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from shotfs.errors import NameTooLong, Unsupported
from shotfs.tiers.base import KEY_BYTES_MAX

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_SAME_SCHEME = {"gcs": "gs", "s3a": "s3", "local": "file"}


def check_key(key: str) -> str:
    """Return *key* unchanged if it is one.

    Raises:
        ValueError: empty, or a part is empty, ``.`` or ``..``, or it has control characters.
        NameTooLong: over `KEY_BYTES_MAX` bytes in UTF-8.
    """
    for part in key.split("/"):
        if part in ("", ".", ".."):
            raise ValueError(f"not an object key: {key!r} has the part {part!r}")
    if _CONTROL.search(key):
        raise ValueError(f"not an object key: {key!r} has control characters")
    try:
        length_bytes = len(key.encode())
    except UnicodeEncodeError as exc:
        raise ValueError(f"not an object key: {key!r} is not UTF-8") from exc
    if length_bytes > KEY_BYTES_MAX:
        raise NameTooLong(
            f"object key of {length_bytes} bytes, at most {KEY_BYTES_MAX}: {key[:80]!r}...",
            fix="use shorter names in the template",
        )
    return key


def is_key(key: str) -> bool:
    """Tell whether *key* is one; a listing may hold foreign names that are not."""
    try:
        check_key(key)
    except (ValueError, NameTooLong):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Root:
    """A root URL, taken apart.

    Attributes:
        scheme: lower case, aliases resolved (``gcs`` is ``gs``).
        host: the bucket, host or empty; never with credentials.
        path: what follows, without slashes at its ends; for file an absolute path.
    """

    scheme: str
    host: str
    path: str

    @property
    def name(self) -> str:
        """The normalised URL."""
        if self.scheme == "file":
            return f"file://{self.path}"
        return f"{self.scheme}://{self.host}" + (f"/{self.path}" if self.path else "")

    @property
    def key_prefix(self) -> str:
        """What stands before each key in the store: empty, or ends in a slash. Empty for file."""
        return f"{self.path}/" if self.path and self.scheme != "file" else ""


def parse_root(url: str) -> Root:
    """Return the parts of a root URL.

    Raises:
        Unsupported: it has no scheme, a query, or (gs, s3, http) no bucket or host.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme:
        raise Unsupported(
            f"not an origin's URL: {url!r}", fix="write a URL such as gs://bucket/shows"
        )
    scheme = _SAME_SCHEME.get(scheme.lower(), scheme.lower())
    if scheme == "file":
        if not rest.startswith("/"):
            raise Unsupported(f"{url!r} is not absolute", fix="write file:///absolute/path")
        return Root("file", "", "/" + rest.strip("/"))
    if scheme in ("gs", "s3"):
        # Not urlsplit: it would take '#' and '?', which are ordinary in keys, for its own.
        host, _, path = rest.rpartition("@")[2].partition("/")
    else:
        parts = urlsplit(url)
        host, path = parts.netloc.rpartition("@")[2].lower(), parts.path
    if scheme in ("gs", "s3", "http", "https") and not host:
        raise Unsupported(f"{url!r} names no bucket or host", fix=f"write {scheme}://name/...")
    return Root(scheme, host, path.strip("/"))
