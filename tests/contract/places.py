"""Places: one way to ask every kind of store for a tier, and to change objects behind its back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import gcsfs
import pytest

from shotfs.config import Settings
from tests.servers.handles import EmulatorBucket, GcsBucket, HttpRoot, NginxRoot, S3Bucket
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY

PART_BYTES = 5 * 1024 * 1024
"""The smallest part that the settings allow: what is larger takes the way of large uploads."""

NETWORK = {
    "upload_part_bytes": PART_BYTES,
    "metadata_timeout_s": 10.0,
    "progress_timeout_s": 10.0,
    "backoff_s": 0.01,
    "backoff_s_max": 0.02,
}


@dataclass(frozen=True, slots=True)
class Place:
    """An empty root on a running store.

    Attributes:
        write: stores an object behind the tier's back, replacing what is there.
        remove: deletes one.
        missing_url: a root that does not exist, on the same store.
    """

    url: str
    missing_url: str
    write: Callable[[str, bytes], object]
    remove: Callable[[str], object]
    origin: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, *, origin: Mapping[str, Any] | None = None, **network: Any) -> Settings:
        """Return settings for this place and its missing twin."""
        own = {**self.origin, **(origin or {})}
        scheme = self.url.partition("://")[0]
        prefixes = {self.url.rstrip("/"), self.missing_url.rstrip("/")} if own else set()
        assert all(prefix.startswith(scheme) for prefix in prefixes)
        return Settings(
            network={**NETWORK, **network},  # type: ignore[arg-type]  # pydantic parses it
            origins=dict.fromkeys(prefixes, own),  # type: ignore[arg-type]  # as above
        )


def _gcs(request: pytest.FixtureRequest, *, prefix: str = "", engine: str = "auto") -> Place:
    bucket: GcsBucket = request.getfixturevalue("gcs")
    return Place(
        url=f"gs://{bucket.bucket}/{prefix}".rstrip("/"),
        missing_url="gs://no-such-bucket",
        write=lambda key, data: bucket.put(prefix + key, data),
        remove=lambda key: bucket.delete(prefix + key),
        origin={"endpoint_url": bucket.endpoint, "anonymous": True, "engine": engine},
    )


def _s3(request: pytest.FixtureRequest, *, prefix: str = "", engine: str = "auto") -> Place:
    bucket: S3Bucket = request.getfixturevalue("s3")
    # The names of the variables, as a configuration has them; the values are moto's.
    os.environ["SHOTFS_TEST_ACCESS_KEY"] = ACCESS_KEY
    os.environ["SHOTFS_TEST_SECRET_KEY"] = SECRET_KEY
    return Place(
        url=f"s3://{bucket.bucket}/{prefix}".rstrip("/"),
        missing_url="s3://no-such-bucket",
        write=lambda key, data: bucket.put(prefix + key, data),
        remove=lambda key: bucket.delete(prefix + key),
        origin={
            "endpoint_url": bucket.endpoint,
            "access_key_env": "SHOTFS_TEST_ACCESS_KEY",
            "secret_key_env": "SHOTFS_TEST_SECRET_KEY",
            "region": REGION,
            "engine": engine,
        },
    )


def _file(request: pytest.FixtureRequest) -> Place:
    root: Path = request.getfixturevalue("tmp_path") / "origin"
    root.mkdir()
    return Place(
        url=f"file://{root}",
        missing_url=f"file://{root}-missing",
        write=lambda key, data: write_file(root, key, data),
        remove=lambda key: (root / key).unlink(),
    )


def _memory(request: pytest.FixtureRequest) -> Place:
    store = fsspec.filesystem("memory")
    container = f"/place-{os.getpid()}-{len(store.store)}-{len(store.pseudo_dirs)}"
    store.mkdir(container)
    request.addfinalizer(lambda: store.rm(container, recursive=True))
    return Place(
        url=f"memory:/{container}/root",
        missing_url=f"memory:/{container}-missing",
        write=lambda key, data: store.pipe_file(f"{container}/root/{key}", data),
        remove=lambda key: store.rm_file(f"{container}/root/{key}"),
    )


def _http(
    request: pytest.FixtureRequest, *, fixture: str = "http_root", engine: str = "auto"
) -> Place:
    root: HttpRoot | NginxRoot = request.getfixturevalue(fixture)
    return Place(
        url=root.url,
        missing_url=f"{root.url}no-such-directory",
        write=lambda key, data: write_file(root.path, key, data),
        remove=lambda key: (root.path / key).unlink(),
        origin={"engine": engine},
    )


def _emulator(request: pytest.FixtureRequest) -> Place:
    bucket: EmulatorBucket = request.getfixturevalue("gcs_emulator")
    client = gcsfs.GCSFileSystem(**bucket.gcsfs_options)
    return Place(
        url=bucket.url,
        missing_url="gs://no-such-bucket",
        write=lambda key, data: client.pipe_file(f"{bucket.bucket}/{key}", data),
        remove=lambda key: client.rm_file(f"{bucket.bucket}/{key}"),
        origin={"endpoint_url": bucket.endpoint, "anonymous": True},
    )


def noise(size_bytes: int) -> bytes:
    """Return random content. Its end is none: the emulator drops a carriage return there."""
    return os.urandom(size_bytes - 1) + b"."


def write_file(root: Path, key: str, data: bytes) -> None:
    """Replace a file with another mtime than before, in whole seconds as HTTP tells them."""
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    before_s = int(path.stat().st_mtime) if path.exists() else 1_600_000_000
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(data)
    os.utime(fresh, (before_s + 1, before_s + 1))
    fresh.rename(path)


PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {
    "gcs": _gcs,
    "gcs-prefix": lambda request: _gcs(request, prefix="shows/one/"),
    "gcs-fsspec": lambda request: _gcs(request, engine="fsspec"),
    "s3": _s3,
    "s3-prefix": lambda request: _s3(request, prefix="shows/one/"),
    "s3-fsspec": lambda request: _s3(request, engine="fsspec"),
    "file": _file,
    "memory": _memory,
    "http": _http,
    "http-fsspec": lambda request: _http(request, engine="fsspec"),
    "nginx": lambda request: _http(request, fixture="nginx_root"),
    "emulator": _emulator,
}

# What each kind of place can do; a test is run where its promise can be kept, so none skips.
ATOMIC = ("gcs", "s3", "file")
CHECKED = (*ATOMIC, "memory")
WRITABLE = (*CHECKED, "emulator")
READABLE = (*WRITABLE, "http", "nginx")

# The same stores by another engine or below a prefix, for what could differ there.
VARIANTS = ("gcs-prefix", "gcs-fsspec", "s3-prefix", "s3-fsspec")
READABLE_VARIANTS = (*READABLE, *VARIANTS, "http-fsspec")
ATOMIC_VARIANTS = (*ATOMIC, *VARIANTS)


def at(*names: str) -> pytest.MarkDecorator:
    """Run the test at each of the places *names*."""
    return pytest.mark.parametrize("place", names, indirect=True)
