"""Places: from what a scene writes to the absolute paths that it may mean. Pure.

Scenes travel: they name files by environment variables, by the drives of another system, by URLs
of the local disk, and relative to where they lie or to search paths.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from shotfs.errors import InvalidArgument

PATH_CHARACTERS_MAX = 4096
"""As long as the kernel takes a path."""

VARIABLE_DEPTH_MAX = 8
"""Variables in the values of variables."""

RULES_MAX = 1000
"""Path mapping rules."""

DOCUMENT_BYTES_MAX = 1 << 20
"""Of a file of such rules."""

_VARIABLE = re.compile(
    r"\[getenv\s+\"?(?P<getenv>[A-Za-z_][A-Za-z0-9_]*)\"?\s*\]"
    r"|\$\{(?P<braces>[A-Za-z_][A-Za-z0-9_]*)\}"
    r"|\$(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
    r"|%(?P<windows>[A-Za-z_][A-Za-z0-9_]{2,})%",
    re.ASCII,
)
_FRAME_VARIABLE = re.compile(r"FF?[1-9]?", re.ASCII)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]", re.ASCII)
_UNC = re.compile(r"(?:\\\\|//)[^\\/]+[\\/]", re.ASCII)
_UNPAIRED = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile(r"(?:%[2-9A-Fa-f][0-9A-Fa-f])+")
_OF_KERNEL = ("/proc/", "/sys/", "/dev/")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:", re.ASCII)


@dataclass(frozen=True, slots=True)
class MapRule:
    r"""Paths below *source* are, here, the same below *target*.

    Attributes:
        source: a prefix of whole elements, as scenes write it: ``Z:\shows``, ``//filer/shows``.
        target: an absolute path.
        windows: compare without regard to case, and take both slashes for one.
    """

    source: str
    target: str
    windows: bool

    def apply(self, path: str) -> str | None:
        """Return the path that *path* is here, or None when the rule is not about it."""
        source, given = self.source, path
        if self.windows:
            source, given = _folded(source), _folded(path)
        bare = source.rstrip("/")
        if given != bare and not given.startswith(bare + "/"):
            return None
        # Folding keeps lengths, so that the rest can be cut from what was written.
        rest = path[len(bare) :]
        if self.windows:
            rest = rest.replace("\\", "/")
        return self.target.rstrip("/") + rest if rest.strip("/") else self.target


def _folded(text: str) -> str:
    return "".join(one.lower() if one.isascii() else one for one in text.replace("\\", "/"))


def map_rule(text: str) -> MapRule:
    """Return the rule that *text* (``FROM=TO``) is.

    Raises:
        InvalidArgument: it is none.
    """
    source, equals, target = text.rpartition("=")
    if not equals or not source or not target.startswith("/"):
        raise InvalidArgument(
            f"{text[:200]!r} maps nothing", fix=r"write FROM=TO, such as 'Z:\shows=/shows'"
        )
    return MapRule(source, posixpath.normpath(target), windows=_is_foreign(source))


def openjd_rules(document: str) -> list[MapRule]:
    """Return the rules of an OpenJD path mapping file (``pathmapping-1.0``).

    Raises:
        InvalidArgument: *document* is none.
    """
    wrong = "a path mapping file of OpenJD has "
    try:
        data = json.loads(document)
    except (ValueError, RecursionError) as exc:
        raise InvalidArgument(f"{wrong}JSON: {exc}") from exc
    if not isinstance(data, dict) or data.get("version") != "pathmapping-1.0":
        raise InvalidArgument(f'{wrong}"version": "pathmapping-1.0"')
    rules = data.get("path_mapping_rules")
    if not isinstance(rules, list) or len(rules) > RULES_MAX:
        raise InvalidArgument(f'{wrong}"path_mapping_rules", a list of at most {RULES_MAX}')
    found: list[MapRule] = []
    for number, rule in enumerate(rules):
        fields = rule if isinstance(rule, dict) else {}
        system, source, target = (
            fields.get(name) for name in ("source_path_format", "source_path", "destination_path")
        )
        if (
            system not in ("POSIX", "WINDOWS")
            or not isinstance(source, str)
            or not source
            or not isinstance(target, str)
            or not target.startswith("/")
        ):
            raise InvalidArgument(
                f"rule {number + 1} of path_mapping_rules is wrong: it needs source_path_format "
                "(POSIX or WINDOWS), source_path, and an absolute destination_path"
            )
        found.append(MapRule(source, posixpath.normpath(target), windows=system == "WINDOWS"))
    return found


def _is_foreign(path: str) -> bool:
    """Whether *path* is one of Windows: of a drive, or of a share."""
    return bool(re.match(r"[A-Za-z]:", path) or path.startswith("\\\\")) or "\\" in path


@dataclass(frozen=True, slots=True)
class Placed:
    """What a text in a scene means.

    Attributes:
        paths: absolute and normal (no ``..``), in the order in which they are looked for.
        unresolved: why there are none; "" where there are.
    """

    paths: tuple[str, ...] = ()
    unresolved: str = ""


def place(
    text: str,
    directory: str,
    search: Sequence[str],
    variables: Mapping[str, str],
    rules: Sequence[MapRule],
) -> Placed:
    """Return the absolute paths that *text* may mean.

    Args:
        text: as a scene writes it; tokens stay what they are.
        directory: of the file that names it, absolute.
        search: where a relative path is looked for, in order; "" is *directory*, and relative ones
            lie below it. A path that begins with ``./`` or ``../`` is only looked for there.
        variables: of the environment of the render.
        rules: for paths of other systems; the longest that fits counts.
    """
    plain, why = _here(text.strip(), variables, rules)
    if why:
        return Placed(unresolved=why)
    if plain.startswith("/"):
        paths = [_normal(plain)]
    elif plain.startswith(("./", "../")):
        paths = [_normal(posixpath.join(directory, plain))]
    else:
        paths = [
            _normal(posixpath.join(above, plain))
            for above in directories(search or ("",), directory, variables, rules)
        ]
    found = tuple(dict.fromkeys(path for path in paths if not of_kernel(path)))
    return Placed(found) if found else Placed(unresolved="no path of a disk")


def of_kernel(path: str) -> bool:
    """Whether *path* is none of a disk; reading it may never end (``/proc/kmsg``)."""
    return path.startswith(_OF_KERNEL)


def directories(
    search: Sequence[str], directory: str, variables: Mapping[str, str], rules: Sequence[MapRule]
) -> tuple[str, ...]:
    """Return the absolute directories that *search* names, without those that cannot be known."""
    found: dict[str, None] = {}
    for text in search:
        plain, why = _here(text.strip(), variables, rules) if text else ("", "")
        if not why:
            found[_normal(posixpath.join(directory, plain))] = None
    return tuple(found)


def _here(text: str, variables: Mapping[str, str], rules: Sequence[MapRule]) -> tuple[str, str]:
    """Return (the path, "") or ("", why there is none)."""
    if not text:
        return "", "the path is empty"
    if len(text) > PATH_CHARACTERS_MAX:
        return "", f"the path is longer than {PATH_CHARACTERS_MAX} characters"
    if any(character < " " or character == "\x7f" for character in text):
        return "", "the path has control characters"
    if not text.isascii() and _UNPAIRED.search(text):
        return "", "the path is no UTF-8"
    text, why = _without_scheme(text)
    if why:
        return "", why
    # Rules are about what scenes write, before and after their variables have values.
    text, why = _with_variables(_mapped(text, rules) or text, variables)
    if why:
        return "", why
    if len(text) > PATH_CHARACTERS_MAX:
        return "", f"the path is longer than {PATH_CHARACTERS_MAX} characters"
    return _local(_mapped(text, rules) or text)


def _without_scheme(text: str) -> tuple[str, str]:
    """Return (*text*, or the path of a URL of the local disk, ""), or ("", why it is of none)."""
    if not text.lower().startswith("file:"):
        return text, ""
    host, slash, path = text[len("file:") :].removeprefix("//").partition("/")
    if host not in ("", "localhost"):
        return "", f'it lies on the host "{host}"; map it with --map'
    # Not all that follows the percent sign of `%04d`; and `#` stands for frames, not a fragment.
    path = slash + _ESCAPED.sub(lambda found: unquote(found.group()), path)
    return (path[1:] if re.match(r"/[A-Za-z]:/", path) else path), ""


def _local(text: str) -> tuple[str, str]:
    if _DRIVE.match(text) or text.startswith("\\\\"):
        return "", f"a path of Windows; say where it is with --map '{_foreign_root(text)}=/...'"
    if _SCHEME.match(text):
        return "", "it is no path of a file system"
    if text.startswith("~"):
        return "", "it lies in somebody's home directory"
    if text.startswith("//") and _UNC.match(text) and not text.startswith("///"):
        text = "/" + text.lstrip("/")
    # Written on Windows, relative to the scene.
    return (text.replace("\\", "/") if "\\" in text and "/" not in text else text), ""


def _foreign_root(text: str) -> str:
    if _DRIVE.match(text):
        return text[:3]
    return "\\\\" + "\\".join(re.split(r"[\\/]", text.lstrip("\\/"))[:2])


def _mapped(text: str, rules: Sequence[MapRule]) -> str | None:
    for rule in sorted(rules, key=lambda one: len(one.source), reverse=True):
        found = rule.apply(text)
        if found is not None:
            return found
    return None


def _with_variables(text: str, variables: Mapping[str, str]) -> tuple[str, str]:
    unset: list[str] = []

    def value(found: re.Match[str]) -> str:
        name = next(one for one in found.groups() if one is not None)
        if name in variables:
            return variables[name]
        if found["plain"] is not None and _FRAME_VARIABLE.fullmatch(name):
            return found.group()  # Houdini's frame
        if found["windows"] is None:
            unset.append(name)
        return found.group()

    for _ in range(VARIABLE_DEPTH_MAX):
        before, text = text, _substituted(text, value)
        if unset:
            return "", f"the variable {unset[0]} is not set; give it with --define {unset[0]}=..."
        if text == before or len(text) > PATH_CHARACTERS_MAX:
            return text, ""
    return "", f"variables in variables, more than {VARIABLE_DEPTH_MAX} deep"


def _substituted(text: str, value: Callable[[re.Match[str]], str]) -> str:
    return _VARIABLE.sub(value, text) if "$" in text or "%" in text or "[" in text else text


def _normal(path: str) -> str:
    normal = posixpath.normpath(path)
    # POSIX keeps two slashes at the front apart; here they are a slip of the pen.
    return "/" + normal.lstrip("/")
