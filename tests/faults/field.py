"""Many origins behind one broken network, and one node that uses all of them.

Each case of a table has a show with an origin of its own (a prefix of one bucket or server), so
that cases can run side by side, and none inherits what another left behind: back-off, retry
budgets, an open circuit breaker. That they do run side by side is part of the test: what happens
to one origin is no business of the others.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import xxhash

from tests.faults.processes import errno_said_by
from tests.fuse.node import ShotfsNode
from tests.servers import s3
from tests.servers.gcs import GcsServer
from tests.servers.http import HttpServer
from tests.servers.http_framing import Head
from tests.servers.http_proxy import HttpProxy, Rule, RuleHandle
from tests.servers.s3 import S3Server

MIB = 1 << 20

READ_S = 60.0
"""After so long a process that reads counts as hung."""

QUICK = """
[mount]
request_deadline_s = 4
[network]
attempts_max = 3
backoff_s = 0.02
backoff_s_max = 0.1
metadata_timeout_s = 1.5
progress_timeout_s = 1.5
range_bytes = 1048576
"""
"""A node that gives up soon, but not because a machine is busy. A file of a few megabytes arrives
in several requests."""

SPEC: dict[str, Any] = {
    "spec": "shotfs-path/1",
    "defaults": {"origin": "main", "ttl": "1h", "negative_ttl": "0s"},
    "fields": {"rest": {"type": "tree"}},
    "templates": {"library": {"path": "library/{rest}", "immutable": "on-close"}},
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a process saw that read a file to its end: the bytes, and the errno that ended it."""

    data: bytes
    errno: int


class Reader:
    """A process that reads a file to its end: one in this process could not outlive a hang."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            ["cat", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def seen(self) -> Seen:
        """Wait for its end; raises TimeoutExpired when it hangs."""
        data, said = self._process.communicate(timeout=READ_S)
        return Seen(data, errno_said_by(said) if self._process.returncode else 0)


def read(path: Path) -> Seen:
    """Return what an application sees of *path*."""
    with Reader(path) as reader:
        return reader.seen()


@dataclass(frozen=True, slots=True)
class Place:
    """The origin of one show: a prefix of a store, reached through a proxy.

    Attributes:
        show: its directory in the mount.
        prefix: of its keys, without a slash at the end.
        put: stores an object: name, bytes.
        proxy: on the way to the store.
    """

    node: ShotfsNode
    show: Path
    prefix: str
    put: Callable[[str, bytes], object]
    proxy: HttpProxy

    def add(self, name: str, data: bytes) -> Path:
        """Store an object behind the node's back; return where the mount has it."""
        self.put(f"{self.prefix}/library/{name}", data)
        return self.show / "library" / name

    def rule(self, rule: Rule) -> RuleHandle:
        """Put *rule* in force for requests to this origin that it matches, and for no other."""
        inner = rule.matches
        prefix = self.prefix
        return self.proxy.rule(
            Rule(
                **{
                    **{name: getattr(rule, name) for name in rule.__slots__},
                    "matches": lambda head: _mentions(head, prefix) and inner(head),
                }
            )
        )

    def state(self, path: Path) -> str:
        return self.node.xattr(path, "state")


def of_content(head: Head) -> bool:
    """Whether a request is for bytes of an object: those alone are asked for in ranges."""
    return head.span is not None


def of_metadata(head: Head) -> bool:
    """Whether a request is for what there is: a look-up or a listing."""
    return head.span is None


class Field:
    """A mounted node with a show for each of *names*, and one more whose origin is a directory.

    Args:
        directory: for all of it.
        kind: of the origins: "gs", "s3" or "http".
        names: of the shows.
        servers: a running store of that kind, as the fixtures of `tests/conftest.py` give it.
    """

    def __init__(
        self, directory: Path, kind: str, names: list[str], server: GcsServer | S3Server | None
    ) -> None:
        self._stack = ExitStack()
        self._kind = kind
        self._directory = directory
        self._names = names
        self._bucket = f"field-{os.getpid()}"
        self._put: Callable[[str, bytes], object]
        target = self._prepare(server)
        self.proxy = self._stack.enter_context(HttpProxy(target))
        self.safe_origin = directory / "safe"
        self.safe_origin.mkdir()
        settings = QUICK + self._origin_settings()
        settings += "".join(f'[shows.{name}]\nspec = "{name}.json"\n' for name in names)
        self.node = ShotfsNode(
            directory / "node",
            f"file://{self.safe_origin}",
            spec={**SPEC, "show": "ant", "roots": {"main": "ORIGIN"}},
            settings=settings,
        )
        for name in names:
            document = {**SPEC, "show": name, "roots": {"main": f"{self._root()}{name}"}}
            (self.node.directory / f"{name}.json").write_text(json.dumps(document))
        self.right: set[str] = set()

    def __enter__(self) -> Self:
        self._stack.callback(self.node.clear)
        # First, so that nothing of the node waits for an answer that is held back.
        self._stack.callback(self.proxy.clear)
        self.node.mount()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def place(self, name: str) -> Place:
        """Return the origin of the show *name*."""

        def put(key: str, data: bytes) -> None:
            self.right.add(xxhash.xxh3_128_hexdigest(data))
            self._put(key, data)

        return Place(self.node, self.node.mountpoint / name, name, put, self.proxy)

    def add_safe(self, name: str, data: bytes) -> Path:
        """Put a file into the origin that nothing happens to; return where the mount has it."""
        self.right.add(xxhash.xxh3_128_hexdigest(data))
        path = self.safe_origin / "library" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return self.node.show / "library" / name

    def blobs(self) -> dict[str, str]:
        """Return the digest of the content of each blob in the cache, by the blob's name."""
        found = {}
        for path in (self.node.directory / "cache/blobs").glob("??/*"):
            found[path.name] = xxhash.xxh3_128_hexdigest(path.read_bytes())
        return found

    def _prepare(self, server: GcsServer | S3Server | None) -> int:
        """Make a bucket or a directory; return the port of the server."""
        if isinstance(server, GcsServer):
            server.store.create_bucket(self._bucket)
            self._stack.callback(server.store.delete_bucket, self._bucket, force=True)
            self._put = lambda key, data: server.store.put(self._bucket, key, data)
            return server.port
        if isinstance(server, S3Server):
            server.create_bucket(self._bucket)
            self._put = lambda key, data: server.request(
                "PUT", f"/{self._bucket}/{key}", data
            ).raise_for_status()
            return server.process.port
        root = self._directory / "http"
        for name in self._names:
            (root / name).mkdir(parents=True)
        self._put = lambda key, data: _write(root / key, data)
        return self._stack.enter_context(HttpServer(str(root))).port

    def _root(self) -> str:
        if self._kind == "http":
            return f"{self.proxy.endpoint}/"
        return f"{self._kind}://{self._bucket}/"

    def _origin_settings(self) -> str:
        if self._kind == "http":
            return ""
        own = f'[origins."{self._kind}://{self._bucket}"]\nendpoint_url = "{self.proxy.endpoint}"\n'
        if self._kind == "gs":
            return own + "anonymous = true\n"
        keys = 'access_key_env = "FIELD_ACCESS_KEY"\nsecret_key_env = "FIELD_SECRET_KEY"\n'
        os.environ["FIELD_ACCESS_KEY"] = s3.ACCESS_KEY
        os.environ["FIELD_SECRET_KEY"] = s3.SECRET_KEY
        return f'{own}{keys}region = "{s3.REGION}"\n'


def content(name: str, size_bytes: int) -> bytes:
    """Return bytes that no other *name* has, and no two blocks have in common."""
    seed = hashlib.sha256(name.encode()).digest()
    return hashlib.shake_128(seed).digest(size_bytes)


def _mentions(head: Head, prefix: str) -> bool:
    """Whether a request is about a key below *prefix*: in its path or in its query."""
    return f"{prefix}/" in head.plain_target


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
