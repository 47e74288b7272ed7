"""The origins of the campaign: a strict GCS server, S3 (moto), a directory; each knows what it has.

Rounds share a server and have a prefix each. A store counts what was made of each name, so that an
object that was published twice is found.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import quote

from shotfs.digest import digest_bytes
from tests.crash.traps import BEGIN, COMMIT, PART, SINGLE, StoreTrap, Watch
from tests.servers import s3
from tests.servers.gcs import GcsServer
from tests.servers.gcs.call import Call
from tests.servers.gcs.uploads import name_ahead
from tests.servers.process import ServerProcess, python
from tests.servers.wire import ConnectionLost, Request, Response

BUCKET = "crash"


@dataclass(slots=True)
class Holding:
    """What an origin has below a prefix.

    Attributes:
        objects: digest by key.
        made: of each key, what was made of it, oldest first: equal ones are of equal content.
        leftovers: what is there and is no object: unfinished uploads, temporary files.
        sessions: uploads in sessions that nobody goes on with; the store forgets them by itself.
    """

    objects: dict[str, str] = field(default_factory=dict)
    made: dict[str, list[str]] = field(default_factory=dict)
    leftovers: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)


class Origin(Protocol):
    """Where nodes publish to."""

    environment: Mapping[str, str]

    def root(self, prefix: str) -> str:
        """Return the URL of what lies below *prefix*."""
        ...

    def settings(self, port: int | None = None) -> str:
        """Return TOML for nodes; with *port* they reach it by that one."""
        ...

    @property
    def port(self) -> int | None:
        """The server's port, None where there is no server."""
        ...

    def watch(self, prefix: str, trap: StoreTrap | None, victim: int) -> None:
        """Watch requests below *prefix*; *trap* ends the process *victim* (a pidfd)."""
        ...

    def sprung(self, prefix: str) -> bool:
        """Whether the trap was reached."""
        ...

    def in_flight(self, prefix: str) -> bool:
        """Whether an upload is under way: a request that is served, or one that was begun."""
        ...

    def holding(self, prefix: str) -> Holding:
        """Return everything that is there."""
        ...

    def forget(self, prefix: str) -> None:
        """Remove everything below *prefix*."""
        ...


class GcsOrigin(GcsServer):
    """The strict GCS server, with traps."""

    environment: Mapping[str, str] = {}

    def __init__(self) -> None:
        super().__init__()
        self.store.create_bucket(BUCKET, versioning=True)
        self._watches: dict[str, Watch] = {}
        self._rivals: dict[str, bytes] = {}

    def root(self, prefix: str) -> str:
        """As `Origin.root`."""
        return f"gs://{BUCKET}/{prefix}"

    def settings(self, port: int | None = None) -> str:
        """As `Origin.settings`."""
        endpoint = self.endpoint if port is None else f"http://127.0.0.1:{port}"
        return f'[origins."gs://{BUCKET}"]\nendpoint_url = "{endpoint}"\nanonymous = true\n'

    def expect_rival(self, prefix: str, key: str, content: bytes) -> None:
        """Let another node publish *content* as *key*, just before ours would."""
        self._rivals[f"{prefix}/{key}"] = content

    def rival_came(self, prefix: str, key: str) -> bool:
        """Whether it did."""
        return f"{prefix}/{key}" not in self._rivals

    def watch(self, prefix: str, trap: StoreTrap | None, victim: int) -> None:
        """As `Origin.watch`."""
        self._watches[prefix] = Watch(trap, victim)

    def sprung(self, prefix: str) -> bool:
        """As `Origin.sprung`."""
        return self._watches[prefix].sprung

    def in_flight(self, prefix: str) -> bool:
        """As `Origin.in_flight`."""
        return self._watches[prefix].in_flight or bool(self._sessions_below(prefix))

    def holding(self, prefix: str) -> Holding:
        """As `Origin.holding`."""
        found = Holding(sessions=self._sessions_below(prefix))
        with self.store.lock:
            home = self.store.bucket(BUCKET)
            for name, versions in home.objects.items():
                if not name.startswith(f"{prefix}/"):
                    continue
                key = name.removeprefix(f"{prefix}/")
                found.made[key] = [str(one.content.crc32c_base64) for one in versions]
                live = home.live(name)
                if live is not None:
                    found.objects[key] = digest_bytes(live.content.read())
        uploads = self.multipart.open_uploads()
        found.leftovers = [one.name for one in uploads if one.name.startswith(f"{prefix}/")]
        return found

    def forget(self, prefix: str) -> None:
        """As `Origin.forget`."""
        self._watches.pop(prefix, None)
        for name in [one for one in self._rivals if one.startswith(f"{prefix}/")]:
            del self._rivals[name]
        with self.store.lock:
            objects = self.store.bucket(BUCKET).objects
            for name in [one for one in objects if one.startswith(f"{prefix}/")]:
                del objects[name]

    def _sessions_below(self, prefix: str) -> list[str]:
        names = [one.name for one in self.uploads.open_sessions()]
        return [name for name in names if name.startswith(f"{prefix}/")]

    def _respond(self, request: Request, call: Call) -> Response:
        # The name of an object that is to be made may be in the body alone.
        key = call.object or (name_ahead(request) if call.operation == "resumable_start" else "")
        watch = self._watches.get(key.partition("/")[0])
        name = _gcs_name(request, call)
        if watch is None or name is None:
            return super()._respond(request, call)
        rival = self._rivals.pop(key, None)
        if rival is not None:
            self.store.put(BUCKET, key, rival)
        when = watch.begin(name)
        try:
            if when in ("before", "late"):
                watch.kill(late=when == "late")
            if when == "before":
                raise ConnectionLost
            response = super()._respond(request, call)
            if when == "after":
                watch.kill()
                raise ConnectionLost
            return response
        finally:
            watch.end()


def _gcs_name(request: Request, call: Call) -> str | None:
    if call.operation != "resumable_chunk":
        return {"resumable_start": BEGIN, "insert": SINGLE}.get(call.operation)
    span = re.fullmatch(r"bytes \d+-(\d+)/(\d+)", request.headers.get("content-range", ""))
    return COMMIT if span is None or int(span[1]) + 1 == int(span[2]) else PART


class _TrappedMoto(s3.S3Server):
    def __init__(self, environment: Mapping[str, str]) -> None:
        command = python("-m", "tests.crash.moto_traps", "{port}")
        self.process = ServerProcess(command, environment=environment)


class S3Origin:
    """moto in a process of its own, with traps (`moto_traps`)."""

    environment: Mapping[str, str] = {
        "AWS_ACCESS_KEY_ID": s3.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": s3.SECRET_KEY,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def __init__(self) -> None:
        self._server = _TrappedMoto(self.environment)

    def __enter__(self) -> Self:
        self._server.process.start()
        self._server.create_bucket(BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.process.stop()

    def root(self, prefix: str) -> str:
        """As `Origin.root`."""
        return f"s3://{BUCKET}/{prefix}"

    def settings(self, port: int | None = None) -> str:
        """As `Origin.settings`."""
        endpoint = self._server.endpoint if port is None else f"http://127.0.0.1:{port}"
        return f'[origins."s3://{BUCKET}"]\nendpoint_url = "{endpoint}"\nregion = "{s3.REGION}"\n'

    @property
    def port(self) -> int | None:
        """As `Origin.port`."""
        return self._server.process.port

    def watch(self, prefix: str, trap: StoreTrap | None, victim: int) -> None:
        """As `Origin.watch`."""
        asked = {"prefix": prefix, "pid": _pid_of(victim)}
        if trap is not None:
            asked |= {"name": trap.name, "nth": trap.nth, "when": trap.when}
        self._ask("POST", "/_crash/watch", json.dumps(asked).encode())

    def sprung(self, prefix: str) -> bool:
        """As `Origin.sprung`."""
        return bool(self._state(prefix)["sprung"])

    def in_flight(self, prefix: str) -> bool:
        """As `Origin.in_flight`."""
        return bool(self._state(prefix)["in_flight"]) or bool(self._unfinished(prefix))

    def holding(self, prefix: str) -> Holding:
        """As `Origin.holding`."""
        found = Holding(made=self._state(prefix)["made"], leftovers=self._unfinished(prefix))
        for name in self._names(f"?list-type=2&prefix={prefix}/"):
            content = self._ask("GET", f"/{BUCKET}/{quote(name)}")
            found.objects[name.removeprefix(f"{prefix}/")] = digest_bytes(content)
        return found

    def forget(self, prefix: str) -> None:
        """As `Origin.forget`."""
        for name in self._names(f"?list-type=2&prefix={prefix}/"):
            self._server.request("DELETE", f"/{BUCKET}/{quote(name)}")
        self._ask("DELETE", f"/_crash/watch?prefix={prefix}")

    def _state(self, prefix: str) -> dict[str, dict[str, list[str]]]:
        state: dict[str, dict[str, list[str]]] = json.loads(
            self._ask("GET", f"/_crash/state?prefix={prefix}")
        )
        return state

    def _unfinished(self, prefix: str) -> list[str]:
        return [name for name in self._names("?uploads") if name.startswith(f"{prefix}/")]

    def _names(self, query: str) -> list[str]:
        root = ET.fromstring(self._ask("GET", f"/{BUCKET}{query}"))
        return [key.text or "" for key in root.iterfind(".//{*}Key")]

    def _ask(self, method: str, path: str, content: bytes = b"") -> bytes:
        return self._server.request(method, path, content).raise_for_status().content


class DirectoryOrigin:
    """A directory; rounds below it are directories. Its traps are points of the process."""

    environment: Mapping[str, str] = {}

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._path.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._path)

    def root(self, prefix: str) -> str:
        """As `Origin.root`."""
        (self._path / prefix).mkdir(exist_ok=True)
        return f"file://{self._path}/{prefix}"

    def settings(self, port: int | None = None) -> str:
        """As `Origin.settings`."""
        assert port is None
        return ""

    @property
    def port(self) -> int | None:
        """As `Origin.port`."""
        return None

    def watch(self, prefix: str, trap: StoreTrap | None, victim: int) -> None:
        """As `Origin.watch`: a directory sees no requests."""
        del prefix, victim
        assert trap is None

    def sprung(self, prefix: str) -> bool:
        """As `Origin.sprung`."""
        del prefix
        return False

    def in_flight(self, prefix: str) -> bool:
        """As `Origin.in_flight`: a temporary file is there."""
        return bool(self.holding(prefix).leftovers)

    def holding(self, prefix: str) -> Holding:
        """As `Origin.holding`."""
        found = Holding()
        root = self._path / prefix
        for directory, _, names in os.walk(root):
            for name in names:
                path = Path(directory, name)
                key = str(path.relative_to(root))
                if not name.startswith(".shotfs-"):
                    found.objects[key] = digest_bytes(path.read_bytes())
                elif name != ".shotfs-lock":
                    found.leftovers.append(key)
        return found

    def forget(self, prefix: str) -> None:
        """As `Origin.forget`."""
        shutil.rmtree(self._path / prefix, ignore_errors=True)


def _pid_of(victim: int) -> int:
    with open(f"/proc/self/fdinfo/{victim}", encoding="ascii") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))
