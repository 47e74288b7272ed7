"""`SequencePattern`: all paths that differ in a frame, a tile or a view only.

Found for a path with tokens and for the path of one of the files alike. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shotfs.errors import InvalidArgument
from shotfs.pathspec.elements import Fields, leaves
from shotfs.pathspec.fields import Field, FieldValue
from shotfs.pathspec.fields.views import Views
from shotfs.pathspec.model import Resolution, Template
from shotfs.pathspec.problems import suggest
from shotfs.pathspec.samples import texts_of
from shotfs.pathspec.sequences.tokens import (
    KINDS,
    PathToken,
    find_tokens,
    token_problem,
    tokens_for,
)
from shotfs.pathspec.specification import Specification
from shotfs.pathspec.tokens import Literal, Token

PATH_LENGTH_MAX = 4096
"""Characters of a path that may have a sequence; object keys end before that."""

EXAMPLES_MAX = 32
"""Different texts that are tried for each kind of token."""

Part = str | Field
"""Text that all paths of a sequence share, or the field in which they differ."""


@dataclass(frozen=True, slots=True, eq=False)
class SequencePattern:
    """The paths of one template that differ in the *open* fields only.

    Attributes:
        template: that all paths have.
        open: the fields in which they differ, in the order of the path: one, or several where the
            path was given with several tokens.
        fields: texts of all other fields; compounds that hold an open field are not there.
        parts: the path, cut at the open fields.
        directory: that all paths have in common; "" is the show's.
        depth: how many elements lie below *directory*.
    """

    specification: Specification
    template: Template
    open: tuple[Field, ...]
    fields: Mapping[str, str]
    parts: tuple[Part, ...]
    directory: str
    depth: int

    def path(self, values: Mapping[str, FieldValue]) -> str:
        """Return the path with *values*, by the names of the open fields.

        Raises:
            InvalidArgument: a value is missing, or not one of its field.
        """
        names = [field.name for field in self.open]
        for name in values:
            if name not in names:
                raise InvalidArgument(
                    f'the sequence is not open in "{name}"', fix=suggest(name, names)
                )
        texts: dict[str, str] = {}
        for field in self.open:
            if field.name not in values:
                raise InvalidArgument(
                    f'the sequence needs the field "{field.name}": {field.wants}',
                    fix=f"add {field.name}=...",
                )
            texts[field.name] = field.format(values[field.name])
        return "".join(part if isinstance(part, str) else texts[part.name] for part in self.parts)

    def values_of(self, path: str) -> dict[str, FieldValue] | None:
        """Return the values of the open fields in *path*, or None when it is not one of these."""
        found = self.specification.resolve(path)
        if found is None or found.scratch or found.template.name != self.template.name:
            return None
        texts = _leaf_texts(self.specification.fields, found)
        names = [field.name for field in self.open]
        if texts.keys() - names != _leaf_names(self.specification.fields, self.fields):
            return None
        if any(texts[name] != self.fields[name] for name in texts.keys() - names):
            return None
        return {field.name: field.parse(texts[field.name]) for field in self.open}

    def with_tokens(self, style: str = "hash") -> str:
        """Return the path with tokens that applications of *style* read.

        Raises:
            InvalidArgument: the style has no token for one of the open fields.
        """
        return "".join(
            part if isinstance(part, str) else tokens_for(part, style) for part in self.parts
        )


def sequence_of(specification: Specification, path: str) -> SequencePattern | None:
    """Return the sequence that *path* names, with tokens or as one of its files.

    The path of a file without tokens belongs to the sequence of its frame, else of its tile, else
    of its view.

    Args:
        specification: of the show.
        path: below the show's directory.

    Returns:
        None where no template can produce such a path, or it has nothing to be open in.

    Raises:
        InvalidArgument: a token writes other texts than the field has in whose place it stands,
            as ``####`` where frames have six digits.
    """
    if len(path) > PATH_LENGTH_MAX:
        return None
    for points in (True, False):
        tokens = find_tokens(path, points=points)
        if not tokens:
            break
        found = _of_tokens(specification, path, tokens)
        if found is not None:
            return found
        if all(token.digits is None for token in tokens):
            break
    return _of_file(specification, path)


def _named(specification: Specification, path: str) -> Resolution | None:
    """Return what *path* is, where a template produces it."""
    found = specification.resolve(path)
    if found is None or found.scratch or specification.patterns[found.template.name].fallback:
        return None
    return found


def _of_file(specification: Specification, path: str) -> SequencePattern | None:
    resolution = _named(specification, path)
    if resolution is None:
        return None
    for kind in KINDS:
        found = open_in(specification, resolution, kind)
        if found is not None:
            return found
    return None


def open_in(
    specification: Specification, resolution: Resolution, kind: str
) -> SequencePattern | None:
    """Return the sequence of the file *resolution* that is open in its fields of *kind*.

    Args:
        specification: that made *resolution*.
        resolution: of a file, no scratch name, of a template that is no fallback.
        kind: ``frame``, ``udim`` or ``view``.

    Returns:
        None where it has no such field.
    """
    places = _places(specification, resolution)
    opened = {
        part.name: part for _, _, part in places if isinstance(part, Field) and part.kind == kind
    }
    return _pattern(specification, resolution, places, opened) if opened else None


_Place = tuple[int, int, Part]
"""Start and end in a path, and what stands there: text, or a field that holds text itself."""


def _of_tokens(
    specification: Specification, path: str, tokens: tuple[PathToken, ...]
) -> SequencePattern | None:
    for texts in _examples(specification, tokens):
        example, spans = _substituted(path, tokens, texts)
        resolution = _named(specification, example)
        if resolution is None:
            continue
        places = _places(specification, resolution)
        standing = {(start, end): part for start, end, part in places}
        fields = [standing.get(span) for span in spans]
        opened: dict[str, Field] = {}
        for token, field in zip(tokens, fields, strict=True):
            if not isinstance(field, Field) or field.kind != token.kind:
                break
            opened[field.name] = field
        else:
            _check(path, tokens, opened, fields)
            return _pattern(specification, resolution, places, opened)
    return None


def _check(
    path: str,
    tokens: tuple[PathToken, ...],
    opened: Mapping[str, Field],
    fields: list[Part | None],
) -> None:
    for token, field in zip(tokens, fields, strict=True):
        assert isinstance(field, Field), "each token stands for a field"
        problem = token_problem(token, opened[field.name])
        if problem is not None:
            message, fix = problem
            raise InvalidArgument(f"{path[:200]}: {message}", fix=fix)


def _substituted(
    path: str, tokens: tuple[PathToken, ...], texts: tuple[str, ...]
) -> tuple[str, list[tuple[int, int]]]:
    """Return *path* with *texts* in place of *tokens*, and where they stand in it."""
    written: list[str] = []
    spans: list[tuple[int, int]] = []
    index = length = 0
    for token, text in zip(tokens, texts, strict=True):
        before = path[index : token.start]
        written += [before, text]
        length += len(before) + len(text)
        spans.append((length - len(text), length))
        index = token.end
    return "".join(written) + path[index:], spans


def _examples(
    specification: Specification, tokens: tuple[PathToken, ...]
) -> Iterator[tuple[str, ...]]:
    """Yield texts to put in place of *tokens*: of each kind one value throughout."""
    kinds = [kind for kind in KINDS if any(token.kind == kind for token in tokens)]
    ways: list[list[dict[str, str]]] = []
    for kind in kinds:
        fields = [field for field in specification.fields.values() if field.kind == kind]
        found = _view_examples(fields) if kind == "view" else _plain_examples(fields)
        ways.append(found[:EXAMPLES_MAX])
    for chosen in itertools.product(*ways):
        by_kind = dict(zip(kinds, chosen, strict=True))
        yield tuple(
            by_kind[token.kind][token.form if token.kind == "view" else ""] for token in tokens
        )


def _plain_examples(fields: list[Field]) -> list[dict[str, str]]:
    firsts = (text for field in fields for text in texts_of(field)[:1])
    return [{"": text} for text in dict.fromkeys(firsts)]


def _view_examples(fields: list[Field]) -> list[dict[str, str]]:
    """Return the first view of each field, by the forms of tokens.

    A path may have both forms, each in a field of its own. After those come views written alike for
    both tokens, so that a token of the wrong form is recognised and can be told.
    """
    found: list[dict[str, str]] = []
    for field in fields:
        assert isinstance(field.codec, Views), "it is a view"
        name, short = field.codec.pairs[0]
        if short is not None:
            found.append({"long": name, "short": short})
    for field in fields:
        text = texts_of(field)[0]
        found.append({"long": text, "short": text})
    return [dict(pairs) for pairs in dict.fromkeys(tuple(one.items()) for one in found)]


def _places(specification: Specification, resolution: Resolution) -> list[_Place]:
    """Return the path of *resolution* cut into what its template says of it."""
    fields = specification.fields
    for variant in specification.patterns[resolution.template.name].variants:
        used = {field.name for tokens in variant.elements for field in leaves(tokens, fields)}
        if used != resolution.fields.keys():
            continue
        places: list[_Place] = []
        index = 0
        for number, tokens in enumerate(variant.elements):
            parts: list[Part] = ["/"] if number else []
            parts += _flat(tokens, fields)
            for part in parts:
                text = part if isinstance(part, str) else resolution.fields[part.name]
                places.append((index, index + len(text), part))
                index += len(text)
        written = "".join(
            part if isinstance(part, str) else resolution.fields[part.name] for _, _, part in places
        )
        if written == resolution.key:
            return places
    raise AssertionError("a path is written as one variant of its template")


def _flat(tokens: tuple[Token, ...], fields: Fields) -> Iterator[Part]:
    for token in tokens:
        if isinstance(token, Literal):
            yield token.text
        elif fields[token.name].tokens:
            yield from _flat(fields[token.name].tokens, fields)
        else:
            yield fields[token.name]


def _pattern(
    specification: Specification,
    resolution: Resolution,
    places: list[_Place],
    opened: Mapping[str, Field],
) -> SequencePattern:
    texts = resolution.fields
    parts: list[Part] = []
    for _, _, part in places:
        if isinstance(part, Field) and part.name in opened:
            parts.append(part)
            continue
        text = part if isinstance(part, str) else texts[part.name]
        last = parts[-1] if parts else None
        if isinstance(last, str):
            parts[-1] = last + text
        else:
            parts.append(text)
    first = parts[0] if isinstance(parts[0], str) else ""
    directory = first.rpartition("/")[0]
    elements = 1 + sum(part.count("/") for part in parts if isinstance(part, str))
    above = directory.count("/") + 1 if directory else 0
    in_order = dict.fromkeys(part.name for part in parts if isinstance(part, Field))
    return SequencePattern(
        specification=specification,
        template=resolution.template,
        open=tuple(opened[name] for name in in_order),
        fields={
            name: text
            for name, text in texts.items()
            if not any(field.name in opened for field in _parts_of(specification.fields, name))
        },
        parts=tuple(parts),
        directory=directory,
        depth=elements - above,
    )


def _parts_of(fields: Fields, name: str) -> Iterator[Field]:
    """Yield the field *name* and everything in it."""
    yield fields[name]
    yield from leaves(fields[name].tokens, fields)


def _leaf_texts(fields: Fields, resolution: Resolution) -> dict[str, str]:
    return {name: text for name, text in resolution.fields.items() if not fields[name].tokens}


def _leaf_names(fields: Fields, texts: Mapping[str, str]) -> set[str]:
    return {name for name in texts if not fields[name].tokens}
