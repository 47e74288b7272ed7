"""A specification for somebody outside: the paths and their meaning, and nothing of the studio.

What goes out is listed here key by key, so that a key which a later version invents stays inside
until somebody decides about it. Words that people wrote are searched for places, and every removal
is told. The result is a document of its own that `load` accepts: a vendor checks, formats and lints
with it, without a network. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shotfs.errors import InvalidArgument
from shotfs.pathspec import elements
from shotfs.pathspec.declarations import Declarations
from shotfs.pathspec.documents import FORMAT
from shotfs.pathspec.loader import load
from shotfs.pathspec.model import Flow, Immutable
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.policy import SCRATCH_DEFAULT
from shotfs.pathspec.problems import suggest
from shotfs.pathspec.specification import Specification

ROOTS: Mapping[str, str] = {"delivery": "file:///delivery"}
"""The vendor has a directory, and where it lies is for the vendor to say."""

REMOVED = "(removed)"
SOURCE = "vendor.json"

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>)]*")
_NAME_LENGTH_MIN = 2
"""Shorter names of sites and buckets are words of the language too often."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A name of the studio in what goes out.

    Attributes:
        where: JSON pointer in the vendor's document.
        what: the name, for the person who exports; never written into the document.
        removed: it was taken out of words; otherwise it stands in a name of a path and had to stay.
    """

    where: str
    what: str
    removed: bool


@dataclass(frozen=True, slots=True)
class VendorSpec:
    """What may be handed out.

    Attributes:
        text: the document, as JSON.
        specification: the same, loaded.
        leaks: what was removed from words, and what stands in paths and could not be.
    """

    text: str
    specification: Specification
    leaks: tuple[Leak, ...]


def export(
    specification: Specification,
    declared: Declarations,
    *,
    templates: Collection[str] = (),
    flow: str = "all",
    deliver: Collection[str] = (),
    show: str | None = None,
) -> VendorSpec:
    """Return the part of *specification* that a vendor needs, without places and people.

    Args:
        specification: of the studio.
        declared: the words of its documents.
        templates: names of those that go out; none means all.
        flow: "in" or "out" takes only templates that jobs read or write; "all" takes either.
        deliver: templates that the vendor delivers, whatever the studio's own jobs do with them.
        show: another name for the show, where its own is a secret.

    Raises:
        InvalidArgument: a template is unknown, or none is left.
    """
    chosen = _chosen(specification, declared, templates, flow, deliver)
    used = _used_fields(specification, chosen)
    document: dict[str, Any] = {
        "spec": FORMAT,
        "show": show or specification.show,
        "usage": specification.usage,
        "roots": dict(ROOTS),
        "fields": {
            name: _field(one.value) for name, one in declared.fields.items() if name in used
        },
        "templates": {
            one.template.name: _template(one, declared, chosen, one.template.name in deliver)
            for one in chosen
        },
    }
    names = set(_names_of_places(specification, declared))
    leaks: list[Leak] = []
    clean = _clean(document, "", names, leaks)
    text = json.dumps(clean, indent=2, ensure_ascii=False) + "\n"
    return VendorSpec(text, load(text, source=SOURCE), tuple(leaks))


def _chosen(
    specification: Specification,
    declared: Declarations,
    names: Collection[str],
    flow: str,
    deliver: Collection[str],
) -> list[Pattern]:
    for name in (*names, *deliver):
        if name not in declared.templates or name not in specification.patterns:
            raise InvalidArgument(
                f'{specification.show} has no template "{name}" that has paths',
                fix=suggest(name, specification.templates),
            )
    wanted = {"in": (Flow.IN, Flow.INOUT), "out": (Flow.OUT, Flow.INOUT)}.get(flow, tuple(Flow))
    chosen = [
        one
        for name, one in specification.patterns.items()
        if not one.fallback
        and (
            name in deliver or ((not names or name in names) and one.template.policy.flow in wanted)
        )
    ]
    if not chosen:
        raise InvalidArgument(
            "no template is left to export", fix="choose others with --template, or --flow all"
        )
    return chosen


def _used_fields(specification: Specification, patterns: list[Pattern]) -> set[str]:
    return {
        field.name
        for one in patterns
        for variant in one.variants
        for tokens in variant.elements
        for field in elements.leaves(tokens, specification.fields)
    }


_FIELD_KEYS_INSIDE = frozenset(("aliases",))
"""Where versions point to is the studio's business."""


def _field(declared: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in declared.items() if key not in _FIELD_KEYS_INSIDE}


def _template(
    pattern: Pattern, declared: Declarations, chosen: list[Pattern], deliver: bool
) -> dict[str, Any]:
    policy = pattern.template.policy
    made: dict[str, Any] = {"path": declared.path_of(pattern.template.name)}
    if pattern.template.usage:
        made["usage"] = pattern.template.usage
    flow = Flow.OUT if deliver and not policy.flow.writable else policy.flow
    if flow is not Flow.IN:
        made["flow"] = str(flow)
    if policy.immutable is not Immutable.NEVER:
        made["immutable"] = str(policy.immutable)
    if flow.writable and policy.scratch != SCRATCH_DEFAULT:
        made["scratch"] = list(policy.scratch)
    before = [one.template.name for one in chosen if one.template.name in pattern.before]
    if before:
        made["before"] = before
    return made


def _names_of_places(specification: Specification, declared: Declarations) -> Iterator[str]:
    """Yield every name of a place that the studio's documents hold: URLs, buckets, sites."""
    urls: set[str] = set()
    for one in declared.roots.values():
        value = one.value
        if isinstance(value, str):
            urls.add(value)
            continue
        urls.update(url for url in (value.get("url"),) if url is not None)
        for site, url in value.get("sites", {}).items():
            yield site
            urls.add(url)
    for template in specification.templates.values():
        urls.update((template.policy.origin, *template.policy.tiers))
    urls.update(location for location, _ in specification.documents if "://" in location)
    for url in urls:
        yield url
        host = urlsplit(url).netloc
        if host:
            yield host
    if specification.site is not None:
        yield specification.site


def _clean(value: Any, where: str, names: Collection[str], leaks: list[Leak]) -> Any:
    """Return *value* with places taken out of words for people; what stays is noted."""
    if isinstance(value, dict):
        return {key: _clean_member(key, one, where, names, leaks) for key, one in value.items()}
    if isinstance(value, list):
        return [_clean(one, f"{where}/{index}", names, leaks) for index, one in enumerate(value)]
    if isinstance(value, str) and not where.startswith("/roots/"):
        leaks.extend(Leak(where, name, removed=False) for name in _found(value, names))
    return value


def _clean_member(
    key: str, value: Any, where: str, names: Collection[str], leaks: list[Leak]
) -> Any:
    pointer = f"{where}/{key.replace('~', '~0').replace('/', '~1')}"
    is_words = key == "usage" or (where.endswith("/choices") and isinstance(value, str))
    if not is_words or not isinstance(value, str):
        return _clean(value, pointer, names, leaks)
    found = _found(value, names)
    # Longest first: a bucket's name stands in its URL too.
    for name in sorted(found, key=len, reverse=True):
        value = _as_word(name).sub(REMOVED, value)
    leaks.extend(Leak(pointer, name, removed=True) for name in found)
    return value


def _found(text: str, names: Collection[str]) -> list[str]:
    found = dict.fromkeys(one.group() for one in _URL.finditer(text))
    for name in sorted(names):
        if len(name) >= _NAME_LENGTH_MIN and _as_word(name).search(text):
            found[name] = None
    return list(found)


def _as_word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE)
