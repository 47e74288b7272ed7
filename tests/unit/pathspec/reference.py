"""A reference model of small specifications: every path is listed, and every answer looked up.

It expands templates over fields with few texts by plain loops and knows nothing of tries,
expressions or automata.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Any

ALIASES = ("latest", "best")
# All texts of each field, but for the version: of its endless texts two stand for all.
TEXTS = {
    "e": ["p", "q"],
    "g": ["p", "pq"],
    "s": ["p", "q"],
    "n": ["0", "1"],
    "x": ["p-p", "q-q"],
    "w": ["p", "q", "pp", "qp", "qq"],
    "k": ["pp", "qp", "pq", "qq"],
    "v": ["v0", "v1"],
    "t": ["latest", "best", "tt"],
}
FIELDS: dict[str, Any] = {
    "e": {"type": "enum", "choices": ["p", "q"]},
    "g": {"type": "str", "choices": ["p", "pq"]},
    "s": {"type": "str", "pattern": "[pq]"},
    "n": {"type": "int", "max": 1},
    "x": {"type": "compound", "format": "{e}-{e}"},
    "w": {"type": "str", "pattern": "[pq]{1,2}", "exclusions": ["pq", "no"]},
    "k": {"type": "str", "pattern": "[pq]+", "length": 2},
    "v": {"type": "version", "scheme": "v%01d", "aliases": list(ALIASES)},
    "t": {"type": "str", "pattern": "latest|best|tt"},
}
FINITE = {"e", "g", "x"}
ELEMENTS = [
    *("a", "b", "p", "{e}", "{g}", "{s}", "{n}", "{w}", "{k}", "{t}", "{v}", "a{e}", "{e}.{s}"),
    *("{x}", "{s}_{n}", "{s}_{v}", "{s}_{t}", "{v}.{n}", "a[_{e}]", "[{s}.]{n}", "[b_]{v}"),
]
NAMES = [
    *("a", "b", "p", "q", "pq", "qp", "pp", "0", "1", "ap", "aq", "a_p", "p.p", "p.q", "p-p"),
    *("q-p", "p_0", "zz", "v0", "v1", "p_v1", "latest", "best", "p_latest", "v1.0", "latest.0"),
]


def variants(template: str) -> list[str]:
    """Every way to write the template, the first with all optional parts."""
    pieces = re.split(r"(\[[^]]*\])", template)
    ways = [(one[1:-1], "") if one.startswith("[") else (one,) for one in pieces]
    return ["".join(kept) for kept in itertools.product(*ways)]


def fields_in(text: str) -> list[str]:
    names = re.findall(r"\{(\w)\}", text)
    return list(dict.fromkeys(names + (["e"] if "x" in names else [])))


def expansions(
    variant: str, texts: dict[str, list[str]] | None = None
) -> dict[str, dict[str, str]]:
    """Every path of the variant, with its fields."""
    names = fields_in(variant)
    result: dict[str, dict[str, str]] = {}
    for chosen in itertools.product(*((texts or TEXTS)[name] for name in names)):
        values = dict(zip(names, chosen, strict=True))
        if "x" in values and values["x"] != f"{values['e']}-{values['e']}":
            continue
        result[re.sub(r"\{(\w)\}", lambda found, of=values: of[found[1]], variant)] = values
    return result


def parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(len(parts))]


@dataclass
class Model:
    """What templates mean, listed. `published`: indexes that are on-version-publish.

    Attributes:
        files: of each template: its paths with their fields.
        aliases: alias path to the first template of the versions that it names.
        twice: templates that have a path in two variants.
        implied: directories that exist without files.
        versions: version directories that are published as a whole.
    """

    templates: list[str]
    published: frozenset[int] = frozenset()
    files: list[dict[str, dict[str, str]]] = field(default_factory=list)
    aliases: dict[str, int] = field(default_factory=dict)
    twice: set[int] = field(default_factory=set)
    implied: set[str] = field(default_factory=lambda: {""})
    versions: set[str] = field(default_factory=set)
    conflicts: set[frozenset[int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        groups: dict[str, int] = {}
        for index, template in enumerate(self.templates):
            paths: dict[str, dict[str, str]] = {}
            for variant in variants(template):
                found = expansions(variant)
                if paths.keys() & found.keys():
                    self.twice.add(index)
                paths |= found
                self._read(index, variant, groups)
            self.files.append(paths)
        for (i, one), (j, other) in itertools.combinations(enumerate(self.files), 2):
            if one.keys() & other.keys():
                self.conflicts.add(frozenset((i, j)))
        self._meet_aliases(groups)

    def _read(self, index: int, variant: str, groups: dict[str, int]) -> None:
        parts = variant.split("/")
        for depth in range(1, len(parts)):
            beginning = "/".join(parts[:depth])
            if set(fields_in(beginning)) <= FINITE:
                self.implied.update(expansions(beginning))
        place = next((at for at, part in enumerate(parts) if "{v}" in part), None)
        if place is None:
            return
        beginning = "/".join(parts[: place + 1])
        groups.setdefault(beginning, index)
        if index in self.published:
            self.versions.update(expansions(beginning))

    def _meet_aliases(self, groups: dict[str, int]) -> None:
        directories = [{up for path in one for up in parents(path)} for one in self.files]
        for beginning, index in groups.items():
            for alias in expansions(beginning, {**TEXTS, "v": list(ALIASES)}):
                if alias in self.aliases:
                    self.conflicts.add(frozenset((index, self.aliases[alias])))
                self.aliases[alias] = min(index, self.aliases.get(alias, index))
        for beginning, index in groups.items():
            for alias in expansions(beginning, {**TEXTS, "v": list(ALIASES)}):
                for other, paths in enumerate(self.files):
                    if alias in paths or alias in directories[other]:
                        self.conflicts.add(frozenset((index, other)))

    def producers(self, path: str) -> list[int]:
        return [index for index, one in enumerate(self.files) if path in one]

    def rivals(self, path: str) -> list[int]:
        """Templates that have *path* as a file or a directory."""
        return [
            index
            for index, one in enumerate(self.files)
            if path in one or any(other.startswith(path + "/") for other in one)
        ]

    def alias(self, path: str) -> int | None:
        """The template whose alias *path* is; where others have it too, the earlier one wins."""
        index = self.aliases.get(path)
        return None if index is None or any(one < index for one in self.rivals(path)) else index

    def is_directory(self, path: str) -> bool:
        return path == "" or any(
            other.startswith(path + "/") for one in self.files for other in one
        )

    def version_depth(self, path: str) -> int | None:
        """Elements of the outermost version directory that *path* is or lies in."""
        parts = path.split("/")
        depths = range(1, len(parts) + 1)
        return next((at for at in depths if "/".join(parts[:at]) in self.versions), None)
