"""POV-Ray: scenes (.pov), what they include (.inc), and settings (.ini).

A scene is followed as far as it can be without rendering (`povray_scene`). POV-Ray looks for all
files in the directory that it was started in, which is taken to be that of the first scene, and
then in its library paths; never beside the file that includes. Settings name the scene, its frames,
and library paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.povray_scene import Scene
from shotfs.prewarm.scanners.text import Source, named, open_text

LINE_CHARS_MAX = 8192
"""Of one line of settings."""

PATHS_MAX = 100
"""Library paths (POV-Ray itself has 20)."""

_LINE_STOP = re.compile(r"\n")
_OPTION = re.compile(r"\s*([A-Za-z_]{2,40})\s*=\s*(.*?)\s*")
_SWITCH = re.compile(r'[-+](HI|[ILOKS][FI]?|[A-Z]{1,4})("[^"]*"|[^\s"]*)', re.IGNORECASE)
_STRING = re.compile(r'"([^"]*)"|(\S+)')


class PovrayScanner:
    """Reads scenes and settings of POV-Ray."""

    name = "povray"
    suffixes = (".pov", ".inc", ".ini")
    extra = ""

    def available(self) -> str:
        """Return "": nothing has to be installed."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins like a scene: it says its version, or includes something."""
        return bool(re.search(rb'^\s*#(?:version\s+[\d.]+|include\s+")', head, re.MULTILINE))

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:
        """Yield what the scene or the settings *path* name.

        Raises:
            ScanFailed: it cannot be read, is binary, or ends within a string or an ``#if``.
        """
        with open_text(path, binary="scenes of POV-Ray are text") as source:
            if path.lower().endswith(".ini"):
                yield from _settings(source, scope)
                return
            beside = ("", *scope.search_paths)
            library = path.lower().endswith(".inc")
            if library:
                beside = (*scope.search_paths, "")
            # The macros of a scene are there for what it includes; of those of a library, few are.
            uncalled = 0.3 if library else 0.6
            yield from Scene(source, scope, beside, uncalled=uncalled).edges()


@dataclass(slots=True)
class _Settings:
    """What a file of settings says."""

    paths: list[str] = field(default_factory=list)
    inputs: list[tuple[str, int]] = field(default_factory=list)
    headers: list[tuple[str, int]] = field(default_factory=list)
    outputs: list[tuple[str, int]] = field(default_factory=list)
    others: list[tuple[str, int]] = field(default_factory=list)
    first: int = 1
    last: int = 0


def _settings(source: Source, scope: Scope) -> Iterator[Edge]:
    """Yield what settings name: other settings, the scene and what it gets, outputs."""
    said = _Settings()
    while not source.ended:
        line = source.line
        text = source.until(_LINE_STOP, keep=LINE_CHARS_MAX)
        source.next()
        if text is not None:
            _line(text.split(";", 1)[0].split("#", 1)[0].strip(), line, said)
    search = ("", *said.paths, *scope.search_paths)
    frames = f"{said.first}-{said.last}" if 0 <= said.first < said.last else ""
    kinds = ((said.others, Kind.SCENE), (said.headers, Kind.SCENE), (said.inputs, Kind.SCENE))
    for targets, kind in (*kinds, (said.outputs, Kind.OUTPUT)):
        for target, line in targets:
            edge = named(target, kind=kind, line=line, search=search)
            if edge is None:
                continue
            if targets is said.inputs and frames:
                edge = Edge(target, kind, frames=frames, line=line, search=search)
            yield edge


def _line(text: str, line: int, said: _Settings) -> None:
    if not text or text.startswith("["):
        return
    option = _OPTION.fullmatch(text)
    if option is not None:
        _option(option[1].lower(), option[2].strip("\"'"), line, said)
        return
    for quoted, bare in _STRING.findall(text):
        word = quoted or bare
        switch = _SWITCH.fullmatch(word)
        if switch is not None:
            _option(switch[1].lower(), switch[2].strip('"'), line, said)
        elif word.lower().endswith(".ini"):
            _keep(said.others, word, line)
        elif word.lower().endswith(".pov"):
            _keep(said.inputs, word, line)


def _option(name: str, value: str, line: int, said: _Settings) -> None:
    if not value:
        return
    if name in ("library_path", "l"):
        if len(said.paths) < PATHS_MAX:
            said.paths.append(value)
    elif name in ("input_file_name", "i"):
        _keep(said.inputs, value, line)
    elif name in ("include_header", "hi"):
        _keep(said.headers, value, line)
    elif name in ("output_file_name", "o"):
        _keep(said.outputs, value, line)
    elif name in ("initial_frame", "kfi") and re.fullmatch(r"[0-9]{1,9}", value):
        said.first = int(value)
    elif name in ("final_frame", "kff") and re.fullmatch(r"[0-9]{1,9}", value):
        said.last = int(value)


def _keep(targets: list[tuple[str, int]], value: str, line: int) -> None:
    if len(targets) < PATHS_MAX:
        targets.append((value, line))
