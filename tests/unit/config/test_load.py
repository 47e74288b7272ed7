"""Loading: precedence, provenance, paths, and every mistake with its place and fix."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shotfs.config import Loaded, load, loading
from shotfs.config.document import FILE_BYTES_MAX
from shotfs.errors import ConfigInvalid, Problem

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> str:
        path = tmp_path / "shotfs.toml"
        path.write_text(text)
        path.chmod(0o644)
        return str(path)

    return _write


def mistakes(path: str, environ: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigInvalid) as caught:
        load(path, environ or {})
    return caught.value.problems


def only_mistake(path: str, environ: dict[str, str] | None = None) -> Problem:
    problems = mistakes(path, environ)
    assert len(problems) == 1, problems
    return problems[0]


# --- what is in force ----------------------------------------------------------------------------


def test_an_empty_file_means_the_defaults(write: Write) -> None:
    loaded = load(write(""), {})
    assert loaded.settings.cache.bytes_max == 100 * 2**30
    assert set(loaded.sources.values()) == {"default"}


def test_every_value_knows_where_it_came_from(write: Write) -> None:
    path = write(
        '[cache]\nbytes_max = "1 TB"\n[mount]\nread_only = true\n'
        '[shows.a]\nspec = "gs://b/s.json"\n[origins."gs://b/"]\nregion = "x"\n'
    )
    loaded = load(path, {"SHOTFS_MOUNT__READ_ONLY": "false", "SHOTFS_NODE__NAME": "12"})
    assert loaded.settings.cache.bytes_max == 10**12
    assert loaded.settings.mount.read_only is False
    assert loaded.settings.node.name == "12"
    assert loaded.sources["cache.bytes_max"] == f"{path}:2"
    assert loaded.sources["mount.read_only"] == "env SHOTFS_MOUNT__READ_ONLY"
    assert loaded.sources["node.name"] == "env SHOTFS_NODE__NAME"
    assert loaded.sources["shows.a.spec"] == f"{path}:6"
    assert loaded.sources['origins."gs://b".region'] == f"{path}:8"
    assert loaded.sources['origins."gs://b".engine'] == "default"
    assert loaded.sources["log.level"] == "default"


def test_values_in_inline_tables_and_dotted_keys_have_their_line_too(write: Write) -> None:
    path = write('\ncache = { directory = "/c", files_max = 5 }\nlog.level = "debug"\n')
    loaded = load(path, {})
    assert loaded.sources["cache.files_max"] == f"{path}:2"
    assert loaded.sources["log.level"] == f"{path}:3"


@pytest.mark.parametrize(
    ("variable", "text", "section", "field", "value"),
    [
        ("SHOTFS_CACHE__BYTES_MAX", "10 GiB", "cache", "bytes_max", 10 * 2**30),
        ("SHOTFS_CACHE__FILES_MAX", "12", "cache", "files_max", 12),
        ("SHOTFS_NETWORK__BACKOFF_S", "0.5", "network", "backoff_s", 0.5),
        ("SHOTFS_MOUNT__REQUEST_DEADLINE_S", "2 min", "mount", "request_deadline_s", 120.0),
        ("SHOTFS_NODE__PREEMPTIBLE", "true", "node", "preemptible", True),
        ("SHOTFS_NODE__SITE", "true", "node", "site", "true"),
        ("SHOTFS_LOG__FORMAT", "json", "log", "format", "json"),
        ("SHOTFS_SPOOL__DIRECTORY", "/ssd", "spool", "directory", "/ssd"),
    ],
)
def test_the_environment_overrides_the_default(
    write: Write, variable: str, text: str, section: str, field: str, value: object
) -> None:
    loaded = load(write(""), {variable: text})
    assert getattr(getattr(loaded.settings, section), field) == value
    assert loaded.sources[f"{section}.{field}"] == f"env {variable}"


def test_the_environment_can_add_a_show_whose_name_keeps_its_case(write: Write) -> None:
    loaded = load(write(""), {"SHOTFS_SHOWS__My__show__SPEC": "gs://b/s.json"})
    assert loaded.settings.shows["My__show"].spec == "gs://b/s.json"


def test_variables_that_are_not_settings_are_left_alone(write: Write) -> None:
    environ = {"SHOTFS_JOB": "17", "SHOTFS_CONFIG": "/other", "SHOTFS_DEBUG": "1", "HOME": "/"}
    assert set(load(write(""), environ).sources.values()) == {"default"}


def test_relative_paths_are_relative_to_the_file(write: Write, tmp_path: Path) -> None:
    path = write(
        '[cache]\ndirectory = "cache"\n[spool]\ndirectory = "../spool"\n[log]\nfile = "x.log"\n'
        '[control]\nsocket = "s"\n[shows.a]\nspec = "a.json"\n[shows.b]\nspec = "s3://b/b.json"\n'
        '[origins."s3://b"]\ncredentials_file = "aws"\n'
    )
    settings = load(path, {}).settings
    assert settings.cache.directory == f"{tmp_path}/cache"
    assert settings.spool_directory == f"{tmp_path}/../spool"
    assert settings.log.file == f"{tmp_path}/x.log"
    assert settings.control.socket == f"{tmp_path}/s"
    assert settings.shows["a"].spec == f"{tmp_path}/a.json"
    assert settings.shows["b"].spec == "s3://b/b.json"
    assert settings.origins["s3://b"].credentials_file == f"{tmp_path}/aws"


def test_the_file_is_chosen_by_argument_then_variable_then_default(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def site_of(loaded: Loaded) -> str:
        return loaded.settings.node.site

    first, second, third = (tmp_path / name for name in ("1.toml", "2.toml", "3.toml"))
    for file in (first, second, third):
        file.write_text(f'[node]\nsite = "{file.name}"\n')
    monkeypatch.setattr(loading, "PATH_DEFAULT", str(third))
    assert site_of(load(str(first), {"SHOTFS_CONFIG": str(second)})) == "1.toml"
    assert site_of(load(None, {"SHOTFS_CONFIG": str(second)})) == "2.toml"
    assert site_of(load(None, {})) == "3.toml"


def test_without_the_default_file_the_defaults_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "PATH_DEFAULT", str(tmp_path / "absent.toml"))
    loaded = load(None, {"SHOTFS_NODE__SITE": "here"})
    assert loaded.path is None
    assert loaded.settings.node.site == "here"


# --- mistakes in single values -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "where", "message", "fix"),
    [
        ("[cahce]\n", 1, "cahce", "no such setting", "did you mean cache?"),
        ("[cache]\nbyte_max = 1\n", 2, "cache.byte_max", "no such", "cache.bytes_max?"),
        ("[cache]\nbytes-max = 1\n", 2, "cache.bytes-max", "no such", "cache.bytes_max?"),
        ("[cache]\nsocket = 1\n", 2, "cache.socket", "no such setting here", "control.socket?"),
        ("[log]\nzzz = 1\n", 2, "log.zzz", "no such", "known here: file, format, level"),
        ("[shows.a]\nspec='x'\npec = 1\n", 3, "shows.a.pec", "no such", "shows.a.spec?"),
        ("[shows.a]\n", 1, "shows.a.spec", "is missing", 'add spec = "demo.json"'),
        ("[shows.a]\nspec=''\n", 2, "shows.a.spec", "is empty", "write a value"),
        ("[shows.a]\nspec='~/x'\n", 2, "shows.a.spec", "'~' is not expanded", "whole path"),
        ("[shows.'a/b']\nspec='x'\n", 1, 'shows."a/b"', "not a show's name", "no '/'"),
        ("[shows.'..']\nspec='x'\n", 1, 'shows.".."', "not a show's name", "no '.'"),
        ("[shows.'']\nspec='x'\n", 1, 'shows.""', "not a show's name", "use a name"),
        ('[shows."a\\n"]\nspec="x"\n', 1, 'shows."a\\u000a"', "show's name", "control characters"),
        (f"[shows.{'a' * 256}]\nspec='x'\n", 1, f"shows.{'a' * 256}", "too long", "255 bytes"),
        ("cache = 1\n", 1, "cache", "a table is expected", "[section]"),
        ("shows = 1\n", 1, "shows", "a table is expected", "[section]"),
        (
            '[origins."gs://b"]\nbandwidth = "20 MiB"\n',
            2,
            'origins."gs://b".bandwidth',
            "a list is expected",
            "[brackets]",
        ),
        (
            '[origins."gs://b"]\nbandwidth = ["fast"]\n',
            2,
            'origins."gs://b".bandwidth',
            "'fast' is not a bandwidth",
            "08:00-20:00 20 MiB",
        ),
        (
            '[origins."gs://b"]\nbandwidth = ["08:00-20:00 fast"]\n',
            2,
            'origins."gs://b".bandwidth',
            "'fast' is not a bandwidth",
            "08:00-20:00 20 MiB",
        ),
        ("[mount]\nread_only = 'yes'\n", 2, "mount.read_only", "true or false", "without quotes"),
        ("[mount]\nread_only = 1\n", 2, "mount.read_only", "true or false", "without quotes"),
        ("[cache]\nfiles_max = '9'\n", 2, "cache.files_max", "whole number", "digits only"),
        ("[cache]\nfiles_max = 1.5\n", 2, "cache.files_max", "whole number", "digits only"),
        ("[cache]\nfiles_max = 0\n", 2, "cache.files_max", "too small", "use 1 or more"),
        ("[cache]\nfiles_max = 9999999999\n", 2, "cache.files_max", "too large", "or less"),
        ("[cache]\ndirectory = 3\n", 2, "cache.directory", "text is expected", "quotes"),
        ("[cache]\ndirectory = ''\n", 2, "cache.directory", "is empty", "default"),
        ('[cache]\ndirectory = "a\\u0000"\n', 2, "cache.directory", "zero byte", "remove it"),
        ("[cache]\nbytes_max = '10 Gigs'\n", 2, "cache.bytes_max", "not a unit", "GiB"),
        ("[cache]\nbytes_max = -1\n", 2, "cache.bytes_max", "negative", "100 GiB"),
        ("[cache]\nbytes_max = 0\n", 2, "cache.bytes_max", "too small", "more than 0 B"),
        ("[mount]\nreadahead_bytes='9 GiB'\n", 2, "mount.readahead_bytes", "large", "1 GiB or"),
        (
            "[network]\nupload_part_bytes='1 MiB'\n",
            2,
            "network.upload_part_bytes",
            "small",
            "5 MiB",
        ),
        ("[network]\nbackoff_s='1 week'\n", 2, "network.backoff_s", "not a unit", "min"),
        ("[mount]\nrequest_deadline_s=0\n", 2, "mount.request_deadline_s", "small", "more than 0"),
        ("[mount]\nrequest_deadline_s=inf\n", 2, "mount.request_deadline_s", "finite", "30"),
        (
            "[network]\nretry_budget_per_s=nan\n",
            2,
            "network.retry_budget_per_s",
            "finite number",
            "write a number",
        ),
        (
            "[network]\nretry_budget_per_s='x'\n",
            2,
            "network.retry_budget_per_s",
            "a number is expected",
            "without quotes",
        ),
        ("[log]\nlevel='loud'\n", 2, "log.level", "'loud' is not one of", "'debug', 'info'"),
        (f"[control]\nadmin_group='{'g' * 33}'\n", 2, "control.admin_group", "long", "most 32"),
        (f"[control]\nsocket='/{'s' * 107}'\n", 2, "control.socket", "this one 108", "shorter"),
        ("[origins.bucket]\n", 1, "origins.bucket", "not the prefix of a URL", "gs://bucket"),
        ("[origins.'s3://k:s@b']\n", 1, 'origins."s3://k:s@b"', "credentials", "credentials_file"),
        ("[origins.'s3://b?x']\n", 1, 'origins."s3://b?x"', "has a '?'", "scheme"),
        (
            "[origins.'s3://b']\nendpoint_url='minio:9000'\n",
            2,
            'origins."s3://b".endpoint_url',
            "not a URL of http",
            "http://host:port",
        ),
        (
            "[origins.'s3://b']\nregion='x'\n[origins.'s3://b/']\nregion='y'\n",
            3,
            'origins."s3://b/"',
            "same origin as 's3://b'",
            "merge",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line_and_what_to_write(
    write: Write, text: str, line: int, where: str, message: str, fix: str
) -> None:
    problem = only_mistake(write(text))
    assert problem.where == where
    assert problem.line == line
    assert problem.column == 1
    assert message in problem.message
    assert problem.fix is not None
    assert fix in problem.fix


def test_a_secret_pasted_where_a_name_belongs_is_not_repeated(write: Write) -> None:
    path = write("[origins.'s3://b']\naccess_key_env='A'\nsecret_key_env='wJalr/bPxR'\n")
    with pytest.raises(ConfigInvalid) as caught:
        load(path, {})
    assert "wJalr" not in str(caught.value)
    assert caught.value.problems[0].line == 3
    assert "never the secret itself" in str(caught.value)


# --- relations -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[mount]\n\nrequests_max = 10\n", 3, "blocked_reads_max (1000) is not below"),
        ("[mount]\nblocked_reads_max = 2000\n", 2, "mount.requests_max (2000)"),
        ("[network]\nattempts_max=3\nbackoff_s = 20\n", 3, "network.backoff_s (20 s) is above"),
        ("[cache]\nfiles_max = 9\ndirectory='/x'\n[spool]\ndirectory='/x/'\n", 3, "itself"),
        ("[origins.'s3://b']\nregion='x'\naccess_key_env='A'\n", 3, "go together"),
        (
            "[origins.'s3://b']\nanonymous=true\ncredentials_file='/f'\n",
            2,
            "anonymous and credentials_file exclude each other",
        ),
    ],
)
def test_values_that_contradict_each_other_are_named_where_one_of_them_stands(
    write: Write, text: str, line: int, message: str
) -> None:
    problem = only_mistake(write(text))
    assert message in problem.message
    assert problem.line == line
    assert problem.fix


def test_every_mistake_is_found_at_once_also_contradictions_beside_bad_values(write: Write) -> None:
    path = write(
        "[mount]\nread_only = 'no'\nrequests_max = 10\n"
        "[network]\nrange_bytes = -1\nbackoff_s = 60\n"
        "[cache]\ndirectory = '/same'\nbytes = 1\n[spool]\ndirectory = '/same'\n"
        "[shows.a]\n[origins.'s3://b']\nanonymous = 3\n"
    )
    problems = mistakes(path, {"SHOTFS_LOG__LEVEL": "loud", "SHOTFS_LOG__COLOUR": "1"})
    assert [problem.line for problem in problems] == [2, 3, 5, 6, 8, 9, 12, 14, None, None]


def test_a_default_that_stands_in_for_a_bad_value_is_not_blamed(write: Write) -> None:
    path = write("[mount]\nblocked_reads_max = 'few'\nrequests_max = 10\n")
    assert only_mistake(path).where == "mount.blocked_reads_max"


# --- the environment -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "text", "where", "fix"),
    [
        ("SHOTFS_CACHE__BYTE_MAX", "1", "variable SHOTFS_CACHE__BYTE_MAX", "SHOTFS_CACHE__BYTES_"),
        ("SHOTFS_CAHCE__BYTES_MAX", "1", "SHOTFS_CAHCE__BYTES_MAX", "SHOTFS_CACHE__BYTES_MAX"),
        ("SHOTFS_QQ__WW", "1", "SHOTFS_QQ__WW", "SHOTFS_SECTION__FIELD"),
        ("SHOTFS_SHOWS__SPEC", "x", "SHOTFS_SHOWS__SPEC", "SHOTFS_SECTION__FIELD"),
        ("SHOTFS_SHOWS__a__SPECK", "x", "SHOTFS_SHOWS__a__SPECK", "SHOTFS_SECTION__FIELD"),
        ("SHOTFS_ORIGINS__X__REGION", "x", "SHOTFS_ORIGINS__X__REGION", "unset"),
        ("SHOTFS_CACHE__FILES_MAX", "many", "cache.files_max (environment variable", "digits"),
        ("SHOTFS_MOUNT__READ_ONLY", "yes", "mount.read_only (environment variable", "true"),
        ("SHOTFS_MOUNT__REQUESTS_MAX", "5", "mount (environment variable SHOTFS_MOUNT", "use at"),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    write: Write, variable: str, text: str, where: str, fix: str
) -> None:
    problem = only_mistake(write("[cache]\nfiles_max = 7\n"), {variable: text})
    assert where in problem.where
    assert problem.line is None
    assert problem.fix is not None
    assert fix in problem.fix


def test_a_variable_cannot_repair_a_section_that_is_no_table(write: Write) -> None:
    problem = only_mistake(write("cache = 5\n"), {"SHOTFS_CACHE__FILES_MAX": "7"})
    assert problem.where == "cache"


# --- the file itself -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "message", "fix"),
    [
        ("[cache]\nbytes_max = 10 GB\n", 2, "expected newline", 'bytes_max = "10 GB"'),
        ("[cache]\ndirectory = /var/x\n", 2, "invalid value", 'directory = "/var/x"'),
        ("[cache]\ndirectory: /var/x\n", 2, "expected '='", 'directory = "/var/x"'),
        ("[cache\n", 1, "expected ']'", None),
        ("[log]\n[log]\n", 2, "cannot declare", None),
        ("[log]\nlevel = 'info'\nlevel = 'info'\n", 3, "cannot overwrite", None),
        ('[log]\nlevel = "info', 2, "unterminated string", None),
    ],
)
def test_a_syntax_error_has_its_line(
    write: Write, text: str, line: int, message: str, fix: str | None
) -> None:
    problem = only_mistake(write(text))
    assert problem.where == "(syntax)"
    assert problem.line == line
    assert message in problem.message
    assert fix is None or (problem.fix is not None and fix in problem.fix)


def test_brackets_nested_without_end_are_a_mistake_not_a_crash(write: Write) -> None:
    assert "nested too deeply" in only_mistake(write("x = " + "[" * 100_000)).message


def test_a_file_that_is_missing_names_the_command_that_writes_one(tmp_path: Path) -> None:
    problem = only_mistake(str(tmp_path / "absent.toml"))
    assert "No such file" in problem.message
    assert problem.fix is not None
    assert "shotfs config init" in problem.fix


def test_a_named_file_must_exist_also_when_a_variable_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="No such file"):
        load(None, {"SHOTFS_CONFIG": str(tmp_path / "absent.toml")})


def test_a_directory_and_a_pipe_are_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in only_mistake(str(tmp_path)).message
    assert "not a regular file" in only_mistake(str(tmp_path / "pipe")).message


def test_a_file_over_a_mebibyte_is_refused(write: Write) -> None:
    assert "larger than 1024 KiB" in only_mistake(write("#" * (FILE_BYTES_MAX + 1))).message
    assert load(write("#" * FILE_BYTES_MAX), {}).path is not None


def test_a_file_that_is_not_utf8_names_the_place(tmp_path: Path) -> None:
    path = tmp_path / "shotfs.toml"
    path.write_bytes(b'[node]\nsite = "\xe9"\n')
    problem = only_mistake(str(path))
    assert (problem.line, problem.column) == (2, 9)
    assert "UTF-8" in problem.message


def test_windows_line_ends_and_a_byte_order_mark_do_not_move_lines(tmp_path: Path) -> None:
    path = tmp_path / "shotfs.toml"
    path.write_bytes(b"\xef\xbb\xbf[cache]\r\n\r\nfiles_max = 0\r\n")
    assert only_mistake(str(path)).line == 3


# --- warnings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[network]\nprogress_timeout_s = 90\n", 2, "90 s is not below"),
        ("[mount]\nrequest_deadline_s = 25\n", None, "30 s is not below"),
        ("[cache]\nbytes_max = '1 MiB'\n", 2, "not even one request"),
        ("[shows.a]\nspec = '/nowhere/a.json'\n", 2, "no file /nowhere/a.json"),
        ("[origins.'s3://b'.options]\nsecret = 'x'\n", 1, "'secret' looks like a secret"),
        (
            "[origins.'s3://b']\noptions = { client = { token = 'hush' } }\n",
            2,
            "'client.token' looks like a secret",
        ),
    ],
)
def test_what_is_allowed_but_hardly_meant_is_a_warning(
    write: Write, text: str, line: int | None, message: str
) -> None:
    (warning,) = load(write(text), {}).warnings
    assert message in warning.message
    assert warning.line == line
    assert warning.fix
    assert "hush" not in str(warning)


def test_a_file_that_everybody_may_write_is_a_warning(write: Write) -> None:
    path = write("")
    os.chmod(path, 0o666)
    (warning,) = load(path, {}).warnings
    assert "everybody" in warning.message
    assert warning.fix == f"chmod o-w {path}"
