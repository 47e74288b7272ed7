"""The specification: what the layers above ask about paths.

Paths are relative to the show's directory, without a leading slash; "" is that directory. Pure and
read-only once made, so threads may share it. A name that is no UTF-8, longer than 255 bytes, empty,
"." or ".." belongs to no template.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping

from shotfs.digest import Digest
from shotfs.errors import InvalidArgument, NoTemplate, Problem
from shotfs.pathspec import explain
from shotfs.pathspec.elements import Element, Fields, leaves, text_of, write
from shotfs.pathspec.explain import Explanation
from shotfs.pathspec.fields import Field, FieldValue
from shotfs.pathspec.many_names import TemplatesOf
from shotfs.pathspec.matcher import Matcher
from shotfs.pathspec.model import AliasMatch, DirectoryMatch, Resolution, Template
from shotfs.pathspec.pattern import Pattern, Variant
from shotfs.pathspec.problems import suggest
from shotfs.pathspec.trie import Node


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
        origins: root URLs that some template has as origin or tier, in the order of the document.
        warnings: what is allowed and probably not meant, in the order of the document.
        crossing: indexes of templates with paths in version directories that their own node of the
            trie does not know, as the proof found them.
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
        crossing: Collection[int] = (),
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
        self.origins = tuple(
            dict.fromkeys(
                url
                for policy in {id(p): p for p in (one.template.policy for one in compiled)}.values()
                for url in (policy.origin, *policy.tiers)
            )
        )
        self._compiled = {one.template.name: one for one in compiled}
        self.warnings = warnings
        self.crossing = frozenset(crossing)
        self._matcher = Matcher(compiled, root, fields, crossing)

    @property
    def patterns(self) -> Mapping[str, Pattern]:
        """The templates cut into elements, by name: for tools that compare or list them."""
        return self._compiled

    def __repr__(self) -> str:
        return f"<Specification {self.show} of {self.source}: {len(self.templates)} templates>"

    def resolve(self, path: str) -> Resolution | None:
        """Return what *path* is as a file, or None when no template can produce it.

        Where templates overlap, `before` says which one wins. Names that the scratch patterns of
        a writable template match are scratch, also where the template matches them.
        """
        return self._matcher.resolve(path)

    def resolve_in(self, directory: str) -> Callable[[str], Resolution | None]:
        """Return what says of paths directly in *directory* what `resolve` does, only faster."""
        return self._matcher.resolve_in(directory)

    def templates_in(self, directory: str) -> TemplatesOf | None:
        """Return what says of many names in *directory* of which template each is a file.

        None, of a name or altogether: `resolve` has to say. A template: `resolve` would say that
        the path is its file, no scratch and in no version directory.
        """
        return self._matcher.templates_in(directory)

    def directory(self, path: str) -> DirectoryMatch | None:
        """Return what *path* is as a directory, or None when no template has such a directory."""
        return self._matcher.directory(path)

    def alias(self, path: str) -> AliasMatch | None:
        """Return what *path* is as a version alias, or None when it is none."""
        return self._matcher.alias(path)

    def implied_children(self, path: str) -> tuple[str, ...]:
        """Return the names of the directories in *path* that exist without any object, sorted."""
        return self._matcher.implied_children(path)

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
        return explain.explain(self, path)

    def format(self, template: str, fields: Mapping[str, FieldValue]) -> str:
        """Return the path of *template* with *fields*.

        Args:
            template: its name.
            fields: text or value of each field; a compound may be given whole or by its parts.

        Raises:
            InvalidArgument: a field is missing, unknown, or its text is not what the field allows;
                or the path would not read back as these fields of this template.
        """
        compiled = self._compiled.get(template)
        if compiled is None:
            raise InvalidArgument(
                f'{self.show} has no template "{template}"', fix=suggest(template, self.templates)
            )
        texts = self._texts(compiled, fields)
        wrong: InvalidArgument | None = None
        for variant in self._variants(compiled, texts):
            path = "/".join(write(element, self.fields, texts) for element in variant.elements)
            reason = self._not_back(path, template, texts)
            if reason is None:
                return path
            wrong = wrong or InvalidArgument(
                f"these fields give {path!r}, {reason}",
                fix=f"shotfs spec explain {shlex.quote(path)} says why",
            )
        assert wrong is not None, "there is one variant at least"
        raise wrong

    def _not_back(self, path: str, template: str, texts: Mapping[str, str]) -> str | None:
        """Return why *path* does not read as *texts* of *template*, or None where it does."""
        found = self.resolve(path)
        if found is None:
            return f'which template "{template}" does not match'
        if found.scratch:
            return "a scratch name: it would never be published"
        if found.template.name != template:
            return f'which is a path of template "{found.template.name}"'
        for name, text in texts.items():
            read = found.fields.get(name, text)  # what `unmatched` lets pass has no fields
            if read != text:
                return f'where "{name}" is {read!r} and not {text!r}'
        return None

    def _texts(self, compiled: Pattern, values: Mapping[str, FieldValue]) -> dict[str, str]:
        used = _used(compiled.variants[0], self.fields)
        texts: dict[str, str] = {}
        for name, value in values.items():
            if name not in used:
                raise InvalidArgument(
                    f'template "{compiled.template.name}" has no field "{name}"',
                    fix=suggest(name, used),
                )
            texts[name] = used[name].format(value)
        return self._parts(texts) | texts

    def _parts(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Return the texts of the fields that the compounds of *texts* consist of.

        Raises:
            InvalidArgument: a compound cannot be read, or a field has two texts.
        """
        parts: dict[str, str] = {}
        compounds = [(name, text) for name, text in texts.items() if self.fields[name].tokens]
        for name, text in compounds:
            tokens = self.fields[name].tokens
            found = Element(tokens, self.fields).find(text)
            if found is None:
                raise InvalidArgument(
                    f'field "{name}" cannot be {text[:100]!r}: it does not match {text_of(tokens)}',
                    fix="give each of its parts the text that it wants, or give the parts alone",
                )
            for part, read in found.groupdict().items():
                said = texts.get(part, parts.get(part, read))
                if said != read:
                    raise InvalidArgument(
                        f'field "{part}" is {said!r} and, in "{name}", {read!r}',
                        fix=f'leave "{part}" out, or give another "{name}"',
                    )
                parts[part] = read
        return parts

    def _variants(self, compiled: Pattern, texts: Mapping[str, str]) -> list[Variant]:
        """Return the variants that have exactly the fields *texts*, the likeliest first.

        That is one which has just the compounds that are given; of several the shortest.
        """
        given = set(texts)
        for name in texts:
            given |= {field.name for field in leaves(self.fields[name].tokens, self.fields)}
        exact: list[Variant] = []
        lacking: list[str] = []
        for variant in compiled.variants:
            used = _used(variant, self.fields)
            if given <= used.keys():
                lacking = [name for name, one in used.items() if not one.tokens]
                lacking = [name for name in lacking if name not in given]
                if not lacking:
                    exact.insert(0, variant)
        if exact:
            return sorted(exact, key=lambda one: _used(one, self.fields).keys() != given)
        name = lacking[0]  # of the shortest that has all given ones; the first has all
        raise InvalidArgument(
            f'template "{compiled.template.name}" needs the field "{name}":'
            f" {self.fields[name].wants}",
            fix=f"add {name}=...",
        )


def _used(variant: Variant, fields: Fields) -> dict[str, Field]:
    """Return all fields of *variant*, compounds and their parts, in order."""
    return {field.name: field for tokens in variant.elements for field in leaves(tokens, fields)}
