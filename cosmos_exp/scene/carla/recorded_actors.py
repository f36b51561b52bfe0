"""State of each actor over the frames of a recorder log, in CARLA's frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from cosmos_exp.scene.carla.packets import ActorAdded, Packet, PhysicsControl
from cosmos_exp.scene.carla.recorder import RecorderLog

JUMP_SPEED = 150.0  # m/s: faster motion is a teleport
JUMP_DISTANCE = 3.0


@dataclass
class RecordedActor:
    """One actor from its creation to its deletion; an id used again is another actor.

    Frame indices count from 0; last_frame is the last one it exists in. frames [N], location [N,3] metres and rotation
    [N,3] roll, pitch, yaw degrees are its Position samples. box_origin, box_extent: [3] metres in the actor's frame,
    None where the log has none. parent: id of the actor it is attached to.
    """

    added: ActorAdded
    first_frame: int
    last_frame: int
    deleted: bool = False
    parent: int | None = None
    frames: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    location: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    rotation: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    box_origin: np.ndarray | None = None
    box_extent: np.ndarray | None = None
    physics: PhysicsControl | None = None
    physics_frame: int = 0

    @property
    def id(self) -> int:
        return self.added.id

    def continuous_runs(self, times: np.ndarray, keep: np.ndarray) -> Iterator[slice]:
        """Slices of the samples without missing frames and without jumps, of those that `keep` [N] allows.

        times: [frames] seconds of the log's frames.
        """
        if len(self.frames) == 0:
            return
        step = np.linalg.norm(np.diff(self.location, axis=0), axis=1)
        elapsed = np.diff(times[self.frames])
        jumped = (step > JUMP_DISTANCE) & (step > JUMP_SPEED * elapsed)
        joined = (np.diff(self.frames) == 1) & ~jumped & keep[:-1] & keep[1:] & (elapsed > 0)
        start = 0
        for end in [*(np.flatnonzero(~joined) + 1), len(self.frames)]:
            if keep[start]:
                yield slice(int(start), int(end))
            start = end


def recorded_actors(log: RecorderLog) -> list[RecordedActor]:
    """Every actor of the log, in order of creation."""
    actors: list[RecordedActor] = []
    alive: dict[int, RecordedActor] = {}
    for index, frame in enumerate(log.frames):
        for added in frame.added:
            previous = alive.get(added.id)
            if previous is not None:
                previous.last_frame = index - 1
            alive[added.id] = RecordedActor(added, index, len(log.frames) - 1)
            actors.append(alive[added.id])
        for child, parent in frame.parents:
            if child in alive:
                alive[child].parent = parent
        _read_boxes(frame[Packet.BOUNDING_BOX], alive)
        for physics in frame.physics:
            if physics.id in alive:
                alive[physics.id].physics, alive[physics.id].physics_frame = physics, index
        for deleted in frame.deleted:
            actor = alive.pop(deleted, None)
            if actor is not None:
                actor.last_frame, actor.deleted = index - 1, True
    _read_positions(log, actors)
    return actors


def _read_boxes(rows: np.ndarray, alive: dict[int, RecordedActor]) -> None:
    for row in rows:
        actor = alive.get(int(row["id"]))
        if actor is not None:
            actor.box_origin, actor.box_extent = row["origin"].copy(), row["extent"].copy()


def _read_positions(log: RecorderLog, actors: list[RecordedActor]) -> None:
    per_frame = [frame[Packet.POSITION] for frame in log.frames]
    rows = np.concatenate(per_frame)
    frames = np.repeat(np.arange(len(per_frame)), [len(p) for p in per_frame])
    order = np.argsort(rows["id"], kind="stable")
    rows, frames = rows[order], frames[order]
    for actor in actors:
        first, last = np.searchsorted(rows["id"], [actor.id, actor.id + 1])
        begin, end = np.searchsorted(frames[first:last], [actor.first_frame, actor.last_frame + 1]) + first
        actor.frames = frames[begin:end]
        actor.location = rows["location"][begin:end]
        actor.rotation = rows["rotation"][begin:end].astype(np.float64)
