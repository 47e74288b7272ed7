"""Version manifests: the object that says that a version is published, and what is in it.

``.shotfs/versions/<path of the version directory>.json`` below the root of its origin; see
`docs/design/versions.md`. Pure; large ones are encoded and decoded in threads by who calls. Who can
write an origin can write these, so nothing in them is believed that is not checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.digest import Checksums, parse_digest
from shotfs.errors import RecordInvalid
from shotfs.namespace.alias_document import parse_time
from shotfs.namespace.snapshots import TreeSnapshot
from shotfs.pathspec import RESERVED
from shotfs.tiers.base import KEY_BYTES_MAX, Revision

FORMAT = "shotfs-version/1"

FILES_MAX = 200_000
"""The most files that one version may have; their manifest is about 60 MB."""

BYTES_MAX = 256 * 1024 * 1024
"""The largest manifest that is read."""

VERSION_CHARACTERS_MAX = 1024
"""The longest name of a revision; stores have fewer than 100."""

SEALING = "sealing"
SEALED = "sealed"

_INT64_MAX = 2**63 - 1

_NO_KEY = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]|(?:\A|/)\.{0,2}(?:/|\Z)")
"""Finds what `tiers.keys.check_key` refuses, in one call: a manifest has 200,000 paths."""

_MD5 = re.compile(r"[0-9a-f]{32}")
_CRC32C = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of a version that somebody publishes or has published.

    Attributes:
        path: of the version directory, relative to the show.
        sealed: False while the one who publishes it still looks at what is in it.
        by: who publishes it, like ``anna@node17``.
        at: since when nobody may write it, like ``2026-11-21T06:00:00.123456Z``.
        why: in the words of whoever published it; may be empty.
        attempt: random text, to tell one's own put from somebody else's.
        files: path, relative to the version directory, to its revision; empty before it is sealed.
    """

    path: str
    sealed: bool
    by: str
    at: str
    why: str
    attempt: str
    files: Mapping[str, Revision]


def key_of(version: str) -> str:
    """Return the key of the manifest of the version directory *version*."""
    return f"{RESERVED}/versions/{version}.json"


def encode(manifest: Manifest) -> bytes:
    """Return the manifest's object: one line for each file, in the order of their names."""
    head = {
        "manifest": FORMAT,
        "path": manifest.path,
        "state": SEALED if manifest.sealed else SEALING,
        "by": manifest.by,
        "at": manifest.at,
        "why": manifest.why,
        "attempt": manifest.attempt,
    }
    text = json.dumps(head, ensure_ascii=False)[:-1]
    rows = ",\n".join(
        json.dumps(_row(path, manifest.files[path]), ensure_ascii=False)
        for path in sorted(manifest.files)
    )
    # Half a character, as a name that is no UTF-8 has it, becomes an escape of JSON.
    return f'{text}, "files": [\n{rows}\n]}}\n'.encode(errors="backslashreplace")


def _row(path: str, revision: Revision) -> dict[str, Any]:
    sums = revision.checksums
    known = {"md5": sums.md5, "crc32c": sums.crc32c}
    return {
        "path": path,
        "size": revision.size_bytes,
        "mtime_ns": revision.mtime_ns,
        "version": revision.version,
        "checksums": {name: value for name, value in known.items() if value is not None},
        "digest": sums.xxh128,
    }


def decode(data: bytes, where: str, *, tier: str) -> Manifest:
    """Return what the object *where* says.

    Args:
        data: its content.
        where: its URL, for messages.
        tier: name of the tier that it and its files are in.

    Raises:
        RecordInvalid: it is not what `encode` writes.
    """
    try:
        # The hook does nothing but let the event loop have the GIL, once for each file.
        return _manifest(json.loads(data, object_hook=_as_it_is), tier)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise RecordInvalid(
            f"{where}: not a version manifest: {exc}",
            fix="restore an older generation of it; without it the version's files can change",
        ) from exc


def _manifest(document: Mapping[str, Any], tier: str) -> Manifest:
    if document["manifest"] != FORMAT:
        raise ValueError(f"its form is {document['manifest']!r}, this shotfs knows {FORMAT!r}")
    state, path = document["state"], document["path"]
    if state not in (SEALING, SEALED):
        raise ValueError(f"its state is {state!r}")
    texts = [document[name] for name in ("path", "by", "at")]
    texts += [document.get("why", ""), document.get("attempt", "")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("path, by, at, why and attempt must be text")
    parse_time(document["at"])
    rows = document.get("files", [])
    if not isinstance(rows, list):
        raise TypeError("files must be a list")
    count = len(rows)
    if count > FILES_MAX:
        raise ValueError(f"it has more than {FILES_MAX} files")
    files = dict(_files(rows, path, tier))
    if len(files) != count:
        raise ValueError("a file is in it twice")
    return Manifest(
        path=path,
        sealed=state == SEALED,
        by=document["by"],
        at=document["at"],
        why=texts[3],
        attempt=texts[4],
        files=files,
    )


def _as_it_is(document: dict[str, Any]) -> dict[str, Any]:
    return document


def _files(rows: list[Mapping[str, Any]], path: str, tier: str) -> Iterator[tuple[str, Revision]]:
    """Yield the files that *rows* name; empties it, so that it does not go in one long moment."""
    rows.reverse()
    while rows:
        row = rows.pop()
        name, size, mtime_ns, version = (
            row[key] for key in ("path", "size", "mtime_ns", "version")
        )
        if not isinstance(name, str) or _NO_KEY.search(name) is not None:
            raise ValueError(f"not a path in a tree: {str(name)[:80]!r}")
        key = f"{path}/{name}"
        if len(key.encode()) > KEY_BYTES_MAX:
            raise ValueError(f"longer than {KEY_BYTES_MAX} bytes: {key[:80]!r}...")
        if not (_is_whole(size) and size >= 0 and _is_whole(mtime_ns)):
            raise ValueError(f"{name!r}: size or mtime_ns is no whole number of 64 bits")
        if not (isinstance(version, str) and 0 < len(version) <= VERSION_CHARACTERS_MAX):
            raise ValueError(f"{name!r}: version must be a short text")
        if not version.isprintable():
            raise ValueError(f"{name!r}: version has characters that no store uses")
        sums, digest = row.get("checksums", {}), row.get("digest")
        yield (
            name,
            Revision(
                tier=tier,
                key=key,
                size_bytes=size,
                version=version,
                mtime_ns=mtime_ns,
                checksums=Checksums(
                    md5=_checked(_MD5, sums.get("md5")),
                    crc32c=_checked(_CRC32C, sums.get("crc32c")),
                    xxh128=None if digest is None else parse_digest(digest),
                ),
            ),
        )


def _is_whole(value: object) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and -_INT64_MAX <= value <= _INT64_MAX  # type: ignore[operator]  # it is an int


def _checked(form: re.Pattern[str], value: Any) -> str | None:
    """Return *value* if it is None or has the *form*; raises TypeError or ValueError."""
    if value is None:
        return None
    if form.fullmatch(value) is None:
        raise ValueError(f"not a checksum: {value[:80]!r}")
    return str(value)


def snapshot_of(manifest: Manifest, where: str) -> TreeSnapshot:
    """Return the tree that a sealed manifest describes.

    Raises:
        RecordInvalid: a path in it is none.
    """
    try:
        return TreeSnapshot(manifest.files)
    except ValueError as exc:
        raise RecordInvalid(f"{where}: not a version manifest: {exc}") from exc
