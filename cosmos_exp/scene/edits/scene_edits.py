"""Edits of a scene's tracks: drop, move, retime, copy and add, each under a name of its own.

`scene.edits` is {name: {kind: KIND, ...}}; the fields of a kind are those of its class below, `class_` written `class`.
They are applied in order, after the ego's own edit. Frames: metres, degrees, seconds after the scene's start.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np

from cosmos_exp.common.errors import UserError, ValidationErrors, unknown_name
from cosmos_exp.scene.box_overlap import overlaps
from cosmos_exp.scene.edits.added_track import Add, add_problems, added_track
from cosmos_exp.scene.edits.ego_edit import EgoEdit, edit_ego, ego_edit_problems
from cosmos_exp.scene.edits.maneuvers import yaw_matrices
from cosmos_exp.scene.types import ActorClass, Scene, Track, Trajectory

logger = logging.getLogger(__name__)

FRAMES = ("own", "world")
CLASSES = tuple(c.value for c in ActorClass)


@dataclass(frozen=True)
class Selection:
    """Tracks that meet every condition given; at least one is."""

    tracks: tuple[str, ...] = ()
    """Ids; `*` stands for any characters."""
    classes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    nearer_than: float | None = None
    """Metres: of the ego at some moment."""
    farther_than: float | None = None
    """Metres: from the ego at every moment."""


@dataclass(frozen=True)
class Drop(Selection):
    """Remove tracks."""


@dataclass(frozen=True)
class Move(Selection):
    """Displace tracks."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0
    """Degrees to the left: of every pose in place (own), or of the whole path about its first pose (world)."""
    frame: str = "own"
    """own: x forward, y left, z up of the track at every moment; world: of the world."""


@dataclass(frozen=True)
class Retime(Selection):
    """Change the timing of tracks along their paths; beyond their own time span they are extrapolated straight."""

    delay: float = 0.0
    """Seconds later; negative: earlier."""
    speed: float = 1.0
    """Times as fast."""


@dataclass(frozen=True)
class Copy:
    """A second track like an existing one, displaced as by Move and Retime; its id is the edit's name."""

    track: str = ""
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    yaw: float = 0.0
    frame: str = "own"
    delay: float = 0.0
    speed: float = 1.0


KINDS = {"drop": Drop, "move": Move, "retime": Retime, "copy": Copy, "add": Add}
Edit = Drop | Move | Retime | Copy | Add


def parse_edits(values: Mapping[str, Any] | None) -> dict[str, Edit]:
    """From the plain values of `scene.edits`; an edit that is null is left out. ValidationErrors: a kind or field that
    does not exist, or a value of the wrong type."""
    edits, errors = {}, []
    for name, value in (values or {}).items():
        if value is None:
            continue
        try:
            edits[name] = _parse_edit(f"scene.edits.{name}", value)
        except UserError as error:
            errors.append(str(error))
    if errors:
        raise ValidationErrors(errors)
    return edits


def _parse_edit(key: str, value: Any) -> Edit:
    if not isinstance(value, Mapping):
        raise UserError(f"{key}={value}: an edit is a mapping with a kind: {{kind: {' | '.join(KINDS)}, ...}}")
    values = dict(value)
    kind = values.pop("kind", None)
    if kind is None:
        raise UserError(f"{key}.kind is required: one of {', '.join(KINDS)}")
    if kind not in KINDS:
        raise UserError(f"{key}.kind: {unknown_name('kind of edit', str(kind), KINDS)}")
    return _typed(key, KINDS[kind], values)


def _typed(key: str, kind: type, values: Mapping[str, Any]) -> Any:
    types = {name.rstrip("_"): (name, hint) for name, hint in get_type_hints(kind).items()}
    for name in values:
        if name not in types:
            raise UserError(f"{key}: {unknown_name('key', str(name), types)}")
    return kind(**{types[name][0]: _value(f"{key}.{name}", types[name][1], v) for name, v in values.items()})


def _value(key: str, hint: Any, value: Any) -> Any:
    """`value` as the type `hint`: float, int, str, tuples of these, a dataclass, or None where the hint allows it."""
    options = get_args(hint) if type(None) in get_args(hint) else (hint,)
    if value is None and type(None) in options:
        return None
    wanted = options[0]
    if isinstance(wanted, type) and is_dataclass(wanted) and isinstance(value, Mapping):
        return _typed(key, wanted, value)
    if get_args(wanted):  # a tuple: a single value will do for one of any length
        element, *more = get_args(wanted)
        given = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        if more != [Ellipsis] and len(given) != 1 + len(more):
            raise UserError(f"{key}={value}: needs {1 + len(more)} values")
        return tuple(_value(key, element, part) for part in given)
    if wanted is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise UserError(f"{key}={value}: must be a finite number")
        return float(value)
    if wanted is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if wanted is str and isinstance(value, (str, int)):  # a track's id may look like a number
        return str(value)
    names = {float: "a number", int: "a whole number", str: "a name"}
    raise UserError(f"{key}={value}: must be {names.get(wanted, 'a mapping')}")


def edit_problems(edits: Mapping[str, Edit], duration: float = math.inf) -> Iterator[str]:
    """Problems of edits in a scene of `duration` seconds, as far as it can be checked without the scene."""
    for name, edit in edits.items():
        key = f"scene.edits.{name}"
        if isinstance(edit, Selection):
            yield from _selection_problems(key, edit)
        if isinstance(edit, Copy) and not edit.track:
            yield f"{key}.track is required: the id of the track to copy"
        if isinstance(edit, (Move, Copy)) and edit.frame not in FRAMES:
            yield f"{key}.frame: {unknown_name('frame', edit.frame, FRAMES)}"
        if isinstance(edit, (Retime, Copy)) and not 0.01 <= edit.speed <= 100:
            yield f"{key}.speed={edit.speed:g}: must be 0.01 to 100; nearest is {min(max(edit.speed, 0.01), 100):g}"
        if isinstance(edit, Add):
            yield from add_problems(key, edit, duration)


def _selection_problems(key: str, edit: Selection) -> Iterator[str]:
    for name in edit.classes:
        if name not in CLASSES:
            yield f"{key}.classes: {unknown_name('class', name, CLASSES)}"
    for name in ("nearer_than", "farther_than"):
        distance = getattr(edit, name)
        if distance is not None and distance < 0:
            yield f"{key}.{name}={distance:g}: a distance is 0 m or more"
    conditions = [entry.name for entry in fields(Selection)]
    if all(getattr(edit, name) in ((), None) for name in conditions):
        yield f"{key}: says no tracks; give one or more of {', '.join(conditions)}"


def edit_tracks(scene: Scene, edits: Mapping[str, Edit]) -> Scene:
    """The scene after the edits, in order; recorded LiDAR, which shows the unedited tracks, is removed.

    Raises ValidationErrors as `edit_problems` finds, and UserError naming the nearest where the scene has no such
    track, role or lane.
    """
    problems = list(edit_problems(edits, scene.duration))
    if problems:
        raise ValidationErrors(problems)
    for name, edit in edits.items():
        try:
            tracks = _edited(scene, name, edit)
        except UserError as error:
            raise UserError(f"scene.edits.{name}: {error}") from None
        scene = replace(scene, tracks=tuple(tracks), sweeps=None)
    return scene


def _edited(scene: Scene, name: str, edit: Edit) -> list[Track]:
    if isinstance(edit, (Add, Copy)):
        if name in [track.id for track in scene.tracks]:
            raise UserError("a track of this id exists already: give the edit another name")
        return [*scene.tracks, added_track(scene, name, edit) if isinstance(edit, Add) else _copied(scene, name, edit)]
    chosen = selected(scene, edit)
    logger.info("scene.edits.%s: %s", name, ", ".join(sorted(chosen)) or "no track meets its conditions")
    if isinstance(edit, Drop):
        return [track for track in scene.tracks if track.id not in chosen]
    if isinstance(edit, Move):
        return [_moved(track, edit) if track.id in chosen else track for track in scene.tracks]
    return [_retimed(track, edit) if track.id in chosen else track for track in scene.tracks]


def selected(scene: Scene, edit: Selection) -> set[str]:
    """Ids of the tracks that meet every condition. UserError for an id or role that no track of the scene has."""
    ids, roles = [track.id for track in scene.tracks], sorted({track.role for track in scene.tracks} - {""})
    for pattern in edit.tracks:
        if not any(fnmatchcase(name, pattern) for name in ids):
            raise UserError(unknown_name("track", pattern, ids))
    for role in edit.roles:
        if role not in roles:
            raise UserError(unknown_name("role", role, roles))
    return {track.id for track in scene.tracks if _meets(scene, track, edit)}


def _meets(scene: Scene, track: Track, edit: Selection) -> bool:
    if edit.tracks and not any(fnmatchcase(track.id, pattern) for pattern in edit.tracks):
        return False
    if edit.classes and track.actor_class.value not in edit.classes:
        return False
    if edit.roles and track.role not in edit.roles:
        return False
    if edit.nearer_than is None and edit.farther_than is None:
        return True
    distance = nearest_approach(scene, track)
    return (edit.nearer_than is None or distance < edit.nearer_than) and (
        edit.farther_than is None or distance > edit.farther_than
    )


def nearest_approach(scene: Scene, track: Track, step: float = 0.1) -> float:
    """Smallest distance, metres, between the centres of ego and track while both are there; infinite where never."""
    times = np.array([t for t in np.arange(scene.start, scene.end + step / 2, step) if track.exists_at(t)])
    if not len(times):
        return math.inf
    offsets = track.trajectory.sample(times)[:, :3, 3] - scene.ego.trajectory.sample(times)[:, :3, 3]
    return float(np.linalg.norm(offsets, axis=1).min())


def _moved(track: Track, edit: Move | Copy) -> Track:
    turn, poses = yaw_matrices(np.array([math.radians(edit.yaw)]))[0], track.trajectory.poses
    shift = np.eye(4)
    shift[:3, 3] = edit.x, edit.y, edit.z
    if edit.frame == "own":
        poses = poses @ (shift @ turn)
    else:
        first = np.eye(4)
        first[:3, 3] = poses[0, :3, 3]
        poses = shift @ first @ turn @ np.linalg.inv(first) @ poses
    return replace(track, trajectory=Trajectory(track.trajectory.times, poses))


def _retimed(track: Track, edit: Retime | Copy) -> Track:
    """Exists as long as before; extrapolated straight where the new timing leaves its ends open."""
    own = track.trajectory
    times = own.times[0] + (own.times - own.times[0]) / edit.speed + edit.delay
    retimed = Trajectory(times, own.poses)
    if len(times) == 1:
        return track
    first, last = own.times[0], own.times[-1]
    inside = times[(times > first + 1e-6) & (times < last - 1e-6)]
    wanted = np.concatenate([[first], inside, [last]])
    poses = retimed.sample(wanted)
    for late, end, before in ((wanted - times[-1], -1, -2), (times[0] - wanted, 0, 1)):
        velocity = (own.poses[end, :3, 3] - own.poses[before, :3, 3]) / abs(times[end] - times[before])
        poses[:, :3, 3] += np.maximum(late, 0.0)[:, None] * velocity
    return replace(track, trajectory=Trajectory(wanted, poses))


def _copied(scene: Scene, name: str, edit: Copy) -> Track:
    tracks = {track.id: track for track in scene.tracks}
    if edit.track not in tracks:
        raise UserError(unknown_name("track", edit.track, tracks))
    return replace(_moved(_retimed(tracks[edit.track], edit), edit), id=name)


def apply_edits(scene: Scene, ego_edit: EgoEdit, edits: Mapping[str, Any] | None = None) -> Scene:
    """The scene after the edit of the ego and then `scene.edits`, as plain values; collisions of the ego are logged.

    Raises UserError as `edit_ego` and `edit_tracks` do.
    """
    edited = edit_tracks(edit_ego(scene, ego_edit), parse_edits(edits))
    if edited is not scene:
        for name, (first, last) in collisions(edited).items():
            logger.warning("the edited scene's ego overlaps %s from %.1f s to %.1f s", name, first, last)
    return edited


def collisions(scene: Scene, step: float = 0.1) -> dict[str, tuple[float, float]]:
    """{id of a track whose box overlaps the ego's: first and last such time in seconds}, looked at every `step` s."""
    found: dict[str, tuple[float, float]] = {}
    for t in np.arange(scene.start, scene.end + step / 2, step):
        ego, tracks = scene.ego.trajectory.at(t), [track for track in scene.tracks if track.exists_at(t)]
        if not tracks:
            continue
        poses, sizes = np.stack([track.trajectory.at(t) for track in tracks]), np.array([t.size for t in tracks])
        others = (poses[:, None, :2, 3], _headings(poses)[:, None], sizes[:, :2])
        touching = overlaps(ego[None, :2, 3], _headings(ego[None]), np.array(scene.ego.size[:2]), others, margin=0.0)
        touching &= np.abs(poses[:, 2, 3] - ego[2, 3]) < (sizes[:, 2] + scene.ego.size[2]) / 2
        for i in np.flatnonzero(touching):
            found[tracks[i].id] = found.get(tracks[i].id, (float(t),))[0], float(t)
    return found


def _headings(poses: np.ndarray) -> np.ndarray:
    return np.arctan2(poses[:, 1, 0], poses[:, 0, 0])


def config_problems(ego_edit: EgoEdit, edits: Mapping[str, Any], duration: float) -> Iterator[str]:
    """Problems of the edits of a scene of `duration` seconds, as far as they can be checked without it."""
    yield from ego_edit_problems(ego_edit, duration)
    try:
        yield from edit_problems(parse_edits(edits), duration)
    except ValidationErrors as error:
        yield from error.errors


def edit_identity(ego_edit: EgoEdit, edits: Mapping[str, Any]) -> tuple[dict[str, Any], list[Path]]:
    """For the cache: the edits of a scene, empty where there are none, and the files that they read."""
    parts = {} if ego_edit == EgoEdit() else {"ego": asdict(ego_edit)}
    for name, edit in parse_edits(edits).items():
        parts[f"edits.{name}"] = {"kind": type(edit).__name__} | asdict(edit)
    files = [Path(part["poses"]) for part in parts.values() if part.get("poses")]
    return {name: part | {"poses": Path(part.get("poses") or "").name} for name, part in parts.items()}, files
