"""Tcl in the paths of a Nuke script, as far as it can be followed without running it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

DEPTH_MAX = 8
"""Expressions in expressions."""

EXPRESSION_CHARS_MAX = 1000
"""The longest expression that is looked at."""

STEPS_MAX = 64
"""Expressions that are followed for one path."""

_ENVIRONMENT = re.compile(r"\$env\(([A-Za-z_][A-Za-z0-9_]*)\)|\[getenv +([A-Za-z_][A-Za-z0-9_]*)\]")
_VALUE = re.compile(
    r"(?:value|knob) +(?:\[(?:topnode|value this)\] *)?root\.([A-Za-z_][A-Za-z0-9_]*)"
)
_SCRIPT_DIRECTORY = re.compile(r"python +\{? *nuke\.script_directory\(\) *\}?")
_FILE = re.compile(r"file +(dirname|tail|rootname) +\{?([^\[\]{}]*)\}?")


@dataclass(slots=True)
class Place:
    """Where the script lies, and what its root says.

    Attributes:
        script: the name of its file; its directory is where relative paths begin here.
        project: the root's ``project_directory``, evaluated; "" where it has none.
        unresolved: why *project* is not known, else "".
        knobs: of the root.
    """

    script: str
    project: str = ""
    unresolved: str = ""
    knobs: dict[str, str] = field(default_factory=dict)

    def learn(self, knobs: dict[str, str]) -> None:
        """Take over the knobs of the root."""
        self.knobs = {
            name: text for name, text in knobs.items() if len(text) <= EXPRESSION_CHARS_MAX
        }
        self.project, self.unresolved = evaluated(knobs.get("project_directory", "").strip(), self)

    def joined(self, path: str) -> str:
        """Return the relative *path* as it is seen from the directory of the script."""
        project = self.project.rstrip("/")
        return path if project in ("", ".") or self.unresolved else f"{project}/{path}"


def evaluated(text: str, place: Place) -> tuple[str, str]:
    """Return the path that *text* means, and why it cannot be known ("" where it can)."""
    path = text
    steps = 0
    while "[" in path:
        start, stop = _innermost(path)
        if stop < 0 or steps == STEPS_MAX or stop - start > EXPRESSION_CHARS_MAX:
            return text, "an expression of Tcl"
        value = _one(path[start + 1 : stop].strip(), place)
        if value is None:
            return text, f"an expression of Tcl: {path[start : stop + 1][:200]}"
        path = path[:start] + value + path[stop + 1 :]
        steps += 1
    path = _ENVIRONMENT.sub(lambda match: f"${{{match[1] or match[2]}}}", path)
    path = path.removeprefix("./")
    return path, ""


def _innermost(path: str) -> tuple[int, int]:
    """Return where the first expression begins and ends that has no other within; -1 if none."""
    stop = path.find("]")
    return path.rfind("[", 0, stop if stop >= 0 else None), stop


def _one(expression: str, place: Place) -> str | None:
    """Return what *expression*, which has no other within, gives; None if it is not known."""
    if (match := re.fullmatch(r"getenv +([A-Za-z_][A-Za-z0-9_]*)", expression)) is not None:
        return f"${{{match[1]}}}"
    if _SCRIPT_DIRECTORY.fullmatch(expression):
        return "."
    if (match := _VALUE.fullmatch(expression)) is not None:
        return _knob(match[1], place)
    if (match := _FILE.fullmatch(expression)) is not None:
        return _part(match[1], match[2].strip())
    return None


def _knob(name: str, place: Place) -> str | None:
    if name == "name":
        # What the file was called when it was saved may be another place; it lies here now.
        return f"./{place.script}"
    if name == "project_directory":
        return None if place.unresolved or not place.project else place.project
    text = place.knobs.get(name)
    return None if text is None or "[" in text or "{" in text else text


def _part(what: str, path: str) -> str | None:
    if not path:
        return None
    directory, slash, last = path.rpartition("/")
    if what == "tail":
        return last
    if what == "dirname":
        return directory or ("/" if slash else ".")
    dot = last.rfind(".")
    return path if dot < 0 else path[: len(path) - len(last) + dot]
