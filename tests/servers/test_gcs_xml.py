"""The strict GCS server's XML API, request by request: what Google refuses."""

import base64
import hashlib
from collections.abc import Iterator

import httpx
import pytest

from tests.servers.handles import GcsBucket


@pytest.fixture
def client(gcs: GcsBucket) -> Iterator[httpx.Client]:
    url = f"{gcs.endpoint}/{gcs.bucket}/"
    with httpx.Client(base_url=url, trust_env=False) as client:
        yield client


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


def test_wrong_checksums_are_refused(client: httpx.Client, gcs: GcsBucket) -> None:
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    for headers in ({"Content-MD5": wrong}, {"x-goog-hash": "crc32c=AAAAAA=="}):
        assert code(client.put("a", content=b"data", headers=headers)) == (400, "BadDigest")
    bad = client.put("a", content=b"data", headers={"x-goog-hash": "md5=!"})
    assert code(bad) == (400, "InvalidDigest")
    assert gcs.names() == []


def test_etag_conditions_are_for_reading_only(client: httpx.Client, gcs: GcsBucket) -> None:
    answer = client.put("a", content=b"1", headers={"If-None-Match": "*"})
    assert code(answer) == (501, "NotImplemented")
    assert gcs.names() == []


def test_generation_and_metageneration_conditions(client: httpx.Client, gcs: GcsBucket) -> None:
    def put(**conditions: int) -> tuple[int, str]:
        headers = {f"x-goog-if-{k.replace('_', '-')}": str(v) for k, v in conditions.items()}
        return code(client.put("a", content=b"1", headers=headers))

    assert put(generation_match=0) == (200, "")
    assert put(generation_match=0) == (412, "PreconditionFailed")
    assert put(metageneration_match=2) == (412, "PreconditionFailed")
    assert put(generation_match=gcs.get("a").generation) == (200, "")
    refused = client.delete("a", headers={"x-goog-if-generation-match": "1"})
    assert code(refused) == (412, "PreconditionFailed")


def test_modification_time_conditions(client: httpx.Client, gcs: GcsBucket) -> None:
    gcs.put("a", b"1")
    modified = client.head("a").headers["Last-Modified"]
    assert client.get("a", headers={"If-Modified-Since": modified}).status_code == 304
    assert client.get("a", headers={"If-Unmodified-Since": modified}).status_code == 200
    early = "Sat, 01 Jan 2000 00:00:00 GMT"
    assert client.get("a", headers={"If-Unmodified-Since": early}).status_code == 412


def test_the_head_of_an_object_tells_its_hashes(client: httpx.Client, gcs: GcsBucket) -> None:
    made = gcs.put("a", b"hello", metadata={"k": "v"})
    head = client.head("a").headers
    assert head["x-goog-hash"] == "crc32c=mnG7TA==,md5=XUFAKrxLKna5cZ2REBfFkg=="
    assert head["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert (head["x-goog-generation"], head["x-goog-meta-k"]) == (str(made.generation), "v")
    assert head["Content-Length"] == "5"


def upload(client: httpx.Client, *parts: bytes) -> tuple[str, list[str]]:
    started = client.post("a", params={"uploads": ""}).text
    upload_id = started.partition("<UploadId>")[2].partition("</UploadId>")[0]
    etags = [
        client.put("a", params={"uploadId": upload_id, "partNumber": n}, content=part).headers[
            "ETag"
        ]
        for n, part in enumerate(parts, start=1)
    ]
    return upload_id, etags


def complete(client: httpx.Client, upload_id: str, parts: list[tuple[int, str]]) -> httpx.Response:
    inner = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in parts
    )
    body = f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>"
    return client.post("a", params={"uploadId": upload_id}, content=body.encode())


def test_multipart_mistakes_are_refused(client: httpx.Client, gcs: GcsBucket) -> None:
    upload_id, (one, two) = upload(client, b"small", b"last")
    assert code(complete(client, upload_id, [(1, one), (2, two)])) == (400, "EntityTooSmall")
    assert code(complete(client, upload_id, [(1, two)])) == (400, "InvalidPart")
    assert code(complete(client, upload_id, [(2, two), (1, one)])) == (400, "InvalidPartOrder")
    assert code(complete(client, upload_id, [])) == (400, "MalformedXML")
    assert code(complete(client, "unknown", [(1, one)])) == (404, "NoSuchUpload")
    assert complete(client, upload_id, [(2, two)]).status_code == 200
    assert gcs.read("a") == b"last"


def test_an_aborted_multipart_upload_is_gone(client: httpx.Client, gcs: GcsBucket) -> None:
    upload_id, (one,) = upload(client, b"1")
    assert client.delete("a", params={"uploadId": upload_id}).status_code == 204
    assert code(complete(client, upload_id, [(1, one)])) == (404, "NoSuchUpload")
    assert gcs.server.multipart.open_uploads() == []


def test_listing_version_one_and_two(client: httpx.Client, gcs: GcsBucket) -> None:
    for name in ("a&b", "c/1", "d"):
        gcs.put(name, b"")
    first = client.get("", params={"max-keys": 2, "delimiter": "/", "list-type": 2}).text
    assert "<Key>a&amp;b</Key>" in first
    assert "<CommonPrefixes><Prefix>c/</Prefix></CommonPrefixes>" in first
    token = first.partition("<NextContinuationToken>")[2].partition("<")[0]
    second = client.get("", params={"continuation-token": token, "list-type": 2}).text
    assert "<Key>d</Key>" in second
    assert "<Key>c/1</Key>" not in second
    assert "<Key>d</Key>" in client.get("", params={"marker": "c/1"}).text
