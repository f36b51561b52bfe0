"""Buildings, trees and street lamps around any road network, from lane geometry alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.scene.ground import GroundHeight, OccupancyGrid
from cosmos_exp.scene.types import Building, Lane, LaneType, Pole, SceneMap, Tree

ROADWAY = (LaneType.DRIVING, LaneType.BIKING, LaneType.PARKING, LaneType.SHOULDER, LaneType.MEDIAN)
FRONTAGE_STEP = 4.0  # metres between candidate places along a road


@dataclass(frozen=True)
class AreaStyle:
    """Scenery parameters of an area type. Ranges in metres; shares and densities are sampled per scene.

    storeys: building height in storeys. gap: between neighbours. tree_spacing: of the jittered tree grid.
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
        tree_spacing=(5.5, 11),
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
        tree_spacing=(6, 13),
        lamp_spacing=(45, 80),
        avenues=0.0,
    ),
}
PALETTES = {
    "residential": ((0.78, 0.72, 0.62), (0.70, 0.48, 0.38), (0.86, 0.84, 0.78), (0.60, 0.66, 0.68), (0.80, 0.66, 0.46)),
    "downtown": ((0.55, 0.56, 0.58), (0.66, 0.60, 0.54), (0.42, 0.47, 0.54), (0.58, 0.40, 0.34), (0.76, 0.75, 0.72)),
    "rural": ((0.72, 0.66, 0.56), (0.60, 0.30, 0.24), (0.82, 0.80, 0.74), (0.50, 0.44, 0.36)),
}


@dataclass(frozen=True)
class Frontage:
    """N places along the outer edges of a network. xy: [N,2] metres. outward: [N,2] unit normals, off the network."""

    xy: np.ndarray
    outward: np.ndarray

    def subset(self, keep: np.ndarray) -> Frontage:
        return Frontage(self.xy[keep], self.outward[keep])

    def beside(self, distance: float) -> np.ndarray:
        """[N,2] points `distance` metres off the network."""
        return self.xy + distance * self.outward


def add_scenery(scene_map: SceneMap, seed: int, *, area: str | None = None) -> SceneMap:
    """The map with buildings, trees and street lamps added beside its lanes; existing elements are kept.

    area: residential, downtown or rural; None samples one. Buildings are convex and overlap neither lanes nor one
    another. The same map and seed give the same scenery. Raises UserError on an unknown area.
    """
    if area is not None and area not in STYLES:
        raise UserError(unknown_name("area", area, STYLES))
    if not scene_map.lanes:
        return scene_map
    rng = np.random.default_rng([seed, 11])
    area = area or str(rng.choice(list(STYLES), p=[0.5, 0.35, 0.15]))
    style = STYLES[area]
    roadway, surface = OccupancyGrid(scene_map.lanes), OccupancyGrid(scene_map.lanes)
    for lane in scene_map.lanes:
        if lane.type in ROADWAY:
            roadway.paint_strip(lane.left, lane.right)
        else:
            surface.paint_strip(lane.left, lane.right)
    roadway.close_gaps(3.0)
    surface.occupied |= roadway.occupied
    ground = GroundHeight(scene_map.lanes)
    kerb = frontage([lane for lane in scene_map.lanes if lane.type in ROADWAY], roadway)
    lamps = place_lamps(rng, kerb, roadway, ground, float(rng.uniform(*style.lamp_spacing)))
    road_clearance = surface.clearance()
    buildings = place_buildings(rng, frontage(scene_map.lanes, surface), surface, road_clearance, ground, area, style)
    keep_clear = [p.base[:2] for p in (*scene_map.poles, *lamps)]
    keep_clear += [c.mean(0)[:2] for c in scene_map.crosswalks]
    trees = place_street_trees(rng, kerb, roadway, surface, ground, np.array(keep_clear).reshape(-1, 2), style)
    trees += place_trees(rng, surface, road_clearance, ground, float(rng.uniform(*style.tree_spacing)))
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
    return places.subset(grid.lookup(grid.occupied, places.beside(probe), outside=1.0) == 0)


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
    return places.subset(np.array(kept, int))


def place_lamps(
    rng: np.random.Generator, kerb: Frontage, roadway: OccupancyGrid, ground: GroundHeight, spacing: float
) -> list[Pole]:
    """Lamp posts beside the roadway, about `spacing` metres apart."""
    height = float(rng.uniform(5.5, 9.0))
    feet = spaced(kerb, spacing).beside(0.8)
    feet = feet[roadway.lookup(roadway.occupied, feet, outside=1.0) == 0]
    bases = np.column_stack([feet, ground.at(feet)])
    return [Pole(base, base + np.array([0.0, 0.0, height]), 0.09) for base in bases]


def place_street_trees(
    rng: np.random.Generator,
    kerb: Frontage,
    roadway: OccupancyGrid,
    surface: OccupancyGrid,
    ground: GroundHeight,
    keep_clear: np.ndarray,
    style: AreaStyle,
) -> list[Tree]:
    """A row of small trees at the kerb of sidewalks, away from poles and crosswalks; only in some scenes."""
    is_avenue, spacing = rng.random() < style.avenues, float(rng.uniform(9.0, 20.0))
    height, crown = float(rng.uniform(4.5, 8.0)), float(rng.uniform(1.2, 2.0))
    if not is_avenue:
        return []
    feet = spaced(kerb, spacing).beside(0.9)
    on_sidewalk = surface.lookup(surface.occupied, feet, outside=0.0) == 1
    feet = feet[on_sidewalk & (roadway.lookup(roadway.occupied, feet, outside=1.0) == 0)]
    if len(keep_clear):
        gaps = np.hypot(*(feet[:, None] - keep_clear[None]).transpose(2, 0, 1)).min(axis=1)
        feet = feet[gaps > 4.0]
    scales = rng.uniform(0.8, 1.2, len(feet))
    seeds = rng.integers(2**31, size=len(feet))
    return [
        Tree(np.array([x, y, z]), float(height * k), float(crown * k), int(tree_seed))
        for (x, y), z, k, tree_seed in zip(feet, ground.at(feet), scales, seeds)
    ]


def place_buildings(
    rng: np.random.Generator,
    front: Frontage,
    surface: OccupancyGrid,
    clearance: np.ndarray,
    ground: GroundHeight,
    area: str,
    style: AreaStyle,
) -> list[Building]:
    """Rows of boxes that face the nearest road; marks their ground as occupied."""
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
            footprint = np.column_stack([footprints[i], np.full(4, ground.at(footprints[i]).min())])
            red, green, blue = (float(c) for c in paints[i])
            buildings.append(Building(footprint, float(3.1 * storeys[i] + 1.0), (red, green, blue), int(seeds[i])))
        distance += style.depth[1] + 3.0
    return buildings


def rectangles(centres: np.ndarray, outward: np.ndarray, depth: np.ndarray, width: np.ndarray) -> np.ndarray:
    """[N,4,2] counter-clockwise corners; depth [N] along `outward`, width [N] across."""
    along = np.stack([-outward[:, 1], outward[:, 0]], axis=-1)
    u, v = depth[:, None] / 2 * outward, width[:, None] / 2 * along
    return np.stack([centres - u - v, centres + u - v, centres + u + v, centres - u + v], axis=1)


def place_trees(
    rng: np.random.Generator, surface: OccupancyGrid, clearance: np.ndarray, ground: GroundHeight, spacing: float
) -> list[Tree]:
    """Trees on a jittered grid wherever the ground is free, sparser away from the roads."""
    height, width = (np.array(surface.occupied.shape) * surface.cell / spacing).astype(int)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    base = np.stack([columns.ravel(), rows.ravel()], axis=-1).astype(float)
    xy = surface.origin + spacing * (base + rng.uniform(0.1, 0.9, base.shape))
    sizes = rng.uniform(0.0, 1.0, (len(xy), 2))
    chance = rng.uniform(0.0, 1.0, len(xy))
    seeds = rng.integers(2**31, size=len(xy))
    far = surface.lookup(clearance, xy, outside=1e3)
    free = surface.lookup(surface.clearance(), xy, outside=0.0)
    keep = (free > 1.2) & (far < 45.0) & (chance < np.where(far < 15.0, 0.75, 0.4))
    heights = ground.at(xy)
    trees = []
    for i in np.flatnonzero(keep):
        tall = 3.5 + 6.5 * sizes[i, 0]
        crown = min(tall * (0.22 + 0.12 * sizes[i, 1]), free[i] + 0.4)
        trees.append(Tree(np.array([xy[i, 0], xy[i, 1], heights[i]]), float(tall), float(crown), int(seeds[i])))
    return trees
