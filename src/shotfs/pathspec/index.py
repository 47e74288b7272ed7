"""Finds the few among many sibling patterns that a name can match."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from shotfs.pathspec.elements import Element


class HasElement(Protocol):
    """What can be indexed."""

    @property
    def element(self) -> Element:
        """What its names match."""
        ...


EdgeT = TypeVar("EdgeT", bound=HasElement)


class Index(Generic[EdgeT]):
    """Sibling edges of one node of the trie."""

    def __init__(self, edges: list[EdgeT]) -> None:
        self._edges = edges

    def candidates(self, name: str) -> list[EdgeT]:
        """Return the edges that *name* may match, in their order."""
        del name
        return self._edges
