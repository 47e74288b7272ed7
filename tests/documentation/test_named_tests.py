"""The tests that the design documents name exist, so that their tables of faults cannot rot."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from .pages import DOCS

PROJECT = DOCS.parent
PAGES = [
    "design/cache.md",
    "design/scheduling.md",
    "design/faults.md",
    "design/tiers.md",
    "design/fuse.md",
]

_NAMED = re.compile(r"`(?:(tests/[\w/.]+\.py)(?:::)?)?(test_\w+)?(?:\[[^`]*\])?`")
_RULE = re.compile(r"^\|[\s:|-]+\|$")


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@cache
def all_functions() -> frozenset[str]:
    """Return the names of all functions, classes and modules of the tests."""
    paths = [*(PROJECT / "tests").rglob("*.py")]
    return frozenset().union(*map(functions_of, paths), (path.stem for path in paths))


def missing(text: str) -> list[str]:
    """Return the tests that *text* names, in backticks, and that do not exist."""
    absent = []
    for found in _NAMED.finditer(text):
        file, name = found[1], found[2]
        path = PROJECT / (file or "")
        if file is not None and not path.is_file():
            absent.append(file)
        elif name is not None and name not in (functions_of(path) if file else all_functions()):
            absent.append(found[0].strip("`"))
    return absent


def rows_without_test(text: str) -> list[str]:
    """Return the rows of tables with a column "test" that name none in it."""
    without, column = [], None
    lines = text.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            column = None
        elif _RULE.match(below):
            column = cells.index("test") if "test" in cells else None
        elif column is not None and not _RULE.match(line):
            named = _NAMED.search(cells[column]) if column < len(cells) else None
            if named is None or not (named[1] or named[2]):
                without.append(line)
    return without


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_exists(page: str) -> None:
    text = (DOCS / page).read_text()
    assert missing(text) == []
    assert rows_without_test(text) == []


def test_what_is_missing_is_found() -> None:
    assert missing("`test_no_such` `tests/no/such.py`") == ["test_no_such", "tests/no/such.py"]
    assert missing("`tests/faults/test_clock.py::test_no_such`") != []
    assert missing("`tests/documentation/test_named_tests.py::test_what_is_missing_is_found`") == []
    table = "| fault | test |\n|---|---|\n| a | `test_what_is_missing_is_found` |\n| b | - |\n"
    assert rows_without_test(table) == ["| b | - |"]
    assert rows_without_test("| fault | seen |\n|---|---|\n| a | - |\n") == []
