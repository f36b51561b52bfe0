"""A capture as a `Scene`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cosmos_exp.scene.carla.log import clip_id, load_carla_scene
from cosmos_exp.scene.carla_live.folder import Capture
from cosmos_exp.scene.types import Scene


def captured_scene(capture: Capture, *, seed: int = 0) -> Scene:
    """What was captured, from frame 0 at 0 s to the last; frame i is at i / fps. seed: of the scenery.

    Raises UserError as `load_carla_scene` does, such as where the ego was teleported between two frames.
    """
    duration = (capture.frames - 1) / capture.fps
    scene = load_carla_scene(capture.log, capture.map, ego=capture.ego, start=0.0, duration=duration or None, seed=seed)
    playing = capture.about["playing"]
    begin = playing["start"] or 0.0
    name = clip_id(Path(playing["log"] or "live"), begin, begin + duration * playing["time_factor"])
    return replace(scene, clip_id=name, source="carla_live")
