"""Whether all numbers of a scene are finite: asked where a scene is made and where it is written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.types import Scene, SceneMap, Track, Trajectory


def require_finite(scene: Scene) -> None:
    """UserError for the first number of a scene that is not finite, with its place."""
    for place, values in _numbers(scene):
        array = np.asarray(values, np.float64)
        if not np.isfinite(array).all():
            at = np.argwhere(~np.isfinite(array))[0]
            where = f" (number {', '.join(map(str, at))})" if len(at) else ""
            raise UserError(f"scene {scene.clip_id}: {place} is {array[tuple(at)]:g}{where}: it must be finite")


def _numbers(scene: Scene) -> Iterator[tuple[str, npt.ArrayLike]]:
    yield "the start or the end", (scene.start, scene.end)
    yield from _of_trajectory("the rig", scene.rig_trajectory)
    yield from _of_track("the ego", scene.ego)
    for track in scene.tracks:
        yield from _of_track(f"object {track.id}", track)
    yield from _of_map(scene.map)


def _of_track(name: str, track: Track) -> Iterator[tuple[str, npt.ArrayLike]]:
    yield f"a size of {name}", track.size
    yield from _of_trajectory(name, track.trajectory)


def _of_trajectory(name: str, trajectory: Trajectory) -> Iterator[tuple[str, npt.ArrayLike]]:
    yield f"a time of {name}", trajectory.times
    yield f"a pose of {name}", trajectory.poses


def _of_map(scene_map: SceneMap) -> Iterator[tuple[str, npt.ArrayLike]]:
    for lane in scene_map.lanes:
        yield f"an edge of lane {lane.id}", lane.left
        yield f"an edge of lane {lane.id}", lane.right
    for i, line in enumerate(scene_map.lane_lines):
        yield f"lane line {i}", line.points
        yield f"the width of lane line {i}", line.width
    for name in ("road_boundaries", "crosswalks", "road_markings", "wait_lines"):
        for i, points in enumerate(getattr(scene_map, name)):
            yield f"element {i} of {name}", points
    for i, pole in enumerate(scene_map.poles):
        yield f"pole {i}", (*pole.base, *pole.top, pole.radius)
    for kind, items in (("sign", scene_map.traffic_signs), ("light", scene_map.traffic_lights)):
        for item in items:
            yield f"the pose of traffic {kind} {item.id}", item.pose
            yield f"the size of traffic {kind} {item.id}", item.size
    for light in scene_map.traffic_lights:
        yield f"a time of traffic light {light.id}", light.state_times
    for i, building in enumerate(scene_map.buildings):
        yield f"building {i}", np.append(building.footprint.ravel(), building.height)
    for i, tree in enumerate(scene_map.trees):
        yield f"tree {i}", (*tree.position, tree.height, tree.crown_radius)
    for i, barrier in enumerate(scene_map.barriers):
        yield f"barrier {i}", np.append(barrier.points.ravel(), (barrier.height, barrier.width))
