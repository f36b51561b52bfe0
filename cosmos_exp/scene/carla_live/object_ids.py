"""CARLA's numbers of objects in instance pictures -> the numbers that the renderer gives the scene's tracks.

CARLA numbers what it draws by a rule of its own, which has nothing to do with actor ids. An object is the track inside
whose cuboid its pixels lie, put back into the world by their depth.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera

MOVERS = (12, 13, 14, 15, 16, 17, 18, 19)  # CityScapes tags of pedestrians, riders and vehicles
EVERY = 3  # frames, of which one is looked at
FINEST = 256  # rows, up to which every pixel is looked at
MARGIN = 0.3  # metres beyond a cuboid that pixels of its object may lie
LAST = 65535


def ids_of_tracks(
    scene: Scene, camera: Camera, times: np.ndarray, instance: np.ndarray, depth: np.ndarray, semantic: np.ndarray
) -> np.ndarray:
    """[F,H,W] uint16: 1 + the index of the track in the scene, and larger numbers for objects that are no track; 0
    stays 0.

    times: [F] seconds. instance, depth, semantic: [F,H,W], as captured. Raises UserError where there are more objects
    than numbers.
    """
    votes: dict[int, Counter[int]] = {}
    for i in range(0, len(times), EVERY):
        _vote(votes, scene, camera, float(times[i]), instance[i], depth[i], semantic[i])
    table = np.zeros(LAST + 1, np.uint16)
    found = {number: counted.most_common(1)[0][0] for number, counted in votes.items()}
    present = np.zeros(LAST + 1, bool)
    for frame in instance:
        present[frame] = True
    others = [number for number in np.flatnonzero(present).tolist() if number and number not in found]
    if len(scene.tracks) + len(others) > LAST:
        raise UserError(f"{camera.name}: {len(scene.tracks)} tracks and {len(others)} other objects: at most {LAST}")
    for number, track in found.items():
        table[number] = track + 1
    for i, number in enumerate(others):
        table[number] = len(scene.tracks) + 1 + i
    return table[instance]


def _vote(
    votes: dict[int, Counter[int]],
    scene: Scene,
    camera: Camera,
    t: float,
    instance: np.ndarray,
    depth: np.ndarray,
    semantic: np.ndarray,
) -> None:
    """Count, for each object, its pixels in each track's cuboid at time t."""
    step = -(-len(instance) // FINEST)
    few = np.s_[::step, ::step]
    numbers, metres = instance[few], depth[few]
    seen = np.isin(semantic[few], MOVERS) & (numbers > 0) & np.isfinite(metres)
    if not seen.any():
        return
    rays = camera.model.rays()[few][seen].astype(np.float64)
    points = rays * (metres[seen] / rays[:, 2])[:, None]
    pose = scene.rig_trajectory.at(t) @ camera.camera_to_rig
    points, numbers = points @ pose[:3, :3].T + pose[:3, 3], numbers[seen]
    for k, track in enumerate(scene.tracks):
        if not track.exists_at(t):
            continue
        placed = track.trajectory.at(t)
        local = (points - placed[:3, 3]) @ placed[:3, :3]
        inside = (np.abs(local) <= np.array(track.size) / 2 + MARGIN).all(axis=1)
        for number, count in zip(*np.unique(numbers[inside], return_counts=True), strict=True):
            votes.setdefault(int(number), Counter())[k] += int(count)
