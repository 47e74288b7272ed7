"""Version manifests: the object that says that a version is published, and what is in it.

``.shotfs/versions/<path of the version directory>.json`` below the root of its origin; see
`docs/design/versions.md`. Pure; large ones are encoded and decoded in threads by who calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shotfs.digest import Checksums, Digest
from shotfs.errors import RecordInvalid
from shotfs.namespace.alias_document import parse_time
from shotfs.namespace.snapshots import TreeSnapshot
from shotfs.pathspec import RESERVED
from shotfs.tiers.base import Revision

FORMAT = "shotfs-version/1"

FILES_MAX = 200_000
"""The most files that one version may have; their manifest is about 60 MB."""

BYTES_MAX = 256 * 1024 * 1024
"""The largest manifest that is read."""

SEALING = "sealing"
SEALED = "sealed"


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
    return f'{text}, "files": [\n{rows}\n]}}\n'.encode()


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
        return _manifest(json.loads(data), tier)
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
    return Manifest(
        path=path,
        sealed=state == SEALED,
        by=document["by"],
        at=document["at"],
        why=texts[3],
        attempt=texts[4],
        files=dict(_files(document.get("files", ()), path, tier)),
    )


def _files(
    rows: Iterable[Mapping[str, Any]], path: str, tier: str
) -> Iterable[tuple[str, Revision]]:
    for row in rows:
        sums, digest = row.get("checksums", {}), row.get("digest")
        size, mtime_ns, version = row["size"], row["mtime_ns"], row["version"]
        if not (_is_whole(size) and size >= 0 and _is_whole(mtime_ns)):
            raise ValueError(f"{row['path']!r}: size or mtime_ns is no whole number")
        if not (isinstance(row["path"], str) and isinstance(version, str)):
            raise TypeError("path and version of a file must be text")
        yield (
            row["path"],
            Revision(
                tier=tier,
                key=f"{path}/{row['path']}",
                size_bytes=size,
                version=version,
                mtime_ns=mtime_ns,
                checksums=Checksums(
                    md5=sums.get("md5"),
                    crc32c=sums.get("crc32c"),
                    xxh128=None if digest is None else Digest(digest),
                ),
            ),
        )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def snapshot_of(manifest: Manifest, where: str) -> TreeSnapshot:
    """Return the tree that a sealed manifest describes.

    Raises:
        RecordInvalid: a path in it is none.
    """
    try:
        return TreeSnapshot(manifest.files)
    except ValueError as exc:
        raise RecordInvalid(f"{where}: not a version manifest: {exc}") from exc
