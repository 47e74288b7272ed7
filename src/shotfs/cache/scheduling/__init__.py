"""Scheduling: which request may go next, how large it is, and what it may cost."""

from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.limits import OriginLimits
from shotfs.cache.scheduling.pace import Pace
from shotfs.cache.scheduling.scheduler import FetchScheduler
from shotfs.cache.scheduling.slot import Queued, Slot

__all__ = ["FetchClass", "FetchScheduler", "OriginLimits", "Pace", "Queued", "Slot"]
