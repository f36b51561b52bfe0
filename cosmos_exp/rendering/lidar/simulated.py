"""A simulated spinning LiDAR on the ego vehicle's roof, from rendered depth, for scenes without point clouds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.lidar.condition import LidarRenderer
from cosmos_exp.scene.rds_hq.objects import ObjectRecord, object_type
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.pinhole import Pinhole

RenderDepth = Callable[[Camera, float], np.ndarray]  # camera, seconds -> [H,W] metres along the optical axis

FPS = 30  # sweeps and objects are numbered in frames of 1/30 s, frame 0 at 0 s
SWEEP_STEP = 3  # frames between sweeps
BEAMS = np.radians(np.linspace(-25.0, 15.0, 128))
AZIMUTHS = 1800
MAX_RANGE = 120.0
ROOF_GAP = 0.3  # metres from the roof to the sensor
FACE_WIDTH = 720  # pixels of each of the four views that are scanned
MOUNT_YAWS = np.radians([0.0, 90.0, 180.0, 270.0])


@dataclass(frozen=True)
class _Face:
    """A quarter of the horizon: a camera 90 degrees wide, its rotation [3,3] to the sensor frame, and the pixels that
    the beams fall on."""

    camera: Camera
    model: Pinhole
    rotation: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


class SimulatedLidar:
    """Sweeps of a scene for LidarRenderer: every 0.1 s, all beams at the same time.

    Each beam takes the surface of the depth pixel nearest to it, at that pixel's own direction, so every point lies
    on a surface and is at most 0.1 degrees off its beam. Surfaces beyond MAX_RANGE give no return.
    """

    def __init__(self, scene: Scene, render_depth: RenderDepth):
        self._scene, self._render_depth = scene, render_depth
        first, last = np.ceil(scene.start * FPS / SWEEP_STEP - 1e-6), np.floor(scene.end * FPS / SWEEP_STEP + 1e-6)
        self._frames = tuple(range(int(first) * SWEEP_STEP, int(last) * SWEEP_STEP + 1, SWEEP_STEP))
        self._mount = _mount(scene)
        self._faces = [_face(self._mount, yaw) for yaw in MOUNT_YAWS]

    def lidar_frames(self) -> tuple[int, ...]:
        return self._frames

    def lidar(self, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Points [N,3] float32 in the sensor's frame (FLU), metres, and lidar_to_world [4,4]."""
        t = frame / FPS
        parts = [self._scan(face, t) for face in self._faces]
        return np.concatenate(parts), self._scene.rig_trajectory.at(t) @ self._mount

    def _scan(self, face: _Face, t: float) -> np.ndarray:
        model, rows, columns = face.model, face.rows, face.columns
        depth = self._render_depth(face.camera, t)[rows, columns]
        rays = np.stack([(columns - model.cx) / model.fx, (rows - model.cy) / model.fy, np.ones(len(rows))], axis=1)
        distance = depth * np.linalg.norm(rays, axis=1)
        hit = distance <= MAX_RANGE
        return (rays[hit] * depth[hit, None] @ face.rotation.T).astype(np.float32)


class SceneObjects(Mapping[float, Mapping[str, ObjectRecord]]):
    """The scene's tracks at any frame number, integer or not, for LidarRenderer."""

    def __init__(self, scene: Scene):
        self._scene = scene

    def __getitem__(self, frame: float) -> dict[str, ObjectRecord]:
        t = frame / FPS
        return {
            track.id: ObjectRecord(track.trajectory.at(t), track.size, True, object_type(track.actor_class))
            for track in self._scene.tracks
            if track.exists_at(t)
        }

    def __iter__(self) -> Iterator[float]:
        return iter(range(round(self._scene.end * FPS) + 1))

    def __len__(self) -> int:
        return round(self._scene.end * FPS) + 1


def scene_lidar(scene: Scene, render_depth: RenderDepth) -> LidarRenderer:
    """Draws the LiDAR images of a scene: from its own sweeps where it has them, else from simulated ones."""
    sweeps = scene.sweeps if scene.sweeps is not None else SimulatedLidar(scene, render_depth)
    if not sweeps.lidar_frames():
        raise UserError(f"scene {scene.clip_id} of {scene.duration:.2f} s is too short for a LiDAR sweep (every 0.1 s)")
    return LidarRenderer(sweeps, SceneObjects(scene), ())


def lidar_image(lidar: LidarRenderer, scene: Scene, camera: Camera, t: float) -> np.ndarray:
    """[H,W,3] uint8 of a camera at t seconds."""
    return lidar.frame(camera.model, scene.rig_trajectory.at(t) @ camera.camera_to_rig, t * FPS)


def _mount(scene: Scene) -> np.ndarray:
    """Sensor to rig [4,4]: above the middle of the ego vehicle's roof, level with the rig."""
    ego = np.linalg.inv(scene.rig_trajectory.at(scene.start)) @ scene.ego.trajectory.at(scene.start)
    mount = np.eye(4)
    mount[:3, 3] = ego[:3, 3] + [0, 0, scene.ego.size[2] / 2 + ROOF_GAP]
    return mount


def _face(mount: np.ndarray, yaw: float) -> _Face:
    """The face towards `yaw`. mount: sensor to rig [4,4]."""
    focal = FACE_WIDTH / 2
    azimuth = (np.arange(AZIMUTHS // 4) + 0.5) / (AZIMUTHS / 4) * (np.pi / 2) - np.pi / 4
    across = -np.tan(azimuth)[None, :] * focal + np.zeros((len(BEAMS), 1))
    down = -np.tan(BEAMS)[:, None] / np.cos(azimuth)[None, :] * focal
    top = np.ceil(-down.min()) + 1
    model = Pinhole(FACE_WIDTH, int(top + np.ceil(down.max()) + 2), focal, focal, (FACE_WIDTH - 1) / 2, top)
    rows = np.clip(np.round(down + model.cy), 0, model.height - 1).astype(int).ravel()
    columns = np.clip(np.round(across + model.cx), 0, model.width - 1).astype(int).ravel()
    pixels = np.unique(np.stack([rows, columns]), axis=1)
    cos, sin = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
    pose = mount.copy()
    pose[:3, :3] = mount[:3, :3] @ rotation
    return _Face(Camera(f"lidar_{np.degrees(yaw):.0f}", model, pose), model, rotation, pixels[0], pixels[1])
