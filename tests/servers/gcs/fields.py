"""The `fields` parameter of Google's JSON APIs: partial responses.

``items(name,size),nextPageToken`` and ``a/b`` select; everything else is left out, so a client
that asks for too little notices here and not in production.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.servers.gcs import refusals


def filter_fields(body: Mapping[str, Any], expression: str) -> dict[str, Any]:
    """Return what *expression* selects of *body*; 400 if it cannot be parsed."""
    tree, rest = _parse(expression.replace(" ", ""))
    if rest:
        raise refusals.invalid(f"Invalid field selection {expression}", code="InvalidArgument")
    selected = _select(body, tree)
    assert isinstance(selected, dict)
    return selected


_Tree = dict[str, Any]


def _parse(text: str) -> tuple[_Tree, str]:
    """Parse ``a,b(c),d/e`` up to the end or an unmatched ``)``; return the tree and the rest."""
    tree: _Tree = {}
    while text:
        end = next((i for i, character in enumerate(text) if character in ",()/"), len(text))
        name, text = text[:end], text[end:]
        below: _Tree = {}
        if text.startswith("/"):
            below, text = _parse_one(text[1:])
        elif text.startswith("("):
            below, text = _parse(text[1:])
            if not text.startswith(")"):
                raise refusals.invalid("Invalid field selection")
            text = text[1:]
        tree[name] = {**tree.get(name, {}), **below}
        if not text.startswith(","):
            break
        text = text[1:]
    return tree, text


def _parse_one(text: str) -> tuple[_Tree, str]:
    end = next((i for i, character in enumerate(text) if character in ",)"), len(text))
    tree, rest = _parse(text[:end])
    return tree, rest + text[end:]


def _select(value: Any, tree: _Tree) -> Any:
    if not tree or "*" in tree:
        return value
    if isinstance(value, list):
        return [_select(item, tree) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {name: _select(value[name], below) for name, below in tree.items() if name in value}
