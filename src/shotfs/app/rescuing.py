"""Rescuing: what `shotfs publish rescue` asks a node to do."""

from __future__ import annotations

from collections.abc import Sequence

from shotfs.app.node import Node
from shotfs.errors import InvalidArgument
from shotfs.publish.rescue import Rescued, Rescuer


async def rescue(
    node: Node, url: str | None, of_node: str | None, *, dry_run: bool
) -> Sequence[Rescued]:
    """Publish what nodes left in the emergency place *url*; None: in that of the configuration.

    Raises:
        InvalidArgument: there is none.
        NodeLeaves: this node leaves itself.
        TierError: the place cannot be listed.
    """
    url = url or node.settings.spool.emergency
    if url is None:
        raise InvalidArgument(
            "no emergency place is configured", fix="name its URL, or set spool.emergency"
        )
    node.filesystem.gate.check("publish rescue")
    terms_of = node.filesystem.output_terms
    rescuer = Rescuer(node.spool, node.publisher, node.tiers.get, terms_of, url)
    found = await rescuer.run(of_node, dry_run=dry_run)
    taken = sum(one.outcome in ("published", "waits", "conflict") for one in found)
    node.metrics.emergency_copies["rescued"].inc(taken)
    return found
