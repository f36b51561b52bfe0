"""The static map as RDS-HQ layers: plain vertex lists, shared by the HD-map renderer and the exporter."""

from __future__ import annotations

import numpy as np

from cosmos_exp.scene.types import SceneMap

# Layer -> type of its vertices: an open polyline, a polygon, or the 8 corners of a cuboid (0-3 one face, i and i+4
# joined by an edge). In the order in which the HD map draws them.
LAYER_SHAPES = {
    "lanelines": "polyline",
    "road_boundaries": "polyline",
    "crosswalks": "surface",
    "road_markings": "surface",
    "wait_lines": "polyline",
    "poles": "polyline",
    "traffic_signs": "cuboid",
    "traffic_lights": "cuboid",
}

MapLayers = dict[str, list[np.ndarray]]

# Corners of the unit cuboid; consecutive faces 0-3 and 4-7.
CORNERS = np.array(
    [(1, 1, 1), (1, -1, 1), (-1, -1, 1), (-1, 1, 1), (1, 1, -1), (1, -1, -1), (-1, -1, -1), (-1, 1, -1)]
) / 2.0  # fmt: skip


def map_layers(scene_map: SceneMap) -> MapLayers:
    """Vertices [N,3] float64, world frame, metres, of every element of every layer of LAYER_SHAPES."""
    layers = {
        "lanelines": [line.points for line in scene_map.lane_lines],
        "road_boundaries": scene_map.road_boundaries,
        "crosswalks": scene_map.crosswalks,
        "road_markings": scene_map.road_markings,
        "wait_lines": scene_map.wait_lines,
        "poles": [np.stack([pole.base, pole.top]) for pole in scene_map.poles],
        "traffic_signs": [cuboid_corners(sign.pose, sign.size) for sign in scene_map.traffic_signs],
        "traffic_lights": [cuboid_corners(light.pose, light.size) for light in scene_map.traffic_lights],
    }
    return {name: [np.asarray(v, np.float64).reshape(-1, 3) for v in layers[name]] for name in LAYER_SHAPES}


def cuboid_corners(pose: np.ndarray, size: tuple[float, float, float]) -> np.ndarray:
    """[8,3] world corners, in the order of CORNERS, of a box of (length, width, height) centred on `pose` [4,4]."""
    return (CORNERS * size) @ pose[:3, :3].T + pose[:3, 3]
