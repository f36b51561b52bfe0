"""Playing a recorder log in the world: poses, lights and controls of its actors at any time, exactly.

The first tick after `replay_file` is at the start; each later one adds its step times the time factor. Between the
log's frames locations are interpolated linearly and rotations along the shortest arc, as `Scene` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.scene.carla.axes import flu_poses
from cosmos_exp.scene.carla.packets import Packet
from cosmos_exp.scene.carla.recorded_actors import RecordedActor, recorded_actors
from cosmos_exp.scene.carla.recorder import RecorderLog
from cosmos_exp.scene.types import interpolate_pose


class Timeline:
    """Seconds of the log at each tick. Exact: after n steps of 1/fps they are start + n factor / fps."""

    def __init__(self, start: float):
        self._base, self._steps, self._step = start, 0, 0.0
        self._rate = 1.0
        self.now: float | None = None

    def advance(self, delta: float, factor: float) -> float:
        """The time of this tick, `delta` seconds of simulation after the last one."""
        if self.now is None:
            self.now = self._base
            return self.now
        if (delta, factor) != (self._step, self._rate):
            self._base, self._steps, self._step, self._rate = self.now, 0, delta, factor
        self._steps += 1
        fps = 1.0 / delta if delta > 0 else 0.0
        whole = round(fps)
        steps = self._steps * factor
        exact = whole > 0 and abs(fps - whole) < 1e-6
        self.now = self._base + (steps / whole if exact else steps * delta)
        return self.now


@dataclass(frozen=True)
class Pose:
    """Where a recorded actor is. velocity: m/s; angular_velocity: deg/s; CARLA's frame."""

    actor: RecordedActor
    transform: Transform
    velocity: np.ndarray
    angular_velocity: np.ndarray


class Recording:
    """A log by its time. `frame_at` and `pose` take seconds of the log's clock."""

    def __init__(self, log: RecorderLog):
        self.log = log
        self.actors = recorded_actors(log, CountedWarnings())
        self._still = [
            bool((a.location == a.location[:1]).all() and (a.rotation == a.rotation[:1]).all()) for a in self.actors
        ]
        self.times = np.maximum.accumulate(np.nan_to_num(log.times, nan=-np.inf))

    def frame_at(self, t: float) -> int:
        """Index of the last frame that is not later than t."""
        return max(int(np.searchsorted(self.times, t + 1e-9, side="right")) - 1, 0)

    def stands_still(self, index: int) -> bool:
        """Whether an actor of the log is always where it is first."""
        return self._still[index]

    def pose(self, actor: RecordedActor, t: float) -> Pose | None:
        """Where an actor is at t; None before its first position, where it then stays as it was spawned."""
        if not len(actor.frames):
            return None
        times = self.times[actor.frames]
        i = int(np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 1))
        j = min(i + 1, len(times) - 1)
        span = float(times[j] - times[i])
        same = np.array_equal(actor.location[i], actor.location[j]) and np.array_equal(
            actor.rotation[i], actor.rotation[j]
        )
        if same or span <= 0 or t <= times[i]:
            return Pose(actor, Transform(actor.location[i], actor.rotation[i]), np.zeros(3), np.zeros(3))
        a, b = flu_poses(actor.location[i : j + 1], actor.rotation[i : j + 1])
        u = min((t - float(times[i])) / span, 1.0)
        turn = (actor.rotation[j] - actor.rotation[i] + 180.0) % 360.0 - 180.0
        velocity = (actor.location[j] - actor.location[i]) / span
        return Pose(actor, Transform.of_pose(interpolate_pose(a, b, u)), velocity, turn / span)

    def rows(self, packet: Packet, frame: int) -> np.ndarray:
        return self.log.frames[frame][packet]


@dataclass
class ReplayOptions:
    """What the client sets for replays. factor: speed."""

    factor: float = 1.0
    ignore_hero: bool = False
    ignore_spectator: bool = True


class Replay:
    """A log that is being played. ids: {actor of the log: id in the world}. end: seconds of the log's clock.

    follow: id in the log of the actor that the spectator goes with, 0 for none. offset: of the spectator, in its frame.
    """

    def __init__(
        self, recording: Recording, start: float, duration: float, follow: int, *, sensors: bool, offset: Transform
    ):
        self.recording = recording
        last = float(recording.times[-1])
        self.start = max(last + start, 0.0) if start < 0 else start
        self.duration = duration
        self.end = min(self.start + duration, last) if duration > 0 else last
        self.follow, self.sensors, self.offset = follow, sensors, offset
        self.timeline = Timeline(self.start)
        self.ids: dict[int, int] = {}  # index of the recorded actor -> id
        self.time = self.start

    @property
    def live_ids(self) -> dict[int, int]:
        """{id in the log: id in the world} of the actors that are there now."""
        return {self.recording.actors[index].id: number for index, number in self.ids.items()}
