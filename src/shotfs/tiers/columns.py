"""Revisions as columns: for who looks at a million of them and needs no object for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shotfs.digest import Checksums
from shotfs.tiers.base import Revision, identity_text


@dataclass(frozen=True, slots=True)
class RevisionColumns:
    """Revisions of one tier, as columns of one length; see `tiers.base.Revision`.

    Attributes:
        tier: of all of them.
        sums: of each md5, crc32c and our digest, where the tier says them; else None.
    """

    tier: str
    keys: Sequence[str]
    sizes_bytes: Sequence[int]
    versions: Sequence[str]
    sums: Sequence[Sequence[Any]]

    def __len__(self) -> int:
        return len(self.keys)

    def first(self) -> Revision:
        """Return the first one; there is one."""
        md5, crc32c, digest = self.sums[0]
        return Revision(
            self.tier, self.keys[0], self.sizes_bytes[0], self.versions[0], 0,
            Checksums(md5, crc32c, digest),
        )  # fmt: skip

    def part(self, start: int, stop: int) -> RevisionColumns:
        """Return those from *start* up to *stop*."""
        here = slice(start, stop)
        return RevisionColumns(
            self.tier, self.keys[here], self.sizes_bytes[here], self.versions[here], self.sums[here]
        )

    def identities(self) -> list[str]:
        """Return `Revision.identity` of each."""
        tier = self.tier
        return [
            identity_text(tier, key, version, size_bytes)
            for key, version, size_bytes in zip(
                self.keys, self.versions, self.sizes_bytes, strict=True
            )
        ]
