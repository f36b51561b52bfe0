"""Recorded CARLA actors -> tracks of the scene."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.scene.carla.axes import carla_rotation, flu_points, flu_poses
from cosmos_exp.scene.carla.recorded_actors import RecordedActor
from cosmos_exp.scene.carla.recorder import ActorType
from cosmos_exp.scene.types import ActorClass, Track, Trajectory

BELOW_GROUND = 50.0  # metres under the map's lowest point: scenario runners park actors there
LARGEST_BOX = 30.0
SMALLEST_PROP = 0.1  # metres: lowest height of a prop worth a cuboid
PROP_COLOR = (0.36, 0.33, 0.29)
BIKE_HEIGHT = 1.1  # metres: CARLA's boxes of two-wheelers may include the rider
RIDER_SIZE = (0.55, 0.5, 1.25)
SADDLE = 0.45  # metres above the ground at which a rider's cuboid begins
COLOR = re.compile(r"\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*,\s*([0-9]{1,3})\s*")
SHOWN = 20  # characters of a value in a warning
WHEELBASE_SHARE = 0.58  # wheelbase over length, typical of passenger cars, where the log has no wheels

BASE_TYPES = {
    "car": ActorClass.CAR,
    "van": ActorClass.CAR,
    "truck": ActorClass.TRUCK,
    "bus": ActorClass.BUS,
    "train": ActorClass.TRAIN,
    "motorcycle": ActorClass.MOTORCYCLE,
    "bicycle": ActorClass.BICYCLE,
}
# Blueprint name parts, for logs written before the attribute base_type existed (0.9.14).
MODELS = {
    ActorClass.BICYCLE: ("crossbike", "century", "omafiets"),
    ActorClass.MOTORCYCLE: ("harley", "yamaha", "kawasaki", "vespa"),
    ActorClass.TRUCK: ("firetruck", "carlacola", "european_hgv"),
    ActorClass.BUS: ("fusorosa", "bus"),
}
# (length, width, height) metres of actors whose box the log lacks (recorded without additional data).
DEFAULT_SIZES = {
    ActorClass.CAR: (4.6, 1.9, 1.55),
    ActorClass.TRUCK: (7.0, 2.5, 3.2),
    ActorClass.BUS: (10.3, 3.0, 4.2),
    ActorClass.TRAIN: (20.0, 3.0, 3.8),
    ActorClass.MOTORCYCLE: (2.2, 0.8, 1.5),
    ActorClass.BICYCLE: (1.8, 0.6, 1.6),
    ActorClass.PEDESTRIAN: (0.5, 0.5, 1.8),
}


@dataclass(frozen=True)
class Box:
    """Cuboid in the actor's frame: centre [3] and (length, width, height), FLU metres."""

    centre: np.ndarray
    size: tuple[float, float, float]


def actor_class(actor: RecordedActor) -> ActorClass:
    """Class by the attribute base_type, else by the blueprint's name, else by its wheels."""
    added = actor.added
    if added.type == ActorType.WALKER:
        return ActorClass.PEDESTRIAN
    if added.type != ActorType.VEHICLE:
        return ActorClass.OTHER
    base = added.attributes.get("base_type", "").lower()
    if base in BASE_TYPES:
        return BASE_TYPES[base]
    for kind, parts in MODELS.items():
        if any(part in added.type_id.lower() for part in parts):
            return kind
    return ActorClass.MOTORCYCLE if added.attributes.get("number_of_wheels") == "2" else ActorClass.CAR


def recorded_box(actor: RecordedActor) -> Box | None:
    """The log's bounding box; None where it has none or one that is not finite, empty or absurdly large."""
    origin, extent = actor.box_origin, actor.box_extent
    if origin is None or extent is None or not np.isfinite([*origin, *extent]).all():
        return None
    if (extent <= 0.01).any() or (2 * extent > LARGEST_BOX).any() or (np.abs(origin) > LARGEST_BOX).any():
        return None
    length, width, height = (float(2 * e) for e in extent)
    return Box(flu_points(origin), (length, width, height))


def actor_box(actor: RecordedActor, warnings: CountedWarnings) -> Box:
    """The recorded box, else the class's default standing on the actor's origin (or, for walkers, around it)."""
    box = recorded_box(actor)
    if box is not None:
        return box
    kind = actor_class(actor)
    size = DEFAULT_SIZES[kind]
    place = f"actor {actor.id} ({actor.added.type_id}), taken as {size[0]:g} x {size[1]:g} x {size[2]:g} m"
    warnings.add("actor without a usable bounding box", place)
    raised = 0.0 if kind is ActorClass.PEDESTRIAN else size[2] / 2
    return Box(np.array([0.0, 0.0, raised]), size)


def is_traffic(actor: RecordedActor) -> bool:
    return actor.added.type in (ActorType.VEHICLE, ActorType.WALKER)


def is_drawable_prop(actor: RecordedActor) -> bool:
    """Props of their own kind with a usable box. The map's own movables (`static.prop.mesh`: chairs, tables, bins,
    with boxes of arbitrary scale), the spectator and sensors are not part of a scene."""
    added = actor.added
    if added.type != ActorType.OTHER or not added.type_id.startswith("static.prop."):
        return False
    box = recorded_box(actor)
    return added.type_id != "static.prop.mesh" and box is not None and box.size[2] >= SMALLEST_PROP


def left_out(actors: list[RecordedActor]) -> dict[str, int]:
    """Number of actors per blueprint that become no track, apart from sensors, lights and signs."""
    others = [a for a in actors if a.added.type == ActorType.OTHER and not is_drawable_prop(a)]
    return dict(Counter(a.added.type_id for a in others))


def trajectory(actor: RecordedActor, samples: slice, box: Box, times: np.ndarray) -> Trajectory:
    """The path of the cuboid's centre. times: [frames] seconds of the log's frames."""
    to_centre = np.eye(4)
    to_centre[:3, 3] = box.centre
    poses = flu_poses(actor.location[samples], actor.rotation[samples])
    return Trajectory(times[actor.frames[samples]], poses @ to_centre)


def tracks_of(
    actor: RecordedActor, times: np.ndarray, floor: float, warnings: CountedWarnings, *, start: float, end: float
) -> Iterator[Track]:
    """One track per piece of the actor's path that overlaps [start, end], cut to it plus one sample on either side.

    A two-wheeler's rider, which CARLA makes part of the vehicle, is a track of its own. floor: world z, metres, below
    which an actor is not there.
    """
    runs = list(actor.continuous_runs(times, floor))
    for part in actor_parts(actor, warnings):
        for i, run in enumerate(runs):
            window = around(times[actor.frames[run]], start, end)
            if window is not None:
                name = f"{actor.id}_{i}" if i else f"{actor.id}"
                model, role = actor.added.type_id, actor.added.role
                samples = slice(run.start + window.start, run.start + window.stop)
                path = trajectory(actor, samples, part.box, times)
                yield Track(name + part.suffix, part.kind, part.box.size, path, part.color, model, role)


@dataclass(frozen=True)
class Part:
    """What is drawn of an actor. suffix: of the track's id. color: RGB in 0..1 where known."""

    kind: ActorClass
    box: Box
    suffix: str
    color: tuple[float, float, float] | None


def actor_parts(actor: RecordedActor, warnings: CountedWarnings) -> list[Part]:
    """The actor itself, and of a two-wheeler its rider."""
    kind, box = actor_class(actor), actor_box(actor, warnings)
    color = vehicle_color(actor, warnings) or (PROP_COLOR if kind is ActorClass.OTHER else None)
    if kind not in (ActorClass.BICYCLE, ActorClass.MOTORCYCLE):
        return [Part(kind, box, "", color)]
    return [Part(kind, _lowered(box), "", color), Part(ActorClass.RIDER, _rider(box), "_rider", None)]


def _underside(box: Box) -> float:
    return float(box.centre[2]) - box.size[2] / 2


def _lowered(box: Box) -> Box:
    length, width, height = box.size
    height = min(height, BIKE_HEIGHT)
    return Box(np.array([*box.centre[:2], _underside(box) + height / 2]), (length, width, height))


def _rider(box: Box) -> Box:
    return Box(np.array([*box.centre[:2], _underside(box) + SADDLE + RIDER_SIZE[2] / 2]), RIDER_SIZE)


def around(times: np.ndarray, start: float, end: float) -> slice | None:
    """Those of the ascending times that bracket [start, end]; None where all lie on one side."""
    if times[-1] < start or times[0] > end:
        return None
    first = max(int(np.searchsorted(times, start, side="right")) - 1, 0)
    last = min(int(np.searchsorted(times, end, side="left")), len(times) - 1)
    return slice(first, last + 1)


def vehicle_color(actor: RecordedActor, warnings: CountedWarnings) -> tuple[float, float, float] | None:
    """RGB in 0..1 from the attribute `color` ("r,g,b" in 0..255), None where it has none."""
    given = actor.added.attributes.get("color", "")
    if not given:
        return None
    found = COLOR.fullmatch(given)
    if not found or max(map(int, found.groups())) > 255:
        shown = given if len(given) <= SHOWN else f"{given[:SHOWN]}... ({len(given)} characters)"
        warnings.add("color that is not r,g,b, each 0 to 255, ignored", f"{shown!r} of actor {actor.id}")
        return None
    red, green, blue = (int(part) / 255 for part in found.groups())
    return red, green, blue


def rear_axle(actor: RecordedActor, box: Box) -> np.ndarray:
    """[3] the point on the ground below the rear axle, in the actor's frame (FLU).

    From the recorded wheel positions where they make sense, else WHEELBASE_SHARE of the length, centred. The ground is
    the underside of the bounding box.
    """
    x = _rear_wheels_x(actor)
    if x is None:
        x = float(box.centre[0]) - WHEELBASE_SHARE / 2 * box.size[0]
    return np.array([x, 0.0, _underside(box)])


def _rear_wheels_x(actor: RecordedActor) -> float | None:
    if actor.physics is None or len(actor.physics.wheels) < 2:
        return None
    sample = np.flatnonzero(actor.frames == actor.physics_frame)
    if len(sample) == 0:
        return None
    k = int(sample[0])
    with np.errstate(invalid="ignore", over="ignore"):  # numbers that are not finite are refused below
        local = (actor.physics.wheel_positions - actor.location[k]) @ carla_rotation(actor.rotation[k])
    x = np.sort(local[:, 0])
    half = len(x) // 2
    rear, front = float(x[:half].mean()), float(x[half:].mean())
    plausible = np.isfinite(x).all() and 0.5 < front - rear < LARGEST_BOX and abs(rear) < LARGEST_BOX / 2
    return rear if plausible else None
