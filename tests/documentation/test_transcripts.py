"""Pages are read as they are written, and what they show is compared to the letter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .pages import Command, Document, compare, run, steps

PAGE = """\
```json a.json
{"fields": {"x": 1, "y": 2}, "list": [1]}
```

```json a.json add without fields.x list
{"fields": {"z": {"deep": true}}}
```

```json
{"part": 1}
```

```toml
ignored = true
```

```console
$ echo one \\
  two
one two
$ false
(exit 1)
```

```console node
$ shotfs status
```
"""


def command(*printed: str, exit_code: int = 0) -> Command:
    return Command("echo", 1, node=False, printed=list(printed), exit_code=exit_code)


def test_page_is_taken_apart(tmp_path: Path) -> None:
    found = list(steps(PAGE))
    documents = [one for one in found if isinstance(one, Document)]
    assert [(one.name, one.add, one.line) for one in documents] == [
        ("a.json", False, 1),
        ("a.json", True, 5),
        ("", False, 9),
    ]
    for one in documents[:2]:
        one.write(tmp_path)
    made = json.loads((tmp_path / "a.json").read_text())
    assert made == {"fields": {"y": 2, "z": {"deep": True}}}
    commands = [one for one in found if isinstance(one, Command)]
    assert [(one.text, one.node, one.exit_code) for one in commands] == [
        ("echo one two", False, 0),
        ("false", False, 1),
        ("shotfs status", True, 0),
    ]
    for one in commands[:2]:
        compare(one, *run(one))


@pytest.mark.parametrize(
    "printed",
    [("a", "b", "c"), ("a", "..."), ("...", "c"), ("a", "...", "c"), ("a", "...b...", "c")],
)
def test_what_is_shown_may_leave_lines_out(printed: tuple[str, ...]) -> None:
    compare(command(*printed), 0, "a\nb\nc  \n")


@pytest.mark.parametrize(
    "printed", [(), ("a", "b"), ("a", "c"), ("b", "..."), ("c", "...", "a"), ("a", "x...", "c")]
)
def test_other_lines_than_shown_are_a_mistake(printed: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError):
        compare(command(*printed), 0, "a\nb\nc\n")


def test_another_exit_code_than_shown_is_a_mistake() -> None:
    with pytest.raises(AssertionError):
        compare(command("a"), 1, "a\n")
    with pytest.raises(AssertionError):
        compare(command("a", exit_code=1), 0, "a\n")
