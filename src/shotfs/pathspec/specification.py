"""The specification: what the layers above ask about paths.

Paths are relative to the show's directory, without a leading slash; "" is that directory. Pure and
read-only once made, so threads may share it. A name that is no UTF-8, longer than 255 bytes, empty,
"." or ".." belongs to no template.
"""

from __future__ import annotations

from collections.abc import Mapping

from shotfs.digest import Digest
from shotfs.errors import InvalidArgument, NoTemplate, Problem
from shotfs.pathspec import explain, trie
from shotfs.pathspec.elements import Fields, leaves, write
from shotfs.pathspec.explain import Explanation, PathKind
from shotfs.pathspec.fields import FieldValue
from shotfs.pathspec.model import AliasMatch, DirectoryMatch, Resolution, Template
from shotfs.pathspec.pattern import Pattern
from shotfs.pathspec.problems import suggest
from shotfs.pathspec.tokens import Token
from shotfs.pathspec.trie import Node

NAME_BYTES_MAX = 255


class Specification:
    """One show's specification. Made by `load` only.

    Attributes:
        show: the name of the show's directory.
        source: where the document came from, for messages.
        site: the node's, whose URLs the roots have; None for tools that belong to no site.
        digest: of all documents together.
        documents: (location, digest) of each, the main one first, included ones in the order in
            which they are met.
        field_sources: the document that declares each field, by the field's name.
        templates: by name, in the order of the document.
        origins: root URLs that some template uses, in the order of the document.
        warnings: what is allowed and probably not meant, in the order of the document.
    """

    def __init__(
        self,
        *,
        show: str,
        source: str,
        usage: str,
        digest: Digest,
        site: str | None,
        documents: tuple[tuple[str, Digest], ...],
        field_sources: Mapping[str, str],
        fields: Fields,
        compiled: list[Pattern],
        root: Node,
        warnings: tuple[Problem, ...],
    ) -> None:
        self.show = show
        self.source = source
        self.usage = usage
        self.digest = digest
        self.site = site
        self.documents = documents
        self.field_sources = field_sources
        self.fields = fields
        self.templates: Mapping[str, Template] = {
            one.template.name: one.template for one in compiled
        }
        self.origins = tuple(dict.fromkeys(one.template.policy.origin for one in compiled))
        self._compiled = {one.template.name: one for one in compiled}
        self.warnings = warnings
        self._root = root

    @property
    def patterns(self) -> Mapping[str, Pattern]:
        """The templates cut into elements, by name: for tools that compare or list them."""
        return self._compiled

    def __repr__(self) -> str:
        return f"<Specification {self.show} of {self.source}: {len(self.templates)} templates>"

    def resolve(self, path: str) -> Resolution | None:
        """Return what *path* is as a file, or None when no template can produce it.

        Where templates overlap, the one with more literal text wins. Names that the scratch
        patterns of a writable template match are scratch, also where the template matches them.
        """
        names = split(path)
        if not names:
            return None
        found = trie.find(self._root, names, 0, {})
        if found is None:
            return self._scratch(path, names)
        compiled, fields = found
        if compiled.is_scratch is not None and compiled.is_scratch(names[-1]) is not None:
            return self._scratch(path, names)
        return Resolution(compiled.template, fields, path, False)

    def _scratch(self, path: str, names: list[str]) -> Resolution | None:
        name = names[-1]
        first: Resolution | None = None
        for node, fields in trie.nodes_at(self._root, names[:-1], 0, {}):
            for compiled in node.files:
                if compiled.is_scratch is None or compiled.is_scratch(name) is None:
                    continue
                resolution = Resolution(compiled.template, fields, path, True)
                if _extends_a_name_of(compiled, node, names, fields):
                    return resolution
                first = first or resolution
        return first or self._scratch_in_tree(path, names)

    def _scratch_in_tree(self, path: str, names: list[str]) -> Resolution | None:
        found = trie.find(self._root, names, 0, {})
        if found is None:
            return None
        compiled, fields = found
        assert compiled.tree is not None, "other templates know their scratch names by directory"
        kept = {name: text for name, text in fields.items() if name != compiled.tree}
        return Resolution(compiled.template, kept, path, True)

    def directory(self, path: str) -> DirectoryMatch | None:
        """Return what *path* is as a directory, or None when no template has such a directory."""
        names = split(path)
        if names is None:
            return None
        matches = list(trie.directories_at(self._root, names, 0, {}))
        return trie.merge(matches) if matches else None

    def alias(self, path: str) -> AliasMatch | None:
        """Return what *path* is as a version alias, or None when it is none."""
        del path
        return None

    def implied_children(self, path: str) -> tuple[str, ...]:
        """Return the names of the directories in *path* that exist without any object, sorted."""
        names = split(path)
        if names is None:
            return ()
        children: set[str] = set()
        for node, fields in trie.nodes_at(self._root, names, 0, {}):
            if not node.implied:
                continue
            children.update(
                name for name, child in node.literals.items() if child.directory is not None
            )
            for edge in node.patterns:
                if edge.finite is not None and edge.child.directory is not None:
                    children.update(edge.finite.names(self.fields, fields))
        return tuple(sorted(children))

    def parse(self, path: str) -> Resolution:
        """Return what *path* is.

        Raises:
            NoTemplate: no template can produce it.
        """
        resolution = self.resolve(path)
        if resolution is None:
            nearest = self.explain(path).misses[:1]
            raise NoTemplate(
                f"{self.show}: no template can produce {path!r}",
                fix=f"nearest is template {nearest[0].template!r}: {nearest[0].reason}"
                if nearest
                else None,
            )
        return resolution

    def explain(self, path: str) -> Explanation:
        """Return everything that the specification says of *path*, possible or not."""
        names = split(path)
        resolution = self.resolve(path)
        directory = self.directory(path)
        if resolution is None:
            compiled = None
            kind = PathKind.NONE if directory is None else PathKind.DIRECTORY
        else:
            compiled = self._compiled[resolution.template.name]
            kind = PathKind.SCRATCH if resolution.scratch else PathKind.FILE
        others = [one for one in self._compiled.values() if one is not compiled]
        return Explanation(
            path=path,
            kind=kind,
            template=None if compiled is None else compiled.template,
            template_line=None if compiled is None else compiled.line,
            directory=directory,
            fields=()
            if compiled is None or resolution is None
            else tuple(explain.meanings(compiled, self.fields, resolution.fields)),
            settings=() if compiled is None else tuple(explain.settings(compiled)),
            misses=explain.misses(others, self.fields, names) if names else (),
        )

    def format(self, template: str, fields: Mapping[str, FieldValue]) -> str:
        """Return the path of *template* with *fields*.

        Args:
            template: its name.
            fields: text or number of each field; a compound may be given whole or by its parts.

        Raises:
            InvalidArgument: a field is missing, unknown, or its text is not what the field allows.
        """
        compiled = self._compiled.get(template)
        if compiled is None:
            raise InvalidArgument(
                f'{self.show} has no template "{template}"', fix=suggest(template, self.templates)
            )
        tokens = tuple(token for element in compiled.elements for token in element)
        texts = self._texts(compiled, tokens, fields)
        path = "/".join(write(element, self.fields, texts) for element in compiled.elements)
        found = self.resolve(path)
        if found is None or found.template.name != template or found.scratch:
            raise InvalidArgument(
                f'these fields give {path!r}, which template "{template}" does not match',
                fix=f"shotfs spec explain {path} says why",
            )
        return path

    def _texts(
        self, compiled: Pattern, tokens: tuple[Token, ...], values: Mapping[str, FieldValue]
    ) -> dict[str, str]:
        used = {field.name: field for field in leaves(tokens, self.fields)}
        texts: dict[str, str] = {}
        for name, value in values.items():
            if name not in used:
                raise InvalidArgument(
                    f'template "{compiled.template.name}" has no field "{name}"',
                    fix=suggest(name, used),
                )
            writer = used[name].write
            texts[name] = writer(value) if isinstance(value, int) and writer else str(value)
        given = set(texts)
        for name in texts:
            given |= _parts(used[name].tokens, self.fields)
        for name, field in used.items():
            if name not in given and not field.tokens:
                raise InvalidArgument(
                    f'template "{compiled.template.name}" needs the field "{name}": {field.wants}',
                    fix=f"add {name}=...",
                )
        return texts


def _parts(tokens: tuple[Token, ...], fields: Fields) -> set[str]:
    return {field.name for field in leaves(tokens, fields)}


def split(path: str) -> list[str] | None:
    """Return the elements of *path*, none for "", or None when it cannot be a path of a show."""
    if path == "":
        return []
    names = path.split("/")
    if "" in names or "." in names or ".." in names or "\0" in path:
        return None
    if not path.isascii():
        try:
            path.encode()
        except UnicodeEncodeError:
            return None
    if len(path) * 4 > NAME_BYTES_MAX and any(
        len(name.encode()) > NAME_BYTES_MAX for name in names
    ):
        return None
    return names


def _extends_a_name_of(
    compiled: Pattern, node: Node, names: list[str], fields: dict[str, str]
) -> bool:
    """Return whether the scratch name begins with a whole final name of the template."""
    name = names[-1]
    for start in (0, 1) if name.startswith(".") else (0,):
        for end in range(len(name) - 1, start, -1):
            found = trie.find(node, [name[start:end]], 0, fields)
            if found is not None and found[0] is compiled:
                return True
    return False
