"""Makes drafted templates fit our form: versions, optional parts, directories, equal paths.

Each function changes a `Draft` in place and notes what is not as it was. None of them needs the
loader; what only the proofs can tell is in `settle`.
"""

from __future__ import annotations

from shotfs.pathspec.importers.draft import Draft, FieldDraft, TemplateDraft, unique
from shotfs.pathspec.importers.parts import (
    Maybe,
    Part,
    Parts,
    Refer,
    Text,
    Use,
    each,
    elements,
    inlined,
    is_nested,
    merged,
    optional_count,
    tidied,
    variants,
    written,
)
from shotfs.pathspec.importers.report import Severity

OPTIONALS_MAX = 4
"""What our form allows in one template, references included."""

SPLITS_MAX = 16
"""Templates that one with too many optional parts may become."""

_FILE_FIELDS = ("ext", "extension", "file", "filename", "file_name", "basename")


def shape(draft: Draft) -> None:
    """Make the templates of *draft* fit our form."""
    for template in draft.templates.values():
        template.parts = tidied(template.parts)
    _drop_empty(draft)
    fold_versions(draft)
    split_optionals(draft)
    mark_directories(draft)
    drop_twins(draft)
    use_directories(draft)


def _drop_empty(draft: Draft) -> None:
    whole = draft.parts_of()
    empty = {name for name, parts in whole.items() if not tidied(inlined(parts, whole))}
    for name, template in list(draft.templates.items()):
        if empty & {getattr(part, "template", None) for part in each(template.parts)}:
            template.parts = tidied(inlined(template.parts, whole))
        if name in empty:
            del draft.templates[name]
            draft.notes.note(
                Severity.LOST,
                template.place,
                f'template "{template.shown}" is the root itself, without a path',
                "the show's directory needs no template",
            )


def fold_versions(draft: Draft) -> None:
    """Take the "v" before a version into the version, where it stands before all its uses.

    Then an alias can take the place of the whole (``latest``, not ``vlatest``).
    """
    for field in draft.fields.values():
        if field.body["type"] != "version" or not str(field.body["scheme"]).startswith("%"):
            continue
        letters = {
            letter
            for template in draft.templates.values()
            for letter in _letters_before(template.parts, field.name)
        }
        if letters in ({"v"}, {"V"}):
            _fold(draft, field, letters.pop())


def _letters_before(parts: Parts, field: str) -> list[str]:
    letters: list[str] = []
    previous: Part | None = None
    for part in parts:
        if isinstance(part, Maybe):
            letters.extend(_letters_before(part.parts, field))
        elif part == Use(field):
            text = previous.text if isinstance(previous, Text) else ""
            alone = not text[-2:-1].isalnum()
            letters.append(text[-1:] if text and alone else "")
        previous = part
    return letters


def _fold(draft: Draft, field: FieldDraft, letter: str) -> None:
    field.body["scheme"] = letter + str(field.body["scheme"])
    for template in draft.templates.values():
        template.parts = _without_letter(template.parts, field.name)
    draft.notes.note(
        Severity.RENAMED,
        field.place,
        f'the text of field "{field.name}" begins with the "{letter}" that stands before it in '
        f'every path, as in "{letter}{"1".zfill(_pad_of(field))}"',
    )


def _pad_of(field: FieldDraft) -> int:
    return int(str(field.body["scheme"]).partition("%0")[2].rstrip("d"))


def _without_letter(parts: Parts, field: str) -> Parts:
    made: list[Part] = []
    for part in parts:
        if part == Use(field):
            before = made[-1]
            assert isinstance(before, Text), "every use has the letter before it"
            made[-1] = Text(before.text[:-1])
        made.append(Maybe(_without_letter(part.parts, field)) if isinstance(part, Maybe) else part)
    return merged(tuple(made))


def split_optionals(draft: Draft) -> None:
    """Make several templates of one whose optional parts are nested, or too many."""
    whole = draft.parts_of()
    result: dict[str, TemplateDraft] = {}
    split: set[str] = set()
    for name, template in draft.templates.items():
        flat = inlined(template.parts, whole)
        if not is_nested(flat) and optional_count(flat) <= OPTIONALS_MAX:
            result[name] = template
            continue
        several = _split(flat)
        if several is None:
            draft.notes.note(
                Severity.LOST,
                template.place,
                f'template "{template.shown}" has too many optional parts',
                f"write it as several templates with at most {OPTIONALS_MAX} each",
            )
            continue
        split.add(name)
        names: list[str] = []
        for parts in several:
            new = name if not names else unique(name, {*draft.templates, *result})
            names.append(new)
            result[new] = TemplateDraft(
                new, tidied(parts), template.place, template.shown, template.root,
                template.usage, template.file,
            )  # fmt: skip
        draft.notes.note(
            Severity.RENAMED,
            template.place,
            f'template "{template.shown}" has nested or more than {OPTIONALS_MAX} optional parts '
            f"and became {', '.join(names)}",
        )
    for template in result.values():
        if any(getattr(part, "template", None) in split for part in each(template.parts)):
            template.parts = inlined(template.parts, whole)
    draft.templates = result


def _split(parts: Parts) -> list[Parts] | None:
    done: list[Parts] = []
    waiting = [parts]
    while waiting:
        if len(done) + len(waiting) > SPLITS_MAX:
            return None
        one = waiting.pop(0)
        if not is_nested(one) and optional_count(one) <= OPTIONALS_MAX:
            done.append(one)
            continue
        index = max(
            index
            for index, part in enumerate(one)
            if isinstance(part, Maybe) and (not is_nested(one) or optional_count(part.parts))
        )
        chosen = one[index]
        assert isinstance(chosen, Maybe)
        waiting.extend(
            merged((*one[:index], *inner, *one[index + 1 :])) for inner in (chosen.parts, ())
        )
    return done


def mark_directories(draft: Draft) -> None:
    """Tell the templates that name directories from those that name files.

    Our templates name files. A directory with files of other templates below is kept to be
    referred to; of one without, all files below it are let through.
    """
    whole = draft.parts_of()
    ends: dict[str, Parts] = {}
    holders: dict[tuple[str | None, tuple[Parts, ...]], set[str]] = {}
    own: dict[str, tuple[Parts, ...]] = {}
    for name, one in draft.templates.items():
        for flat in variants(inlined(one.parts, whole)):
            path = tuple(elements(flat))
            own.setdefault(name, path)
            ends.setdefault(name, path[-1])
            for length in range(1, len(path)):
                holders.setdefault((one.root, path[:length]), set()).add(name)
    for name, template in draft.templates.items():
        if template.file:
            continue
        if holders.get((template.root, own[name]), set()) - {name}:
            template.abstract = True
            draft.notes.note(
                Severity.GUESSED,
                template.place,
                f'template "{template.shown}" is a directory of other templates: abstract, it '
                "allows no files of its own",
                f'for other files in it add a template with the path "{{@{name}}}/{{name}}"',
            )
        elif _looks_like_directory(draft, ends[name]):
            _open_directory(draft, template)


def _looks_like_directory(draft: Draft, last: Parts) -> bool:
    if any(isinstance(part, Text) and "." in part.text for part in last):
        return False
    fields = [part.field for part in last if isinstance(part, Use)]
    kinds = [draft.fields[name].body["type"] for name in fields]
    return "tree" not in kinds and not any(name in _FILE_FIELDS for name in fields)


def _open_directory(draft: Draft, template: TemplateDraft) -> None:
    if template.name in draft.referred():
        template.abstract = True  # only ever a piece of other paths
        return
    if "rest" not in draft.fields:
        body = {"type": "tree", "usage": "Any file below a directory"}
        draft.fields["rest"] = FieldDraft("rest", body, template.place, "rest")
    elif draft.fields["rest"].body["type"] != "tree":
        return
    template.parts = merged((*template.parts, Text("/"), Use("rest")))
    draft.notes.note(
        Severity.GUESSED,
        template.place,
        f'template "{template.shown}" seems to be a directory, and no template has files in it: '
        "all files below it are allowed",
        "write templates for its files, or remove it",
    )


def use_directories(draft: Draft) -> None:
    """Let templates refer to the directories that nothing refers to yet, the deepest first."""
    unused = [
        one
        for name, one in draft.templates.items()
        if one.abstract and name not in draft.referred()
    ]
    for directory in sorted(unused, key=lambda one: -len(written(one.parts))):
        for template in draft.templates.values():
            rest = _after(template.parts, directory.parts)
            if rest is not None and template.root == directory.root:
                template.parts = (Refer(directory.name), *rest)


def _after(parts: Parts, start: Parts) -> Parts | None:
    """Return what follows the directory *start* in *parts*, or None if they do not begin so."""
    last, length = start[-1], len(start)
    if isinstance(last, Text):
        part = parts[length - 1] if len(parts) >= length else None
        if parts[: length - 1] == start[:-1] and isinstance(part, Text):
            rest = part.text.removeprefix(last.text)
            if rest.startswith("/") and rest != part.text:
                return (Text(rest), *parts[length:])
        return None
    following = parts[length] if len(parts) > length else None
    is_below = isinstance(following, Text) and following.text.startswith("/")
    return parts[length:] if parts[:length] == start and is_below else None


def drop_twins(draft: Draft) -> None:
    """Keep the first of templates with the same path."""
    whole = draft.parts_of()
    seen: dict[frozenset[Parts], TemplateDraft] = {}
    for name, template in list(draft.templates.items()):
        key = frozenset(variants(inlined(template.parts, whole)))
        first = seen.setdefault(key, template)
        if first is template:
            continue
        if template.abstract or name in draft.referred():
            template.abstract = True
            continue
        del draft.templates[name]
        roots = ""
        if first.root != template.root:
            roots = f" (at another root: {template.root}); a show has one tree over all its roots"
        draft.notes.note(
            Severity.LOST,
            template.place,
            f'template "{template.shown}" has the same path as "{first.shown}"{roots}',
            f'use "{first.name}", or give one of them another path',
        )
