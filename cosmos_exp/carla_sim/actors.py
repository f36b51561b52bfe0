"""Actors of the simulated world, and what the client is told of them."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np

from cosmos_exp.carla_sim.messages import ACTOR_MOTION, ALIVE, LIGHT_STATE, UNION, VEHICLE_STATE, WALKER_STATE, floats
from cosmos_exp.carla_sim.transforms import ORIGIN, Transform
from cosmos_exp.carla_sim.versions import Version
from cosmos_exp.scene.carla.packets import ActorAdded
from cosmos_exp.scene.carla.recorder import ActorType, actor_type

RIGID, SPRING_ARM, SPRING_ARM_GHOST = 0, 1, 2
BOOL, INT, FLOAT, STRING, COLOR = 1, 2, 3, 4, 5  # types of attributes as the client counts them
SPEED_LIMIT = 30.0  # km/h, where the map has no lower one
Attributes = Mapping[str, tuple[int, str]]  # {name: (type, value)}
TEXTS = ("role_name", "ros_name", "object_type", "base_type", "special_type")  # attributes that are always text


def attribute_type(name: str, value: str) -> int:
    """Type of an attribute, from its text: the tags in logs differ between versions."""
    if name in TEXTS:
        return STRING
    if value.lower() in ("true", "false"):
        return BOOL
    for kind, form in ((INT, r"[+-]?\d+"), (FLOAT, r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?"), (COLOR, r"\d+,\d+,\d+")):
        if re.fullmatch(form, value, re.IGNORECASE):
            return kind
    return STRING


# Classes of CARLA's semantic segmentation that actors belong to.
VEHICLE_TAGS = {"car": 14, "truck": 15, "bus": 16, "train": 17, "motorcycle": 18, "bicycle": 19, "van": 14}
KIND_TAGS = {ActorType.WALKER: 12, ActorType.TRAFFIC_LIGHT: 7, ActorType.TRAFFIC_SIGN: 8}


@dataclass
class VehicleControl:
    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: int = 0


@dataclass
class LightPhase:
    """A traffic light's state (0 red, 1 yellow, 2 green, 3 off, 4 unknown) and its times, seconds."""

    state: int = 0
    green: float = 10.0
    yellow: float = 3.0
    red: float = 2.0
    elapsed: float = 0.0
    frozen: bool = False
    pole: int = 0
    sign_id: str = ""


@dataclass
class Actor:
    """One actor. transform: in the world; relative: to the parent's, where it has one.

    box_center, box_extent: [3] metres in the actor's frame (CARLA's). velocity m/s, angular velocity deg/s. driven:
    by a recording, which then sets its transform.
    """

    id: int
    type_id: str
    transform: Transform
    attributes: Attributes = field(default_factory=dict)
    description: int = 0
    parent: int = 0
    relative: Transform | None = None
    attachment: int = RIGID
    box_center: np.ndarray = field(default_factory=lambda: np.zeros(3))
    box_extent: np.ndarray = field(default_factory=lambda: np.zeros(3))
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))
    angular_velocity: np.ndarray = field(default_factory=lambda: np.zeros(3))
    acceleration: np.ndarray = field(default_factory=lambda: np.zeros(3))
    control: VehicleControl = field(default_factory=VehicleControl)
    light: LightPhase = field(default_factory=LightPhase)
    lamps: int = 0  # bits of the vehicle's lights
    driven: bool = False
    carries: int = 0  # actors that are attached to it
    measured: float | None = None  # seconds at which a sensor last sent something
    walker_speed: float = 0.0
    walker_direction: np.ndarray = field(default_factory=lambda: np.zeros(3))
    speed_limit: float = SPEED_LIMIT
    at_light: int = 0  # the traffic light that holds the vehicle
    physics: bool = True  # does it move by its controls?
    constant_velocity: np.ndarray | None = None  # in its own frame, held whatever the controls say
    _packed: tuple[tuple, bytes] = field(default=((), b""), init=False, repr=False)

    def __post_init__(self) -> None:
        self.kind = actor_type(self.type_id)

    @property
    def is_sensor(self) -> bool:
        return self.kind is ActorType.SENSOR

    @property
    def role(self) -> str:
        return self.attribute("role_name", "")

    def is_due(self, elapsed: float) -> bool:
        """Whether a sensor is to measure at a time: its `sensor_tick` has passed since it last did."""
        try:
            every = float(self.attribute("sensor_tick", "0"))
        except ValueError:
            every = 0.0
        return self.measured is None or elapsed - self.measured >= every - 1e-6

    def attribute(self, name: str, default: str) -> str:
        return self.attributes[name][1] if name in self.attributes else default

    @property
    def added(self) -> ActorAdded:
        """The actor in a log: where it was spawned, relative to its parent where it has one."""
        place = self.relative or self.transform
        x, y, z = place.location.tolist()
        roll, pitch, yaw = place.rotation.tolist()
        values = {name: value for name, (_, value) in self.attributes.items()}
        kinds = {name: kind for name, (kind, _) in self.attributes.items()}
        return ActorAdded(
            self.id, int(self.kind), self.type_id, self.description, (x, y, z), (roll, pitch, yaw), values, kinds
        )

    @property
    def tags(self) -> bytes:
        """Semantic classes."""
        if self.kind is ActorType.VEHICLE:
            wheels = "motorcycle" if self.attribute("number_of_wheels", "4") == "2" else "car"
            base = self.attribute("base_type", wheels).lower()
            return bytes([VEHICLE_TAGS.get(base, VEHICLE_TAGS["car"])])
        tag = KIND_TAGS.get(self.kind)
        if tag is None and self.type_id.startswith("static.prop."):
            tag = 20
        return bytes([]) if tag is None else bytes([tag])

    def box(self, *, with_actor: bool) -> list[Any]:
        """[location, extent, rotation, id], in the actor's frame."""
        values: list[Any] = [self.box_center.tolist(), self.box_extent.tolist(), [0.0, 0.0, 0.0]]
        return [*values, self.id] if with_actor else values

    def wire(self, token: bytes, version: Version) -> list[Any]:
        """As the client's `Actor`."""
        shift = version.first_attribute_type - BOOL
        attributes = [[name, kind + shift, value] for name, (kind, value) in self.attributes.items()]
        description = [self.description, self.type_id, attributes]
        return [self.id, self.parent, description, self.box(with_actor=version.box_has_actor), self.tags, token]

    def state(self, light_states: Mapping[int, int]) -> bytes:
        """What a snapshot tells of the actor. light_states: {id: state} of the traffic lights."""
        return self._motion() + self._union(light_states).ljust(UNION, b"\0")

    def _motion(self) -> bytes:
        """ACTOR_MOTION, packed again where one of its values is another object: most actors stand still."""
        now = (self.transform, self.velocity, self.angular_velocity, self.acceleration)
        before, packed = self._packed
        if not all(a is b for a, b in zip_longest(now, before)):
            moving = (value for vector in now[1:] for value in vector.tolist())
            packed = ACTOR_MOTION.pack(self.id, ALIVE, *floats(self.transform), *moving)
            self._packed = now, packed
        return packed

    def _union(self, light_states: Mapping[int, int]) -> bytes:
        if self.kind is ActorType.VEHICLE:
            control, at = self.control, self.at_light
            state = light_states.get(at, 2)  # green where no light holds it
            return VEHICLE_STATE.pack(
                control.throttle, control.steer, control.brake, control.hand_brake, control.reverse,
                control.manual_gear_shift, control.gear, self.speed_limit, state, bool(at), at, 0,
            )  # fmt: skip
        if self.kind is ActorType.TRAFFIC_LIGHT:
            phase = self.light
            return LIGHT_STATE.pack(
                phase.sign_id.encode()[:32], phase.green, phase.yellow, phase.red, phase.elapsed, phase.pole,
                phase.frozen, phase.state,
            )  # fmt: skip
        if self.kind is ActorType.TRAFFIC_SIGN:
            return struct.pack("<32s", self.light.sign_id.encode()[:32])
        if self.kind is ActorType.WALKER:
            return WALKER_STATE.pack(*self.walker_direction, self.walker_speed, False)
        return b""


assert max(VEHICLE_STATE.size, LIGHT_STATE.size, WALKER_STATE.size) <= UNION
SPECTATOR = "spectator"


def spectator(number: int) -> Actor:
    return Actor(number, SPECTATOR, ORIGIN)
