"""State of each actor over the frames of a recorder log, in CARLA's frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.scene.carla.packets import ActorAdded, Packet, PhysicsControl
from cosmos_exp.scene.carla.recorder import LONGEST_STEP, RecorderLog

JUMP_SPEED = 150.0  # m/s: faster motion is a teleport
JUMP_DISTANCE = 3.0
FARTHEST = 1e6  # metres from the origin; towns are some kilometres wide


@dataclass
class RecordedActor:
    """One actor from its creation to its deletion; an id used again is another actor.

    Frame indices count from 0; last_frame is the last one it exists in. frames [N], location [N,3] metres and rotation
    [N,3] roll, pitch, yaw degrees are its Position samples. box_origin, box_extent: [3] metres in the actor's frame,
    None where the log has none. parent: id of the actor it is attached to. unusable: number of samples left out because
    they hold numbers that are not finite or places beyond FARTHEST; first_unusable: where the first of them is.
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
    unusable: int = 0
    first_unusable: str = ""

    @property
    def id(self) -> int:
        return self.added.id

    def continuous_runs(self, times: np.ndarray, floor: float) -> Iterator[slice]:
        """Slices of the samples without missing frames, jumps, long steps of time and stays below `floor` (z, metres).

        times: [frames] seconds of the log's frames, NaN for one that has none.
        """
        if len(self.frames) == 0:
            return
        keep = (self.location[:, 2] > floor) & np.isfinite(times[self.frames])
        step = np.linalg.norm(np.diff(self.location, axis=0), axis=1)
        elapsed = np.diff(times[self.frames])
        jumped = (step > JUMP_DISTANCE) & (step > JUMP_SPEED * elapsed)
        joined = (np.diff(self.frames) == 1) & ~jumped & keep[:-1] & keep[1:]
        joined &= (elapsed > 0) & (elapsed <= LONGEST_STEP)
        start = 0
        for end in [*(np.flatnonzero(~joined) + 1), len(self.frames)]:
            if keep[start]:
                yield slice(int(start), int(end))
            start = end


def recorded_actors(log: RecorderLog, warnings: CountedWarnings) -> list[RecordedActor]:
    """Every actor of the log, in order of creation. warnings: where unusable samples are told."""
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
    _read_positions(log, actors, warnings)
    return actors


def _read_boxes(rows: np.ndarray, alive: dict[int, RecordedActor]) -> None:
    for row in rows:
        actor = alive.get(int(row["id"]))
        if actor is not None:
            actor.box_origin, actor.box_extent = row["origin"].copy(), row["extent"].copy()


def _read_positions(log: RecorderLog, actors: list[RecordedActor], warnings: CountedWarnings) -> None:
    per_frame = [frame[Packet.POSITION] for frame in log.frames]
    rows = np.concatenate(per_frame)
    frames = np.repeat(np.arange(len(per_frame)), [len(p) for p in per_frame])
    usable = (np.abs(rows["location"]) <= FARTHEST).all(axis=1) & np.isfinite(rows["rotation"]).all(axis=1)
    if not usable.all():
        row, frame = rows[~usable][0], log.frames[frames[~usable][0]].id
        what = f"pose that is not finite, or beyond {FARTHEST / 1000:g} km, left out"
        warnings.add(what, f"actor {row['id']}, {_pose_text(row, frame)}", int((~usable).sum()))
    order = np.argsort(rows["id"], kind="stable")
    rows, frames, usable = rows[order], frames[order], usable[order]
    locations, rotations = rows["location"], rows["rotation"].astype(np.float64)
    stride = len(per_frame) + 1
    places = rows["id"].astype(np.int64) * stride + frames  # ascending, as frames are within an id
    lives = np.array([[a.id * stride + a.first_frame, a.id * stride + a.last_frame + 1] for a in actors]).reshape(-1, 2)
    for actor, (begin, end) in zip(actors, np.searchsorted(places, lives).tolist()):
        own: slice | np.ndarray = slice(begin, end)
        if not usable[own].all():
            k = begin + int(usable[own].argmin())
            actor.unusable = int((~usable[own]).sum())
            actor.first_unusable = _pose_text(rows[k], log.frames[frames[k]].id)
            own = begin + np.flatnonzero(usable[own])
        actor.frames, actor.location, actor.rotation = frames[own], locations[own], rotations[own]


def _pose_text(row: np.void, frame: int) -> str:
    location, rotation = (", ".join(f"{v:g}" for v in row[name]) for name in ("location", "rotation"))
    return f"frame {frame}: x, y, z {location} m, roll, pitch, yaw {rotation}"
