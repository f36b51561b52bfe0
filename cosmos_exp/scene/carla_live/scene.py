"""A capture as a `Scene`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.log import clip_id, load_carla_scene
from cosmos_exp.scene.carla_live.folder import REPLAYED, Capture
from cosmos_exp.scene.types import Scene, SceneMap


def captured_scene(capture: Capture, *, seed: int = 0) -> Scene:
    """What was captured, from frame 0 at 0 s to the last; frame i is at i / fps. seed: of the scenery, which is that of
    a replayed log as `load_carla_scene` has it.

    Raises UserError as `load_carla_scene` does, such as where the ego was teleported between two frames.
    """
    duration = (capture.frames - 1) / capture.fps
    scene = load_carla_scene(capture.log, capture.map, ego=capture.ego, start=0.0, duration=duration or None, seed=seed)
    replay = capture.about["replay"]
    begin, factor = (replay["start"], capture.about["playing"]["time_factor"]) if replay else (0.0, 1.0)
    name = clip_id(Path(replay["log"] if replay else "live"), begin, begin + duration * factor)
    return replace(scene, clip_id=name, source="carla_live", map=_with_scenery_of_the_log(capture, scene.map, seed))


def _with_scenery_of_the_log(capture: Capture, scene_map: SceneMap, seed: int) -> SceneMap:
    """The map with the buildings, trees and poles of the replayed log's scene: scenery follows from the piece of the
    map around the ego's path, which the log has and the capture only at its frames."""
    replay, log = capture.about["replay"], capture.folder / REPLAYED
    if not replay or not log.is_file():
        return scene_map
    for duration in (replay["duration"], None):
        try:
            other = load_carla_scene(
                log, capture.map, ego=replay["ego"] or None, start=replay["start"], duration=duration, seed=seed
            )
        except UserError:  # the log's last frames may lack the ego
            continue
        return replace(scene_map, buildings=other.map.buildings, trees=other.map.trees, poles=other.map.poles)
    return scene_map
