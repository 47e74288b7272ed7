"""What keeps a node from starting: each with an exit code, the thing, the fix, and no mount."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import pytest

from shotfs.fuse.mountpoint import mount_at
from tests.faults.conftest import IMPATIENT, NewGcsNode
from tests.faults.processes import cat, errno_of
from tests.fuse.conftest import NewNode, gcs_settings
from tests.fuse.node import SPEC, ShotfsNode
from tests.servers.gcs import GcsServer
from tests.servers.handles import GcsBucket
from tests.servers.tokens import TokenServer

pytestmark = pytest.mark.kernel


def assert_refused(node: ShotfsNode, exit_code: int, *texts: str) -> None:
    """Assert that mounting fails with *exit_code* and says *texts*, and leaves nothing mounted."""
    done = node.command("mount", str(node.mountpoint), check=False)
    assert done.returncode == exit_code, done.stderr
    for text in (*texts, "fix: "):
        assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert mount_at(str(node.mountpoint)) is None
    assert not node.running


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[cache]\nbytes_max = 10 GiB\n", ["shotfs.toml:2", "text stands in quotes"]),
        ('[mount]\nallow_other = true\nread_ahead = "1 MiB"\n', ["shotfs.toml:3", "readahead"]),
        ('[cache]\n\nbytes_max = "10 apples"\n', ["shotfs.toml:3", "cache.bytes_max"]),
        ("", ["no show is configured", "[shows.NAME]"]),
    ],
    ids=["syntax", "unknown key", "bad value", "no show"],
)
def test_a_malformed_configuration_is_refused_with_its_line(
    new_node: NewNode, origin: Path, text: str, said: list[str]
) -> None:
    node = new_node(f"file://{origin}")
    node.config.write_text(text)
    assert_refused(node, 3, *said)


def _without(key: str) -> Callable[[dict[str, object]], None]:
    return lambda spec: spec.pop(key) and None  # type: ignore[func-returns-value]


def _unknown_field(spec: dict[str, dict[str, dict[str, str]]]) -> None:
    spec["templates"]["library"]["path"] = "library/{rezt}"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_unknown_field, ["/templates/library/path", "rezt", "rest"]),
        (_without("roots"), ['"main" is no root', 'name it under "roots"']),
    ],
    ids=["unknown field", "missing section"],
)
def test_a_malformed_specification_is_refused_with_its_line(
    new_node: NewNode,
    origin: Path,
    spoil: Callable[[dict[str, object]], None],
    said: list[str],
) -> None:
    spec = deepcopy(SPEC)
    spoil(spec)
    node = new_node(f"file://{origin}", spec=spec)
    document = node.directory / "spec.json"
    document.write_text(json.dumps(json.loads(document.read_text()), indent=1))
    assert_refused(node, 3, "spec.json:", *said)


def test_a_specification_that_is_no_json_is_refused_with_its_line(
    new_node: NewNode, origin: Path
) -> None:
    node = new_node(f"file://{origin}")
    (node.directory / "spec.json").write_text('{"spec": "shotfs-path/1",\n "show": \n}')
    assert_refused(node, 3, "spec.json:3")


def test_a_missing_specification_is_refused_by_its_setting(new_node: NewNode, origin: Path) -> None:
    node = new_node(f"file://{origin}")
    (node.directory / "spec.json").unlink()
    assert_refused(node, 3, "spec.json", "No such file", "[shows.NAME]")


def test_an_unknown_bucket_is_refused_by_name(new_node: NewNode, gcs: GcsBucket) -> None:
    settings = (
        f'{IMPATIENT}[origins."gs://typo"]\nendpoint_url = "{gcs.endpoint}"\nanonymous = true'
    )
    node = new_node("gs://typo/ant", settings=settings)
    assert_refused(node, 6, "gs://typo", "does not exist", "endpoint_url")


def test_an_origin_directory_that_does_not_exist_is_refused(
    new_node: NewNode, tmp_path: Path
) -> None:
    node = new_node(f"file://{tmp_path}/nowhere")
    assert_refused(node, 6, f"file://{tmp_path}/nowhere", "does not exist")


@pytest.fixture
def film() -> Iterator[GcsServer]:
    """A server with the bucket `film`, which asks for a token."""
    with GcsServer(tokens=frozenset({"good"}), read_tokens=frozenset({"reader"})) as server:
        server.store.create_bucket("film")
        yield server


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    """Where service accounts get their tokens."""
    with TokenServer() as server:
        yield server


def _film_settings(film: GcsServer, credentials: str) -> str:
    table = f'[origins."gs://film"]\nendpoint_url = "{film.endpoint}"\n{credentials}\n'
    return f"{IMPATIENT}{table}"


@pytest.mark.parametrize(
    ("credentials", "token", "said"),
    [
        ("anonymous = true", None, "Anonymous caller"),
        ('credentials_file = "{account}"', "forged", "Invalid Credentials"),
        ('credentials_file = "{account}"', "", "Invalid Credentials"),
        ('credentials_file = "{account}.typo"', None, "account.json.typo does not exist"),
    ],
    ids=["none", "unknown token", "disabled account", "missing file"],
)
def test_wrong_credentials_are_refused_by_the_setting(
    new_node: NewNode,
    film: GcsServer,
    tokens: TokenServer,
    tmp_path: Path,
    credentials: str,
    token: str | None,
    said: str,
) -> None:
    account = tokens.write_account(tmp_path / "account.json")
    tokens.token = token or ""
    tokens.status = 400 if token == "" else 200
    settings = _film_settings(film, credentials.format(account=account))
    node = new_node("gs://film/ant", settings=settings)
    assert_refused(node, 6, "gs://film", said, "credentials_file")
    report = json.loads(node.command("doctor", "--json", check=False).stdout)
    found = [one for one in report["findings"] if one["check"] == "origin gs://film/ant"]
    assert [one["verdict"] for one in found] == ["wrong"]
    assert "credentials_file" in found[0]["fix"]


def test_credentials_that_may_only_read_keep_outputs_and_say_why(
    new_node: NewNode, film: GcsServer, tokens: TokenServer, tmp_path: Path
) -> None:
    tokens.token = "reader"
    account = tokens.write_account(tmp_path / "account.json")
    film.store.put("film", "ant/library/oak.png", b"oak")
    settings = _film_settings(film, f'credentials_file = "{account}"')
    node = new_node("gs://film/ant", settings=settings).mount()
    assert (node.show / "library/oak.png").read_bytes() == b"oak"
    written = node.show / "render/xy_1_100_030_00_v005/beauty.1001.exr"
    written.parent.mkdir()
    written.write_bytes(b"frame")
    waiting = node.wait_queue(state="failed")
    assert "access denied" in waiting[0]["error"]
    assert written.read_bytes() == b"frame"
    listed = node.command("publish", "queue").stdout
    assert "beauty.1001.exr" in listed
    assert "access denied" in listed
    assert film.store.names("film") == ["ant/library/oak.png"]


def test_credentials_that_end_while_mounted_are_eacces_and_cached_files_stay(
    new_node: NewNode, film: GcsServer, tokens: TokenServer, tmp_path: Path
) -> None:
    account = tokens.write_account(tmp_path / "account.json")
    for name in ("oak.png", "elm.png"):
        film.store.put("film", f"ant/library/{name}", name.encode())
    settings = _film_settings(film, f'credentials_file = "{account}"')
    node = new_node("gs://film/ant", settings=settings).mount()
    assert (node.show / "library/oak.png").read_bytes() == b"oak.png"
    film.tokens = frozenset()
    assert errno_of(cat(node.show / "library/elm.png"), timeout_s=30) == errno.EACCES
    assert (node.show / "library/oak.png").read_bytes() == b"oak.png"
    node.wait_logged("WARN", "gs://film", "credentials_file")


def test_a_second_mount_on_the_same_cache_names_its_owner(new_node: NewNode, origin: Path) -> None:
    first = new_node(f"file://{origin}").mount()
    second = new_node(
        f"file://{origin}", settings=f'[cache]\ndirectory = "{first.directory}/cache"'
    )
    assert_refused(second, 5, str(first.directory / "cache"), str(first.status()["pid"]))
    (origin / "library").mkdir()
    (origin / "library/oak.png").write_bytes(b"oak")
    assert (first.show / "library/oak.png").read_bytes() == b"oak"


def test_a_cache_that_others_may_write_is_refused_with_the_command_that_helps(
    new_gcs_node: NewGcsNode,
) -> None:
    node = new_gcs_node()
    cache = node.directory / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    assert_refused(node, 5, str(cache), f"chmod 700 {cache}")


def test_an_endpoint_that_is_no_store_is_refused(new_node: NewNode, gcs: GcsBucket) -> None:
    settings = gcs_settings(gcs).replace(gcs.endpoint, f"{gcs.endpoint}/storage/v1/b/nothing")
    node = new_node(f"gs://{gcs.bucket}/ant", settings=f"{IMPATIENT}{settings}")
    assert_refused(node, 6, gcs.bucket, "endpoint_url")
