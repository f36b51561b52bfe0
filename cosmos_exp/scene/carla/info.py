"""Contents of a recorder log: values ready for JSON (`scene_info`) and plain text (`format_info`).

Values keep CARLA's left-handed frame; metres, seconds, degrees (roll, pitch, yaw); non-finite values are None.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.ego import LISTED, EgoPiece, ego_lives, ego_pieces, longest
from cosmos_exp.scene.carla.packets import Packet
from cosmos_exp.scene.carla.recorded_actors import FARTHEST, RecordedActor, recorded_actors
from cosmos_exp.scene.carla.recorder import MAGIC, ActorType, Frame, RecorderLog, read_log
from cosmos_exp.scene.carla.tracks import BELOW_GROUND

SAMPLED_LIGHTS = 4  # traffic lights listed in each sampled frame
SAMPLED_LIGHT_TIMES = 3


def scene_info(log: Path | str) -> dict[str, Any]:
    """All contents of a recorder log, as plain values ready for JSON.

    Header, counts, packet counts, the ego's pieces of the log and which of them a run takes, every actor (attributes,
    parent, first and last pose, ranges, bounding box), light transitions (frame, state: 0 red, 1 yellow, 2 green, 3
    off), events, and up to seven sampled frames: the first two, the quarters, the last two. As there is no map, the
    ground of the ego's pieces is where the lowest light or sign stands. Raises UserError as `read_log` does.
    """
    recording = read_log(log)
    warnings = CountedWarnings()
    actors = recorded_actors(recording, warnings)
    data = recording.path.read_bytes()
    durations = [f.duration for f in recording.frames if 0.0 <= f.duration < math.inf]
    egos, ego = _ego(recording, actors)
    return {
        "file": recording.path.name,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "header": {
            "version": recording.version,
            "magic": MAGIC,
            "date": None if recording.date is None else int(recording.date.timestamp()),
            "map": recording.map,
        },
        "frame_count": len(recording.frames),
        "duration_s": recording.duration,
        "frame_duration": _spread(durations),
        "last_frame_duration": _round(recording.frames[-1].duration, 9),
        "packet_counts": recording.packet_counts,
        "leftover_bytes": recording.leftover_bytes,
        "actor_counts_by_type": _counts(str(a.added.type) for a in actors),
        "hero_ids": egos,
        "ego": ego,
        "actor_counts_by_type_id": _counts(a.added.type_id for a in actors),
        **_lights(recording),
        "physics_control_ids": [a.id for a in actors if a.physics is not None],
        "events": _events(recording),
        "actors": _actors(recording, actors),
        "sampled_frames": [_frame(recording.frames[i], actors) for i in _sampled(len(recording.frames))],
        "warnings": [*recording.warnings, *warnings],
    }


def _ego(recording: RecorderLog, actors: list[RecordedActor]) -> tuple[list[int], dict[str, Any]]:
    """Ids of the ego, and its role, its pieces of the log, which of them a run takes, or why there is none."""
    signals = [a.added.location[2] for a in actors if a.added.type in (ActorType.TRAFFIC_LIGHT, ActorType.TRAFFIC_SIGN)]
    ground = min((z for z in signals if abs(z) <= FARTHEST), default=0.0)
    found: dict[str, Any] = {"role": None, "pieces": [], "taken": None, "problem": None}
    egos: list[int] = []
    try:
        lives = ego_lives(actors, None)
        egos = list(dict.fromkeys(a.id for a in lives))
        found["role"] = lives[0].added.role
        pieces = ego_pieces(lives, recording.times, ground - BELOW_GROUND)
        found |= {"pieces": [_piece(piece) for piece in pieces], "taken": pieces.index(longest(pieces))}
    except UserError as error:
        found["problem"] = str(error)
    return egos, found


def _piece(piece: EgoPiece) -> dict[str, Any]:
    frames = piece.samples.stop - piece.samples.start
    return {"id": piece.actor.id, "start": piece.start, "end": piece.end, "frames": frames}


def _spread(values: list[float]) -> dict[str, float | None]:
    if not values:
        return {"min": None, "max": None, "mean": None}
    return {"min": min(values), "max": max(values), "mean": sum(values) / len(values)}


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _round(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _rounded(values: Iterable[float], digits: int = 6) -> list[float | None]:
    return [round(v, digits) if math.isfinite(v) else None for v in map(float, values)]


def _lights(recording: RecorderLog) -> dict[str, Any]:
    samples: Counter[str] = Counter()
    transitions: dict[str, list[list[int]]] = defaultdict(list)
    times: list[dict[str, Any]] = []
    for frame in recording.frames:
        rows = frame[Packet.STATE]
        for light_id, state in zip(rows["id"].tolist(), rows["state"].tolist()):
            samples[str(state)] += 1
            history = transitions[str(light_id)]
            if not history or history[-1][1] != state:
                history.append([frame.id, state])
        for row in frame[Packet.TRAFFIC_LIGHT_TIME]:
            colors = {color: _round(row[color], 6) for color in ("green", "yellow", "red")}
            times.append({"id": int(row["id"]), **colors})
    return {
        "traffic_light_state_samples": dict(sorted(samples.items())),
        "traffic_light_transitions": dict(sorted(transitions.items(), key=lambda item: int(item[0]))),
        "traffic_light_times": times[:SAMPLED_LIGHT_TIMES],
        "n_traffic_light_times": len(times),
    }


def _events(recording: RecorderLog) -> dict[str, Any]:
    frames = recording.frames
    return {
        "deleted": [[f.id, list(f.deleted)] for f in frames if f.deleted],
        "parents": [[f.id, [list(pair) for pair in f.parents]] for f in frames if f.parents],
        "collisions": sum(len(f[Packet.COLLISION]) for f in frames),
    }


def _actors(recording: RecorderLog, actors: list[RecordedActor]) -> list[dict[str, Any]]:
    spawns = _poses([a.added.location for a in actors], [a.added.rotation for a in actors])
    moved = [a for a in actors if len(a.frames)]
    firsts, lasts = _samples(recording, moved, 0), _samples(recording, moved, -1)
    low, high = (_rows([edge(a.location, axis=0) for a in moved], 4) for edge in (np.min, np.max))
    place = {id(a): k for k, a in enumerate(moved)}
    found = []
    for actor, spawn in zip(actors, spawns):
        k = place.get(id(actor))
        own = _actor(recording, actor) | {"spawn": spawn, "n_positions": len(actor.frames)}
        own |= {"first": None, "last": None} if k is None else {"first": firsts[k], "last": lasts[k]}
        own["bounding_box"] = _box(actor)
        if k is not None:
            own["range_m"] = {axis: [low[k][i], high[k][i]] for i, axis in enumerate("xyz")}
        found.append(own)
    return found


def _actor(recording: RecorderLog, actor: RecordedActor) -> dict[str, Any]:
    added = actor.added
    return {
        "id": added.id,
        "type": added.type,
        "type_id": added.type_id,
        "uid": added.description_uid,
        "added_frame": recording.frames[actor.first_frame].id,
        "removed_frame": recording.frames[actor.last_frame + 1].id if actor.deleted else None,
        "parent": actor.parent,
        "attributes": dict(added.attributes),
        "attribute_types": dict(added.attribute_types),
    }


def _box(actor: RecordedActor) -> dict[str, Any] | None:
    if actor.box_origin is None or actor.box_extent is None:
        return None
    return {"origin_m": _rounded(actor.box_origin), "extent_m": _rounded(actor.box_extent)}


def _samples(recording: RecorderLog, moved: list[RecordedActor], k: int) -> list[dict[str, Any]]:
    """The k-th sample of each actor, of those that have some."""
    frames = [recording.frames[int(a.frames[k])] for a in moved]
    poses = _poses([a.location[k] for a in moved], [a.rotation[k] for a in moved])
    return [{"frame": f.id, "elapsed": _round(f.elapsed, 9), **pose} for f, pose in zip(frames, poses)]


def _poses(locations: Any, rotations: Any) -> list[dict[str, Any]]:
    """locations, rotations: [N,3]."""
    rows = zip(_rows(locations), _rows(rotations))
    return [{"location_m": location, "roll_pitch_yaw_deg": rotation} for location, rotation in rows]


def _rows(values: Any, digits: int = 6) -> list[list[float | None]]:
    """values: [N,3]. All at once, as there may be hundreds of thousands."""
    rounded = np.round(np.asarray(values, np.float64), digits)
    if np.isfinite(rounded).all():
        return rounded.tolist()
    return [[v if math.isfinite(v) else None for v in row] for row in rounded.tolist()]


def _sampled(count: int) -> list[int]:
    wanted = (0, 1, count // 4, count // 2, 3 * count // 4, count - 2, count - 1)
    return sorted({i for i in wanted if 0 <= i < count})


def _frame(frame: Frame, actors: list[RecordedActor]) -> dict[str, Any]:
    shown = {a.id for a in actors if a.added.type in (ActorType.VEHICLE, ActorType.WALKER)}
    shown |= {a.id for a in actors if a.added.type_id == "spectator"}
    seen, moving = (_of(frame[packet], shown) for packet in (Packet.POSITION, Packet.KINEMATICS))
    lights = frame[Packet.STATE][:SAMPLED_LIGHTS]
    return {
        "frame": frame.id,
        "elapsed": _round(frame.elapsed, 9),
        "duration": _round(frame.duration, 9),
        "n_positions": len(frame[Packet.POSITION]),
        "n_traffic_lights": len(frame[Packet.STATE]),
        "platform_time": None if frame.platform_time is None else _round(frame.platform_time, 6),
        "positions": dict(zip(map(str, seen["id"].tolist()), _poses(seen["location"], seen["rotation"]))),
        "controls": {str(row["id"]): _control(row) for row in frame[Packet.ANIM_VEHICLE]},
        "lights": {str(row["id"]): int(row["mask"]) for row in frame[Packet.VEHICLE_LIGHT]},
        "kinematics": {
            str(actor): {"linear_velocity_mps": linear, "angular_velocity": angular}
            for actor, linear, angular in zip(moving["id"].tolist(), _rows(moving["linear"]), _rows(moving["angular"]))
        },
        "traffic_lights": {
            str(row["id"]): {
                "frozen": bool(row["frozen"]),
                "elapsed": _round(row["elapsed"], 6),
                "state": int(row["state"]),
            }
            for row in lights
        },
    }


def _of(rows: np.ndarray, actors: set[int]) -> np.ndarray:
    return rows[np.isin(rows["id"], np.fromiter(actors, np.int64))]


def _control(row: np.void) -> dict[str, Any]:
    return {
        "steer": _round(row["steer"], 6),
        "throttle": _round(row["throttle"], 6),
        "brake": _round(row["brake"], 6),
        "handbrake": bool(row["handbrake"]),
        "gear": int(row["gear"]),
    }


def format_info(info: dict[str, Any]) -> str:
    """Plain text: map, frames, duration, ego, vehicles and walkers one by one, the rest counted, warnings."""
    header = info["header"]
    date = header["date"]
    recorded = "at an unknown time"
    if date is not None:
        recorded = f"{datetime.fromtimestamp(date, tz=timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    duration, frames = info["duration_s"], info["frame_count"]
    rate = f", {(frames - 1) / duration:.1f} per second on average" if duration > 0 else ""
    lines = [
        f"log       {info['file']} ({info['size']} bytes, version {header['version']})",
        f"map       {header['map']}",
        f"recorded  {recorded}",
        f"frames    {frames}{rate}",
        f"duration  {duration:.3f} s",
        *_ego_lines(info),
        "",
    ]
    lines += _movers_table(info["actors"])
    lines += ["", f"all actors ({len(info['actors'])})"]
    lines += [f"  {count:4d}  {type_id}" for type_id, count in info["actor_counts_by_type_id"].items()]
    lines += [f"warning: {text}" for text in info["warnings"]]
    return "\n".join(lines)


def _ego_lines(info: dict[str, Any]) -> Iterator[str]:
    ids, ego = info["hero_ids"], info["ego"]
    models = dict.fromkeys(f"{a['id']} {a['type_id']}" for a in info["actors"] if a["id"] in ids)
    yield f"ego       {', '.join(models)} (role {ego['role']})" if ids else f"ego       none: {ego['problem']}"
    if ids and ego["problem"]:
        yield f"          {ego['problem']}"
    pieces = ego["pieces"]
    for number, piece in enumerate(pieces[:LISTED]):
        taken = "  a run takes it: the longest" if number == ego["taken"] and len(pieces) > 1 else ""
        vehicle = f"  vehicle {piece['id']}" if len(ids) > 1 else ""
        yield f"          on the map from {piece['start']:.3f} to {piece['end']:.3f} s{vehicle}{taken}"
    if len(pieces) > LISTED:
        taken = pieces[ego["taken"]]
        until = f"{taken['start']:.3f} to {taken['end']:.3f} s"
        yield f"          ... ({len(pieces)} in all); a run takes the longest, {until}"


def _movers_table(actors: list[dict[str, Any]]) -> list[str]:
    movers = [a for a in actors if a["type"] in (ActorType.VEHICLE, ActorType.WALKER)]
    if not movers:
        return ["no vehicles or walkers"]
    rows = [("id", "type", "role", "frames", "first position (m)")]
    for a in movers:
        until = "" if a["removed_frame"] is None else str(a["removed_frame"] - 1)
        place = ", ".join("-" if v is None else f"{v:.1f}" for v in a["first"]["location_m"]) if a["first"] else "never"
        role = a["attributes"].get("role_name", "")
        rows.append((str(a["id"]), a["type_id"], role, f"{a['added_frame']}-{until}", place))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths)), row[4]]) for row in rows]
