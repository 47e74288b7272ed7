"""Targets: what people name to have it here, and the files that it stands for.

A target is a path (a file, or a directory with all below it), a path with tokens
(``plates/bg.####.dpx``), a template with fields (``plate:shot=030,frame=1001-1010``), or a shot
(``xy_1_100_030_00_v005``, ``ant/030``). Manifests and scenes are read by the command, which sends
their entries. Event loop only.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from shotfs.errors import InvalidArgument
from shotfs.namespace import Show, ShowSet
from shotfs.pathspec import Flow, Specification
from shotfs.pathspec.elements import Element, leaves
from shotfs.pathspec.fields import Field
from shotfs.pathspec.problems import suggest
from shotfs.pathspec.sequences import find_tokens, sequence_of
from shotfs.prewarm.finding import Finder, Visible
from shotfs.prewarm.manifest import Entry, Source, Subject
from shotfs.prewarm.manifest.frames import has_frame, meets, parse_frames
from shotfs.prewarm.recording.recordings import Learned
from shotfs.prewarm.recording.roles import Roles, roles_of
from shotfs.prewarm.selection import Selection, files_of, frame_of, parts_of, select
from shotfs.prewarm.truth import Weights

PUBLISHED_CONFIDENCE = 0.3
"""That a render reads a file which merely lies where the shot's inputs lie: a recorded or scanned
one is worth more, so it comes first."""

_TEMPLATE = re.compile(r"(?:([^/:]+)/)?([A-Za-z_][A-Za-z0-9_.-]*):(.*)", re.DOTALL)
_NEXT_FIELD = re.compile(r",(?=[A-Za-z_][A-Za-z0-9_]*=)")


class Recordings(Protocol):
    """What this node knows of what jobs read."""

    async def for_subject(self, subject: Subject) -> Learned:
        """Return what *subject* will most likely read; empty fields are all that are known."""
        ...

    async def weights(self, show: str) -> Weights:
        """Return what scanners were worth in *show* until now."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of targets beside their names.

    Attributes:
        frames: that will be rendered; "" for all.
        task: only what is needed for it; "" for all.
        views: only these; () for all.
    """

    frames: str = ""
    task: str = ""
    views: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PathTarget:
    """A file, or a directory with all below it: mount-relative."""

    path: str


@dataclass(frozen=True, slots=True)
class ShotTarget:
    """A shot: what was recorded of it, and what the specification says that it has."""

    subject: Subject
    selections: tuple[Selection, ...]


Target = PathTarget | Selection | ShotTarget


def parse_target(text: str, shows: ShowSet) -> list[Target]:
    """Return what *text* names, in each show that knows it.

    Args:
        text: a mount-relative path, a template with fields, or a shot; see above.
        shows: that are mounted.

    Raises:
        InvalidArgument: it is none of these; the fix says what was looked for.
    """
    named = _TEMPLATE.fullmatch(text)
    if named is not None:
        return list(_of_template(*named.groups(), shows=shows))
    place = shows.split(text)
    if place is not None:
        target = _of_path(text, *place)
        if target is not None:
            return [target]
        found: list[Target] = list(_of_shot(place[1], [place[0]]))
    else:
        found = list(_of_shot(text, list(shows)))
    if found:
        return found
    where = f"the show {place[0].name}" if place is not None else "any show"
    raise InvalidArgument(
        f"{text[:200]}: is no path, template or shot of {where}", fix=_perhaps(text, place, shows)
    )


def _perhaps(text: str, place: tuple[Show, str] | None, shows: ShowSet) -> str:
    """Return what *text*, which is nothing, was perhaps meant to be."""
    if place is None and "/" in text:
        for show in shows:
            if _of_path(f"{show.name}/{text}", show, text) is not None:
                return f"write {show.name}/{text[:200]}"
    return (
        "give a path below a show, TEMPLATE:FIELD=TEXT,... or the name of a shot (shows:"
        f" {', '.join(shows.names)}), or a manifest, list or scene that is there"
    )


def _of_template(
    show_name: str | None, template: str, fields: str, *, shows: ShowSet
) -> Iterator[Selection]:
    among = [show for show in shows if show_name in (None, show.name)]
    having = [show for show in among if template in show.spec.patterns]
    if not among:
        raise InvalidArgument(
            f'there is no show "{(show_name or "")[:100]}"',
            fix=suggest(show_name or "", shows.names),
        )
    if not having:
        names = [name for show in among for name in show.spec.templates]
        raise InvalidArgument(
            f'no show has a template "{template[:100]}"', fix=suggest(template, names)
        )
    values: dict[str, str] = {}
    for part in filter(None, _NEXT_FIELD.split(fields)):
        name, mark, value = part.partition("=")
        if not mark:
            raise InvalidArgument(
                f"{part[:100]!r} is no field", fix=f"write {template}:shot=030,frame=1001-1010"
            )
        values[name] = value
    for show in having:
        yield from select(show.name, show.spec, template, values)


def _of_path(text: str, show: Show, rest: str) -> Target | None:
    spec = show.spec
    if find_tokens(rest):
        found = spec.resolve(rest)
        if found is None or spec.patterns[found.template.name].fallback:
            pattern = sequence_of(spec, rest)
            if pattern is not None:
                plain = {
                    name: value
                    for name, value in pattern.fields.items()
                    if not spec.fields[name].tokens
                }
                return Selection(show.name, spec, pattern.template.name, plain)
    above, directory = rest, False
    while above and not directory:
        directory = spec.alias(above) is not None
        above = above.rpartition("/")[0]
    if directory or not rest or spec.resolve(rest) or spec.directory(rest):
        return PathTarget(text)
    return None


# --- shots ---------------------------------------------------------------------------------------


def _of_shot(text: str, shows: Sequence[Show]) -> Iterator[ShotTarget]:
    for show in shows:
        named = _shot_fields(show.spec, text)
        if named is None:
            continue
        texts, own = named
        shot = _shot_text(show.spec, text, texts)
        selections = tuple(_selections(show, texts, own))
        yield ShotTarget(Subject(show=show.name, shot=shot), selections)


def _shot_fields(
    spec: Specification, text: str
) -> tuple[dict[str, str], frozenset[tuple[object, ...]]] | None:
    """Return the fields that the shot name *text* gives, and the element of the version it names.

    A directory that the specification names by the shot and more (``{shot}_{version}``) says more
    than the shot's field alone, so it goes first.
    """
    fields = _shot_names(spec)
    if not fields:
        return None
    elements = {
        tokens: Element(tokens, spec.fields)
        for pattern in spec.patterns.values()
        for variant in pattern.variants
        for tokens in variant.elements[:-1]
        if any(one.name in fields for one in leaves(tokens, spec.fields))
    }
    for tokens, element in elements.items():
        found = element.find(text)
        if found is not None:
            texts = {
                name: value
                for name, value in found.groupdict().items()
                if value is not None and not spec.fields[name].tokens
            }
            # Only a version makes it a name of outputs; else each shot would bring its own.
            return texts, frozenset() if element.version is None else frozenset({tokens})
    for name in fields:
        try:
            return parts_of(spec, spec.fields[name], text), frozenset()
        except InvalidArgument:
            continue
    return None


def _shot_names(spec: Specification) -> tuple[str, ...]:
    return roles_of(spec).shot


def _shot_parts(spec: Specification) -> set[str]:
    """Return the names of the fields without parts that a shot's name consists of."""
    return {
        one.name
        for name in _shot_names(spec)
        for one in [spec.fields[name], *leaves(spec.fields[name].tokens, spec.fields)]
        if not one.tokens
    }


def _shot_text(spec: Specification, text: str, texts: Mapping[str, str]) -> str:
    """Return the name of the shot alone, as recordings have it: without version and the like."""
    for name in _shot_names(spec):
        one = spec.fields[name]
        if not one.tokens and name in texts:
            return texts[name]
        parts = {part.name for part in leaves(one.tokens, spec.fields) if not part.tokens}
        if one.tokens and parts <= texts.keys():
            from shotfs.pathspec.elements import write

            return write(one.tokens, spec.fields, texts)
    return text


def _selections(
    show: Show, texts: Mapping[str, str], own: frozenset[tuple[object, ...]]
) -> Iterator[Selection]:
    """Yield the templates that the shot has inputs of, and those that its name itself names."""
    spec, parts = show.spec, _shot_parts(show.spec)
    shot = {name: text for name, text in texts.items() if name in parts}
    for name, pattern in spec.patterns.items():
        elements = pattern.variants[0].elements
        having = {one.name for tokens in elements for one in leaves(tokens, spec.fields)}
        if pattern.fallback or not shot.keys() <= having:
            continue
        is_own = any(tokens in own for tokens in elements)
        if is_own or pattern.template.policy.flow is not Flow.OUT:
            # A version in the shot's name is that of the directory which it names.
            said = texts if is_own else shot
            yield Selection(show.name, spec, name, {k: v for k, v in said.items() if k in having})


# --- files ---------------------------------------------------------------------------------------


class Sources:
    """Yields the entries of targets.

    Args:
        finder: what lies where.
        shows: say which field a path has.
        recordings: what jobs read; None: nobody records.
    """

    def __init__(
        self, finder: Finder, shows: ShowSet, recordings: Recordings | None = None
    ) -> None:
        self._finder = finder
        self._shows = shows
        self._recordings = recordings
        self._roles: dict[str, tuple[Specification, Roles]] = {}

    async def entries(
        self, target: Target, wanted: Wanted, visible: Visible | None = None
    ) -> AsyncGenerator[Entry, None]:
        """Yield what *target* stands for; a path may come more than once.

        Raises:
            PathNotFound: a path is not there.
            TierError: an origin had to be asked and could not answer.
        """
        if isinstance(target, PathTarget):
            async with self._finder.below(target.path, visible) as found:
                async for one in found:
                    entry = Entry(one.path, size_bytes=one.revision.size_bytes)
                    if self.admits(entry, wanted):
                        yield entry
            return
        if isinstance(target, ShotTarget):
            for entry in await self._recorded(target.subject, wanted):
                if self.admits(entry, wanted):
                    yield entry
            for selection in target.selections:
                async with aclosing(self._selected(selection, wanted, visible)) as entries:
                    async for entry in entries:
                        yield replace(
                            entry, confidence=PUBLISHED_CONFIDENCE, sources=(Source.PUBLISHED,)
                        )
            return
        async with aclosing(self._selected(target, wanted, visible)) as entries:
            async for entry in entries:
                yield entry

    async def weighted(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return *entries*, those that only a scanner claims as likely as it was right before."""
        if self._recordings is None:
            return entries
        known: dict[str, Weights] = {}
        made = []
        for entry in entries:
            if not entry.scanners or Source.RECORDED in entry.sources:
                made.append(entry)
                continue
            show = entry.path.partition("/")[0]
            weights = known.get(show)
            if weights is None:
                weights = known[show] = await self._recordings.weights(show)
            precision = max(weights.precision(name) for name in entry.scanners)
            made.append(replace(entry, confidence=entry.confidence * precision))
        return made

    async def _recorded(self, subject: Subject, wanted: Wanted) -> Sequence[Entry]:
        if self._recordings is None:
            return ()
        view = wanted.views[0] if len(wanted.views) == 1 else ""
        asked = replace(subject, task=wanted.task, frame=wanted.frames, view=view)
        return (await self._recordings.for_subject(asked)).entries

    async def _selected(
        self, selection: Selection, wanted: Wanted, visible: Visible | None
    ) -> AsyncGenerator[Entry, None]:
        if wanted.frames and not selection.frames:
            selection = replace(selection, frames=parse_frames(wanted.frames))
        async with aclosing(files_of(selection, self._finder, visible)) as paths:
            async for path in paths:
                entry = Entry(path)
                if self.admits(entry, wanted):
                    yield entry

    def admits(self, entry: Entry, wanted: Wanted) -> bool:
        """Whether *entry* is needed for what is *wanted*, as far as it and its path say."""
        if not meets(entry.frames, wanted.frames):
            return False
        if entry.views and wanted.views and not set(entry.views) & set(wanted.views):
            return False
        if not (wanted.frames or wanted.task or wanted.views):
            return True
        place = self._shows.split(entry.path)
        found = None if place is None else place[0].spec.resolve(place[1])
        if place is None or found is None:
            return True
        return _fits(self._roles_of(place[0]), place[0].spec, found.fields, entry, wanted)

    def _roles_of(self, show: Show) -> Roles:
        known = self._roles.get(show.name)
        if known is None or known[0] is not show.spec:
            known = self._roles[show.name] = (show.spec, roles_of(show.spec))
        return known[1]


def _fits(
    roles: Roles, spec: Specification, fields: Mapping[str, str], entry: Entry, wanted: Wanted
) -> bool:
    if wanted.frames and not entry.frames:
        numbers = [frame_of(fields[name]) for name in roles.frame if name in fields]
        if any(one is None or not has_frame(wanted.frames, one) for one in numbers):
            return False
    if wanted.views and any(
        name in fields and not _is_view(spec.fields[name], fields[name], wanted.views)
        for name in roles.view
    ):
        return False
    tasks = [fields[name] for name in roles.task if name in fields]
    return not wanted.task or not tasks or wanted.task in tasks


def _is_view(one: Field, text: str, views: Sequence[str]) -> bool:
    return text in views or str(one.parse(text)) in views
