"""Hills: raises a level scene, with all that stands or moves on it, to a height that depends on one direction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from cosmos_exp.scene.types import ActorClass, Scene, SceneMap, Track, TrafficLight, TrafficSign, Trajectory

GRADES = (0.03, 0.09)  # rise over run
CURVE = (40.0, 90.0)  # metres in which a grade passes into the next
FULL_SLOPE = 90.0  # metres before and after the ego's drive within which the grade is whole; level where the road ends
ROOTS = 0.3  # metres that trees and buildings stand deeper, as the ground beside a sloping road is uneven

Upright = TypeVar("Upright", TrafficSign, TrafficLight)


@dataclass(frozen=True)
class Hills:
    """A profile along a direction. heading: radians. stations, heights: [N] metres; the slope is linear in between."""

    heading: float
    stations: np.ndarray
    heights: np.ndarray

    def along(self, xy: np.ndarray) -> np.ndarray:
        return xy[..., 0] * np.cos(self.heading) + xy[..., 1] * np.sin(self.heading)

    def height(self, xy: np.ndarray) -> np.ndarray:
        """Metres at points [...,2]."""
        return np.interp(self.along(xy), self.stations, self.heights)

    def grade(self, xy: np.ndarray) -> np.ndarray:
        """Rise over run in the direction, at points [...,2]."""
        return np.interp(self.along(xy), self.stations, np.gradient(self.heights, self.stations))

    def normal(self, xy: np.ndarray) -> np.ndarray:
        """[3] unit normal of the ground at a point [2]."""
        grade = float(self.grade(xy))
        up = np.array([-grade * np.cos(self.heading), -grade * np.sin(self.heading), 1.0])
        return up / np.linalg.norm(up)


def draw_hills(rng: np.random.Generator, heading: float, ego_travel: float) -> Hills:
    """A climb, a descent, a crest or a hollow near the ego, level far away and 0 m at the origin."""
    shape = int(rng.integers(4))
    first, second = rng.uniform(*GRADES, 2)
    before, after = ((first, first), (-first, -first), (first, -second), (-first, second))[shape]
    change, width = float(rng.uniform(10.0, 30.0 + ego_travel)), float(rng.uniform(*CURVE))
    begin, end = -FULL_SLOPE, ego_travel + FULL_SLOPE
    stations = np.arange(begin - 150.0, end + 150.0, 1.0)
    knots = [begin - CURVE[0], begin, change - width / 2, change + width / 2, end, end + CURVE[0]]
    if knots[2] <= knots[1]:
        knots[2] = knots[1] + 1.0
    grades = np.interp(stations, knots, [0.0, before, before, after, after, 0.0])
    heights = np.concatenate([[0.0], np.cumsum((grades[1:] + grades[:-1]) / 2)])
    return Hills(heading, stations, heights - np.interp(0.0, stations, heights))


def elevated(scene: Scene, hills: Hills) -> Scene:
    """The scene on the hills: what rolls is pitched with the ground, what stands stays upright."""
    ego = replace(scene.ego, trajectory=pitched(scene.ego.trajectory, hills, scene.ego.size[2] / 2))
    return replace(
        scene,
        map=elevated_map(scene.map, hills),
        ego=ego,
        rig_trajectory=Trajectory(ego.trajectory.times, ego.trajectory.poses @ relative(scene)),
        tracks=tuple(elevated_track(track, hills) for track in scene.tracks),
    )


def relative(scene: Scene) -> np.ndarray:
    """[4,4] the rig's pose in the frame of the ego's cuboid."""
    return np.linalg.inv(scene.ego.trajectory.poses[0]) @ scene.rig_trajectory.poses[0]


def elevated_track(track: Track, hills: Hills) -> Track:
    if track.actor_class is ActorClass.PEDESTRIAN:
        poses = track.trajectory.poses.copy()
        poses[:, 2, 3] += hills.height(poses[:, :2, 3])
        return replace(track, trajectory=Trajectory(track.trajectory.times, poses))
    return replace(track, trajectory=pitched(track.trajectory, hills, float(track.trajectory.poses[0, 2, 3])))


def pitched(trajectory: Trajectory, hills: Hills, above: float) -> Trajectory:
    """Poses tangent to the ground, their origins `above` metres over it."""
    poses = np.stack([pitched_pose(pose, hills, above) for pose in trajectory.poses])
    return Trajectory(trajectory.times, poses)


def pitched_pose(pose: np.ndarray, hills: Hills, above: float) -> np.ndarray:
    xy = pose[:2, 3]
    up = hills.normal(xy)
    ahead = pose[:3, 0] - (pose[:3, 0] @ up) * up
    ahead /= np.linalg.norm(ahead)
    result = np.eye(4)
    result[:3, 0], result[:3, 1], result[:3, 2] = ahead, np.cross(up, ahead), up
    result[:3, 3] = np.array([*xy, float(hills.height(xy))]) + above * up
    return result


def elevated_map(scene_map: SceneMap, hills: Hills) -> SceneMap:
    def raised(points: np.ndarray, sunk: float = 0.0) -> np.ndarray:
        return points + np.stack([*np.zeros((2, *points.shape[:-1])), hills.height(points[..., :2]) - sunk], axis=-1)

    def upright(item: Upright) -> Upright:
        pose = item.pose.copy()
        pose[2, 3] += hills.height(pose[:2, 3])
        return replace(item, pose=pose)

    def building_base(footprint: np.ndarray) -> np.ndarray:
        low = hills.height(footprint[:, :2]).min() - ROOTS
        return footprint + [0.0, 0.0, low]

    return replace(
        scene_map,
        lanes=tuple(replace(v, left=raised(v.left), right=raised(v.right)) for v in scene_map.lanes),
        lane_lines=tuple(replace(v, points=raised(v.points)) for v in scene_map.lane_lines),
        road_boundaries=tuple(map(raised, scene_map.road_boundaries)),
        crosswalks=tuple(map(raised, scene_map.crosswalks)),
        road_markings=tuple(map(raised, scene_map.road_markings)),
        wait_lines=tuple(map(raised, scene_map.wait_lines)),
        poles=tuple(
            replace(v, base=raised(v.base, ROOTS), top=v.top + [0.0, 0.0, float(hills.height(v.base[:2]))])
            for v in scene_map.poles
        ),
        traffic_signs=tuple(map(upright, scene_map.traffic_signs)),
        traffic_lights=tuple(map(upright, scene_map.traffic_lights)),
        buildings=tuple(replace(v, footprint=building_base(v.footprint)) for v in scene_map.buildings),
        trees=tuple(replace(v, position=raised(v.position, ROOTS)) for v in scene_map.trees),
        barriers=tuple(replace(v, points=raised(v.points)) for v in scene_map.barriers),
    )
