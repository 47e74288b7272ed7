"""The compiled form: a specification that was proven once, kept so that loading it takes no second.

It holds what `load` found out: fields as declared, templates cut into elements, policies with the
places that set them, warnings. The trie and the expressions are made again, the latter at first
use. It is JSON behind a checksum: reading it runs no code, whoever wrote it. What is damaged, of
other documents, of another site or of another version of shotfs is not read; then the documents are
loaded and proven again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields as dataclass_fields
from functools import cache
from importlib import metadata
from typing import Any, Generic, TypeVar

from shotfs.digest import Digest, digest_bytes
from shotfs.errors import Problem, ShotfsError
from shotfs.pathspec import trie
from shotfs.pathspec.fields import restore_field
from shotfs.pathspec.json_reader import JsonError
from shotfs.pathspec.model import (
    Durability,
    Fill,
    Flow,
    Immutable,
    Lookahead,
    Policy,
    Retention,
    Retract,
    Rewrite,
    SealOn,
    Template,
)
from shotfs.pathspec.pattern import Given, Pattern, Place, Variant
from shotfs.pathspec.specification import Specification
from shotfs.pathspec.tokens import FieldRef, Literal, Token

FORM = "shotfs-compiled/4"
"""Changes whenever what is written or how it is read changes."""

_ENUMS = {
    one.__name__: one for one in (Flow, Immutable, Durability, Rewrite, Fill, SealOn, Retract)
}
_RECORDS = {one.__name__: one for one in (Lookahead, Retention)}

_FOREIGN = (
    AssertionError,
    AttributeError,
    JsonError,
    LookupError,
    RecursionError,
    ShotfsError,
    TypeError,
    ValueError,
)
"""What reading raises where the checksum is right and the content is not what `dump` writes."""

T = TypeVar("T")


@cache
def _version() -> str:
    try:
        return metadata.version("shotfs")
    except metadata.PackageNotFoundError:
        return "not installed"


def dump(spec: Specification) -> bytes:
    """Return the compiled form of *spec*."""
    body = json.dumps(_Writer().write(spec), separators=(",", ":")).encode("ascii")
    return _header(body) + body


def _header(body: bytes) -> bytes:
    return f"{FORM} {_version()} {digest_bytes(body)}\n".encode("ascii")


def restore(
    data: bytes, *, documents: Mapping[str, Digest], site: str | None
) -> Specification | None:
    """Return the specification whose compiled form is *data*; None where it cannot be used.

    Args:
        data: what `dump` returned, or anything else.
        documents: digests of the documents as they are now, by location.
        site: the node's.
    """
    end = data.find(b"\n") + 1
    body = data[end:]
    if end == 0 or data[:end] != _header(body):
        return None
    try:
        made = json.loads(body)
        if made["site"] != site or dict(made["documents"]) != dict(documents):
            return None
        return _read(made)
    except _FOREIGN:
        return None


# --- writing -------------------------------------------------------------------------------------


class _Table(Generic[T]):
    """Values in the order of their numbers, each once."""

    def __init__(self) -> None:
        self.values: list[T] = []
        self._numbers: dict[Any, int] = {}

    def number(self, value: T, key: object = None) -> int:
        """Return the number of *value*; *key* stands for it where it cannot be hashed."""
        known = value if key is None else key
        if known not in self._numbers:
            self._numbers[known] = len(self.values)
            self.values.append(value)
        return self._numbers[known]


class _Writer:
    def __init__(self) -> None:
        self._policies: _Table[Policy] = _Table()
        self._elements: _Table[tuple[Token, ...]] = _Table()
        self._inherited: _Table[Mapping[str, Given]] = _Table()
        self._values: _Table[Any] = _Table()

    def write(self, spec: Specification) -> dict[str, Any]:
        templates = [self._template(one) for one in spec.patterns.values()]
        inherited = [
            {key: [self._value(value), *place] for key, (value, place) in one.items()}
            for one in self._inherited.values
        ]
        return {
            "documents": [list(pair) for pair in spec.documents],
            "site": spec.site,
            "show": spec.show,
            "source": spec.source,
            "usage": spec.usage,
            "digest": spec.digest,
            "field_sources": dict(spec.field_sources),
            "fields": [[name, one.declared, one.line] for name, one in spec.fields.items()],
            "templates": templates,
            "policies": [_record(one) for one in self._policies.values],
            "elements": [
                [token.text if isinstance(token, Literal) else [token.name] for token in tokens]
                for tokens in self._elements.values
            ],
            "inherited": inherited,
            "values": self._values.values,
            "crossing": sorted(spec.crossing),
            "warnings": [
                [one.where, one.message, one.fix, one.line, one.column, one.source]
                for one in spec.warnings
            ],
        }

    def _template(self, one: Pattern) -> list[Any]:
        template = one.template
        return [
            template.name,
            template.pattern,
            template.usage,
            self._policies.number(template.policy),
            [
                [variant.tree, *map(self._elements.number, variant.elements)]
                for variant in one.variants
            ],
            one.line,
            one.source,
            [[key, self._value(value), line] for key, (value, line) in one.own.items()],
            self._inherited.number(one.inherited, key=id(one.inherited)),
            sorted(one.before),
            one.fallback,
        ]

    def _value(self, value: Any) -> int:
        encoded = _encode(value)
        return self._values.number(encoded, key=json.dumps(encoded))


def _record(value: Policy | Lookahead | Retention) -> list[Any]:
    return [_encode(getattr(value, one.name)) for one in dataclass_fields(value)]


def _encode(value: Any) -> Any:
    """Return *value* as JSON: what JSON does not have is [name of its type, content...]."""
    if isinstance(value, Flow | Immutable | Durability | Rewrite | Fill | SealOn | Retract):
        return [type(value).__name__, value.value]
    if isinstance(value, Lookahead | Retention):
        return [type(value).__name__, *_record(value)]
    if isinstance(value, tuple | list):
        return ["tuple", *map(_encode, value)]
    assert value is None or isinstance(value, bool | int | float | str), "policies hold no more"
    return value


# --- reading -------------------------------------------------------------------------------------


def _decode(encoded: Any) -> Any:
    if not isinstance(encoded, list):
        return encoded
    kind, *content = encoded
    if kind == "tuple":
        return tuple(map(_decode, content))
    if kind in _ENUMS:
        return _ENUMS[kind](content[0])
    return _RECORDS[kind](*map(_decode, content))


def _read(made: Mapping[str, Any]) -> Specification:
    fields = {name: restore_field(name, declared, line) for name, declared, line in made["fields"]}
    patterns = _patterns(made)
    return Specification(
        show=made["show"],
        source=made["source"],
        usage=made["usage"],
        digest=made["digest"],
        site=made["site"],
        documents=tuple((location, digest) for location, digest in made["documents"]),
        field_sources=made["field_sources"],
        fields=fields,
        compiled=patterns,
        root=trie.build(patterns, fields),
        warnings=tuple(Problem(*one) for one in made["warnings"]),
        crossing=made["crossing"],
    )


def _patterns(made: Mapping[str, Any]) -> list[Pattern]:
    policies = [Policy(*map(_decode, one)) for one in made["policies"]]
    values = [_decode(one) for one in made["values"]]
    inherited = [
        {key: (values[number], Place(*place)) for key, (number, *place) in one.items()}
        for one in made["inherited"]
    ]
    matchers = [
        trie.scratch_matcher(policy.scratch) if policy.flow.writable else None
        for policy in policies
    ]
    elements = _elements(made["elements"])
    nothing: frozenset[str] = frozenset()
    patterns: list[Pattern] = []
    for name, path, usage, policy, variants, line, source, own, above, before, fallback in made[
        "templates"
    ]:
        patterns.append(
            Pattern(
                template=Template(name, path, usage, policies[policy]),
                variants=tuple(
                    Variant(tuple([elements[number] for number in numbers]), tree)
                    for tree, *numbers in variants
                ),
                is_scratch=matchers[policy],
                index=len(patterns),
                line=line,
                own={key: (values[number], at) for key, number, at in own},
                source=source,
                inherited=inherited[above],
                before=frozenset(before) if before else nothing,
                fallback=fallback,
            )
        )
    return patterns


def _elements(made: Iterable[Iterable[Any]]) -> list[tuple[Token, ...]]:
    literal, reference = cache(Literal), cache(FieldRef)
    return [
        tuple([literal(one) if isinstance(one, str) else reference(one[0]) for one in some])
        for some in made
    ]
