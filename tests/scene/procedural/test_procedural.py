from __future__ import annotations

import pickle
import time
from functools import cache
from itertools import combinations

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene import ActorClass, LaneType, Scene, Track
from cosmos_exp.scene.procedural.street import EGO_REAR_AXLE, ROADS, procedural_scene

SEEDS = range(5)
ON_FOOT = (ActorClass.PEDESTRIAN, ActorClass.RIDER)


@cache
def busy_scene(road: str, seed: int) -> Scene:
    return procedural_scene(seed=seed, road=road, num_vehicles=14, num_pedestrians=10)


@pytest.fixture(params=[(road, seed) for road in ROADS for seed in SEEDS], ids=lambda p: f"{p[0]}-{p[1]}")
def scene(request) -> Scene:
    return busy_scene(*request.param)


def strips(scene: Scene, *types: LaneType) -> np.ndarray:
    """[M,4,2] quads of the lanes of the given types."""
    lanes = [lane for lane in scene.map.lanes if lane.type in types]
    quads = [
        np.stack([lane.left[:-1], lane.left[1:], lane.right[1:], lane.right[:-1]], axis=1)[..., :2] for lane in lanes
    ]
    return np.concatenate(quads)


def inside_any(points: np.ndarray, polygons: np.ndarray, slack: float = 1e-6) -> np.ndarray:
    """[N] bool: is each point [N,2] in one of the convex polygons [M,K,2] of either orientation?"""
    edges = np.roll(polygons, -1, axis=1) - polygons
    delta = points[:, None, None] - polygons[None]
    cross = edges[..., 0] * delta[..., 1] - edges[..., 1] * delta[..., 0]
    return ((cross >= -slack).all(-1) | (cross <= slack).all(-1)).any(1)


def outline(track: Track, t: float) -> np.ndarray:
    length, width, _ = track.size
    corners = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * [length / 2, width / 2]
    pose = track.trajectory.at(t)
    return corners @ pose[:2, :2].T + pose[:2, 3]


def apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Is there a line between two convex polygons [K,2]?"""
    for polygon in (a, b):
        edges = np.roll(polygon, -1, axis=0) - polygon
        normals = np.stack([-edges[:, 1], edges[:, 0]], axis=-1)
        p, q = a @ normals.T, b @ normals.T
        if ((p.max(0) < q.min(0)) | (q.max(0) < p.min(0))).any():
            return True
    return False


def vehicles(scene: Scene) -> list[Track]:
    return [scene.ego, *(t for t in scene.tracks if t.actor_class not in ON_FOOT)]


def test_the_same_seed_gives_the_same_scene():
    first, second = (procedural_scene(seed=11, num_vehicles=10) for _ in range(2))
    assert pickle.dumps(first) == pickle.dumps(second)
    assert pickle.dumps(procedural_scene(seed=12, num_vehicles=10)) != pickle.dumps(first)


def test_seeds_draw_every_road_and_area():
    scenes = [procedural_scene(seed=seed, num_vehicles=0, num_pedestrians=0) for seed in range(30)]
    assert {s.facts["road"] for s in scenes} == set(ROADS)
    assert {s.facts["area"] for s in scenes} == {"residential", "downtown", "rural"}
    speeds = [np.linalg.norm(s.rig_trajectory.poses[1, :3, 3] - s.rig_trajectory.poses[0, :3, 3]) * 10 for s in scenes]
    assert min(speeds) < 2.0 and max(speeds) > 10.0


def test_the_counts_asked_for_are_there(scene):
    kinds = [t.actor_class for t in scene.tracks]
    assert sum(k not in ON_FOOT for k in kinds) == 14
    assert kinds.count(ActorClass.PEDESTRIAN) == 10
    assert kinds.count(ActorClass.RIDER) == kinds.count(ActorClass.BICYCLE) + kinds.count(ActorClass.MOTORCYCLE)
    assert len({t.id for t in scene.tracks}) == len(scene.tracks)


def test_an_empty_street_has_no_tracks():
    assert procedural_scene(seed=3, num_vehicles=0, num_pedestrians=0).tracks == ()


def test_ego_stays_in_driving_lanes(scene):
    centres = scene.ego.trajectory.poses[:, :2, 3]
    assert inside_any(centres, strips(scene, LaneType.DRIVING)).all()


def test_traffic_stays_in_driving_lanes_and_parked_cars_in_bays(scene):
    driving, parking = strips(scene, LaneType.DRIVING), strips(scene, LaneType.DRIVING)
    if any(lane.type is LaneType.PARKING for lane in scene.map.lanes):
        parking = strips(scene, LaneType.PARKING)
    for track in vehicles(scene):
        ground = parking if track.role == "parked" else driving
        assert inside_any(track.trajectory.poses[:, :2, 3], ground).all(), track.id


def test_no_vehicles_touch(scene):
    for a, b in combinations(vehicles(scene), 2):
        if np.linalg.norm(a.trajectory.poses[0, :2, 3] - b.trajectory.poses[0, :2, 3]) > 180.0:
            continue
        for t in np.arange(0.0, scene.duration, 0.5):
            if a.exists_at(t) and b.exists_at(t):
                assert apart(outline(a, t), outline(b, t)), (a.id, b.id, t)


def test_nobody_on_foot_is_run_over(scene):
    people = [t for t in scene.tracks if t.actor_class is ActorClass.PEDESTRIAN]
    for person in people:
        for vehicle in vehicles(scene):
            for t in np.arange(0.0, scene.duration, 1.0):
                near = np.linalg.norm(person.trajectory.at(t)[:2, 3] - vehicle.trajectory.at(t)[:2, 3]) < 10.0
                assert not (near and vehicle.exists_at(t)) or apart(outline(person, t), outline(vehicle, t))


def test_people_are_on_sidewalks_or_crosswalks(scene):
    road = strips(scene, LaneType.DRIVING, LaneType.PARKING)
    for track in scene.tracks:
        if track.actor_class is ActorClass.PEDESTRIAN and track.role == "walking":
            assert not inside_any(track.trajectory.poses[:, :2, 3], road).any(), track.id


def test_vehicles_face_the_way_they_move(scene):
    for track in vehicles(scene):
        poses = track.trajectory.poses
        moves = np.diff(poses[:, :2, 3], axis=0)
        lengths = np.linalg.norm(moves, axis=1)
        along = (moves * poses[:-1, :2, 0]).sum(1)
        moving = lengths > 0.05
        assert (along[moving] / lengths[moving] > 0.985).all(), track.id


def test_motion_is_smooth(scene):
    dt = np.diff(scene.ego.trajectory.times)[0]
    for track in vehicles(scene):
        xy = track.trajectory.poses[:, :2, 3]
        speed = np.linalg.norm(np.diff(xy, axis=0), axis=1) / dt
        if len(speed) > 2:
            assert speed.max() < 18.0
            assert np.abs(np.diff(speed)).max() / dt < 8.0, track.id


def test_the_rig_stands_on_the_ground_below_the_rear_axle(scene):
    for rig, ego in zip(scene.rig_trajectory.poses, scene.ego.trajectory.poses):
        np.testing.assert_allclose(rig[:3, :3], ego[:3, :3])
        np.testing.assert_allclose(rig[:3, 3], ego[:3, 3] - EGO_REAR_AXLE * ego[:3, 0] - [0.0, 0.0, 0.75], atol=1e-12)
        assert abs(rig[2, 3]) < 1e-12


def test_cuboids_stand_on_the_ground_with_rigid_poses(scene):
    for track in [scene.ego, *scene.tracks]:
        rotations = track.trajectory.poses[:, :3, :3]
        np.testing.assert_allclose(
            rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (len(rotations), 1, 1)), atol=1e-12
        )
        if track.actor_class is not ActorClass.RIDER:
            np.testing.assert_allclose(track.trajectory.poses[:, 2, 3], track.size[2] / 2)
        assert (np.diff(track.trajectory.times) > 0).all()


def test_ego_and_people_exist_for_the_whole_clip(scene):
    assert scene.ego.exists_at(scene.start) and scene.ego.exists_at(scene.end)
    assert scene.rig_trajectory.covers(scene.end)
    assert all(t.exists_at(scene.end) for t in scene.tracks if t.actor_class is ActorClass.PEDESTRIAN)


def test_roads_have_paint_kerbs_and_furniture(scene):
    assert scene.map.road_boundaries and scene.map.poles and scene.map.traffic_signs and scene.map.trees
    assert {line.color for line in scene.map.lane_lines} >= {"white"}
    if "junction" in scene.facts["road"] or scene.facts["road"] == "intersection":
        legs = 4 if scene.facts["road"] == "intersection" else 3
        assert len(scene.map.traffic_lights) == 2 * legs
        assert len(scene.map.crosswalks) == len(scene.map.wait_lines) == legs
        assert scene.facts["light"] in {light.state_at(0.0).value for light in scene.map.traffic_lights}


def test_four_lanes_have_a_double_centre_line():
    scene = busy_scene("straight_4lane", 0)
    assert scene.facts["lanes"] == "4"
    assert [line.style for line in scene.map.lane_lines].count("solid_solid") == 1
    assert sum(lane.type is LaneType.DRIVING for lane in scene.map.lanes) == 4


@pytest.mark.parametrize("road", ["intersection", "t_junction"])
@pytest.mark.parametrize("seed", SEEDS)
def test_junctions_are_paved_without_holes(road, seed):
    scene = busy_scene(road, seed)
    crosswalks = np.stack([c[:, :2] for c in scene.map.crosswalks])
    middles = crosswalks.mean(axis=1)
    a, b = max(combinations(middles, 2), key=lambda pair: np.linalg.norm(pair[0] - pair[1]))
    centre = (a + b) / 2
    rng = np.random.default_rng(0)
    for middle, crosswalk in zip(middles, crosswalks):
        edges = np.diff(crosswalk, axis=0)
        across = max(edges, key=np.linalg.norm) / 2
        u, v = rng.uniform(0.0, 1.0, (200, 1)), rng.uniform(-0.98, 0.98, (200, 1))
        points = centre + u * (middle - centre) + v * across
        assert inside_any(points, strips(scene, *LaneType)).all()


def test_the_ego_waits_at_red():
    waited = 0
    for seed in range(40):
        scene = procedural_scene(seed=seed, road="intersection", num_vehicles=0, num_pedestrians=0)
        lights = [light for light in scene.map.traffic_lights if light.states[0].value == "red"]
        if scene.facts["light"] == "red" and all(len(light.states) == 1 for light in lights):
            crosswalks = np.stack([c[:, :2] for c in scene.map.crosswalks])
            assert not inside_any(scene.ego.trajectory.poses[:, :2, 3], crosswalks).any()
            waited += 1
    assert waited > 3


def test_longer_clips_have_longer_roads():
    scene = procedural_scene(seed=4, road="straight_2lane", duration=20.0)
    assert scene.duration == 20.0 and scene.ego.exists_at(20.0)
    end = scene.ego.trajectory.poses[-1, :2, 3]
    assert min(np.linalg.norm(lane.left[-1, :2] - end) for lane in scene.map.lanes) > 100.0


def test_clips_off_the_time_grid_cover_their_end():
    scene = procedural_scene(seed=4, duration=0.85)
    assert scene.ego.exists_at(0.85) and scene.end == 0.85


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"road": "intersecton"}, "unknown road 'intersecton': did you mean 'intersection'"),
        ({"num_vehicles": -1}, "num_vehicles=-1: must be 0 or more; nearest is 0"),
        ({"num_pedestrians": -2}, "num_pedestrians=-2: must be 0"),
        ({"duration": 0.0}, "duration=0: must be above 0"),
        ({"duration": 100.0}, "nearest is 60"),
    ],
)
def test_impossible_scenes_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        procedural_scene(**{"seed": 0, **arguments})


def test_a_scene_takes_a_fraction_of_a_second():
    procedural_scene(seed=0)
    start = time.process_time()
    for seed in range(8):
        procedural_scene(seed=seed)
    assert (time.process_time() - start) / 8 < 0.2
