"""An RDS-HQ clip -> Scene. The world stays the clip's; time 0 is frame 0."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.facts import scene_facts
from cosmos_exp.scene.rds_hq.clip import FPS, RdsHqClip, find_clip
from cosmos_exp.scene.rds_hq.map import map_of_labels, values_of
from cosmos_exp.scene.rds_hq.objects import Appearance, ObjectRecord, actor_class, average_static_objects
from cosmos_exp.scene.rds_hq.rig import rig_trajectory
from cosmos_exp.scene.scenery import add_scenery
from cosmos_exp.scene.types import ActorClass, Scene, SceneMap, Track, Trajectory, Tree

logger = logging.getLogger(__name__)

EGO_SIZE = (4.8, 1.9, 1.55)  # metres; a clip does not state the size of its own car
EGO_CENTRE = (1.4, 0.0, EGO_SIZE[2] / 2)  # of its cuboid in the rig frame


def load_rds_hq_scene(
    root: Path | str, clip: str | None = None, *, start: float = 0.0, duration: float | None = None, seed: int = 0
) -> Scene:
    """The scene of a clip below `root`; None takes the only one there is.

    Map elements, their order and their vertices are the clip's; buildings and trees, which it has no layers for, are
    generated beside its lanes. Objects are interpolated linearly between their 10 Hz samples, as in the reference, and
    stay in place after the last sample. The ego's cuboid is EGO_SIZE.

    start, duration: seconds after frame 0; the default window is the whole clip. seed: of the scenery.
    Raises UserError: no such clip, a broken file, poses that are not rigid motions of a right-handed frame, or a window
    outside the clip.
    """
    source = find_clip(root, clip)
    rig = rig_trajectory(source)
    begin, end = window(source.clip_id, rig, start, duration)
    scene_map = clip_map(source)
    tracks = tracks_of(average_static_objects(source.objects()), float(rig.times[0]), float(rig.times[-1]))
    facts = scene_facts(scene_map, rig)
    if source.missing:
        facts["missing"] = ", ".join(source.missing)
    for note in source.notes:
        logger.warning("clip %s: %s", source.clip_id, note)
    if not scene_map.lanes:
        logger.warning("clip %s: no lanes, so no road surface and no scenery; the HD map is whole", source.clip_id)
    return Scene(
        clip_id=source.clip_id,
        source="rds_hq",
        map=with_scenery(scene_map, seed, facts["area"]),
        ego=usual_ego(rig),
        rig_trajectory=rig,
        tracks=tuple(tracks),
        start=begin,
        end=end,
        seed=seed,
        facts=facts,
        sweeps=source if source.lidar_frames() else None,
    )


def with_scenery(scene_map: SceneMap, seed: int, area: str) -> SceneMap:
    """Buildings and trees beside the lanes; no lamps, which would be strokes that the clip's HD map does not have."""
    return replace(add_scenery(scene_map, seed, area=area), poles=scene_map.poles)


def usual_ego(rig: Trajectory) -> Track:
    """A car of EGO_SIZE on the rig."""
    centre = np.eye(4)
    centre[:3, 3] = EGO_CENTRE
    return Track("ego", ActorClass.CAR, EGO_SIZE, Trajectory(rig.times, rig.poses @ centre), role="ego")


def window(clip_id: str, rig: Trajectory, start: float, duration: float | None) -> tuple[float, float]:
    """First and last second of a part of a clip; UserError for one that the rig's times do not cover."""
    first, last = float(rig.times[0]), float(rig.times[-1])
    begin, end = first + start, last if duration is None else first + start + duration
    if not (math.isfinite(begin) and first <= begin < last and begin < end <= last + 1e-6):
        raise UserError(
            f"start {start:g} s and duration {'null' if duration is None else f'{duration:g} s'} are no time window of "
            f"clip {clip_id}, which is {last - first:.3f} s long: start from 0, start + duration up to that"
        )
    return begin, min(end, last)


def tracks_of(objects: Mapping[int, Mapping[str, ObjectRecord]], first: float, last: float) -> list[Track]:
    """A track for every run of neighbouring key frames that an object is in.

    objects: {key frame: {id: record}}. first, last: times of the clip's first and last frame; until the first key frame
    and from the last one on objects hold still. The first run of an object keeps its id; later ones are `<id>_1`, ...
    Tracks are in the order that their appearance tells, else of their names.
    """
    frames = sorted(objects)
    runs: dict[str, list[list[int]]] = {}
    for i, frame in enumerate(frames):
        for name in objects[frame]:
            own = runs.setdefault(name, [])
            if own and own[-1][-1] == i - 1:
                own[-1].append(i)
            else:
                own.append([i])

    def order(name: str) -> tuple[int, str]:
        seen = objects[frames[runs[name][0][0]]][name].appearance
        return (seen.number if seen else 0), name

    tracks = []
    for name in sorted(runs, key=order):
        for number, run in enumerate(runs[name]):
            held = [objects[frames[i]][name] for i in run]
            times = [frames[i] / FPS for i in run]
            if run[0] == 0 and first < times[0]:
                held, times = [held[0], *held], [first, *times]
            if run[-1] == len(frames) - 1 and times[-1] < last:
                held, times = [*held, held[-1]], [*times, last]
            tracks.append(_track(f"{name}_{number}" if number else name, held, np.array(times)))
    return tracks


def _track(name: str, records: list[ObjectRecord], times: np.ndarray) -> Track:
    size = mean_size(name, np.array([record.size for record in records], np.float64))
    poses = np.stack([_rigid(record.pose) for record in records])
    kind = records[0].type
    seen = records[0].appearance or Appearance(actor_class(kind), model=kind)
    path = Trajectory(times, poses)
    return Track(name, seen.actor_class, size, path, seen.color, seen.model, seen.role)


def mean_size(name: str, sizes: np.ndarray) -> tuple[float, float, float]:
    """Of sizes [N,3], exactly theirs where all are equal. name: of the object in the log."""
    if np.ptp(sizes, axis=0).max() > 0.01:
        logger.info("object %s changes its size by %.2f m: the mean is taken", name, np.ptp(sizes, axis=0).max())
    length, width, height = (float(v) for v in sizes[0] + (sizes - sizes[0]).mean(axis=0))
    return length, width, height


def _rigid(pose: np.ndarray) -> np.ndarray:
    """The pose with a true rotation of the same heading: x kept, z made square to it."""
    rigid = np.array(pose, np.float64)
    x = rigid[:3, 0] / np.linalg.norm(rigid[:3, 0])
    z = rigid[:3, 2] - (rigid[:3, 2] @ x) * x
    z /= np.linalg.norm(z)
    rigid[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    return rigid


def clip_map(clip: RdsHqClip) -> SceneMap:
    """The map of the clip's layers; poles that its labels call trees get a crown."""
    labels = clip.labels()
    scene_map = map_of_labels(clip.clip_id, labels)
    trunks = [label for label in labels.get("poles", ()) if values_of(label).get("pole_type") == "TREE"]
    return replace(scene_map, trees=tuple(_tree(label.vertices[0], seed) for seed, label in enumerate(trunks)))


def _tree(trunk: np.ndarray, seed: int) -> Tree:
    foot = trunk[trunk[:, 2].argmin()]
    height = float(np.clip(1.2 * np.ptp(trunk[:, 2]), 3.5, 16.0))
    return Tree(foot, height, 0.25 * height, seed)
