"""Maya: scenes in ASCII (.ma). Read as text; MEL and Python in them is never run.

References (``file -r``), textures, caches, stand-ins and image planes are told by the attributes
that name them. Relative paths start at the project: the nearest directory above the scene that has
a ``workspace.mel``, or one of the three above it where the scene is a copy. A reference that the
scene lists as not loaded (``-rdi 1 ... -dr 1``) counts 0.3. What a texture node says of tiles
(``uvTilingMode``) and frames (``useFrameExtension``) becomes a token in the path.

Binary scenes (.mb) are refused: their format is not public.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from shotfs.errors import InvalidArgument, ScanFailed
from shotfs.prewarm.manifest.frames import frames_text, parse_frames
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.text import Source, named, open_text
from shotfs.prewarm.scanners.words import Lexer, Sort, Token

FLAGS_MAX = 64
"""Words of a command before what it is about."""

DEFERRED_MAX = 100_000
"""References that are remembered as not loaded."""

WORKSPACE_BYTES_MAX = 1 << 20
"""Of a ``workspace.mel``."""

_ATTRIBUTES = {
    # Short and long names of attributes that hold paths, and how likely a render reads them.
    **dict.fromkeys(("ftn", "fileTextureName", "imn", "imageName", "cfn", "cacheFileName"), 1.0),
    **dict.fromkeys(
        ("dso", "fn", "fns", "abc_File", "abc_layerFiles", "filename", "fileName"), 1.0
    ),
    **dict.fromkeys(("fp", "filePath", "fn2", "fileName2", "tex0", "afn", "aiFilename"), 1.0),
    **dict.fromkeys(("eutn", "explicitUvTileName", "inFile", "xfn", "fnm"), 1.0),
    **dict.fromkeys(("cp", "cachePath", "cn", "cacheName"), 1.0),
    **dict.fromkeys(("cfp", "configFilePath"), 1.0),
}
_STATE = {
    "uvt": "uvt",
    "uvTilingMode": "uvt",
    "ufe": "ufe",
    "useFrameExtension": "ufe",
    "fo": "fo",
    "frameOffset": "fo",
    "cfe": "cfe",
    "configFileEnabled": "cfe",
    "cme": "cme",
    "cmEnabled": "cme",
    "t": "t",
    "type": "t",
}
_OUTPUTS = frozenset({"ifp", "imageFilePrefix"})
_PLAYS_SOUND = 0.2
"""A sound is heard in the viewport; a render does not read it."""

_PATHLIKE = re.compile(
    r"(?:/|\$|[A-Za-z]:)[^\n\"]{1,2000}/[^\n\"/]{1,250}\.[A-Za-z][A-Za-z0-9]{1,7}"
)
_COPY = re.compile(r"\{[0-9]+\}$")
_UDIM = re.compile(r"(?<![0-9])1[0-9]{3}(?![0-9])")
_UV_TILE = re.compile(r"u[0-9]{1,2}_v[0-9]{1,2}")
_FRAME = re.compile(r"([0-9]{1,10})(\.[A-Za-z0-9]{1,8})$")
_FILE_RULE = re.compile(r'workspace\s+-fr\s+"([^"]{1,80})"\s+"([^"]{1,1000})"')


@dataclass(slots=True)
class _Node:
    """A node while its attributes are read."""

    type: str
    paths: list[tuple[str, Token]] = field(default_factory=list)
    state: dict[str, str] = field(default_factory=dict)


class MayaScanner:
    """Reads scenes of Maya in ASCII."""

    name = "maya"
    suffixes = (".ma", ".mb")
    extra = ""

    def available(self) -> str:
        """Return "": nothing has to be installed."""
        return ""

    def recognises(self, head: bytes) -> bool:
        """Whether *head* begins like a scene in ASCII."""
        return head.startswith(b"//Maya ASCII")

    def scan(self, path: str, scope: Scope) -> Iterator[Edge]:
        """Yield what the scene *path* names.

        Raises:
            ScanFailed: it cannot be read, is binary, or ends within a string.
        """
        fix = 'save it as Maya ASCII (File > Save As, or file -typ "mayaAscii")'
        if path.lower().endswith(".mb"):
            raise ScanFailed(f"{path}: binary Maya scenes cannot be read here", fix=fix)
        with open_text(path, binary=fix) as source:
            search, images = _project(path, scope)
            yield from _Scene(source, scope, search, images).edges()


class _Scene:
    """Reads one scene."""

    def __init__(
        self, source: Source, scope: Scope, search: tuple[str, ...], images: tuple[str, ...]
    ) -> None:
        self._lexer = Lexer(source, comment="//", marks=";()")
        self._scope = scope
        self._search = search
        self._images = images
        self._deferred: set[str] = set()
        self._node = _Node("")

    def edges(self) -> Iterator[Edge]:
        try:
            while (token := self._lexer.next()).sort is not Sort.END:
                if token.sort is Sort.MARK:
                    continue
                if token.text == "setAttr":
                    self._attribute()
                elif token.text in ("createNode", "select"):
                    yield from self._finished()
                    self._begin(token.text)
                elif token.text == "file":
                    yield from self._reference()
                else:
                    self._lexer.skip_to(";")
        except ScanFailed:
            yield from self._finished()
            raise
        yield from self._finished()

    def _begin(self, command: str) -> None:
        word = self._lexer.next()
        kind = word.text if command == "createNode" and word.sort is Sort.WORD else ""
        self._node = _Node(kind)
        self._end_of(word)

    def _end_of(self, token: Token) -> None:
        """Pass over the rest of the command that *token* belongs to."""
        if not (token.sort is Sort.END or (token.sort is Sort.MARK and token.text == ";")):
            self._lexer.skip_to(";")

    def _reference(self) -> Iterator[Edge]:
        """Read ``file -r -ns "a" -dr 1 -rfn "aRN" -typ "mayaAscii" "/path/a.ma";``."""
        flags: dict[str, str] = {}
        flag = ""
        last: Token | None = None
        token = self._lexer.next()
        for _ in range(FLAGS_MAX):
            if token.sort is Sort.END or (token.sort is Sort.MARK and token.text == ";"):
                break
            if token.sort is Sort.WORD and token.text.startswith("-"):
                flag = token.text
                flags[flag] = ""
            elif flag and not flags[flag] and flag not in ("-r", "-reference"):
                flags[flag] = token.text
                if token.sort is Sort.STRING:
                    last = token
            elif token.sort is Sort.STRING:
                last = token
            token = self._lexer.next()
        self._end_of(token)
        depth = flags.get("-rdi", flags.get("-referenceDepthInfo", ""))
        name = flags.get("-rfn", flags.get("-referenceNode", ""))
        is_reference = {"-r", "-reference"} & flags.keys()
        if last is None or not (is_reference or depth):
            return
        if depth == "1" and flags.get("-dr", "0") not in ("0", ""):
            if len(self._deferred) < DEFERRED_MAX:
                self._deferred.add(name)
            return
        if not is_reference:
            return
        target, search = self._placed(_COPY.sub("", last.text), self._search)
        edge = named(
            target,
            line=last.line,
            confidence=0.3 if name in self._deferred else 1.0,
            search=search,
        )
        if edge is not None:
            yield edge

    def _attribute(self) -> None:
        """Read ``setAttr -k off ".ftn" -type "string" "/path/a.exr";`` up to its end."""
        token = self._lexer.next()
        for _ in range(FLAGS_MAX):
            if token.sort is Sort.STRING or token.sort is Sort.END or token.text == ";":
                break
            token = self._lexer.next()
        if token.sort is not Sort.STRING:
            self._end_of(token)
            return
        name = re.sub(r"\[[0-9:]*\]", "", token.text).rpartition(".")[2]
        if name in _STATE and self._node.type != "":
            value = self._lexer.next()
            if value.sort is Sort.WORD:
                self._node.state[_STATE[name]] = value.text
            self._end_of(value)
            return
        self._strings(name)

    def _strings(self, name: str) -> None:
        """Keep the strings of an attribute that may name files; pass over everything else."""
        token = self._lexer.next()
        if token.text not in ("-type", "-typ"):
            self._end_of(token)
            return
        kind = self._lexer.next()
        if kind.sort is not Sort.STRING or kind.text not in ("string", "stringArray"):
            self._end_of(kind)
            return
        for _ in range(1 if kind.text == "string" else 10_000):
            value = self._lexer.next()
            if value.sort is Sort.WORD and value.text.isdigit():
                value = self._lexer.next()
            if value.sort is not Sort.STRING:
                self._end_of(value)
                return
            known = name in _ATTRIBUTES or name in _OUTPUTS
            if (known or _PATHLIKE.fullmatch(value.text)) and len(self._node.paths) < 10_000:
                self._node.paths.append((name, value))
        self._lexer.skip_to(";")

    def _finished(self) -> Iterator[Edge]:
        """Yield what the node says that was read, now that all of it is known."""
        node, self._node = self._node, _Node("")
        if node.type == "cacheFile":
            yield from self._cache(node)
            return
        for name, value in node.paths:
            yield from self._path(node, name, value)

    def _path(self, node: _Node, name: str, value: Token) -> Iterator[Edge]:
        if name in _OUTPUTS:
            edge = named(
                value.text,
                kind=Kind.OUTPUT,
                line=value.line,
                search=self._search,
            )
        elif name in ("cfp", "configFilePath"):
            edge = self._colours(node, value)
        else:
            text, file_frames = self._tokens(node, value.text)
            target, search = self._placed(text, self._images)
            confidence = _ATTRIBUTES.get(name, 0.5)
            if node.type == "audio":
                confidence = _PLAYS_SOUND
            edge = named(
                target,
                line=value.line,
                confidence=confidence,
                search=search,
                file_frames=file_frames,
                unresolved=_resource(target),
            )
        if edge is not None:
            yield edge

    def _colours(self, node: _Node, value: Token) -> Edge | None:
        used = node.state.get("cfe", "yes") in ("yes", "on", "1")
        return named(
            value.text,
            kind=Kind.SCENE,
            line=value.line,
            confidence=1.0 if used else 0.1,
            search=self._search,
            unresolved=_resource(value.text),
        )

    def _tokens(self, node: _Node, text: str) -> tuple[str, str]:
        """Return *text* with the token of the tiles or frames that the node has, and its frames."""
        directory, slash, last = text.rpartition("/")
        mode = node.state.get("uvt", "0")
        if mode == "3" and "<" not in last:
            last = _UDIM.sub("<UDIM>", last, count=1)
        elif mode in ("1", "2") and "<" not in last:
            last = _UV_TILE.sub("u<u>_v<v>" if mode == "1" else "u<U>_v<V>", last, count=1)
        if node.type == "imagePlane" and node.state.get("t", "1") != "1":
            return f"{directory}{slash}{last}", ""
        file_frames = ""
        if node.state.get("ufe", "no") in ("yes", "on", "1"):
            if "<f>" in last:
                last = last.replace("<f>", "#")
            elif (match := _FRAME.search(last)) is not None:
                pad = len(match[1])
                last = f"{last[: match.start()]}%0{pad}d{match[2]}"
            file_frames = self._shifted(node.state.get("fo", "0"))
        return f"{directory}{slash}{last}", file_frames

    def _shifted(self, offset: str) -> str:
        """Return the numbers of the files for the frames that are asked for, *offset* added."""
        if not self._scope.frames or not re.fullmatch(r"-?[0-9]{1,9}", offset) or offset == "0":
            return ""
        try:
            return frames_text(frame + int(offset) for frame in parse_frames(self._scope.frames))
        except InvalidArgument:
            return ""

    def _cache(self, node: _Node) -> Iterator[Edge]:
        """Yield the files of a cache: its description, and its data in one file or one a frame."""
        paths = {_SHORT.get(name, name): value for name, value in node.paths}
        directory, name = paths.get("cp"), paths.get("cn")
        if directory is None or name is None:
            return
        start = f"{directory.text.rstrip('/')}/{name.text}"
        for rest, confidence in ((".xml", 1.0), (".mcx", 0.5), ("Frame%d.mcx", 0.5), (".mc", 0.3)):
            target, search = self._placed(start + rest, self._search)
            edge = named(
                target, kind=Kind.FILE, line=name.line, confidence=confidence, search=search
            )
            if edge is not None:
                yield edge

    def _placed(self, text: str, search: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
        """Return the path as it is looked for, and where.

        Before ``//`` stands the project that the scene was saved in, behind it the path in there;
        where that project is not, Maya looks in the one that is open.
        """
        text = text.replace("\\", "/") if re.match(r"[A-Za-z]:\\", text) else text
        project, twice, rest = text.partition("//")
        if twice and rest and project and not project.endswith(":"):
            return rest.lstrip("/"), (project, *search)
        return text, () if text.startswith("/") else search


_SHORT = {"cachePath": "cp", "cacheName": "cn"}


def _resource(target: str) -> str:
    if target.startswith("<MAYA_RESOURCES>"):
        return "comes with Maya"
    return ""


def _project(path: str, scope: Scope) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return where paths of the scene *path* are looked for, and where its textures are."""
    roots: tuple[str, ...] = ("..", "../..", "../../..")
    images = "sourceimages"
    if scope.in_place:
        directory = os.path.dirname(os.path.abspath(path))
        for level in range(8):
            rules = _rules(os.path.join(directory, "workspace.mel"))
            if rules is not None:
                roots = ("/".join([".."] * level) or ".",)
                images = rules.get("sourceImages", images)
                break
            directory = os.path.dirname(directory)
    search = (*roots, "", *scope.search_paths)
    below = (images,) if images.startswith("/") else tuple(f"{root}/{images}" for root in roots)
    return search, (*roots, *below, "", *scope.search_paths)


def _rules(path: str) -> dict[str, str] | None:
    """Return the file rules of the project description *path*; None where there is none."""
    try:
        with open(path, "rb") as file:
            text = file.read(WORKSPACE_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return None
    return dict(_FILE_RULE.findall(text))
