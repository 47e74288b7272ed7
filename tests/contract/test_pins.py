"""Pin files at real stores: what was pinned is read after it was replaced, where that is kept."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import trio

from shotfs.errors import RevisionChanged, TierCorrupt
from shotfs.namespace.pin_check import Verdict, verify_blocking
from shotfs.namespace.pin_reading import read_pins
from shotfs.namespace.pinning import pin_blocking, with_tiers
from shotfs.namespace.tier_pool import TierPool
from shotfs.pathspec import load
from shotfs.tiers.base import Span
from tests.contract.places import Place, at
from tests.servers.handles import GcsBucket, S3Bucket


def pinned(place: Place, output: Path, at_ns: int | None = None) -> None:
    document = {
        "spec": "shotfs-path/1",
        "show": "ant",
        "roots": {"main": place.url},
        "defaults": {"origin": "main"},
        "fields": {"rest": {"type": "tree"}},
        "templates": {"notes": {"path": "notes/{rest}", "flow": "inout"}},
    }
    spec = load(json.dumps(document), source="spec.json", show="ant")
    made = pin_blocking(spec, place.settings(), ["notes"], str(output), by="anna@node", at_ns=at_ns)
    assert made.trees == ("notes",)


def verdicts(place: Place, file: Path) -> dict[str, str]:
    found: list[Verdict] = []
    verify_blocking(read_pins(str(file)), place.settings(), found.append)
    return {one.path: one.state for one in found}


def bytes_of(place: Place, file: Path, path: str) -> bytes:
    revision = read_pins(str(file)).files.find(path)
    assert revision is not None

    async def read(tiers: TierPool) -> bytes:
        tier = await tiers.get(place.url)
        return bytes(await tier.read(revision, Span(0, revision.size_bytes)))

    return with_tiers(place.settings(), read)


@at("gcs", "s3-prefix")
def test_what_was_pinned_is_read_after_it_was_replaced_or_deleted(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.params["place"].partition("-")[0]
    bucket: GcsBucket | S3Bucket = request.getfixturevalue(name)
    bucket.keep_versions()
    for key in ("notes/a", "notes/deep/b", "notes/deep/c"):
        place.write(key, f"old {key}".encode())
    file = tmp_path / "job.pin.json"
    pinned(place, file)
    place.write("notes/a", b"replaced")
    place.remove("notes/deep/b")

    assert verdicts(place, file) == {
        "notes/a": "kept", "notes/deep/b": "kept", "notes/deep/c": "same",
    }  # fmt: skip
    for key in ("notes/a", "notes/deep/b", "notes/deep/c"):
        assert bytes_of(place, file, key) == f"old {key}".encode()


@at("gcs", "s3", "file")
def test_without_versions_what_was_replaced_is_gone_and_says_so(
    place: Place, tmp_path: Path
) -> None:
    place.write("notes/a", b"old")
    place.write("notes/b", b"old")
    file = tmp_path / "job.pin.json"
    pinned(place, file)
    place.write("notes/a", b"replaced")
    assert verdicts(place, file) == {"notes/a": "gone", "notes/b": "same"}
    assert bytes_of(place, file, "notes/b") == b"old"


@at("gcs")
def test_a_pin_file_of_the_past_is_of_one_moment(
    place: Place, tmp_path: Path, gcs: GcsBucket
) -> None:
    gcs.keep_versions()
    place.write("notes/a", b"old")
    trio.run(trio.sleep, 0.002)  # the store tells whole milliseconds
    at_ns = time.time_ns()
    trio.run(trio.sleep, 0.002)
    place.write("notes/a", b"newer")
    place.write("notes/later", b"later")
    file = tmp_path / "job.pin.json"
    pinned(place, file, at_ns)
    assert verdicts(place, file) == {"notes/a": "kept"}
    assert bytes_of(place, file, "notes/a") == b"old"


@at("gcs", "gcs-fsspec", "s3", "s3-fsspec", "file")
@pytest.mark.parametrize("size_bytes", [2, 4])
def test_a_size_that_the_store_does_not_confirm_is_never_served(
    place: Place, tmp_path: Path, size_bytes: int
) -> None:
    place.write("notes/a", b"old")
    file = tmp_path / "job.pin.json"
    pinned(place, file)
    file.write_text(file.read_text().replace('"size": 3', f'"size": {size_bytes}'))
    with pytest.raises((RevisionChanged, TierCorrupt)):
        bytes_of(place, file, "notes/a")
