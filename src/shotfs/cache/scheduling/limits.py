"""Limits of one origin, as the scheduler reads them. Values only."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OriginLimits:
    """What one origin may be asked for.

    Attributes:
        connections_max: requests at once.
        range_bytes_max: the largest bulk request, in bytes.
    """

    connections_max: int = 16
    range_bytes_max: int = 8 * MIB
