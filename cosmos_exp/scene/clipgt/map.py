"""SceneMap <-> the map tables of a clip. Attributes that the format has no column for are those of RDS-HQ labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import shortened
from cosmos_exp.scene.clipgt.tables import ATTRIBUTES, COLUMNS
from cosmos_exp.scene.motion import quaternions
from cosmos_exp.scene.rds_hq.layers import Label
from cosmos_exp.scene.rds_hq.map import map_labels, values_of
from cosmos_exp.scene.types import SceneMap, TrafficLight, TrafficSign

LAYERS = {  # of RDS-HQ: table
    "lanelines": "lane_line",
    "lanes": "lane",
    "road_boundaries": "road_boundary",
    "crosswalks": "crosswalk",
    "road_markings": "road_marking",
    "wait_lines": "wait_line",
    "poles": "pole",
    "traffic_signs": "traffic_sign",
    "traffic_lights": "traffic_light",
}
AREAS = ("crosswalk", "road_marking")
OF_COLUMNS = ("colors", "styles")  # attributes with a column of their own
LEAST_SLOPE = 1e-3
"""Of an area along the first heading: NVIDIA's renderer stops at areas that are level in this direction."""


def map_columns(scene_map: SceneMap, world: np.ndarray, *, start: float) -> dict[str, dict[str, Any]]:
    """{table: columns} as of `Table`, of every map table. world: [4,4] from the scene's world to the clip's. start:
    seconds of the scene's clock at time 0 of the clip."""
    labels = map_labels(scene_map, start=start)
    items: dict[str, Sequence[TrafficSign | TrafficLight]] = {
        "traffic_signs": scene_map.traffic_signs,
        "traffic_lights": scene_map.traffic_lights,
    }
    made: dict[str, dict[str, Any]] = {
        table: {name: [] for name in COLUMNS[table]} for table in ("intersection_area", "road_island")
    }
    for layer, table in LAYERS.items():
        found = labels[layer]
        columns = _cuboids(items[layer], world) if layer in items else _lines(table, found, world)
        made[table] = columns | {ATTRIBUTES: [_attributes(label) for label in found]}
    return made


def _cuboids(items: Sequence[TrafficSign | TrafficLight], world: np.ndarray) -> dict[str, Any]:
    poses = world @ np.array([item.pose for item in items]).reshape(-1, 4, 4)
    return {
        "center": np.ascontiguousarray(poses[:, :3, 3]),
        "dimensions": np.array([item.size for item in items], np.float64).reshape(-1, 3),
        "orientation": quaternions(poses[:, :3, :3]),
    }


def _lines(table: str, labels: Sequence[Label], world: np.ndarray) -> dict[str, Any]:
    vertices = [tuple(_moved(points, world) for points in label.vertices) for label in labels]
    if table == "lane":
        return {"left_rail": [left for left, _ in vertices], "right_rail": [right for _, right in vertices]}
    lines = [points for (points,) in vertices]
    if table in AREAS:
        return {"location": [sloping(ring) for ring in lines]}
    if table != "lane_line":
        return {"location": lines}
    words = [values_of(label) for label in labels]
    return {
        "line_rail": lines,
        "path": [None] * len(lines),
        **{name: [list(values[name]) for values in words] for name in OF_COLUMNS},
    }


def sloping(ring: np.ndarray) -> np.ndarray:
    """The ring [N,3], tilted about its middle where its plane rises by less than LEAST_SLOPE along x."""
    around = ring - ring.mean(axis=0)
    slope = float(np.linalg.lstsq(around[:, :2], around[:, 2], rcond=None)[0][0])
    if abs(slope) >= LEAST_SLOPE:
        return ring
    tilted = ring.copy()
    tilted[:, 2] += (np.copysign(LEAST_SLOPE, slope) - slope) * around[:, 0]
    return tilted


def _moved(points: np.ndarray, world: np.ndarray) -> np.ndarray:
    return np.asarray(points, np.float64).reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]


def _attributes(label: Label) -> str | None:
    kept = [attribute for attribute in label.attributes if attribute["name"] not in OF_COLUMNS]
    return json.dumps(kept) if kept else None


def listed(name: str, words: Sequence[str]) -> dict[str, Any]:
    """An attribute of a list of words."""
    return {"name": name, "enumsList": {"enumsList": list(words)}}


def read_attributes(document: Any, place: str) -> tuple[dict[str, Any], ...]:
    """Of the JSON of a row; UserError where it is no list of attributes. place: name of the table in messages."""
    if not isinstance(document, list) or not all(isinstance(entry, dict) and "name" in entry for entry in document):
        raise UserError(f"{place}: attributes are a list of objects with a name, not {shortened(document)}")
    return tuple(entry for entry in document if entry["name"] not in OF_COLUMNS)
