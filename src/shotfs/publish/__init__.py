"""Outputs: the spool that makes them durable, and the publisher that brings them to the origin."""

from shotfs.publish.entry import Content, Kind, OriginObject, PublishTerms, SpoolEntry
from shotfs.publish.provenance import Writer
from shotfs.publish.publisher import Publisher
from shotfs.publish.queue_item import QueueItem
from shotfs.publish.recovery import open_spool
from shotfs.publish.spool import Spool
from shotfs.publish.spool_file import SpoolFile
from shotfs.publish.states import Event, State, transition

__all__ = [
    "Content",
    "Event",
    "Kind",
    "OriginObject",
    "PublishTerms",
    "Publisher",
    "QueueItem",
    "Spool",
    "SpoolEntry",
    "SpoolFile",
    "State",
    "Writer",
    "open_spool",
    "transition",
]
