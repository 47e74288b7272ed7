"""Scheduling: which request may go next, how large it is, and what it may cost."""

from shotfs.cache.scheduling.classes import FetchClass
from shotfs.cache.scheduling.slots import FetchSlots

__all__ = ["FetchClass", "FetchSlots"]
