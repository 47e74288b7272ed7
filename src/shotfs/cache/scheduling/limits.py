"""Limits of one origin, as the scheduler reads them. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from shotfs.config.models import Settings
from shotfs.config.network_models import NetworkSettings, OriginSettings
from shotfs.config.rates import Rate

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class OriginLimits:
    """What one origin may be asked for.

    Attributes:
        connections_max: requests at once.
        range_bytes_max: the largest bulk request, in bytes.
        account: under which name bandwidth and egress are counted, together with all origins of
            the same section of the configuration; "" for the origin's own name.
        bytes_in_flight_max: bytes on their way at once; None: as the scheduler shares them out.
        rates: bandwidth by time of day, the first that holds; empty: no limit.
        egress_day_bytes_max: bytes read in any 24 hours; None: no limit.
        egress_job_bytes_max: bytes read by one job; None: no limit.
        egress_warn_share: from which share of these on to warn.
    """

    connections_max: int = 16
    range_bytes_max: int = 8 * MIB
    account: str = ""
    bytes_in_flight_max: int | None = None
    rates: tuple[Rate, ...] = ()
    egress_day_bytes_max: int | None = None
    egress_job_bytes_max: int | None = None
    egress_warn_share: float = 0.8

    @property
    def counts_egress(self) -> bool:
        """Whether there is a budget."""
        return self.egress_day_bytes_max is not None or self.egress_job_bytes_max is not None


def limits_of(settings: Settings, origin: str) -> OriginLimits:
    """Return what the configuration says of the origin with this root URL."""
    section = settings.section_for(origin)
    own = OriginSettings() if section is None else settings.origins[section]
    return OriginLimits(
        connections_max=own.connections_max or settings.network.connections_max,
        range_bytes_max=settings.network.range_bytes,
        account=section or "",
        bytes_in_flight_max=own.bytes_in_flight_max,
        rates=own.rates,
        egress_day_bytes_max=own.egress_bytes_per_day_max,
        egress_job_bytes_max=own.egress_bytes_per_job_max,
        egress_warn_share=own.egress_warn_share,
    )


def network_limits(network: NetworkSettings) -> OriginLimits:
    """Return what holds for an origin of which the configuration says nothing."""
    return OriginLimits(network.connections_max, network.range_bytes)
