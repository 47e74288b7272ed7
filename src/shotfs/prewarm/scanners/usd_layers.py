"""What USD layers name. Imports usd-core, so it runs in the process of `usd_worker` only.

Two ways. *Composed*: the stage is opened as a renderer opens it, and what its prims are made of is
read spec by spec: the chosen variants only, overridden values not at all, clips at the times that
layer offsets shift them to. *Layer by layer*: one layer is read as it stands, all variants of it;
what it names is scanned by itself. Either way a broken layer loses only what it names.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pxr import Ar, Sdf, Tf, Usd

from shotfs.errors import ScanFailed
from shotfs.prewarm.scanners import registry
from shotfs.prewarm.scanners.base import Edge, Kind
from shotfs.prewarm.scanners.usd_clips import held, set_edges
from shotfs.prewarm.scanners.usd_text import names_a_file

SPECS_MAX = 50_000_000
"""Prim specs of one scan."""

UNUSED = 0.3
"""Confidence of a layer that a scene names and its stage does not use (a stronger layer removed
the reference)."""

VARIANT = 0.5
"""Confidence of what only some variants of a layer name, or what a stronger layer overrides, where
all variants are asked for."""

TEXT = 0.7
"""Confidence of a string that has the form of a path: older shaders name their textures so."""

_PACKAGES = (".usdz",)
_LAYERS = (".usd", ".usda", ".usdc", ".usdz")


def edges(
    path: str,
    asked: frozenset[int] | None,
    *,
    composed: bool,
    all_variants: bool = False,
    search: Sequence[str] = (),
) -> Iterator[Edge]:
    """Yield what the USD file *path* names.

    Args:
        path: of a layer, on a local disk.
        asked: frames that will be rendered; None for all.
        composed: open the stage of which it is the root; otherwise read this layer only.
        all_variants: of a stage, also what it would read with other variants.
        search: directories where layers are looked for that are not beside the one that names them.

    Raises:
        ScanFailed: the layer cannot be read.
    """
    try:
        layer = Sdf.Layer.FindOrOpen(path)
    except Tf.ErrorException as exc:
        raise ScanFailed(f"{path}: {_first_line(exc)}") from exc
    if layer is None:
        raise ScanFailed(f"{path}: usd-core knows no such format")
    if not composed:
        if not path.lower().endswith(_PACKAGES):  # what is in a package is in the file
            yield from _Reading(path, asked, dict(layer.expressionVariables)).layer(layer, 1.0)
        return
    try:
        context = Ar.DefaultResolverContext(list(search))
        stage = Usd.Stage.Open(layer, context, Usd.Stage.LoadAll)
    except Tf.ErrorException as exc:
        raise ScanFailed(f"{path}: {_first_line(exc)}") from exc
    yield from _composed(path, stage, asked, all_variants=all_variants)


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    found = text.partition("Error in")[2] or text
    return " ".join(found.split())[:300]


@dataclass(slots=True)
class _Value:
    """What one attribute of one spec has in it: texts with their times in the layer, or None.

    Attributes:
        told: for which offset, scale and confidence its edges were yielded.
    """

    name: str
    texts: list[tuple[float | None, str]]
    sure: float
    kind: Kind | None
    told: set[tuple[float, float, float]] = field(default_factory=set)


@dataclass(slots=True)
class _Spec:
    """What one prim spec names; read once, however many prims are made of it.

    Attributes:
        stops: attributes that have a value here, and so none from weaker specs.
        told: as of a value, of *arcs* and *clips*.
    """

    arcs: list[str] = field(default_factory=list)
    clips: dict[str, Any] = field(default_factory=dict)
    values: list[_Value] = field(default_factory=list)
    stops: frozenset[str] = frozenset()
    told: set[tuple[float, float, float]] = field(default_factory=set)


_NOTHING = _Spec()


class _Reading:
    """Reads specs of the layers of one scene."""

    def __init__(self, path: str, asked: frozenset[int] | None, variables: dict[str, Any]) -> None:
        self._path = path
        self._asked = asked
        self._variables = variables
        self._specs: dict[tuple[str, Any], _Spec] = {}
        self._yielded: set[Edge] = set()
        self.used: frozenset[str] = frozenset()

    # --- one layer as it stands ------------------------------------------------------------------

    def layer(self, layer: Any, sure: float) -> Iterator[Edge]:
        """Yield everything that *layer* names, in all its variants; *sure* is its confidence."""
        yield from self.of_layer(layer)
        waiting = [(layer.pseudoRoot, sure)]
        read = 0
        while waiting:
            prim, sure = waiting.pop()
            read += 1
            if read > SPECS_MAX:
                raise ScanFailed(f"{self._path}: it has more than {SPECS_MAX} prims")
            if prim.path != Sdf.Path.absoluteRootPath:
                yield from self.of_spec(prim, Sdf.LayerOffset(), set(), sure)
            for variants in prim.variantSets.values():
                waiting += [(variant.primSpec, VARIANT) for variant in variants.variants.values()]
            waiting += [(child, sure) for child in prim.nameChildren.values()]

    def of_layer(self, layer: Any) -> Iterator[Edge]:
        """Yield what stands at the top of *layer*."""
        for path in layer.subLayerPaths:
            yield from self._layer_edge(layer, path, 1.0)
        if layer.HasColorConfiguration():
            path = layer.colorConfiguration.path
            if path:
                yield from self._new(layer, Edge(path, Kind.SCENE, confidence=TEXT))

    def of_spec(self, spec: Any, offset: Any, taken: set[str], sure: float = 1.0) -> Iterator[Edge]:
        """Yield what the prim spec *spec* names.

        Args:
            spec: of a layer; in a variant or not.
            offset: from the time of its layer to that of the stage.
            taken: attributes that a stronger spec has values of; those of this one are added.
            sure: confidence of what it names.
        """
        layer = spec.layer
        key = (layer.identifier, spec.path)
        found = self._specs.get(key)
        if found is None:
            found = self._specs[key] = _read(spec)
        if found is _NOTHING:
            return
        # A model that is used 1,000 times is the same specs 1,000 times.
        way = (offset.offset, offset.scale, sure)
        if way not in found.told:
            found.told.add(way)
            for path in found.arcs:
                yield from self._layer_edge(layer, path, sure)
            for one in found.clips.values():
                for edge in set_edges(one, offset, self._asked):
                    yield from self._new(layer, replace(edge, confidence=edge.confidence * sure))
        for value in found.values:
            if value.name not in taken and way not in value.told:
                value.told.add(way)
                yield from self._value_edges(layer, value, offset, sure)
        taken |= found.stops

    def _value_edges(self, layer: Any, value: _Value, offset: Any, sure: float) -> Iterator[Edge]:
        times = sorted({offset * time for time, _ in value.texts if time is not None})
        frames = held(times, self._asked)
        for time, text in value.texts:
            needed = "" if time is None else frames[offset * time]
            if needed is None:
                continue  # of frames that are not asked for
            path, why = self._evaluated(layer, text)
            kind = value.kind or Kind.FILE
            if value.kind is None and registry.reads(path) and not self._is_used(layer, path):
                kind = Kind.SCENE
            if path or why:
                edge = Edge(path or text, kind, frames=needed, unresolved=why)
                yield from self._new(layer, replace(edge, confidence=value.sure * sure))

    def _layer_edge(self, layer: Any, text: str, sure: float) -> Iterator[Edge]:
        path, why = self._evaluated(layer, text)
        if why:
            yield from self._new(layer, Edge(text, Kind.SCENE, unresolved=why))
        elif path:
            kind = Kind.SCENE
            plain, _ = Sdf.Layer.SplitIdentifier(path)
            if self._is_used(layer, plain):
                kind = Kind.FILE
            elif self.used and plain.lower().endswith(_LAYERS) and _opens(layer, path):
                sure = min(sure, UNUSED)
            yield from self._new(layer, Edge(plain, kind, confidence=sure))

    def _is_used(self, layer: Any, path: str) -> bool:
        if not self.used:
            return False
        return _bare(Sdf.ComputeAssetPathRelativeToLayer(layer, path)) in self.used

    def _evaluated(self, layer: Any, text: str) -> tuple[str, str]:
        """Return (the path that *text* is, "") or ("", why it cannot be known)."""
        if not Sdf.VariableExpression.IsExpression(text):
            return text, ""
        variables = {**layer.expressionVariables, **self._variables}
        result = Sdf.VariableExpression(text).Evaluate(variables)
        if result.errors:
            return "", f"the expression has no value: {'; '.join(result.errors)}"[:300]
        return (result.value, "") if isinstance(result.value, str) else ("", "it is no text")

    def _new(self, layer: Any, edge: Edge) -> Iterator[Edge]:
        """Yield *edge* of *layer*, unless it was yielded before."""
        place = layer.realPath or layer.identifier
        package = "[" in place or place.lower().endswith(_PACKAGES)
        if package and edge.kind is not Kind.OUTPUT and not edge.target.startswith("/"):
            return  # within the package
        named_by = "" if package or place == self._path else place
        if named_by and not named_by.startswith("/"):
            return  # made in memory: a generated manifest of clips
        whole = replace(edge, named_by=named_by)
        if whole not in self._yielded:
            self._yielded.add(whole)
            yield whole


def _opens(layer: Any, path: str) -> bool:
    try:
        return Sdf.Layer.FindOrOpenRelativeToLayer(layer, path) is not None
    except Tf.ErrorException:
        return False


def _bare(identifier: str) -> str:
    """Return the file of *identifier*: without arguments, and the package if it lies in one."""
    path, _ = Sdf.Layer.SplitIdentifier(identifier)
    return posixpath.normpath(path.partition("[")[0]) if path else ""


# --- a spec --------------------------------------------------------------------------------------


def _read(spec: Any) -> _Spec:
    arcs = [
        item.assetPath
        for key in ("references", "payload")
        if spec.HasInfo(key)
        for item in _items(spec.GetInfo(key))
        if item.assetPath
    ]
    clips = dict(spec.GetInfo("clips")) if spec.HasInfo("clips") else {}
    values: list[_Value] = []
    stops: set[str] = set()
    product = spec.typeName == "RenderProduct"
    for attribute in spec.attributes.values():
        text = str(attribute.typeName)
        if text not in ("asset", "asset[]", "string", "token"):
            continue
        if text == "token" and not (product and attribute.name == "productName"):
            continue
        value = _value(attribute, text, product=product)
        if value is not None:
            stops.add(attribute.name)
            if value.texts:
                values.append(value)
    return _Spec(arcs, clips, values, frozenset(stops)) if arcs or clips or stops else _NOTHING


def _items(ops: Any) -> list[Any]:
    found = [*ops.explicitItems, *ops.prependedItems, *ops.addedItems, *ops.appendedItems]
    return [one for index, one in enumerate(found) if one not in found[:index]]


def _value(attribute: Any, kind: str, *, product: bool) -> _Value | None:
    """Return what *attribute* names; None where it has no value at all."""
    layer, path = attribute.layer, attribute.path
    times = layer.ListTimeSamplesForPath(path)
    if not times and not attribute.HasDefaultValue():
        return None
    samples: list[tuple[float | None, Any]]
    if times:
        samples = [(time, layer.QueryTimeSample(path, time)) for time in times]
    else:
        samples = [(None, attribute.default)]
    texts = [(time, text) for time, value in samples for text in _texts(value)]
    if product and attribute.name == "productName":
        return _Value(attribute.name, texts, 1.0, Kind.OUTPUT)
    if kind in ("asset", "asset[]"):
        return _Value(attribute.name, texts, 1.0, None)
    named = [(time, text) for time, text in texts if names_a_file(attribute.name, text)]
    return _Value(attribute.name, named, TEXT, None)


def _texts(value: Any) -> list[str]:
    """Return the paths in *value*: an asset path, a string, or an array of asset paths."""
    if isinstance(value, Sdf.AssetPath):
        return [value.authoredPath or value.path] if value.path or value.authoredPath else []
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, Sdf.AssetPathArray):
        return [text for one in value for text in _texts(one)]
    return []


# --- the stage -----------------------------------------------------------------------------------


def _composed(
    path: str, stage: Any, asked: frozenset[int] | None, *, all_variants: bool
) -> Iterator[Edge]:
    reading = _Reading(path, asked, dict(stage.GetRootLayer().expressionVariables))
    layers = [layer for layer in stage.GetUsedLayers(False) if not layer.anonymous]
    reading.used = frozenset(_bare(one) for layer in layers for one in _names_of(layer))
    for layer in layers:
        yield from reading.of_layer(layer)
    tops = [stage.GetPseudoRoot(), *stage.GetPrototypes()]
    for top in tops:
        for prim in Usd.PrimRange(top, Usd.PrimAllPrimsPredicate):
            taken: set[str] = set()
            for spec, offset in prim.GetPrimStackWithLayerOffsets():
                yield from reading.of_spec(spec, offset, taken)
    if all_variants:
        for layer in layers:
            yield from reading.layer(layer, VARIANT)


def _names_of(layer: Any) -> tuple[str, str]:
    return layer.identifier, layer.realPath or layer.identifier
