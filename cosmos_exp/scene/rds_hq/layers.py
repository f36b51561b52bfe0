"""The JSON of a static map layer (`3d_<layer>`): labels with vertices and attributes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import FARTHEST
from cosmos_exp.scene.map_layers import LAYER_SHAPES

# Every layer of the format. `lanes` (the left and right edge of each lane) is drawn only where a config asks for it.
FORMAT_LAYERS = {**LAYER_SHAPES, "lanes": "polyline"}
SHAPE_KEYS = {"polyline": "polyline3d", "surface": "surface", "cuboid": "cuboid3d"}
CUBOID_VERTICES = 8
EXTENT = 2e4  # metres that a layer may reach from end to end: grids are laid over it
METRES = 5e6  # of polylines that a layer may have: they are sampled every few decimetres


@dataclass(frozen=True)
class Label:
    """One element of a layer: its vertex lists [N,3] float64 (a lane has two, all others one), world frame, metres.

    attributes: as in the JSON, `{"name": NAME, KIND: value}` with KIND one of enum, text, flag, double, numerical,
    enumsList, textList.
    """

    vertices: tuple[np.ndarray, ...]
    attributes: tuple[dict[str, Any], ...] = field(default=())


def check_layer(name: str) -> str:
    """The name, if it is a layer of the format."""
    if name not in FORMAT_LAYERS:
        raise UserError(unknown_name("layer", name, FORMAT_LAYERS))
    return name


def read_labels(layer: str, document: Any, place: str) -> tuple[list[Label], int]:
    """The labels of a layer's JSON, and how many were left out because a vertex list of theirs is empty.

    Vertices are those of every key `vertices`, depth first, at any level, as in the reference; the label of an empty
    layer has none. place: name of the file in messages.
    """
    entries = document.get("labels") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise UserError(f"{place}: a layer is an object with a list 'labels'")
    labels: list[Label] = []
    left_out = 0
    for number, entry in enumerate(entries):
        found = [_vertices(layer, values, f"{place}: label {number}") for values in _vertex_lists(entry)]
        vertices = tuple(v for v in found if len(v))
        left_out += len(vertices) < len(found)
        if vertices:
            labels.append(Label(vertices, _attributes(entry)))
    _check_extent([v for label in labels for v in label.vertices], place)
    return labels, left_out


def _check_extent(lines: list[np.ndarray], place: str) -> None:
    if not lines:
        return
    points = np.concatenate(lines)
    if (reach := np.ptp(points, axis=0).max()) > EXTENT:
        raise UserError(f"{place} reaches over {reach:.3g} m: a layer of one clip reaches over at most {EXTENT:g} m")
    if (metres := sum(np.linalg.norm(np.diff(line, axis=0), axis=1).sum() for line in lines)) > METRES:
        raise UserError(f"{place} has {metres:.3g} m of lines: a layer of one clip has at most {METRES:g} m")


def labels_json(layer: str, labels: Sequence[Label], timestamp: int = 0) -> bytes:
    """The JSON of a layer; without labels, the one that says that the layer is empty. timestamp: microseconds."""
    check_layer(layer)
    identifier = f"{layer.replace('_', '-')}:cosmos-exp"
    entries = []
    for number, label in enumerate(labels):
        shape = {
            "attributes": [{"name": "coordinate_frame", "text": "world"}, *label.attributes],
            "unit": "METRIC",
            **_shape(layer, [np.asarray(v, np.float64).tolist() for v in label.vertices]),
        }
        entries.append(_entry("SHAPE3D", identifier, number, {"shape3d": shape}, timestamp))
    if not entries:
        entries.append(_entry("EMPTY", identifier, 0, {"emptyLabel": True}, timestamp))
    return json.dumps({"labels": entries}).encode()


def _shape(layer: str, vertices: list[list[list[float]]]) -> dict[str, Any]:
    if layer == "lanes":
        return {"polylines3d": {"polylines": [{"vertices": v} for v in vertices]}}
    if len(vertices) != 1:
        raise UserError(f"a label of layer {layer} has one vertex list, not {len(vertices)}")
    return {SHAPE_KEYS[LAYER_SHAPES[layer]]: {"vertices": vertices[0]}}


def _entry(family: str, identifier: str, number: int, data: dict[str, Any], timestamp: int) -> dict[str, Any]:
    return {
        "labelFamily": family,
        "labelClassKey": {
            "labelClassNamespace": "minimap",
            "labelClassIdentifier": identifier,
            "labelClassVersion": "v0",
        },
        "labelId": f"{identifier}:{number:06d}",
        "labelData": data,
        "timestampMicroseconds": str(timestamp),
    }


def _vertex_lists(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "vertices":
                yield value
            elif isinstance(value, (dict, list)):
                yield from _vertex_lists(value)
    elif isinstance(node, list):
        for value in node:
            if isinstance(value, (dict, list)):
                yield from _vertex_lists(value)


def _vertices(layer: str, values: Any, place: str) -> np.ndarray:
    try:
        points = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(1)  # no list of points: refused below
    if points.size == 0:
        return points.reshape(0, 3)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise UserError(f"{place}: vertices are a list of finite [x, y, z]")
    if np.abs(points).max() > FARTHEST:
        raise UserError(f"{place}: the coordinate {points.flat[np.abs(points).argmax()]:g} is beyond {FARTHEST:g} m")
    if FORMAT_LAYERS[layer] == "cuboid" and len(points) != CUBOID_VERTICES:
        raise UserError(f"{place} has {len(points)} vertices: a cuboid has {CUBOID_VERTICES}")
    return points


def _attributes(entry: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    data = entry.get("labelData")
    shape = data.get("shape3d") if isinstance(data, dict) else None
    attributes = shape.get("attributes") if isinstance(shape, dict) else None
    return tuple(a for a in attributes if isinstance(a, dict)) if isinstance(attributes, Iterable) else ()
