"""Scheduling: which request may go next, how large it is, and what it may cost."""

from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.egress import Egress, EgressUse, moment_of
from shotfs.cache.scheduling.hedge_budget import HedgeBudget
from shotfs.cache.scheduling.hedging import hedged_read_to_file
from shotfs.cache.scheduling.keeping import EgressKeeper
from shotfs.cache.scheduling.limits import OriginLimits, limits_of, network_limits
from shotfs.cache.scheduling.pace import Pace
from shotfs.cache.scheduling.scheduler import FetchScheduler
from shotfs.cache.scheduling.slot import Queued, Slot
from shotfs.cache.scheduling.uploads import UploadTurns

__all__ = [
    "Egress",
    "EgressKeeper",
    "EgressUse",
    "FetchClass",
    "FetchScheduler",
    "HedgeBudget",
    "OriginLimits",
    "Pace",
    "Queued",
    "Slot",
    "UploadTurns",
    "hedged_read_to_file",
    "limits_of",
    "moment_of",
    "network_limits",
]
