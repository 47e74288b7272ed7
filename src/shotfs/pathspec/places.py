"""Where the version is in a path: for publishing a version, naming the next, and its aliases."""

from __future__ import annotations

from dataclasses import dataclass

from shotfs.pathspec.elements import Element
from shotfs.pathspec.fields import Field
from shotfs.pathspec.specification import Specification
from shotfs.pathspec.tokens import FieldRef, Token


@dataclass(frozen=True, slots=True)
class VersionPlace:
    """The first element of a path that holds a version, and the version in it.

    Attributes:
        field: the version field.
        directory: the elements before; "" at the top of the show.
        before: text of the element before the version.
        version: its text.
        after: text of the element after it.
        rest: the elements that follow; "" for a path that ends with this one.
    """

    field: Field
    directory: str
    before: str
    version: str
    after: str
    rest: str

    @property
    def path(self) -> str:
        """The path up to and with the element that holds the version."""
        return self.sibling(self.version)

    def sibling(self, text: str) -> str:
        """Return `path` with *text* in the version's place: another version, or an alias."""
        name = f"{self.before}{text}{self.after}"
        return f"{self.directory}/{name}" if self.directory else name

    def version_of(self, name: str) -> str | None:
        """Return the version in the sibling *name*; None if it is none."""
        end = len(name) - len(self.after)
        if not (name.startswith(self.before) and name.endswith(self.after)):
            return None
        text = name[len(self.before) : end]
        return text if text and self.field.problem(text) is None else None


def version_place(spec: Specification, path: str) -> VersionPlace | None:
    """Return where the version is in *path*, a file or directory that *spec* can produce."""
    if spec.resolve(path) is None and spec.directory(path) is None:
        return None
    names = path.split("/")
    known: dict[tuple[Token, ...], Element] = {}
    for pattern in spec.patterns.values():
        for variant in pattern.variants:
            found = _place(spec, names, variant.elements, known)
            if found is not None and _is_known(spec, found.path):
                return found
    return None


def _place(
    spec: Specification,
    names: list[str],
    elements: tuple[tuple[Token, ...], ...],
    known: dict[tuple[Token, ...], Element],
) -> VersionPlace | None:
    for index, (name, tokens) in enumerate(zip(names, elements, strict=False)):
        element = known.get(tokens)
        if element is None:
            element = known[tokens] = Element(tokens, spec.fields)
        if any(
            isinstance(one, FieldRef) and spec.fields[one.name].kind == "tree" for one in tokens
        ):
            return None
        match = element.find(name)
        if match is None:
            return None
        if element.version is not None:
            start, end = match.span(element.version.name)
            return VersionPlace(
                field=element.version,
                directory="/".join(names[:index]),
                before=name[:start],
                version=name[start:end],
                after=name[end:],
                rest="/".join(names[index + 1 :]),
            )
    return None


def _is_known(spec: Specification, path: str) -> bool:
    return spec.directory(path) is not None or spec.resolve(path) is not None
