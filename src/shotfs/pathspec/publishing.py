"""Version directories: what is published as a whole, and what must hold for that.

A template that is `on-version-publish` lies in a directory that names a version. Everything in that
directory is sealed together, so all of it must be in one place.
"""

from __future__ import annotations

from collections.abc import Sequence

from shotfs.pathspec import elements
from shotfs.pathspec.elements import Fields
from shotfs.pathspec.model import Durability, Flow, Immutable, SealOn
from shotfs.pathspec.pattern import Pattern, Variant
from shotfs.pathspec.problems import Report
from shotfs.pathspec.tokens import Token


def version_depth(variant: Variant, fields: Fields) -> int | None:
    """Return how many leading elements name the version directory, or None where there is none.

    That is up to the first element that holds a version field, and is not the file's name.
    """
    for index, tokens in enumerate(variant.elements[:-1]):
        if holds_version(tokens, fields):
            return index + 1
    return None


def holds_version(tokens: tuple[Token, ...], fields: Fields) -> bool:
    """Return whether a version field is among *tokens* or in one of their compounds."""
    return any(field.kind == "version" for field in elements.leaves(tokens, fields))


def check(compiled: list[Pattern], fields: Fields, offsets: Sequence[int], report: Report) -> None:
    """Note what of the policies of *compiled* needs a version that the path does not have.

    Args:
        compiled: all patterns, each at its index.
        fields: of the specification.
        offsets: where each template is declared, by its index.
        report: takes the mistakes.
    """
    sealed: dict[tuple[tuple[Token, ...], ...], Pattern] = {}
    for one in compiled:
        name, policy = one.template.name, one.template.policy
        where = "/unmatched" if one.fallback else f"/templates/{name}"
        if "retention" in one.own and policy.retention.versions is not None:
            _check_retention(one, fields, offsets[one.index], report, where)
        if policy.immutable is not Immutable.ON_VERSION_PUBLISH:
            continue
        for variant in one.variants:
            depth = version_depth(variant, fields)
            if depth is None:
                report.add(
                    where,
                    f'template "{name}" is on-version-publish, and no directory in its path'
                    " names a version",
                    offsets[one.index],
                    'put a version field into a directory, or write "immutable": "on-close"',
                )
                break
            sealed.setdefault(variant.elements[:depth], one)
    for one in compiled:
        for variant in one.variants:
            for depth in range(1, len(variant.elements)):
                other = sealed.get(variant.elements[:depth])
                what = None if other is None else _differing(one, other)
                if other is None or what is None:
                    continue
                report.add(
                    f"/templates/{one.template.name}",
                    f"templates {other.named(one)} and {one.named(other)} have files in"
                    f" one version directory, which is published as a whole, and two {what[0]}",
                    offsets[one.index],
                    f"give them the same {what[1]}",
                )
                break


def _differing(one: Pattern, other: Pattern) -> tuple[str, str] | None:
    """Return what must be the same of templates with files in one version, and is not."""
    mine, theirs = one.template.policy, other.template.policy
    if mine.origin != theirs.origin:
        return "origins", "origin"
    if mine.retract is not theirs.retract:
        return f'ways to take it back ("{theirs.retract}", "{mine.retract}")', '"retract"'
    return None


def warn_seal(compiled: Sequence[Pattern], offsets: Sequence[int], warnings: Report) -> None:
    """Note each `seal` that has no effect, or that no output can satisfy.

    Args:
        compiled: all patterns, each at its index.
        offsets: where each template is declared, by its index.
        warnings: takes what is allowed and probably not meant.
    """
    for one in compiled:
        name, policy = one.template.name, one.template.policy
        if policy.seal is SealOn.CLOSE:
            continue
        where = f"{'/unmatched' if one.fallback else f'/templates/{name}'}/seal"
        rule = f'template "{name}" has "seal": "{policy.seal}"'
        if policy.flow is Flow.IN:
            if "seal" in one.own:  # what is inherited is for whoever is written
                warnings.add(
                    where,
                    f"{rule}, and jobs do not write it",
                    offsets[one.index],
                    'remove it, or write "flow": "out"',
                )
        elif policy.durability is Durability.ORIGIN:
            warnings.add(
                where,
                f'{rule} and "durability": "origin": close() waits until the file is in the'
                " origin, so each close finishes it",
                offsets[one.index],
                'choose one: remove "seal", or write "durability": "node"',
            )
        elif policy.seal is SealOn.RENAME and not policy.scratch:
            warnings.add(
                where,
                f"{rule} and no scratch names: there is no other name to write a file under first",
                offsets[one.index],
                'give it "scratch" patterns, like ["*.tmp"]',
            )


def _check_retention(one: Pattern, fields: Fields, offset: int, report: Report, where: str) -> None:
    if any(holds_version(tokens, fields) for tokens in one.elements):
        return
    report.add(
        f"{where}/retention",
        f'template "{one.template.name}" keeps a number of versions, and its path names none',
        offset,
        'write "days" instead, or put a version field into the path',
    )
