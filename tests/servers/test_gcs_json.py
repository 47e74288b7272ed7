"""The strict GCS server's JSON API, request by request: what Google documents."""

import base64
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.servers.gcs import Fault, GcsServer
from tests.servers.handles import GcsBucket
from tests.servers.process import PROJECT, python

CHUNK_BYTES = 256 << 10


@pytest.fixture
def client(gcs: GcsBucket) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gcs.endpoint, trust_env=False) as client:
        yield client


def insert(client: httpx.Client, gcs: GcsBucket, name: str, data: bytes, **query: Any) -> Any:
    return client.post(
        f"/upload/storage/v1/b/{gcs.bucket}/o",
        params={"uploadType": "media", "name": name, **query},
        content=data,
    )


def start(client: httpx.Client, gcs: GcsBucket, name: str, body: Any = None, **query: Any) -> str:
    answer = client.post(
        f"/upload/storage/v1/b/{gcs.bucket}/o",
        params={"uploadType": "resumable", "name": name, **query},
        json=body or {},
    )
    assert answer.status_code == 200
    return answer.headers["Location"]


def chunk(client: httpx.Client, url: str, data: bytes, span: str) -> httpx.Response:
    return client.put(url, content=data, headers={"Content-Range": f"bytes {span}"})


def test_errors_have_googles_shape(client: httpx.Client, gcs: GcsBucket) -> None:
    answer = client.get(f"/storage/v1/b/{gcs.bucket}/o/absent")
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "code": 404,
        "message": f"No such object: {gcs.bucket}/absent",
        "errors": [
            {
                "message": f"No such object: {gcs.bucket}/absent",
                "domain": "global",
                "reason": "notFound",
            }
        ],
    }
    assert client.get("/storage/v1/b/absent/o").json()["error"]["message"] == (
        "The specified bucket does not exist."
    )


def test_write_preconditions(client: httpx.Client, gcs: GcsBucket) -> None:
    assert insert(client, gcs, "a", b"x", ifGenerationMatch=1).status_code == 412
    first = insert(client, gcs, "a", b"1", ifGenerationMatch=0).json()["generation"]
    refused = insert(client, gcs, "a", b"2", ifGenerationMatch=0)
    assert refused.status_code == 412
    assert refused.json()["error"]["errors"][0]["reason"] == "conditionNotMet"
    assert insert(client, gcs, "a", b"2", ifGenerationMatch=first).status_code == 200
    assert insert(client, gcs, "a", b"3", ifGenerationMatch=first).status_code == 412
    assert insert(client, gcs, "a", b"3", ifMetagenerationMatch=7).status_code == 412
    assert insert(client, gcs, "a", b"3", ifGenerationMatch="x").status_code == 400
    path = f"/storage/v1/b/{gcs.bucket}/o/a"
    assert client.delete(path, params={"ifGenerationMatch": first}).status_code == 412
    current = gcs.get("a").generation
    assert client.delete(path, params={"ifGenerationMatch": current}).status_code == 204
    assert gcs.names() == []


def test_read_preconditions_and_generations(client: httpx.Client, gcs: GcsBucket) -> None:
    old = gcs.put("a", b"old").generation
    path = f"/storage/v1/b/{gcs.bucket}/o/a"

    def read(**query: Any) -> httpx.Response:
        return client.get(path, params={"alt": "media", **query})

    assert read(generation=old).content == b"old"
    assert read(ifGenerationNotMatch=old).status_code == 304
    new = gcs.put("a", b"new").generation
    assert read(generation=old).status_code == 404
    assert read(ifGenerationMatch=old).status_code == 412
    answer = read(ifGenerationMatch=new)
    assert (answer.content, answer.headers["x-goog-generation"]) == (b"new", str(new))


def test_deleted_and_recreated_objects_get_higher_generations(gcs: GcsBucket) -> None:
    generations = []
    for _ in range(50):
        generations.append(gcs.put("a", b"").generation)
        gcs.delete("a")
    assert generations == sorted(set(generations))


def test_ranges(client: httpx.Client, gcs: GcsBucket) -> None:
    gcs.put("a", b"0123456789")
    gcs.put("empty", b"")

    def read(name: str, span: str) -> httpx.Response:
        path = f"/download/storage/v1/b/{gcs.bucket}/o/{name}"
        return client.get(path, params={"alt": "media"}, headers={"Range": f"bytes={span}"})

    assert read("a", "2-4").content == b"234"
    assert read("a", "7-").content == b"789"
    assert read("a", "-3").content == b"789"
    assert read("a", "8-100").headers["Content-Range"] == "bytes 8-9/10"
    assert read("a", "10-").status_code == 416
    assert read("empty", "0-").status_code == 416
    assert (read("a", "4-2").status_code, read("a", "0-1,3-4").status_code) == (200, 200)


def test_wrong_checksums_are_refused(client: httpx.Client, gcs: GcsBucket) -> None:
    right = base64.b64encode(hashlib.md5(b"data").digest()).decode()
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()

    def upload(checksum: dict[str, str]) -> int:
        url = start(client, gcs, "a", checksum)
        return client.put(url, content=b"data").status_code

    assert upload({"md5Hash": wrong}) == 400
    assert upload({"crc32c": "AAAAAA=="}) == 400
    assert upload({"md5Hash": "not base64"}) == 400
    assert gcs.names() == []
    assert upload({"md5Hash": right, "crc32c": "rth90Q=="}) == 200
    header = {"X-Goog-Hash": f"md5={wrong}"}
    path = f"/upload/storage/v1/b/{gcs.bucket}/o?uploadType=media&name=b"
    assert client.post(path, content=b"data", headers=header).status_code == 400


def test_resumable_upload_resumes_where_the_server_says(
    client: httpx.Client, gcs: GcsBucket
) -> None:
    data = os.urandom(3 * CHUNK_BYTES + 5)
    url = start(client, gcs, "a b", {"metadata": {"k": "v"}}, ifGenerationMatch=0)
    status = chunk(client, url, b"", "*/*")
    assert (status.status_code, "Range" in status.headers) == (308, False)
    first = chunk(client, url, data[: 2 * CHUNK_BYTES], f"0-{2 * CHUNK_BYTES - 1}/*")
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{2 * CHUNK_BYTES - 1}")
    assert chunk(client, url, b"x", f"{3 * CHUNK_BYTES}-{3 * CHUNK_BYTES}/*").status_code == 400
    done = chunk(
        client, url, data[CHUNK_BYTES:], f"{CHUNK_BYTES}-{len(data) - 1}/{len(data)}"
    )  # overlapping bytes are ignored
    assert (done.status_code, done.json()["size"]) == (200, str(len(data)))
    assert (gcs.read("a b"), dict(gcs.get("a b").metadata)) == (data, {"k": "v"})
    again = chunk(client, url, b"", f"*/{len(data)}")
    assert again.json()["generation"] == done.json()["generation"]


def test_a_lost_chunk_keeps_whole_quarters_of_a_mebibyte(
    client: httpx.Client, gcs: GcsBucket
) -> None:
    data = os.urandom(4 * CHUNK_BYTES)
    url = start(client, gcs, "a")
    gcs.fault(Fault("cut_request", operation="resumable_chunk", after_bytes=2 * CHUNK_BYTES + 1000))
    with pytest.raises(httpx.TransportError):
        chunk(client, url, data, f"0-{len(data) - 1}/{len(data)}")
    kept = chunk(client, url, b"", f"*/{len(data)}").headers["Range"]
    assert kept == f"bytes=0-{2 * CHUNK_BYTES - 1}"
    rest = data[2 * CHUNK_BYTES :]
    done = chunk(client, url, rest, f"{2 * CHUNK_BYTES}-{len(data) - 1}/{len(data)}")
    assert done.status_code == 200
    assert gcs.read("a") == data


def test_chunks_that_are_not_the_last_must_be_multiples(
    client: httpx.Client, gcs: GcsBucket
) -> None:
    url = start(client, gcs, "a")
    assert chunk(client, url, b"12345", "0-4/*").status_code == 400
    assert chunk(client, url, b"12345", "0-4/5").status_code == 200


def test_an_aborted_session_is_gone(client: httpx.Client, gcs: GcsBucket) -> None:
    url = start(client, gcs, "a")
    assert len(gcs.server.uploads.open_sessions()) == 1
    assert client.delete(url).status_code == 499
    assert chunk(client, url, b"1", "0-0/1").status_code == 404
    assert gcs.server.uploads.open_sessions() == []


def test_listing_offsets_delimiters_and_fields(client: httpx.Client, gcs: GcsBucket) -> None:
    for name in ("a", "b/", "b/1", "b/2", "c", "d/x", "é"):
        gcs.put(name, b"")

    def names(**query: Any) -> tuple[list[str], list[str]]:
        page = client.get(f"/storage/v1/b/{gcs.bucket}/o", params=query).json()
        items = [item["name"] for item in page.get("items", [])]
        return items, page.get("prefixes", [])

    assert names(delimiter="/") == (["a", "c", "é"], ["b/", "d/"])
    assert names(prefix="b/", delimiter="/") == (["b/", "b/1", "b/2"], [])
    assert names(startOffset="b/2", endOffset="d/x") == (["b/2", "c"], [])
    assert names(delimiter="/", includeTrailingDelimiter="true") == (
        ["a", "b/", "c", "é"],
        ["b/", "d/"],
    )
    answer = client.get(
        f"/storage/v1/b/{gcs.bucket}/o",
        params={"fields": "items(name,size),nextPageToken", "maxResults": 1},
    ).json()
    assert answer["items"] == [{"name": "a", "size": "0"}]
    assert set(answer) == {"items", "nextPageToken"}


def test_pages_count_prefixes_and_repeat_nothing(client: httpx.Client, gcs: GcsBucket) -> None:
    for name in ("a/1", "a/2", "b", "c/1", "d", "e/1"):
        gcs.put(name, b"")
    seen: list[str] = []
    query: dict[str, Any] = {"delimiter": "/", "maxResults": 2}
    while True:
        page = client.get(f"/storage/v1/b/{gcs.bucket}/o", params=query).json()
        found = [item["name"] for item in page.get("items", [])] + page.get("prefixes", [])
        assert len(found) <= 2
        seen += found
        if "nextPageToken" not in page:
            break
        query["pageToken"] = page["nextPageToken"]
    assert sorted(seen) == ["a/", "b", "c/", "d", "e/"]


def test_versioned_buckets_keep_what_was_replaced(gcs: GcsBucket, client: httpx.Client) -> None:
    client.patch(f"/storage/v1/b/{gcs.bucket}", json={"versioning": {"enabled": True}})
    old = gcs.put("a", b"old").generation
    gcs.put("a", b"new")
    gcs.delete("a")
    path = f"/storage/v1/b/{gcs.bucket}/o"
    assert client.get(f"{path}/a").status_code == 404
    kept = client.get(f"{path}/a", params={"alt": "media", "generation": old})
    assert kept.content == b"old"
    assert "items" not in client.get(path).json()
    versions = client.get(path, params={"versions": "true"}).json()["items"]
    assert [bool(item.get("timeDeleted")) for item in versions] == [True, True]
    assert client.delete(f"{path}/a", params={"generation": old}).status_code == 204
    assert client.get(f"{path}/a", params={"generation": old}).status_code == 404


def test_compose_joins_and_has_no_md5(client: httpx.Client, gcs: GcsBucket) -> None:
    gcs.put("a", b"1")
    gcs.put("b", b"2")
    answer = client.post(
        f"/storage/v1/b/{gcs.bucket}/o/c/compose",
        json={"sourceObjects": [{"name": "a"}, {"name": "b"}]},
    ).json()
    assert gcs.read("c") == b"12"
    assert (answer["componentCount"], "md5Hash" in answer) == (2, False)


def test_a_refused_upload_leaves_the_connection_usable(
    client: httpx.Client, gcs: GcsBucket
) -> None:
    gcs.put("a", b"1")
    refused = insert(client, gcs, "a", bytes(3_000_000), ifGenerationMatch=0)
    assert refused.status_code == 412
    assert client.get(f"/storage/v1/b/{gcs.bucket}/o/a").status_code == 200


def test_large_content_survives_on_disk(client: httpx.Client, gcs: GcsBucket) -> None:
    data = os.urandom(6 << 20)
    made = insert(client, gcs, "a", data).json()
    assert made["md5Hash"] == base64.b64encode(hashlib.md5(data).digest()).decode()
    got = client.get(f"/storage/v1/b/{gcs.bucket}/o/a", params={"alt": "media"})
    assert got.content == data


def test_missing_and_wrong_tokens() -> None:
    with (
        GcsServer(tokens=frozenset({"good"})) as server,
        httpx.Client(base_url=server.endpoint, trust_env=False) as client,
    ):
        server.store.create_bucket("show")
        assert client.get("/storage/v1/b/show").status_code == 401
        wrong = client.get("/storage/v1/b/show", headers={"Authorization": "Bearer bad"})
        assert (wrong.status_code, wrong.json()["error"]["message"]) == (401, "Invalid Credentials")
        right = client.get("/storage/v1/b/show", headers={"Authorization": "Bearer good"})
        assert right.json()["name"] == "show"


def test_bucket_names_and_conflicts(client: httpx.Client) -> None:
    def create(name: str) -> int:
        body = {"name": name}
        return client.post("/storage/v1/b", params={"project": "p"}, json=body).status_code

    assert [create(name) for name in ("ab", "Upper", "goog-x", "under_score-1")] == [
        400,
        400,
        400,
        200,
    ]
    assert create("under_score-1") == 409
    assert client.delete("/storage/v1/b/under_score-1").status_code == 204


def test_the_server_runs_as_a_process_and_is_controlled_over_http() -> None:
    command = python("-m", "tests.servers.gcs", "--bucket", "show", "--json-ready")
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            assert ready["pid"] == process.pid
            with httpx.Client(base_url=ready["endpoint"], trust_env=False) as client:
                control_over_http(client)
        finally:
            process.terminate()
    assert process.returncode == 0


def control_over_http(client: httpx.Client) -> None:
    client.put("/_test/objects/show/d/a", content=b"1").raise_for_status()
    fault = {"kind": "status", "operation": "read", "status": 429}
    client.post("/_test/faults", json=fault).raise_for_status()
    assert client.get("/show/d/a").status_code == 429
    assert client.get("/show/d/a").content == b"1"
    assert client.get("/_test/faults").json()[0]["hits"] == 1
    journal = client.get("/_test/journal").json()
    assert (journal["counts"], journal["sent_bytes"]) == ({"read": 2}, {"d/a": 1})
    assert client.post("/_test/faults", json={"kind": "nonsense"}).status_code == 400
    assert client.post("/_test/down", params={"seconds": 0.3}).json() == {"seconds": 0.3}
    deadline = time.monotonic() + 10
    refused = 0
    while time.monotonic() < deadline and not (refused and answers(client)):
        refused += not answers(client)
    assert refused > 0
    assert client.get("/show/d/a").content == b"1"


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/_test/journal", timeout=5.0).status_code == 200
    except httpx.TransportError:
        # A probe's pause: the server is another process, and tells nobody that it is back.
        time.sleep(0.02)
        return False
