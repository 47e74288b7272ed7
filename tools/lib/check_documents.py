"""Checks what the documents show: examples load, blocks of the README load, links lead somewhere.

    python check_documents.py ROOT

Prints every mistake and ends with 1 if there was one. Documents that are not tested rot.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

SHOTFS = os.path.join(os.path.dirname(sys.executable), "shotfs")
_BLOCK = re.compile(r"^```(toml|json)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def mistakes(root: str) -> Iterator[str]:
    """Yield one text for each mistake in the documents below *root*."""
    examples = os.path.join(root, "docs", "examples")
    yield from _check_examples(examples)
    yield from _check_readme(os.path.join(root, "README.md"))
    yield from _check_index(os.path.join(root, "docs", "adr"))
    for path in _documents(root):
        yield from _check_links(root, path)


def _check_examples(directory: str) -> Iterator[str]:
    """Check configurations and specifications; what others include is checked with these."""
    included: set[str] = set()
    parts: set[str] = set()
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if name.endswith(".json"):
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
            if "spec" not in document:
                continue  # what an importer reads; its tests do
            included.update(document.get("include", ()))
            if "show" not in document:
                parts.add(name)
                continue
        elif not name.endswith(".toml"):
            continue
        yield from _check_file(path)
    for name in sorted(parts - included):
        yield f"{directory}/{name}: no example includes it, so nothing checks it"


def _check_file(path: str) -> Iterator[str]:
    """Check a configuration (.toml) or a path specification (.json) with the command itself."""
    topic = "config" if path.endswith(".toml") else "spec"
    command = [SHOTFS, topic, "check", path]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        yield f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"


def _check_readme(path: str) -> Iterator[str]:
    """Check the configuration and the specification that the README shows, side by side."""
    with open(path, encoding="utf-8") as file:
        blocks = dict(_BLOCK.findall(file.read()))
    if set(blocks) != {"toml", "json"}:
        yield f"{path}: expected one block of toml and one of json, found {sorted(blocks)}"
        return
    with tempfile.TemporaryDirectory() as directory:
        for name, kind in (("ant.json", "json"), ("shotfs.toml", "toml")):
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(blocks[kind])
            yield from _check_file(os.path.join(directory, name))


def _check_index(directory: str) -> Iterator[str]:
    """Check that the directory's README names every page beside it."""
    with open(os.path.join(directory, "README.md"), encoding="utf-8") as file:
        index = file.read()
    for name in sorted(os.listdir(directory)):
        if name != "README.md" and f"({name})" not in index:
            yield f"{directory}/README.md does not list {name}"


def _documents(root: str) -> Iterator[str]:
    for directory in (root, os.path.join(root, "docs"), os.path.join(root, "systemd")):
        for place, _, names in os.walk(directory):
            if place == root or directory != root:
                yield from (os.path.join(place, name) for name in names if name.endswith(".md"))


def _check_links(root: str, path: str) -> Iterator[str]:
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            for target, anchor in _LINK.findall(line):
                where = os.path.join(os.path.dirname(path), target) if target else path
                shown = f"{os.path.relpath(path, root)}:{number}"
                if not os.path.exists(where):
                    yield f"{shown}: {target} does not exist"
                elif anchor and where.endswith(".md") and anchor not in _anchors(where):
                    yield f"{shown}: {target} has no heading #{anchor}"


def _anchors(path: str) -> set[str]:
    """Return the anchors of the headings of *path*, as GitHub makes them."""
    with open(path, encoding="utf-8") as file:
        headings = _HEADING.findall(_FENCED.sub("", file.read()))
    plain = (re.sub(r"[^\w\- ]", "", one.lower()) for one in headings)
    return {one.replace(" ", "-") for one in plain}


if __name__ == "__main__":
    found = list(mistakes(sys.argv[1]))
    print("\n".join(found) or "examples, README and links are in order")
    sys.exit(1 if found else 0)
