"""A ClipGT clip -> Scene. The world stays the clip's; time 0 is its first frame."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.clipgt.clip import Clip, find_clip
from cosmos_exp.scene.clipgt.scene_clip import CATEGORIES, MICROSECONDS
from cosmos_exp.scene.facts import scene_facts
from cosmos_exp.scene.motion import BoxTrack
from cosmos_exp.scene.rds_hq import objects
from cosmos_exp.scene.rds_hq.map import map_of_labels
from cosmos_exp.scene.rds_hq.objects import Appearance
from cosmos_exp.scene.rds_hq.scene import mean_size, usual_ego, window, with_scenery
from cosmos_exp.scene.types import ActorClass, Scene, Track, Trajectory
from cosmos_exp.sensors.camera import Camera, Rig

logger = logging.getLogger(__name__)

CLASSES = {category: actor for actor, category in CATEGORIES.items()}


def load_clipgt_scene(
    root: Path | str, clip: str | None = None, *, start: float = 0.0, duration: float | None = None, seed: int = 0
) -> Scene:
    """The scene of a clip in a folder, or below it; None takes the only one there is.

    Map elements, their order and their vertices are the clip's; buildings and trees, which it has no tables for, are
    generated beside its lanes. An object exists from its first row to its last and has its mean size. The ego's cuboid
    is that of RDS-HQ clips. What cannot be used is left out and logged.

    start, duration: seconds after the first frame; the default window is the whole clip. seed: of the scenery.
    Raises UserError: no such clip, a broken table, or a window outside the clip.
    """
    source = find_clip(root, clip)
    rig = rig_trajectory(source)
    begin, end = window(source.clip_id, rig, start, duration)
    scene_map = map_of_labels(source.clip_id, source.labels())
    tracks = tracks_of(source)
    facts = scene_facts(scene_map, rig)
    for note in source.notes:
        logger.warning("clip %s: %s", source.clip_id, note)
    if not scene_map.lanes:
        logger.warning("clip %s: no lanes, so no road surface and no scenery", source.clip_id)
    return Scene(
        clip_id=source.clip_id,
        source="clipgt",
        map=with_scenery(scene_map, seed, facts["area"]),
        ego=usual_ego(rig),
        rig_trajectory=rig,
        tracks=tracks,
        start=begin,
        end=end,
        seed=seed,
        facts=facts,
    )


def rig_trajectory(clip: Clip) -> Trajectory:
    """The rig's poses from the first frame to the last: the clip's own, and at the ends as its frames have them."""
    frames = clip.frame_times
    first, last = int(frames.min()), int(frames.max())
    if first == last:
        raise UserError(f"clip {clip.clip_id} has frames at one time alone: a scene has a duration")
    own = clip.ego.times
    times = np.array([first, *own[(own > first) & (own < last)].tolist(), last], np.int64)
    return Trajectory((times - first) / MICROSECONDS, np.stack([clip.ego.at(int(time)) for time in times]))


def tracks_of(clip: Clip) -> tuple[Track, ...]:
    """In the order that their appearance tells, else of their ids."""
    looks = clip.appearances()
    found = [(looks.get(box.id) or _look(box), box) for box in clip.tracks]
    found.sort(key=lambda pair: (pair[0].number, pair[1].id))
    first = int(clip.frame_times.min())
    return tuple(_track(look, box, first) for look, box in found)


def _look(box: BoxTrack) -> Appearance:
    return Appearance(actor_class(box.category), model=box.category)


def actor_class(category: str) -> ActorClass:
    """Of the category of an object, in any case; OTHER for one that the format does not know."""
    known = CLASSES.get(category.lower())
    return objects.actor_class(category.capitalize()) if known is None else known


def _track(look: Appearance, box: BoxTrack, first: int) -> Track:
    later = np.concatenate([[True], np.diff(box.motion.times) > 0])  # the first of rows at one time
    path = Trajectory((box.motion.times[later] - first) / MICROSECONDS, box.motion.poses[later])
    return Track(box.id, look.actor_class, mean_size(box.id, box.sizes), path, look.color, look.model, look.role)


def clip_rig(clip: Clip) -> Rig:
    """The f-theta cameras at their calibrated size, named by the views: `front_wide_120fov` for
    `camera_front_wide_120fov`."""
    cameras = (
        Camera(name.removeprefix("camera_"), camera.model, camera.camera_to_rig)
        for name, camera in clip.cameras.items()
    )
    return Rig(clip.clip_id, tuple(cameras))
