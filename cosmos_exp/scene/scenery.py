"""Buildings, trees and street lamps around any road network, from lane geometry alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from cosmos_exp.errors import UserError, unknown_name
from cosmos_exp.scene.types import Building, Lane, LaneType, Pole, SceneMap, Tree

ROADWAY = (LaneType.DRIVING, LaneType.BIKING, LaneType.PARKING, LaneType.SHOULDER, LaneType.MEDIAN)
MARGIN = 60.0  # metres around the lanes that scenery may fill
MAX_CELLS = 3000  # per side of the occupancy grid


@dataclass(frozen=True)
class AreaStyle:
    """What grows in an area. Ranges in metres; shares and densities are drawn per scene.

    storeys: building height in storeys. gap: between neighbours. tree_spacing: of the jittered grid trees stand on.
    """

    storeys: tuple[float, float]
    width: tuple[float, float]
    depth: tuple[float, float]
    setback: tuple[float, float]
    gap: tuple[float, float]
    rows: int
    built: tuple[float, float]
    tree_spacing: tuple[float, float]
    lamp_spacing: tuple[float, float]


STYLES = {
    "residential": AreaStyle((1.0, 3.5), (8, 16), (8, 13), (3, 9), (2, 9), 2, (0.7, 1.0), (7, 14), (26, 40)),
    "downtown": AreaStyle((3.0, 14.0), (12, 34), (12, 22), (0.5, 4), (0.3, 5), 3, (0.85, 1.0), (14, 28), (22, 34)),
    "rural": AreaStyle((1.0, 2.2), (8, 20), (7, 14), (10, 30), (15, 60), 1, (0.2, 0.7), (6, 13), (45, 80)),
}
PALETTES = {
    "residential": ((0.78, 0.72, 0.62), (0.70, 0.48, 0.38), (0.86, 0.84, 0.78), (0.60, 0.66, 0.68), (0.80, 0.66, 0.46)),
    "downtown": ((0.55, 0.56, 0.58), (0.66, 0.60, 0.54), (0.42, 0.47, 0.54), (0.58, 0.40, 0.34), (0.76, 0.75, 0.72)),
    "rural": ((0.72, 0.66, 0.56), (0.60, 0.30, 0.24), (0.82, 0.80, 0.74), (0.50, 0.44, 0.36)),
}


class OccupancyGrid:
    """Which cells of the ground are taken. True cells are never built upon."""

    def __init__(self, lanes: tuple[Lane, ...], margin: float):
        edges = np.concatenate([e[:, :2] for lane in lanes for e in (lane.left, lane.right)])
        self.origin = edges.min(0) - margin
        extent = edges.max(0) + margin - self.origin
        self.cell = max(0.5, float(extent.max()) / MAX_CELLS)
        width, height = np.ceil(extent / self.cell).astype(int) + 1
        self.taken = np.zeros((height, width), np.uint8)

    def paint(self, polygon: np.ndarray) -> None:
        """Take every cell that the polygon [K,2+] touches."""
        cells = self.cells(polygon[:, :2])
        cv2.fillPoly(self.taken, [cells], 1)

    def paint_strip(self, left: np.ndarray, right: np.ndarray) -> None:
        """Take the strip between two polylines [N,3], piece by piece (the strip may fold or be concave)."""
        a, b = self.cells(left[:, :2]), self.cells(right[:, :2])
        quads = np.stack([a[:-1], a[1:], b[1:], b[:-1]], axis=1)
        for quad in quads:
            cv2.fillConvexPoly(self.taken, cv2.convexHull(quad), 1)

    def cells(self, points: np.ndarray) -> np.ndarray:
        """[N,2] int32 (column, row)."""
        return np.round((points - self.origin) / self.cell).astype(np.int32)

    def lookup(self, image: np.ndarray, points: np.ndarray, outside: float) -> np.ndarray:
        """Values of an image on this grid at points [N,2]; `outside` beyond the grid."""
        cells = self.cells(points)
        height, width = image.shape
        inside = (cells >= 0).all(1) & (cells[:, 0] < width) & (cells[:, 1] < height)
        values = np.full(len(points), outside, float)
        values[inside] = image[cells[inside, 1], cells[inside, 0]]
        return values

    def is_free(self, polygon: np.ndarray) -> bool:
        """Does the convex polygon [K,2] lie on the grid and touch no taken cell?"""
        cells = self.cells(polygon)
        low, high = cells.min(0), cells.max(0)
        height, width = self.taken.shape
        if (low < 0).any() or high[0] >= width or high[1] >= height:
            return False
        window = np.zeros((high[1] - low[1] + 1, high[0] - low[0] + 1), np.uint8)
        cv2.fillConvexPoly(window, cells - low, 1)
        return not (self.taken[low[1] : high[1] + 1, low[0] : high[0] + 1] & window).any()

    def clearance(self) -> np.ndarray:
        """[rows, columns] float32 metres to the nearest taken cell."""
        return cv2.distanceTransform(1 - self.taken, cv2.DIST_L2, 3) * self.cell


@dataclass(frozen=True)
class Frontage:
    """Places along the outer edges of the network. xy: [N,2]; heading along the edge, `outward` unit normals [N,2]."""

    xy: np.ndarray
    outward: np.ndarray


def grow(scene_map: SceneMap, seed: int, *, area: str | None = None) -> SceneMap:
    """The map with buildings, trees and street lamps added beside its lanes; what it already has is kept.

    area: residential, downtown or rural; None draws one. Buildings are convex, clear of all lanes and of one another.
    The same map and seed give the same scenery. Raises UserError on an unknown area.
    """
    if area is not None and area not in STYLES:
        raise UserError(unknown_name("area", area, STYLES))
    if not scene_map.lanes:
        return scene_map
    rng = np.random.default_rng([seed, 11])
    area = area or str(rng.choice(list(STYLES), p=[0.5, 0.35, 0.15]))
    style = STYLES[area]
    roadway = OccupancyGrid(scene_map.lanes, MARGIN)
    for lane in scene_map.lanes:
        if lane.type in ROADWAY:
            roadway.paint_strip(lane.left, lane.right)
    surface = OccupancyGrid(scene_map.lanes, MARGIN)
    surface.taken[:] = roadway.taken
    for lane in scene_map.lanes:
        if lane.type not in ROADWAY:
            surface.paint_strip(lane.left, lane.right)
    lamps = place_lamps(rng, scene_map, roadway, float(rng.uniform(*style.lamp_spacing)))
    road_clearance = surface.clearance()
    buildings = place_buildings(rng, scene_map.lanes, surface, road_clearance, area, style)
    trees = place_trees(rng, surface, road_clearance, float(rng.uniform(*style.tree_spacing)))
    return replace(
        scene_map,
        poles=scene_map.poles + tuple(lamps),
        buildings=scene_map.buildings + tuple(buildings),
        trees=scene_map.trees + tuple(trees),
    )


def frontage(lanes: tuple[Lane, ...], grid: OccupancyGrid, spacing: float) -> Frontage:
    """Points every `spacing` metres along those lane edges that have free ground beyond them."""
    points, normals = [], []
    for lane in lanes:
        for edge, sign in ((lane.left, 1.0), (lane.right, -1.0)):
            steps = np.diff(edge[:, :2], axis=0)
            stations = np.concatenate([[0.0], np.cumsum(np.hypot(steps[:, 0], steps[:, 1]))])
            if stations[-1] < 1e-3:
                continue
            at = np.arange(min(spacing, stations[-1]) / 2, stations[-1], spacing)
            piece = np.clip(np.searchsorted(stations, at, side="right") - 1, 0, len(steps) - 1)
            tangent = steps[piece] / np.maximum(np.hypot(steps[piece, 0], steps[piece, 1]), 1e-9)[:, None]
            xy = edge[piece, :2] + (at - stations[piece])[:, None] * tangent
            points.append(xy)
            normals.append(sign * np.stack([-tangent[:, 1], tangent[:, 0]], axis=-1))
    xy, outward = np.concatenate(points), np.concatenate(normals)
    probe = max(1.0, 2.5 * grid.cell)
    free = grid.lookup(grid.taken, xy + probe * outward, outside=1.0) == 0
    return Frontage(xy[free], outward[free])


def place_lamps(rng: np.random.Generator, scene_map: SceneMap, roadway: OccupancyGrid, spacing: float) -> list[Pole]:
    """Lamp posts beside the roadway, about `spacing` metres apart."""
    lanes = tuple(lane for lane in scene_map.lanes if lane.type in ROADWAY)
    if not lanes:
        return []
    edge = frontage(lanes, roadway, 4.0)
    height = float(rng.uniform(5.5, 9.0))
    feet = edge.xy + 0.8 * edge.outward
    feet = feet[roadway.lookup(roadway.taken, feet, outside=1.0) == 0]
    lamps: list[Pole] = []
    blocked = np.zeros(len(feet), bool)
    for i, foot in enumerate(feet):
        if blocked[i]:
            continue
        blocked |= ((feet - foot) ** 2).sum(1) < (0.55 * spacing) ** 2
        blocked[: i + 1] = True
        near = ((feet - foot) ** 2).sum(1) < spacing**2
        across = (edge_side(edge, feet, i) > 0.0) if len(feet) == len(edge.xy) else np.ones(len(feet), bool)
        blocked |= near & across
        base = np.array([foot[0], foot[1], 0.0])
        lamps.append(Pole(base, base + [0.0, 0.0, height], 0.09))
    return lamps


def edge_side(edge: Frontage, feet: np.ndarray, i: int) -> np.ndarray:
    """[N] positive for places on the same side of the road as place i."""
    return edge.outward @ edge.outward[i]


def place_buildings(
    rng: np.random.Generator,
    lanes: tuple[Lane, ...],
    surface: OccupancyGrid,
    clearance: np.ndarray,
    area: str,
    style: AreaStyle,
) -> list[Building]:
    """Rows of boxes that face the nearest road; marks their ground as taken."""
    front = frontage(lanes, surface, 4.0)
    setback, built = float(rng.uniform(*style.setback)), float(rng.uniform(*style.built))
    palette = np.array(PALETTES[area])
    buildings: list[Building] = []
    distance = setback
    for _ in range(style.rows):
        for xy, outward in zip(front.xy, front.outward):
            width, depth = float(rng.uniform(*style.width)), float(rng.uniform(*style.depth))
            gap, extra = float(rng.uniform(*style.gap)), float(rng.uniform(0.0, 2.0))
            skip, shade, tone = rng.random() > built, rng.uniform(0.8, 1.15), int(rng.integers(len(palette)))
            storeys, building_seed = rng.uniform(*style.storeys), int(rng.integers(2**31))
            start = xy + (distance + extra) * outward
            centre = start + depth / 2 * outward
            if skip or surface.lookup(surface.taken, centre[None], outside=1.0)[0]:
                continue
            footprint = rectangle(centre, outward, depth, width)
            padded = rectangle(centre, outward, depth + 0.5, width + 2 * min(gap, 4.0))
            if not surface.is_free(padded) or surface.lookup(clearance, footprint, outside=0.0).min() < 0.6 * setback:
                continue
            surface.paint(footprint)
            red, green, blue = np.clip(palette[tone] * shade, 0.05, 1.0)
            ground = np.concatenate([footprint, np.zeros((4, 1))], axis=1)
            height = 3.1 * float(storeys) + 1.0
            buildings.append(Building(ground, height, (float(red), float(green), float(blue)), building_seed))
        distance += style.depth[1] + 3.0
    return buildings


def rectangle(centre: np.ndarray, outward: np.ndarray, depth: float, width: float) -> np.ndarray:
    """[4,2] counter-clockwise corners; depth along `outward`."""
    along = np.array([-outward[1], outward[0]])
    u, v = depth / 2 * outward, width / 2 * along
    return np.stack([centre - u - v, centre + u - v, centre + u + v, centre - u + v])


def place_trees(rng: np.random.Generator, surface: OccupancyGrid, clearance: np.ndarray, spacing: float) -> list[Tree]:
    """Trees on a jittered grid wherever the ground is free, thinner away from the roads."""
    height, width = (np.array(surface.taken.shape) * surface.cell / spacing).astype(int)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    base = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(float)
    xy = surface.origin + spacing * (base + rng.uniform(0.1, 0.9, base.shape))
    sizes = rng.uniform(0.0, 1.0, (len(xy), 2))
    chance = rng.uniform(0.0, 1.0, len(xy))
    seeds = rng.integers(2**31, size=len(xy))
    far = surface.lookup(clearance, xy, outside=1e3)
    free = surface.lookup(surface.clearance(), xy, outside=0.0)
    keep = (free > 1.2) & (far < 45.0) & (chance < np.where(far < 15.0, 0.75, 0.4))
    trees = []
    for i in np.flatnonzero(keep):
        tall = 3.5 + 6.5 * sizes[i, 0]
        crown = min(tall * (0.22 + 0.12 * sizes[i, 1]), far[i] + 1.0)
        trees.append(Tree(np.array([xy[i, 0], xy[i, 1], 0.0]), float(tall), float(crown), int(seeds[i])))
    return trees
