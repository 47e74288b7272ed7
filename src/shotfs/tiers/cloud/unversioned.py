"""What a store without a history, metadata or uploads in parts answers when it is asked of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Protocol

from shotfs.errors import Unsupported
from shotfs.tiers.base import ListPage, Revision
from shotfs.tiers.sessions import Token


class _Named(Protocol):
    @property
    def name(self) -> str: ...


class Unversioned:
    """The part of `Tier` that such stores know nothing of: they keep the newest bytes.

    Such stores mostly keep bytes and nothing else; those that do keep more say so themselves.
    """

    async def keeps_versions(self) -> bool:
        """As `Tier.keeps_versions`: it does not, or has no way to ask for them."""
        return False

    async def recorded(
        self,
        revision: Revision,  # noqa: ARG002  # as `Tier.recorded`
    ) -> Mapping[str, str]:
        """As `Tier.recorded`: there is no place for it."""
        return {}

    async def give_up(self, key: str, token: Token) -> None:
        """As `Tier.give_up`: it knows of no upload before that is whole."""

    async def stat_at(
        self: _Named,
        key: str,  # noqa: ARG002  # as `Tier.stat_at`
        at_ns: int,  # noqa: ARG002  # as above
    ) -> Revision:
        """As `Tier.stat_at`."""
        raise _unsupported(self.name)

    def list_at(
        self: _Named,
        prefix: str,  # noqa: ARG002  # as `Tier.list_at`
        at_ns: int,  # noqa: ARG002  # as above
    ) -> AsyncGenerator[ListPage, None]:
        """As `Tier.list_at`."""
        raise _unsupported(self.name)


def _unsupported(name: str) -> Unsupported:
    return Unsupported(
        f"{name} cannot be seen as of a time: this kind of origin keeps no old versions",
        fix="pin a tree with `shotfs pin create`, or use a bucket of gs:// or s3:// that keeps"
        " object versions",
    )
