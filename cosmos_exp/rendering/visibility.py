"""Which objects the cameras of a rig see, by the rule of CARLA's exporter of ClipGT: points of a box against the depth
of the picture."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from cosmos_exp.common.progress import Tick
from cosmos_exp.rendering.renderer import Renderer
from cosmos_exp.scene.crop import cut_trajectory
from cosmos_exp.scene.rds_hq.writer import clip_times
from cosmos_exp.scene.types import Scene, Track
from cosmos_exp.sensors.camera import Camera, CameraModel, Rig

POINTS = np.array(list(product((-0.5, 0.0, 0.5), repeat=3)))  # of a box of size 1
LEAST = 0.05  # share of them
RANGE = 150.0  # metres from the rig to the box's centre
TOLERANCE, RELATIVE = 0.5, 0.02  # metres, and share of the depth, that a point may lie behind what the picture shows
GAP = 3  # frames: shorter ones are bridged
SHORTEST = 2  # frames of a run
WIDTH = 480  # pixels of the pictures that are tested
NEAR = 0.1  # metres before the camera


def visible_scene(scene: Scene, rig: Rig, *, tick: Tick) -> Scene:
    """The scene with its objects only while a camera of the rig sees them, at 30 frames a second.

    An object is seen in a frame where LEAST of the POINTS of its box, of any one camera, are in the picture and not
    hidden, and it is within RANGE. Gaps of fewer than GAP frames are bridged and runs of fewer than SHORTEST left out.
    Each run is a track: the first keeps the object's id, later ones are `<id>_1`, ... tick: told frames done and in
    all.
    """
    times = clip_times(scene)
    renderer = Renderer(scene)
    cameras = [replace(camera, model=_small(camera)) for camera in rig.cameras]
    seen = np.zeros((len(scene.tracks), len(times)), bool)
    for number, t in enumerate(times.tolist()):
        objects = renderer.frame_at(t).objects.objects
        ego = scene.rig_trajectory.at(t)
        near = [item for item in objects if np.linalg.norm(item.pose[:3, 3] - ego[:3, 3]) <= RANGE]
        if near:
            poses = np.stack([item.pose for item in near])
            sizes = np.array([item.track.size for item in near])
            points = np.einsum("nij,nkj->nki", poses[:, :3, :3], POINTS * sizes[:, None]) + poses[:, None, :3, 3]
            shown = np.any([_shown(renderer, camera, t, ego, points) for camera in cameras], axis=0)
            seen[[item.instance - 1 for item in near], number] = shown
        tick(number + 1, len(times))
    pieces = (piece for track, row in zip(scene.tracks, seen) for piece in _pieces(track, times, row))
    return replace(scene, tracks=tuple(pieces))


def runs(seen: np.ndarray) -> list[tuple[int, int]]:
    """First and last frame of each run of a bool [F], as of `visible_scene`."""
    frames = np.flatnonzero(seen)
    if not len(frames):
        return []
    breaks = np.flatnonzero(np.diff(frames) > GAP)
    first, last = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(frames) - 1]])
    found = zip(frames[first].tolist(), frames[last].tolist())
    return [(begin, end) for begin, end in found if end - begin + 1 >= SHORTEST]


def _pieces(track: Track, times: np.ndarray, seen: np.ndarray) -> list[Track]:
    made: list[Track] = []
    for begin, end in runs(seen):
        path = cut_trajectory(track.trajectory, float(times[begin]), float(times[end]))
        if path is not None:
            made.append(replace(track, id=f"{track.id}_{len(made)}" if made else track.id, trajectory=path))
    return made


def _shown(renderer: Renderer, camera: Camera, t: float, ego: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N] bool, of boxes with points [N,27,3] in the world."""
    to_camera = np.linalg.inv(ego @ camera.camera_to_rig)
    local = points.reshape(-1, 3) @ to_camera[:3, :3].T + to_camera[:3, 3]
    depth, model = local[:, 2], camera.model
    u, v = np.rint(np.nan_to_num(np.clip(model.project(local), -1e6, 1e6), nan=-1e6)).astype(np.int64).T
    inside = (depth > NEAR) & (u >= 0) & (u < model.width) & (v >= 0) & (v < model.height)
    picture = renderer.gbuffer(camera, t).depth
    free = np.zeros(len(local), bool)
    free[inside] = depth[inside] <= picture[v[inside], u[inside]] + TOLERANCE + RELATIVE * depth[inside]
    return free.reshape(len(points), -1).mean(axis=1) >= LEAST


def _small(camera: Camera) -> CameraModel:
    """The camera's lens in a picture of WIDTH pixels, or of its own width where that is less."""
    model = camera.model
    width = min(WIDTH, model.width)
    return model.resized(width, max(round(width * model.height / model.width), 1))
