"""Bound children of a labelled metric, kept so that hot paths pay one dictionary look-up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from prometheus_client.metrics import MetricWrapperBase

CHILDREN_MAX = 10_000
"""Label values come from code and configuration, so this many means that a path or another
unbounded value became a label. The rest is counted under `OVERFLOW`."""

OVERFLOW = "(other)"

M = TypeVar("M", bound=MetricWrapperBase)


class Bound(Generic[M]):
    """A mapping from label values to the child of a metric: ``metrics.upcalls["read"].inc()``.

    The key is the label's value, or a tuple of values in the order of the labels. Reading a key
    makes the child. Thread-safe: a race makes the same child twice, and prometheus_client
    returns one object for both.
    """

    __slots__ = ("_children", "_family", "_labels")

    def __init__(self, family: M, labels: tuple[str, ...]) -> None:
        self._family = family
        self._labels = labels
        self._children: dict[str | tuple[str, ...], M] = {}

    def __getitem__(self, key: str | tuple[str, ...]) -> M:
        child = self._children.get(key)
        return child if child is not None else self._bind(key)

    def __len__(self) -> int:
        return len(self._children)

    def labels(self, *values: str, **named: str) -> M:
        """Return the child, as prometheus_client's `labels` does; both spellings are accepted.

        Raises:
            ValueError: the labels are not the ones of this metric.
        """
        if not named:
            return self[values[0] if len(values) == 1 else values]
        if values or set(named) != set(self._labels):
            raise ValueError(f"the labels are {', '.join(self._labels)}")
        ordered = tuple(named[label] for label in self._labels)
        return self[ordered[0] if len(ordered) == 1 else ordered]

    def values(self) -> Iterator[tuple[tuple[str, ...], float]]:
        """Yield the labels of each child, in their order, and its value; of counters and gauges."""
        for family in self._family.collect():
            for sample in family.samples:
                yield tuple(sample.labels[label] for label in self._labels), sample.value

    def _bind(self, key: str | tuple[str, ...]) -> M:
        values = (key,) if isinstance(key, str) else key
        if len(values) != len(self._labels):
            raise ValueError(f"the labels are {', '.join(self._labels)}; got {key!r}")
        if len(self._children) >= CHILDREN_MAX:
            return self._family.labels(*(OVERFLOW for _ in self._labels))
        child = self._family.labels(*values)
        self._children[key] = child
        return child
