"""Closure: everything that scenes need, found by following what they name into other scenes.

Each scene is scanned once, several at a time, in threads; what it is needed for (frames, views, how
surely) is then carried from the start files along the edges. Cycles end by themselves. A scene that
cannot be read is told of and costs only what it names itself. Whoever calls this blocks.

A file's confidence is that of the edges on the way to it, multiplied; of several ways the best.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

from shotfs.errors import ShotfsError
from shotfs.pathspec.sequences import Match, find_tokens, lacking
from shotfs.prewarm.manifest.frames import frames_text, parse_frames
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Edge, Kind, Scope
from shotfs.prewarm.scanners.expansion import Files, Listings, expand, unknown_token
from shotfs.prewarm.scanners.findings import (
    Closure,
    Findings,
    Frames,
    Views,
    common,
    one_frame,
    united,
)
from shotfs.prewarm.scanners.places import MapRule, directories, of_kernel, place

THREADS = 8
"""Scenes that are read at once: most of the time they wait for an origin."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a scan ends, told as a problem.

    Attributes:
        scenes: files that scanners read.
        depth: scenes on the way from a start file.
        scene_bytes: a larger scene is fetched, but not read.
        edges: paths that one scene names.
        files: in all.
    """

    scenes: int = 20_000
    depth: int = 64
    scene_bytes: int = 8 * 1024**3
    edges: int = 500_000
    files: int = 2_000_000


@dataclass(frozen=True, slots=True)
class _Link:
    """An edge whose files are found.

    Attributes:
        frames: that it is for; None is all of those that are asked for.
        paired: the frame that each number in place of a frame token is for; None: it is the frame
            itself; {}: each file is for all of *frames*.
    """

    edge: Edge
    matches: Sequence[Match]
    frames: Frames
    paired: dict[int, int] | None


@dataclass(slots=True)
class _Scene:
    """A file that is scanned, and what it is needed for as far as that is known."""

    path: str
    scanner: str
    scope: Scope
    depth: int
    links: list[_Link] = field(default_factory=list)
    confidence: float = 0.0
    frames: Frames = frozenset()
    views: Views = frozenset()


@dataclass(slots=True)
class _Scanned:
    """What one scene names."""

    links: list[_Link] = field(default_factory=list)
    scenes: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def close_over(
    starts: Sequence[str],
    files: Files,
    *,
    root: str,
    scope: Scope | None = None,
    rules: Sequence[MapRule] = (),
    scanners: Sequence[str] = (),
    limits: Limits | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Closure:
    """Return what the scenes *starts* need.

    Args:
        starts: absolute paths; one with tokens (``shot.####.ass``) stands for its files, each
            needed for its frame.
        files: says what lies where.
        root: the directory that paths of the manifest are relative to: the mount.
        scope: what will be rendered.
        rules: for paths that were written on other systems.
        scanners: read with these only; () for all that know a suffix.
        limits: where to end.
        told: called with each scene's path before it is read, from several threads.

    Raises:
        InvalidArgument: the frames of *scope* are none, or there is no such scanner.
    """
    return _Walk(files, root, scope or Scope(), rules, scanners, limits or Limits(), told).run(
        starts
    )


class _Walk:
    def __init__(
        self,
        files: Files,
        root: str,
        scope: Scope,
        rules: Sequence[MapRule],
        scanners: Sequence[str],
        limits: Limits,
        told: Callable[[str], None],
    ) -> None:
        self._files = files
        self._listings = Listings(files)
        self._scope = scope
        self._frames: Frames = parse_frames(scope.frames) if scope.frames else None
        self._rules = tuple(rules)
        self._names = tuple(scanners)
        for name in self._names:
            registry.usable(name)
        self._limits = limits
        self._told = told
        self._scenes: dict[str, _Scene] = {}
        self._begun: list[str] = []
        self._starts: dict[str, tuple[Frames, Views]] = {}
        self._findings = Findings(root, self._listings, self._limits.files)

    def run(self, starts: Sequence[str]) -> Closure:
        for path in starts:
            self._begin(path)
        self._scan_all()
        self._carry()
        for path, scene in self._scenes.items():
            if path in self._starts:
                self._findings.file(path, *self._starts[path], 1.0, scene.scanner)
            self._note(scene)
        scenes = {path: scene.scanner for path, scene in self._scenes.items()}
        return self._findings.closure(frozenset((*starts, *self._begun)), scenes)

    def _begin(self, path: str) -> None:
        try:
            matches = expand(self._listings, path, self._frames, self._scope.views)
            for match in matches:
                self._begun.append(match.path)
                scanner = self._scanner_for(match.path)
                if scanner is None:
                    self._findings.trouble(
                        match.path, "no scanner reads such a file; --scanner quoted reads any text"
                    )
                    continue
                self._scenes[match.path] = _Scene(match.path, scanner, self._scope, 0)
                frames = None if match.number is None else one_frame(match.number)
                self._starts[match.path] = frames, self._views_of(match, None)
        except (ShotfsError, OSError) as exc:
            self._findings.trouble(path, _said(exc))
            return
        if not matches:
            self._findings.trouble(path, "there is no such file")

    def _scanner_for(self, path: str) -> str | None:
        with open(self._files.local(path), "rb") as file:
            head = file.read(registry.HEAD_BYTES)
        return registry.choose(path, head, self._names)

    # --- scanning --------------------------------------------------------------------------------

    def _scan_all(self) -> None:
        with ThreadPoolExecutor(THREADS, "shotfs-scan") as pool:
            running: dict[Future[_Scanned], _Scene] = {}
            waiting = deque(self._scenes.values())
            try:
                while waiting or running:
                    while waiting and len(running) < THREADS * 2:
                        scene = waiting.popleft()
                        running[pool.submit(self._scanned, scene)] = scene
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        waiting += self._take(running.pop(future), future.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _take(self, scene: _Scene, scanned: _Scanned) -> list[_Scene]:
        """Note what was found in *scene*; return the scenes that it leads to."""
        scene.links = scanned.links
        for reason in scanned.problems:
            self._findings.trouble(scene.path, reason)
        further: list[_Scene] = []
        for path, name, search in scanned.scenes:
            if path in self._scenes:
                continue
            if len(self._scenes) >= self._limits.scenes:
                self._findings.trouble(
                    path, f"not read: there are more than {self._limits.scenes} scenes"
                )
            elif scene.depth >= self._limits.depth:
                self._findings.trouble(
                    path, f"not read: it is more than {self._limits.depth} scenes deep"
                )
            else:
                found = _Scene(path, name, scene.scope, scene.depth + 1)
                if search:
                    paths = dict.fromkeys((*search, *scene.scope.search_paths))
                    found.scope = replace(scene.scope, search_paths=tuple(paths))
                self._scenes[path] = found
                further.append(found)
        return further

    def _scanned(self, scene: _Scene) -> _Scanned:
        """Return what *scene* names. In a thread."""
        found = _Scanned()
        self._told(scene.path)
        try:
            facts = self._listings.facts(scene.path)
            size_bytes = (facts.size_bytes if facts is not None else None) or 0
            if size_bytes > self._limits.scene_bytes:
                found.problems.append(
                    f"not read: it has {size_bytes} bytes, the limit is {self._limits.scene_bytes}"
                )
                return found
            scanner = registry.usable(scene.scanner)
            local = self._files.local(scene.path)
            scope = replace(scene.scope, in_place=local == scene.path)
            self._edges_of(scene, scanner.scan(local, scope), found)
        except (ShotfsError, OSError) as exc:
            found.problems.append(_said(exc))
        except Exception as exc:  # noqa: BLE001 - a scanner that fails costs one scene, not the scan
            found.problems.append(
                f"the scanner {scene.scanner} failed: {type(exc).__name__}: {exc}"[:500]
            )
        return found

    def _edges_of(self, scene: _Scene, edges: Iterable[Edge], found: _Scanned) -> None:
        seen: set[Edge] = set()
        for edge in edges:
            if edge in seen:
                continue
            if len(seen) >= self._limits.edges:
                found.problems.append(f"read in part: it names more than {len(seen)} paths")
                return
            seen.add(edge)
            try:
                self._resolve(scene, edge, found)
            except (ShotfsError, OSError) as exc:
                self._findings.unresolved(scene.path, scene.scanner, edge, _said(exc))

    def _resolve(self, scene: _Scene, edge: Edge, found: _Scanned) -> None:
        """Find the files of *edge*."""
        if edge.unresolved:
            self._findings.unresolved(scene.path, scene.scanner, edge, edge.unresolved)
            return
        scope = scene.scope
        directory = posixpath.dirname(edge.named_by or scene.path)
        search = edge.search or ("", *scope.search_paths)
        placed = place(edge.target, directory, search, scope.variables, self._rules)
        if placed.unresolved:
            self._findings.unresolved(scene.path, scene.scanner, edge, placed.unresolved)
            return
        if edge.kind is Kind.OUTPUT:
            self._findings.output(scene.path, scene.scanner, edge, placed.paths[0])
            return
        wanted, frames, paired = self._frames_of(edge)
        if frames is not None and not frames:
            return  # of other frames than those that are asked for
        views = edge.views or scope.views
        if edge.views and scope.views:
            views = tuple(view for view in edge.views if view in scope.views)
            if not views:
                return
        matches: list[Match] = []
        path = placed.paths[0]
        for path in placed.paths:
            matches = expand(self._listings, path, wanted, views)
            if matches:
                break
        if not matches:
            self._lack(scene, edge, placed.paths[0], wanted)
            return
        frames_lacking = frozenset() if wanted is None else lacking(matches, wanted)
        if frames_lacking:
            self._findings.missing(
                scene.path, scene.scanner, edge, path, frames_text(frames_lacking)
            )
        found.links.append(_Link(edge, matches, frames, paired))
        if edge.kind is Kind.SCENE:
            looked_in = directories(edge.search, directory, scope.variables, self._rules)
            found.scenes += self._readable(matches, looked_in)

    def _lack(self, scene: _Scene, edge: Edge, path: str, wanted: Frames) -> None:
        token = unknown_token(path)
        if token:
            reason = f"what {token} stands for is not known"
            self._findings.unresolved(scene.path, scene.scanner, edge, reason)
            return
        framed = wanted is not None and any(one.kind == "frame" for one in find_tokens(path))
        frames = frames_text(wanted) if framed and wanted is not None else ""
        self._findings.missing(scene.path, scene.scanner, edge, path, frames)

    def _readable(
        self, matches: Iterable[Match], search: tuple[str, ...]
    ) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        for match in matches:
            if match.path in self._scenes or of_kernel(match.path):
                continue
            if not registry.may_be_scene(match.path):
                continue
            try:
                name = self._scanner_for(match.path)
            except (ShotfsError, OSError) as exc:
                self._findings.trouble(match.path, _said(exc))
                continue
            if name is not None:
                yield match.path, name, search

    def _frames_of(self, edge: Edge) -> tuple[Frames, Frames, dict[int, int] | None]:
        """Return (numbers of its files, frames that it is for, the frame of each number).

        Raises:
            InvalidArgument: a scanner's frames are none.
        """
        asked = self._frames
        frames: Frames = parse_frames(edge.frames) if edge.frames else None
        needed = frames if frames is None else common(frames, asked)
        if not edge.file_frames:
            return (asked if needed is None else needed), needed, None
        numbers = parse_frames(edge.file_frames)
        if frames is None or len(frames) != len(numbers):
            return numbers, needed, {}
        paired = {
            number: frame
            for number, frame in zip(sorted(numbers), sorted(frames), strict=True)
            if asked is None or frame in asked
        }
        return frozenset(paired), needed, paired

    # --- what each is needed for -----------------------------------------------------------------

    def _carry(self) -> None:
        """Carry frames, views and confidence from the start files along all edges."""
        for path, (frames, views) in self._starts.items():
            scene = self._scenes[path]
            scene.confidence, scene.frames, scene.views = 1.0, frames, views
        changed = set(self._starts)
        while changed:
            # All that changed in a round comes before what it leads to: 1,000 clips that share a
            # model are carried into it in one go.
            this_round, changed = sorted(changed), set()
            for path in this_round:
                scene = self._scenes[path]
                for link in scene.links:
                    if link.edge.kind is Kind.SCENE:
                        changed.update(self._carried(scene, link))

    def _carried(self, scene: _Scene, link: _Link) -> Iterator[str]:
        """Carry what *scene* is needed for along *link*; yield the scenes that this changes."""
        confidence = scene.confidence * link.edge.confidence
        for match in link.matches:
            child = self._scenes.get(match.path)
            if child is None:
                continue
            frames, views = self._needed(scene, link, match)
            if not _is_needed(frames, views):
                continue
            grown = united(child.frames, frames), united(child.views, views)
            if grown != (child.frames, child.views) or confidence > child.confidence:
                child.frames, child.views = grown
                child.confidence = max(child.confidence, confidence)
                yield child.path

    def _note(self, scene: _Scene) -> None:
        """Note the files of *scene*."""
        for link in scene.links:
            confidence = scene.confidence * link.edge.confidence
            for match in link.matches:
                frames, views = self._needed(scene, link, match)
                if _is_needed(frames, views):
                    self._findings.file(match.path, frames, views, confidence, scene.scanner)

    def _needed(self, scene: _Scene, link: _Link, match: Match) -> tuple[Frames, Views]:
        """Return the frames and views that the file *match* is needed for; None is all."""
        frames = link.frames
        if match.number is not None:
            if link.paired is None:
                frames = one_frame(match.number)
            elif match.number in link.paired:
                frames = one_frame(link.paired[match.number])
        views = self._views_of(match, frozenset(link.edge.views) if link.edge.views else None)
        return common(scene.frames, frames), common(scene.views, views)

    def _views_of(self, match: Match, views: Views) -> Views:
        """Return which of *views* the file *match* is for."""
        if not match.view:
            return views
        known = [one for one in self._scope.views if one.startswith(match.view)]
        return common(views, frozenset(known or (match.view,)))


def _is_needed(frames: Frames, views: Views) -> bool:
    return (frames is None or bool(frames)) and (views is None or bool(views))


def _said(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return error.message if isinstance(error, ShotfsError) else str(error)
