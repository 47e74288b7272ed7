"""The plain HTTP server and nginx answer alike; then what only ours can do."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import obstore
import pytest
from obstore.store import HTTPStore

from tests.servers.gcs import Fault
from tests.servers.handles import HttpRoot, NginxRoot
from tests.servers.http import HttpFeatures, HttpServer

BODY = bytes(range(256)) * 100


@pytest.fixture(params=["http_root", "nginx_root"])
def root(request: pytest.FixtureRequest) -> HttpRoot | NginxRoot:
    found: HttpRoot | NginxRoot = request.getfixturevalue(request.param)
    (found.path / "f.exr").write_bytes(BODY)
    (found.path / "sub dir").mkdir()
    (found.path / "sub dir" / "x&y.txt").write_bytes(b"x")
    return found


@pytest.fixture
def client(root: HttpRoot | NginxRoot) -> Iterator[httpx.Client]:
    # A connection for each request: nginx may end one that it kept just when it is used again.
    alone = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(base_url=root.url, trust_env=False, limits=alone) as client:
        yield client


def test_ranges(client: httpx.Client) -> None:
    assert client.get("f.exr").content == BODY
    part = client.get("f.exr", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, BODY[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(BODY)}"
    assert client.get("f.exr", headers={"Range": "bytes=-5"}).content == BODY[-5:]
    beyond = client.get("f.exr", headers={"Range": f"bytes={len(BODY)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(BODY)}")


def test_validators(client: httpx.Client) -> None:
    head = client.head("f.exr")
    etag, modified = head.headers["ETag"], head.headers["Last-Modified"]
    assert head.headers["Content-Length"] == str(len(BODY))

    def status(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.get("f.exr", headers=named).status_code

    assert status(If_Match=etag) == 200
    assert status(If_Match='"other"') == 412
    assert status(If_None_Match=etag) == 304
    assert status(If_Modified_Since=modified) == 304
    assert status(If_Unmodified_Since="Sat, 01 Jan 2000 00:00:00 GMT") == 412
    assert status(If_Range=etag, Range="bytes=0-0") == 206
    assert status(If_Range='"other"', Range="bytes=0-0") == 200


def test_index_pages_link_to_files_and_directories(client: httpx.Client) -> None:
    page = client.get("").text
    assert re.findall(r'href="([^"]+)"', page) == ["../", "sub%20dir/", "f.exr"]
    below = client.get("sub%20dir/").text
    # "&" may stand as it is in a path, and clients must take both spellings.
    assert re.findall(r'href="([^"]+)"', below)[1] in ("x&y.txt", "x%26y.txt")
    assert client.get("sub%20dir").status_code == 301


def test_absent_files_and_writes_are_refused(client: httpx.Client) -> None:
    assert client.get("absent").status_code == 404
    assert client.get("f.exr/").status_code == 404
    assert client.put("f.exr", content=b"x").status_code == 405


def test_a_path_does_not_lead_out_of_the_directory(http_root: HttpRoot) -> None:
    (http_root.path.parent / "secret").write_bytes(b"s")
    with httpx.Client(trust_env=False) as client:
        assert client.get(http_root.url + "%2e%2e/secret").status_code == 404


def test_obstore_reads_ranges(http_root: HttpRoot) -> None:
    (http_root.path / "f").write_bytes(BODY)
    store = HTTPStore(http_root.url, client_options={"allow_http": True})
    assert bytes(obstore.get_range(store, "f", start=5, end=9)) == BODY[5:9]
    assert [record.sent_bytes for record in http_root.requests("read", object="f")] == [4]


def test_poorer_servers_lack_what_they_are_told_to_lack(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(BODY)
    features = HttpFeatures(ranges=False, etags=False, last_modified=False, index_pages=False)
    with HttpServer(str(tmp_path), features) as server, httpx.Client(trust_env=False) as client:
        answer = client.get(server.endpoint + "/f", headers={"Range": "bytes=0-1"})
        assert (answer.status_code, answer.content) == (200, BODY)
        assert {"etag", "last-modified", "accept-ranges"}.isdisjoint(answer.headers)
        assert client.get(server.endpoint + "/").status_code == 403


def test_faults_work_here_too(http_root: HttpRoot) -> None:
    (http_root.path / "f").write_bytes(BODY)
    http_root.fault(Fault("status", object="f", status=503, retry_after_s=7))
    with httpx.Client(trust_env=False) as client:
        refused = client.get(http_root.url + "f")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "7")
        assert client.get(http_root.url + "f").content == BODY
