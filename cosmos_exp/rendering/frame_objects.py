"""What moves in a frame: poses of objects and states of traffic lights, from a scene or from a running simulation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.rendering.actors import GAIT_PHASES, STRIDE
from cosmos_exp.scene.types import ActorClass, LightState, Scene, Track

RANGE = 300.0  # metres around the ego in which moving objects are drawn
WALKING = (ActorClass.PEDESTRIAN,)


@dataclass(frozen=True)
class PlacedObject:
    """An object to be drawn: what it looks like, and its cuboid's pose [4,4] in the world.

    instance: its number in the instance output, 1 to 65535. track: its appearance, kept by instance and id; its
    trajectory is not read. phase: 0 to GAIT_PHASES - 1, of a walker's gait.
    """

    instance: int
    track: Track
    pose: np.ndarray
    phase: int = 0


@dataclass(frozen=True)
class FrameObjects:
    """t: seconds. ego: [4,4] rig to world; light and shadows lie around it. light_states: of each light of the map."""

    t: float
    ego: np.ndarray
    objects: tuple[PlacedObject, ...]
    light_states: tuple[LightState, ...]


class Gait:
    """Gait phase of a walking track, from the distance it has covered."""

    def __init__(self, track: Track):
        steps = np.linalg.norm(np.diff(track.trajectory.poses[:, :2, 3], axis=0), axis=1)
        self.times = track.trajectory.times
        self.distance = np.concatenate([[0.0], np.cumsum(steps)])
        self.offset = gait_offset(track.id) if self.distance[-1] > 0.2 else 0

    def phase(self, t: float) -> int:
        return gait_phase(float(np.interp(t, self.times, self.distance)), self.offset)


def gait_offset(name: str) -> int:
    """Where in the gait a walker of that name starts, so that not all walk in step."""
    return sum(name.encode()) % GAIT_PHASES


def gait_phase(distance: float, offset: int) -> int:
    """distance: metres walked."""
    return int(distance / STRIDE * GAIT_PHASES + offset) % GAIT_PHASES


class SceneFrames:
    """The frames of a scene, at any time. Instances are 1 + the index of the track."""

    def __init__(self, scene: Scene):
        self.scene = scene
        self._gaits = {i: Gait(track) for i, track in enumerate(scene.tracks) if track.actor_class in WALKING}

    def at(self, t: float) -> FrameObjects:
        """Tracks that exist at t within RANGE of the ego, and the lights as they are then."""
        ego = self.scene.rig_trajectory.at(t)
        objects = []
        for i, track in enumerate(self.scene.tracks):
            if not track.exists_at(t):
                continue
            pose = track.trajectory.at(t)
            if np.abs(pose[:3, 3] - ego[:3, 3]).max() < RANGE:
                phase = self._gaits[i].phase(t) if i in self._gaits else 0
                objects.append(PlacedObject(i + 1, track, pose, phase))
        lights = tuple(light.state_at(t) for light in self.scene.map.traffic_lights)
        return FrameObjects(t, ego, tuple(objects), lights)
