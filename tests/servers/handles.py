"""What the fixtures give to tests: where a server is, a place of its own there, and its control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.servers import s3
from tests.servers.gcs import Fault, FaultHandle, GcsServer, RequestRecord, StoredObject
from tests.servers.gcs_emulator import GcsEmulator
from tests.servers.http import HttpServer
from tests.servers.nginx import Nginx

GCS_TOKEN = "test-token"


@dataclass(frozen=True, slots=True)
class GcsBucket:
    """A fresh bucket on the strict GCS server.

    Attributes:
        endpoint: for gcsfs' `endpoint_url` and obstore's `base_url`.
        bucket: its name.
        server: the whole server: `store`, `journal`, `faults`, `go_down`, `come_up`.
    """

    endpoint: str
    bucket: str
    server: GcsServer

    @property
    def url(self) -> str:
        return f"gs://{self.bucket}"

    @property
    def obstore_options(self) -> dict[str, Any]:
        """Keyword arguments for `obstore.store.GCSStore`.

        A bearer token and not `skip_signature`: with the latter, obstore 0.12 still asks the
        cloud's metadata service for a token before every PUT, POST and DELETE (seen 2026-11).
        """
        return {
            "bucket": self.bucket,
            "base_url": self.endpoint,
            "bearer_token": GCS_TOKEN,
            "client_options": {"allow_http": True},
            "retry_config": {"max_retries": 0},
        }

    @property
    def gcsfs_options(self) -> dict[str, Any]:
        """Keyword arguments for `gcsfs.GCSFileSystem`."""
        return gcsfs_options(self.endpoint)

    def put(
        self,
        name: str,
        data: bytes,
        *,
        metadata: Mapping[str, str] | None = None,
        now: datetime | None = None,
    ) -> StoredObject:
        """Store an object behind the clients' backs, replacing what is there.

        Args:
            name: of the object.
            data: its bytes.
            metadata: its own.
            now: as if at that time; times of one name must rise.
        """
        return self.server.store.put(self.bucket, name, data, metadata=metadata, now=now)

    def keep_versions(self) -> None:
        """Keep what is replaced or deleted from now on."""
        self.server.store.bucket(self.bucket).versioning = True

    def get(self, name: str) -> StoredObject:
        """Return what is stored; raises `refusals.Refusal` (404) when there is nothing."""
        return self.server.store.get(self.bucket, name)

    def read(self, name: str) -> bytes:
        return self.server.store.read(self.bucket, name)

    def delete(
        self, name: str, *, generation: int | None = None, now: datetime | None = None
    ) -> None:
        """Delete an object, or one *generation* of it for good; *now* as of `put`."""
        self.server.store.delete(self.bucket, name, generation=generation, now=now)

    def names(self) -> list[str]:
        return self.server.store.names(self.bucket)

    def fault(self, fault: Fault) -> FaultHandle:
        """Put a fault in force; all faults end with the test."""
        return self.server.fault(fault)

    def requests(
        self,
        operation: str | None = None,
        *,
        object: str | None = None,  # noqa: A002  the word that the stores use
    ) -> list[RequestRecord]:
        """Return the requests to this bucket, oldest first, that are equal in all that is given."""
        return self.server.journal.records(operation, bucket=self.bucket, object=object)

    def sent_bytes(self, name: str) -> int:
        """Return how many bytes of an object's content were sent so far."""
        return self.server.journal.sent_bytes(bucket=self.bucket)[name]


@dataclass(frozen=True, slots=True)
class S3Bucket:
    """A fresh bucket on a moto server.

    Attributes:
        endpoint: for s3fs' `endpoint_url` and obstore's `endpoint`.
        bucket: its name.
        server: the whole server; `server.process.halt` and `start` take it down and up again
            (moto keeps everything in memory, so it comes back empty).
    """

    endpoint: str
    bucket: str
    server: s3.S3Server

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def s3fs_options(self) -> dict[str, Any]:
        """Keyword arguments for `s3fs.S3FileSystem`."""
        return s3.s3fs_options(self.endpoint)

    @property
    def obstore_options(self) -> dict[str, Any]:
        """Keyword arguments for `obstore.store.S3Store`."""
        return s3.obstore_options(self.endpoint, self.bucket)

    def put(self, name: str, data: bytes, *, metadata: Mapping[str, str] | None = None) -> None:
        """Store an object behind the clients' backs, replacing what is there."""
        self._request("PUT", name, data, metadata).raise_for_status()

    def keep_versions(self) -> None:
        """Keep what is replaced or deleted from now on."""
        body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
        self.server.request("PUT", f"/{self.bucket}?versioning", body).raise_for_status()

    def forget(self, name: str, version: str) -> None:
        """Delete one version of an object for good."""
        path = f"/{self.bucket}/{quote(name)}?versionId={quote(version)}"
        self.server.request("DELETE", path).raise_for_status()

    def read(self, name: str) -> bytes:
        return self._request("GET", name).raise_for_status().content

    def delete(self, name: str) -> None:
        self._request("DELETE", name).raise_for_status()

    def uploads(self) -> list[str]:
        """Return the keys of the multipart uploads that were begun and did not end."""
        return self.server.uploads(self.bucket)

    def _request(
        self,
        method: str,
        name: str,
        content: bytes = b"",
        metadata: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        path = f"/{self.bucket}/{quote(name)}"
        return self.server.request(method, path, content, metadata=metadata)


@dataclass(frozen=True, slots=True)
class EmulatorBucket:
    """A fresh bucket on the gcp-storage-emulator of PyPI."""

    endpoint: str
    bucket: str
    server: GcsEmulator

    @property
    def url(self) -> str:
        return f"gs://{self.bucket}"

    @property
    def gcsfs_options(self) -> dict[str, Any]:
        """Keyword arguments for `gcsfs.GCSFileSystem`."""
        return gcsfs_options(self.endpoint)


@dataclass(frozen=True, slots=True)
class HttpRoot:
    """A directory that our plain HTTP server serves.

    Attributes:
        url: of the directory, ending in a slash.
        path: the directory itself; write into it to change what is served.
        server: `journal`, `faults`, `go_down`, `come_up`.
    """

    url: str
    path: Path
    server: HttpServer

    def fault(self, fault: Fault) -> FaultHandle:
        """Put a fault in force; all faults end with the test."""
        return self.server.fault(fault)

    def requests(
        self,
        operation: str | None = None,
        *,
        object: str | None = None,  # noqa: A002  the word that the stores use
    ) -> list[RequestRecord]:
        """Return the requests, oldest first, that are equal in all that is given."""
        return self.server.journal.records(operation, object=object)


@dataclass(frozen=True, slots=True)
class NginxRoot:
    """A directory that nginx serves; `url` ends in a slash."""

    url: str
    path: Path
    server: Nginx


def gcsfs_options(endpoint: str) -> dict[str, Any]:
    """Return keyword arguments for `gcsfs.GCSFileSystem`."""
    return {
        "project": "test",
        "token": "anon",
        "endpoint_url": endpoint,
        "use_listings_cache": False,
        "skip_instance_cache": True,
    }
