"""S3: moto's server in a process of its own.

moto honours ``If-None-Match: *`` on PutObject and CompleteMultipartUpload; it takes any
credentials, and checks no signature. `moto_server` puts some of its answers right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

import httpx

from tests.servers.process import ServerProcess, python

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"
REGION = "us-east-1"


class S3Server:
    """A moto server and the means to make buckets in it."""

    def __init__(self) -> None:
        # Without credentials in the environment, botocore inside moto would look for some.
        environment = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        command = python("-m", "tests.servers.moto_server", "-H", "127.0.0.1", "-p", "{port}")
        self.process = ServerProcess(command, environment=environment)

    @property
    def endpoint(self) -> str:
        return self.process.endpoint

    def __enter__(self) -> Self:
        self.process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    def create_bucket(self, name: str) -> None:
        self.request("PUT", f"/{name}").raise_for_status()

    def request(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a plain request behind the clients' backs; objects are at ``/bucket/key``."""
        headers = {f"x-amz-meta-{name}": value for name, value in (metadata or {}).items()} | {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/s3"
        }
        with httpx.Client(trust_env=False) as client:
            return client.request(method, self.endpoint + path, content=content, headers=headers)

    def uploads(self, bucket: str) -> list[str]:
        """Return the keys of the multipart uploads that were begun and did not end."""
        answer = self.request("GET", f"/{bucket}?uploads").raise_for_status()
        return re.findall(r"<Key>([^<]*)</Key>", answer.text)


def s3fs_options(endpoint: str) -> dict[str, Any]:
    """Return keyword arguments for `s3fs.S3FileSystem`."""
    return {
        "key": ACCESS_KEY,
        "secret": SECRET_KEY,
        "endpoint_url": endpoint,
        "client_kwargs": {"region_name": REGION},
        "use_listings_cache": False,
        "skip_instance_cache": True,
    }


def obstore_options(endpoint: str, bucket: str) -> dict[str, Any]:
    """Return keyword arguments for `obstore.store.S3Store`."""
    return {
        "bucket": bucket,
        "endpoint": endpoint,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        "region": REGION,
        "client_options": {"allow_http": True},
        "retry_config": {"max_retries": 0},
    }
