"""Buildings, trees and street lamps around any road network, from lane geometry alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from cosmos_exp.errors import UserError, unknown_name
from cosmos_exp.scene.types import Building, Lane, LaneType, Pole, SceneMap, Tree

ROADWAY = (LaneType.DRIVING, LaneType.BIKING, LaneType.PARKING, LaneType.SHOULDER, LaneType.MEDIAN)
MARGIN = 60.0  # metres around the lanes that scenery may fill
FRONTAGE_STEP = 4.0  # metres between candidate places along a road
MAX_CELLS = 3000  # per side of the occupancy grid


@dataclass(frozen=True)
class AreaStyle:
    """What grows in an area. Ranges in metres; shares and densities are drawn per scene.

    storeys: building height in storeys. gap: between neighbours. tree_spacing: of the jittered grid trees stand on.
    avenues: share of scenes with street trees.
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
    avenues: float


STYLES = {
    "residential": AreaStyle(
        storeys=(1.0, 3.5),
        width=(8, 16),
        depth=(8, 13),
        setback=(3, 9),
        gap=(1, 7),
        rows=2,
        built=(0.3, 1.0),
        tree_spacing=(4.5, 11),
        lamp_spacing=(26, 40),
        avenues=0.5,
    ),
    "downtown": AreaStyle(
        storeys=(3.0, 14.0),
        width=(12, 34),
        depth=(12, 22),
        setback=(1, 5),
        gap=(0, 5),
        rows=3,
        built=(0.5, 1.0),
        tree_spacing=(8, 20),
        lamp_spacing=(22, 34),
        avenues=0.6,
    ),
    "rural": AreaStyle(
        storeys=(1.0, 2.2),
        width=(8, 20),
        depth=(7, 14),
        setback=(8, 30),
        gap=(6, 30),
        rows=1,
        built=(0.03, 0.3),
        tree_spacing=(5, 13),
        lamp_spacing=(45, 80),
        avenues=0.0,
    ),
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
    """N places along the outer edges of a network. xy: [N,2] metres. outward: [N,2] unit normals, off the network."""

    xy: np.ndarray
    outward: np.ndarray

    def chosen(self, keep: np.ndarray) -> Frontage:
        return Frontage(self.xy[keep], self.outward[keep])

    def beside(self, distance: float) -> np.ndarray:
        """[N,2] points `distance` metres off the network."""
        return self.xy + distance * self.outward


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
    roadway, surface = OccupancyGrid(scene_map.lanes, MARGIN), OccupancyGrid(scene_map.lanes, MARGIN)
    for lane in scene_map.lanes:
        if lane.type in ROADWAY:
            roadway.paint_strip(lane.left, lane.right)
        else:
            surface.paint_strip(lane.left, lane.right)
    surface.taken |= roadway.taken
    kerb = frontage([lane for lane in scene_map.lanes if lane.type in ROADWAY], roadway)
    lamps = place_lamps(rng, kerb, roadway, float(rng.uniform(*style.lamp_spacing)))
    road_clearance = surface.clearance()
    buildings = place_buildings(rng, frontage(scene_map.lanes, surface), surface, road_clearance, area, style)
    keep_clear = [p.base[:2] for p in (*scene_map.poles, *lamps)]
    keep_clear += [c.mean(0)[:2] for c in scene_map.crosswalks]
    trees = place_street_trees(rng, kerb, roadway, surface, np.array(keep_clear).reshape(-1, 2), style)
    trees += place_trees(rng, surface, road_clearance, float(rng.uniform(*style.tree_spacing)))
    return replace(
        scene_map,
        poles=scene_map.poles + tuple(lamps),
        buildings=scene_map.buildings + tuple(buildings),
        trees=scene_map.trees + tuple(trees),
    )


def frontage(lanes: Sequence[Lane], grid: OccupancyGrid) -> Frontage:
    """Places every FRONTAGE_STEP metres along those lane edges that have free ground beyond them."""
    points, normals = [np.zeros((0, 2))], [np.zeros((0, 2))]
    for lane in lanes:
        for edge, sign in ((lane.left, 1.0), (lane.right, -1.0)):
            steps = np.diff(edge[:, :2], axis=0)
            lengths = np.hypot(steps[:, 0], steps[:, 1])
            stations = np.concatenate([[0.0], np.cumsum(lengths)])
            if stations[-1] < 1e-3:
                continue
            at = np.arange(min(FRONTAGE_STEP, stations[-1]) / 2, stations[-1], FRONTAGE_STEP)
            piece = np.clip(np.searchsorted(stations, at, side="right") - 1, 0, len(steps) - 1)
            tangent = steps[piece] / np.maximum(lengths[piece], 1e-9)[:, None]
            points.append(edge[piece, :2] + (at - stations[piece])[:, None] * tangent)
            normals.append(sign * np.stack([-tangent[:, 1], tangent[:, 0]], axis=-1))
    places = Frontage(np.concatenate(points), np.concatenate(normals))
    probe = max(1.0, 2.5 * grid.cell)
    return places.chosen(grid.lookup(grid.taken, places.beside(probe), outside=1.0) == 0)


def spaced(places: Frontage, spacing: float) -> Frontage:
    """A subset at least `spacing` metres apart on the same side of a road, half of that across it."""
    blocked = np.zeros(len(places.xy), bool)
    kept = []
    for i in range(len(places.xy)):
        if blocked[i]:
            continue
        kept.append(i)
        distance = np.hypot(*(places.xy - places.xy[i]).T)
        same_side = places.outward @ places.outward[i] > 0.0
        blocked |= distance < np.where(same_side, spacing, 0.5 * spacing)
    return places.chosen(np.array(kept, int))


def place_lamps(rng: np.random.Generator, kerb: Frontage, roadway: OccupancyGrid, spacing: float) -> list[Pole]:
    """Lamp posts beside the roadway, about `spacing` metres apart."""
    height = float(rng.uniform(5.5, 9.0))
    feet = spaced(kerb, spacing).beside(0.8)
    feet = feet[roadway.lookup(roadway.taken, feet, outside=1.0) == 0]
    return [Pole(np.array([x, y, 0.0]), np.array([x, y, height]), 0.09) for x, y in feet]


def place_street_trees(
    rng: np.random.Generator,
    kerb: Frontage,
    roadway: OccupancyGrid,
    surface: OccupancyGrid,
    keep_clear: np.ndarray,
    style: AreaStyle,
) -> list[Tree]:
    """An avenue of small trees at the kerb of sidewalks, away from poles and crosswalks; only in some scenes."""
    is_avenue, spacing = rng.random() < style.avenues, float(rng.uniform(9.0, 20.0))
    height, crown = float(rng.uniform(4.5, 8.0)), float(rng.uniform(1.2, 2.0))
    if not is_avenue:
        return []
    feet = spaced(kerb, spacing).beside(0.9)
    on_sidewalk = surface.lookup(surface.taken, feet, outside=0.0) == 1
    feet = feet[on_sidewalk & (roadway.lookup(roadway.taken, feet, outside=1.0) == 0)]
    if len(keep_clear):
        gaps = np.hypot(*(feet[:, None] - keep_clear[None]).transpose(2, 0, 1)).min(axis=1)
        feet = feet[gaps > 4.0]
    scales = rng.uniform(0.8, 1.2, len(feet))
    seeds = rng.integers(2**31, size=len(feet))
    return [
        Tree(np.array([x, y, 0.0]), float(height * k), float(crown * k), int(tree_seed))
        for (x, y), k, tree_seed in zip(feet, scales, seeds)
    ]


def place_buildings(
    rng: np.random.Generator,
    front: Frontage,
    surface: OccupancyGrid,
    clearance: np.ndarray,
    area: str,
    style: AreaStyle,
) -> list[Building]:
    """Rows of boxes that face the nearest road; marks their ground as taken."""
    distance, built = float(rng.uniform(*style.setback)), float(rng.uniform(*style.built))
    palette = np.array(PALETTES[area])
    margin = 1.5 * surface.cell
    buildings: list[Building] = []
    n = len(front.xy)
    setback = distance
    for _ in range(style.rows):
        width, depth = rng.uniform(*style.width, n), rng.uniform(*style.depth, n)
        gap, extra = rng.uniform(*style.gap, n), rng.uniform(0.0, 2.0, n)
        built_here, storeys = rng.random(n) < built, rng.uniform(*style.storeys, n)
        paints = np.clip(palette[rng.integers(len(palette), size=n)] * rng.uniform(0.8, 1.15, (n, 1)), 0.05, 1.0)
        seeds = rng.integers(2**31, size=n)
        centres = front.xy + (distance + extra + depth / 2)[:, None] * front.outward
        footprints = rectangles(centres, front.outward, depth, width)
        plots = rectangles(centres, front.outward, depth + 2 * margin, width + 2 * np.maximum(gap, margin))
        near = surface.lookup(clearance, footprints.reshape(-1, 2), outside=0.0).reshape(n, 4).min(axis=1)
        for i in np.flatnonzero(built_here & (near > 0.6 * setback)):
            if not surface.is_free(plots[i]):
                continue
            surface.paint(footprints[i])
            ground = np.concatenate([footprints[i], np.zeros((4, 1))], axis=1)
            red, green, blue = (float(c) for c in paints[i])
            buildings.append(Building(ground, float(3.1 * storeys[i] + 1.0), (red, green, blue), int(seeds[i])))
        distance += style.depth[1] + 3.0
    return buildings


def rectangles(centres: np.ndarray, outward: np.ndarray, depth: np.ndarray, width: np.ndarray) -> np.ndarray:
    """[N,4,2] counter-clockwise corners; depth [N] along `outward`, width [N] across."""
    along = np.stack([-outward[:, 1], outward[:, 0]], axis=-1)
    u, v = depth[:, None] / 2 * outward, width[:, None] / 2 * along
    return np.stack([centres - u - v, centres + u - v, centres + u + v, centres - u + v], axis=1)


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
        crown = min(tall * (0.22 + 0.12 * sizes[i, 1]), free[i] + 0.4)
        trees.append(Tree(np.array([xy[i, 0], xy[i, 1], 0.0]), float(tall), float(crown), int(seeds[i])))
    return trees
