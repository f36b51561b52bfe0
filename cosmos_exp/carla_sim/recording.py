"""What the server tells of a recorder log, as CARLA words it: file info, collisions, actors that are blocked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from cosmos_exp.scene.carla.packets import ActorAdded, Packet, PhysicsControl
from cosmos_exp.scene.carla.recorder import ActorType, Frame, RecorderLog

LETTERS = {int(ActorType.VEHICLE): "v", int(ActorType.WALKER): "w", int(ActorType.TRAFFIC_LIGHT): "t"}
ENGINE_NAMES = (
    "max_rpm", "MOI", "damping_rate_full_throttle", "damping_rate_zero_throttle_clutch_engaged",
    "damping_rate_zero_throttle_clutch_disengaged", "use_gear_auto_box", "clutch_strength", "final_ratio",
)  # fmt: skip
WHEEL_NAMES = ("tire_friction", "damping_rate", "max_steer_angle", "radius", "max_brake_torque", "max_handbrake_torque")
LAMPS = (
    "Position", "LowBeam", "HighBeam", "Brake", "RightBlinker", "LeftBlinker", "Reverse", "Fog", "Interior",
    "Special1", "Special2",
)  # fmt: skip


def file_info(log: RecorderLog, *, show_all: bool = False) -> str:
    """The text of `show_recorder_file_info`: the frames with an event, or all of them with all their packets."""
    lines = _header(log)
    for frame in log.frames:
        told = [*_events(frame), *(_packets(frame) if show_all else ())]
        if told or show_all:
            lines.append(f"Frame {frame.id} at {frame.elapsed:g} seconds")
            lines += told
    return "\n".join([*lines, "", *_footer(log)]) + "\n"


def collisions(log: RecorderLog, kind1: str = "a", kind2: str = "a") -> str:
    """The text of `show_recorder_collisions`: pairs of kinds that collided, each pair once while it lasts.

    kind1, kind2: h hero, v vehicle, w walker, t traffic light, o other, a any.
    """
    lines = [*_header(log), f"{'Time':>8} {'Types':>6} {'Id':>6} {'Actor 1':<35} {'Id':>6} {'Actor 2':<35}"]
    actors: dict[int, ActorAdded] = {}
    before: set[tuple[int, int]] = set()
    for frame in log.frames:
        actors.update((actor.id, actor) for actor in frame.added)
        now = set()
        for row in frame[Packet.COLLISION]:
            pair = (int(row["id1"]), int(row["id2"]))
            now.add(pair)
            kinds = [_kinds(actors.get(i), bool(row[hero])) for i, hero in zip(pair, ("hero1", "hero2"))]
            if pair in before or kind1 not in kinds[0] or kind2 not in kinds[1]:
                continue
            shown = [f"{i:>6} {actors[i].type_id if i in actors else '':<35}" for i in pair]
            lines.append(f"{frame.elapsed:>8.0f}   {kinds[0][0]} {kinds[1][0]}  {shown[0]} {shown[1]}")
        before = now
    return "\n".join([*lines, "", *_footer(log)]) + "\n"


def _kinds(actor: ActorAdded | None, hero: bool) -> str:
    """The letters that an actor answers to, its own first. What is no actor is another."""
    return LETTERS.get(0 if actor is None else actor.type, "o") + "a" + ("h" if hero else "")


def blocked_actors(log: RecorderLog, min_time: float = 30.0, min_distance: float = 10.0) -> str:
    """The text of `show_recorder_actors_blocked`: actors that moved less than `min_distance` for `min_time` or more.

    min_time: seconds. min_distance: centimetres. The longest stays come first. As in CARLA, props count too.
    """
    stays = [stay for stay in _stays(log, min_distance / 100) if stay[2] >= min_time]
    lines = [*_header(log), f"{'Time':>8} {'Id':>6} {'Actor':<35} {'Duration':>10}"]
    for start, actor, duration in sorted(stays, key=lambda stay: -stay[2]):
        lines.append(f"{start:>8.0f} {actor.id:>6} {actor.type_id:<35} {duration:>10.0f}")
    return "\n".join([*lines, "", *_footer(log)]) + "\n"


def _stays(log: RecorderLog, distance: float) -> Iterator[tuple[float, ActorAdded, float]]:
    """(from when, the actor, for how long) of every stay within `distance` metres."""
    actors: dict[int, ActorAdded] = {}
    places: dict[int, tuple[np.ndarray, float]] = {}

    def ended(number: int, end: float) -> tuple[float, ActorAdded, float]:
        since = places.pop(number)[1]
        return since, actors[number], end - since

    for frame in log.frames:
        actors.update((actor.id, actor) for actor in frame.added)
        for number, place in zip(frame[Packet.POSITION]["id"].tolist(), frame[Packet.POSITION]["location"]):
            if number in places and np.linalg.norm(place - places[number][0]) >= distance:
                yield ended(number, frame.elapsed)
            if number in actors:
                places.setdefault(number, (place, frame.elapsed))
        yield from (ended(number, frame.elapsed) for number in frame.deleted if number in places)
    yield from (ended(number, log.duration) for number in list(places))


def _header(log: RecorderLog) -> list[str]:
    date = "" if log.date is None else f"{log.date:%m/%d/%y %H:%M:%S}"
    return [f"Version: {log.version}", f"Map: {log.map}", f"Date: {date}", ""]


def _footer(log: RecorderLog) -> list[str]:
    return [f"Frames: {log.frames[-1].id}", f"Duration: {log.duration:g} seconds"]


def _events(frame: Frame) -> Iterator[str]:
    for actor in frame.added:
        x, y, z = (100 * value for value in actor.location)
        yield f" Create {actor.id}: {actor.type_id} ({int(actor.type)}) at ({x:g}, {y:g}, {z:g})"
        yield from (f"  {name} = {value}" for name, value in actor.attributes.items())
    yield from (f" Destroy {number}" for number in frame.deleted)
    yield from (f" Parenting {child} with {parent} (parent)" for child, parent in frame.parents)
    for row in frame[Packet.COLLISION]:
        heroes = [" (hero) " if row[name] else "" for name in ("hero1", "hero2")]
        yield f" Collision id {row['seq']} between {row['id1']}{heroes[0]} with {row['id2']}{heroes[1]}"


def _packets(frame: Frame) -> Iterator[str]:
    """What `show_all` adds: the rows of the packets, one by one."""
    for packet, (title, told) in TOLD.items():
        if packet in frame.lists:
            rows = frame[packet]
            yield f" {title}: {len(rows)}"
            yield from (f"  Id: {row['id']} {told(row)}" for row in rows)
    if frame.platform_time is not None:
        yield f" Current platform time: {frame.platform_time:g}"
    if frame.physics:
        yield f" Physics Control events: {len(frame.physics)}"
        for physics in frame.physics:
            yield from _physics(physics)


def _physics(physics: PhysicsControl) -> Iterator[str]:
    values = dict(zip(ENGINE_NAMES, physics.engine), mass=physics.mass, drag_coefficient=physics.drag)
    yield f"  Id: {physics.id}"
    for name, value in values.items():
        yield f"   {name} = {str(value).lower() if isinstance(value, bool) else f'{value:g}'}"
    torque, gears, steering = physics.curves
    yield f"   center_of_mass = {_vector(physics.centre_of_mass)}"
    yield f"   torque_curve = {' '.join(map(_vector, torque))}"
    yield f"   steering_curve = {' '.join(map(_vector, steering))}"
    yield "   forward_gears:"
    for number, gear in enumerate(gears):
        yield f"    gear {number}: ratio {gear[0]:g} down_ratio {gear[1]:g} up_ratio {gear[2]:g}"
    yield "   wheels:"
    for number, wheel in enumerate(physics.wheels):
        told = " ".join(f"{name} {value:g}" for name, value in zip(WHEEL_NAMES, wheel))
        yield f"    wheel {number}: {told} position {_vector(wheel[9:12])}"


def _vector(values: Iterable[float], scale: float = 1.0) -> str:
    return "(" + ", ".join(f"{scale * float(value):g}" for value in values) + ")"


def _lamps(row: np.void) -> str:
    on = [name for bit, name in enumerate(LAMPS) if int(row["mask"]) >> bit & 1]
    return " ".join(on) or "None"


def _scene_light(row: np.void) -> str:
    return f"enabled: {bool(row['on'])} intensity: {row['intensity']:g} RGB_color: {_vector(row['color'][:3])}"


TOLD: dict[Packet, tuple[str, Callable[[np.void], str]]] = {
    Packet.POSITION: (
        "Positions",
        lambda row: f"Location: {_vector(row['location'], 100)} Rotation: {_vector(row['rotation'])}",
    ),
    Packet.STATE: (
        "State traffic lights",
        lambda row: f"state: {row['state']} frozen: {int(row['frozen'])} elapsedTime: {row['elapsed']:g}",
    ),
    Packet.ANIM_VEHICLE: (
        "Vehicle animations",
        lambda row: (
            f"Steering: {row['steer']:g} Throttle: {row['throttle']:g} Brake: {row['brake']:g} "
            f"Handbrake: {int(row['handbrake'])} Gear: {row['gear']}"
        ),
    ),
    Packet.ANIM_WALKER: ("Walker animations", lambda row: f"speed: {row['speed']:g}"),
    Packet.VEHICLE_LIGHT: ("Vehicle light animations", _lamps),
    Packet.SCENE_LIGHT: ("Scene light changes", _scene_light),
    Packet.KINEMATICS: (
        "Dynamic actors",
        lambda row: f"linear_velocity: {_vector(row['linear'])} angular_velocity: {_vector(row['angular'])}",
    ),
    Packet.BOUNDING_BOX: (
        "Actor bounding boxes",
        lambda row: f"origin: {_vector(row['origin'], 100)} extension: {_vector(row['extent'], 100)}",
    ),
    Packet.TRIGGER_VOLUME: (
        "Actor trigger volumes",
        lambda row: f"origin: {_vector(row['origin'], 100)} extension: {_vector(row['extent'], 100)}",
    ),
    Packet.TRAFFIC_LIGHT_TIME: (
        "Traffic light time events",
        lambda row: f"green_time: {row['green']:g} yellow_time: {row['yellow']:g} red_time: {row['red']:g}",
    ),
}
"""Packets by what CARLA calls them, and the words for a row. Lengths in centimetres, as stored."""
