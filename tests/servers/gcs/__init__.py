"""A strict Google Cloud Storage server on loopback: JSON and XML APIs, faults, counters."""

from tests.servers.faults import Fault, FaultHandle
from tests.servers.gcs.model import StoredObject
from tests.servers.gcs.server import GcsServer
from tests.servers.journal import RequestRecord

__all__ = ["Fault", "FaultHandle", "GcsServer", "RequestRecord", "StoredObject"]
