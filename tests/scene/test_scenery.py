from __future__ import annotations

import pickle
import time
from dataclasses import replace

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene import Lane, LaneType, Pole, SceneMap
from cosmos_exp.scene.opendrive.reader import load_opendrive
from cosmos_exp.scene.procedural.street import ROADS, SAMPLED_ROADS, procedural_scene
from cosmos_exp.scene.scenery import STYLES, add_scenery

FURTHER_ROADS = [road for road in ROADS if road not in SAMPLED_ROADS]


def ring(radius: float = 60.0, width: float = 4.0) -> SceneMap:
    """A roundabout road with a sidewalk outside it, in steps of 3 degrees."""
    phi = np.linspace(0.0, 2 * np.pi, 121)

    def circle(r: float) -> np.ndarray:
        return np.stack([r * np.cos(phi), r * np.sin(phi), np.zeros_like(phi)], axis=-1)

    road = Lane("road", LaneType.DRIVING, circle(radius), circle(radius + width))
    sidewalk = Lane("sidewalk", LaneType.SIDEWALK, circle(radius + width), circle(radius + width + 2.0))
    return SceneMap("ring", lanes=(road, sidewalk))


def lane_quads(scene_map: SceneMap) -> np.ndarray:
    return np.concatenate(
        [np.stack([v.left[:-1], v.left[1:], v.right[1:], v.right[:-1]], axis=1)[..., :2] for v in scene_map.lanes]
    )


def touches_any(polygon: np.ndarray, polygons: np.ndarray) -> bool:
    """Does a convex polygon [K,2] touch one of the convex quads [M,4,2] (separating axes)?"""
    separated = np.zeros(len(polygons), bool)
    own = np.roll(polygon, -1, axis=0) - polygon
    for normal in np.stack([-own[:, 1], own[:, 0]], axis=-1):
        p, q = polygon @ normal, polygons @ normal
        separated |= (p.max() < q.min(1)) | (q.max(1) < p.min())
    edges = np.roll(polygons, -1, axis=1) - polygons
    for k in range(4):
        normal = np.stack([-edges[:, k, 1], edges[:, k, 0]], axis=-1)
        p, q = normal @ polygon.T, np.einsum("mkd,md->mk", polygons, normal)
        degenerate = np.linalg.norm(edges[:, k], axis=1) < 1e-9
        separated |= ~degenerate & ((p.max(1) < q.min(1)) | (q.max(1) < p.min(1)))
    return bool((~separated).any())


@pytest.mark.parametrize(
    ("road", "area"),
    [(road, area) for road in SAMPLED_ROADS for area in STYLES] + [(road, "residential") for road in FURTHER_ROADS],
)
def test_buildings_clear_lanes_and_one_another(road, area):
    bare = replace(procedural_scene(seed=8, road=road, num_vehicles=0, num_pedestrians=0).map, buildings=(), trees=())
    for seed in range(2):
        grown = add_scenery(bare, seed, area=area)
        quads = lane_quads(grown)
        footprints = np.stack([b.footprint[:, :2] for b in grown.buildings])
        for i, footprint in enumerate(footprints):
            assert not touches_any(footprint, quads)
            assert not touches_any(footprint, np.delete(footprints, i, axis=0))


def test_a_curved_road_is_clear_too():
    grown = add_scenery(ring(), 3, area="residential")
    assert len(grown.buildings) > 15
    radii = np.array([np.linalg.norm(b.footprint[:, :2], axis=1) for b in grown.buildings])
    assert ((radii.max(1) < 60.0) | (radii.min(1) > 66.0)).all()
    assert (radii.max(1) < 60.0).any() and (radii.min(1) > 66.0).any()


def test_trees_and_lamps_are_off_the_roadway():
    for seed in range(4):
        grown = add_scenery(ring(), seed, area="residential")
        feet = np.array([t.position[:2] for t in grown.trees] + [p.base[:2] for p in grown.poles])
        radii = np.linalg.norm(feet, axis=1)
        assert ((radii < 60.0) | (radii > 64.0)).all()
        assert len(grown.trees) > 20 and len(grown.poles) > 5


def test_scenery_stands_at_the_height_of_the_road_beside_it():
    flat = ring()
    lift = np.array([0.0, 0.0, 7.5])
    raised = [replace(v, left=v.left + lift, right=v.right + lift) for v in flat.lanes]
    grown = add_scenery(replace(flat, lanes=tuple(raised)), 1, area="residential")
    assert {float(t.position[2]) for t in grown.trees} == {7.5}
    assert {float(p.base[2]) for p in grown.poles} == {7.5}
    assert {float(z) for b in grown.buildings for z in b.footprint[:, 2]} == {7.5}
    tilt = np.array([[1.0, 0.0, 0.05], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    slope = [replace(v, left=v.left @ tilt, right=v.right @ tilt) for v in flat.lanes]
    lamps = add_scenery(replace(flat, lanes=tuple(slope)), 1, area="residential").poles
    assert all(abs(p.base[2] - 0.05 * p.base[0]) < 0.3 for p in lamps)


def test_no_lamp_or_tree_stands_in_a_sliver_between_lanes():
    x = np.linspace(0.0, 200.0, 101)

    def strip(name: str, low: float, high: float) -> Lane:
        edges = [np.stack([x, np.full_like(x, y), np.zeros_like(x)], axis=-1) for y in (high, low)]
        return Lane(name, LaneType.DRIVING, *edges)

    grown = add_scenery(SceneMap("pair", lanes=(strip("a", 0.0, 4.0), strip("b", 6.4, 10.0))), 0, area="residential")
    feet = np.array([p.base[:2] for p in grown.poles] + [t.position[:2] for t in grown.trees])
    assert not ((feet[:, 0] > 5.0) & (feet[:, 0] < 195.0) & (feet[:, 1] > 0.0) & (feet[:, 1] < 10.0)).any()


def test_a_real_town_grows_fast_and_clear(shared):
    town = load_opendrive(shared / "carla" / "maps" / "Town02.xodr")
    start = time.process_time()
    grown = add_scenery(town, 0, area="downtown")
    assert time.process_time() - start < 2.0
    quads = lane_quads(town)
    assert len(grown.buildings) > 40
    assert not any(touches_any(b.footprint[:, :2], quads) for b in grown.buildings)


def test_lamps_stand_beside_the_road_at_intervals():
    grown = add_scenery(ring(), 1, area="residential")
    feet = np.array([p.base[:2] for p in grown.poles])
    distance = np.minimum(np.abs(np.linalg.norm(feet, axis=1) - 60.0), np.abs(np.linalg.norm(feet, axis=1) - 64.0))
    assert (distance < 1.5).all()
    gaps = np.linalg.norm(feet[:, None] - feet[None], axis=-1)[~np.eye(len(feet), dtype=bool)]
    assert gaps.min() > 10.0


def test_footprints_are_counter_clockwise_and_solid():
    for building in add_scenery(ring(), 2).buildings:
        xy = building.footprint[:, :2]
        following = np.roll(xy, -1, axis=0)
        area = (xy[:, 0] * following[:, 1] - xy[:, 1] * following[:, 0]).sum() / 2
        assert area > 30.0 and building.height > 3.0 and all(0.0 <= c <= 1.0 for c in building.color)


def test_downtown_is_taller_than_residential():
    tall, low = (add_scenery(ring(), 0, area=a) for a in ("downtown", "residential"))
    assert np.mean([b.height for b in tall.buildings]) > 1.5 * np.mean([b.height for b in low.buildings])


def test_the_same_seed_grows_the_same_scenery_and_keeps_what_is_there():
    pole = Pole(np.array([0.0, 0.0, 0.0]), np.array([0.0, 0.0, 4.0]))
    scene_map = replace(ring(), poles=(pole,))
    first, second = add_scenery(scene_map, 5), add_scenery(scene_map, 5)
    assert pickle.dumps(first) == pickle.dumps(second)
    assert first.poles[0] is pole and first.lanes is scene_map.lanes
    assert pickle.dumps(add_scenery(scene_map, 6).buildings) != pickle.dumps(first.buildings)


def test_a_map_without_lanes_stays_as_it_is():
    empty = SceneMap("empty")
    assert add_scenery(empty, 0) is empty


def test_unknown_area_names_the_nearest():
    with pytest.raises(UserError, match="unknown area 'down-town': did you mean 'downtown'"):
        add_scenery(ring(), 0, area="down-town")
