"""How commands speak and end: consoles, JSON, messages, exit codes."""

from __future__ import annotations

import errno
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import typer
from rich.table import Table
from typer.testing import CliRunner

from shotfs import errors
from shotfs.cli import output
from shotfs.cli.output import ExitCode, emit, fail, printable, report, run, warn


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SHOTFS_DEBUG", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def ends_with(error: BaseException) -> int:
    @run
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        command()
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigInvalid("f", []), 3),
        (errors.SpecInvalid("f", []), 3),
        (errors.ServiceNotRunning("x"), 4),
        (errors.MountFailed("x"), 5),
        (errors.ServiceBusy("x"), 5),
        (errors.CacheBusy("x"), 5),
        (errors.TierTimeout("x"), 6),
        (errors.AccessDenied("x"), 6),
        (errors.NotPermitted("x"), 7),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 7),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), 1),
        (errors.Unsupported("x"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (ValueError("x"), 70),
        (OSError(errno.EIO, "no file in it"), 70),
    ],
)
def test_an_error_ends_a_command_with_its_documented_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_silence_stdout", lambda: None)
    assert ends_with(error) == code


def test_an_error_is_one_message_with_its_fix_and_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert report(errors.MountFailed("cannot mount /shows", fix="do this")) is ExitCode.MOUNT_FAILED
    captured = capsys.readouterr()
    assert captured.err == "shotfs: cannot mount /shows\n  fix: do this\n"
    assert captured.out == ""


def test_an_error_of_the_operating_system_names_the_file(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(PermissionError(errno.EACCES, "Permission denied", "/a[b]"))
    assert capsys.readouterr().err == "shotfs: /a[b]: Permission denied\n"


def test_of_a_group_every_error_is_told_and_the_first_decides(
    capsys: pytest.CaptureFixture[str],
) -> None:
    inner = ExceptionGroup("inner", [errors.TierUnavailable("two")])
    group = ExceptionGroup("outer", [errors.CacheFull("one"), inner])
    assert report(group) is ExitCode.MOUNT_FAILED
    assert capsys.readouterr().err == "shotfs: one\nshotfs: two\n"


def test_a_bug_in_a_group_is_an_internal_error(capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("outer", [errors.CacheFull("one"), TypeError("bug")])
    assert report(group) is ExitCode.INTERNAL
    assert "TypeError: bug" in capsys.readouterr().err


def test_an_internal_error_names_the_file_that_has_the_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ends_with(ZeroDivisionError("by zero")) == 70
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert "internal error: ZeroDivisionError: by zero" in message
    (path,) = re.findall(r"the details are in (\S+)", message)
    assert "Traceback" in Path(path).read_text()
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_an_internal_error_shows_its_traceback_to_who_debugs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOTFS_DEBUG", "1")
    assert ends_with(ZeroDivisionError("by zero")) == 70
    assert "Traceback" in capsys.readouterr().err


def test_an_internal_error_without_a_place_for_the_log_still_ends_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    assert ends_with(ZeroDivisionError("by zero")) == 70
    assert "SHOTFS_DEBUG=1" in capsys.readouterr().err


def test_usage_errors_stay_with_typer() -> None:
    app = typer.Typer()

    @app.command()
    @run
    def command(number: int) -> None:
        raise typer.BadParameter("not this one")

    assert CliRunner().invoke(app, ["5"]).exit_code == 2
    assert CliRunner().invoke(app, ["five"]).exit_code == 2
    assert CliRunner().invoke(app, []).exit_code == 2


def test_a_guarded_command_keeps_its_signature_and_result() -> None:
    @run
    def command(number: int = 3) -> int:
        """Say it."""
        return number

    assert command() == 3
    assert str(inspect.signature(command)) == "(number: 'int' = 3) -> 'int'"
    assert command.__doc__ == "Say it."


def test_fail_ends_with_message_fix_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        fail("cannot", ExitCode.NOT_PERMITTED, fix="become root")
    assert caught.value.code == 7
    assert capsys.readouterr().err == "shotfs: cannot\n  fix: become root\n"


def test_a_warning_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    warn("careful", fix="look")
    captured = capsys.readouterr()
    assert captured.err == "warning: careful\n  fix: look\n"
    assert captured.out == ""


def test_json_is_plain_whatever_the_console_thinks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    data = {"path": "/a/[red]b" * 30, "where": Path("/x"), "odd": "\udcff"}
    emit(data, True, lambda: "never")
    document = json.loads(capsys.readouterr().out)
    assert document == {**data, "where": "/x"}


def test_people_get_the_other_form(capsys: pytest.CaptureFixture[str]) -> None:
    emit({"a": 1}, False, lambda: "one [bold]a[/bold] :smile:")
    assert capsys.readouterr().out == "one [bold]a[/bold] :smile:\n"


def test_without_a_terminal_nothing_is_folded_or_coloured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = "/shows/" + "x" * 1000
    table = Table("path", "size")
    table.add_row(path, "[red]5")
    output.console.print(table)
    output.console.print(path)
    written = capsys.readouterr().out
    assert written.count(path) == 2
    assert "[red]5" in written
    assert "\x1b" not in written


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü [b]", "plain ü [b]"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("two\nlines", "two\nlines"),
        ("\udcff", "\\udcff"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
    ],
)
def test_control_characters_are_shown_not_sent(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_every_exit_code_is_described() -> None:
    source = inspect.getsource(ExitCode)
    for code in ExitCode:
        assert re.search(rf'{code.name} = {code.value}\n    """.+"""', source), code


def test_output_that_nobody_reads_any_more_ends_quietly() -> None:
    program = (
        "from shotfs.cli.output import run, console\n"
        "def command():\n"
        "    for number in range(100000): console.print('x' * 100)\n"
        "run(command)()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_ctrl_c_while_commands_are_still_imported_is_no_traceback() -> None:
    code = "import signal; import shotfs.cli.main; signal.raise_signal(signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
