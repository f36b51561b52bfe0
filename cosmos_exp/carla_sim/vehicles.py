"""Vehicles that move by their controls: a kinematic bicycle on the surface of the road.

There are no forces between vehicles and what they meet: nothing collides, slides or tips over. Throttle, brake and
steering act as in an ordinary car, the same for all models but for their length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cosmos_exp.carla_sim.actors import VehicleControl
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.scene.box_overlap import overlaps
from cosmos_exp.scene.carla.tracks import WHEELBASE_SHARE
from cosmos_exp.scene.lane_surface import LaneSurface

STEP = 0.02  # seconds: a tick is integrated in steps of at most this
MAX_STEER = 70.0  # degrees of the front wheels
STEERING_CURVE = ((0.0, 1.0), (20.0, 0.9), (60.0, 0.8), (120.0, 0.7))  # km/h: share of MAX_STEER
GRIP = 8.0  # m/s^2 across the road
THRUST, POWER = 4.5, 70.0  # m/s^2 at most; W/kg
BRAKE, HAND_BRAKE = 8.0, 6.0  # m/s^2
ROLLING, ENGINE_BRAKE, DRAG = 0.15, 0.35, 0.0003  # m/s^2, without throttle, 1/m
GRAVITY = 9.81
CREEP = 0.05  # m/s: slower without throttle is standing
LAYER = 2.5  # metres from the road that a vehicle is on it
TRACK_SHARE = 0.8  # of the width, between left and right wheels


@dataclass(frozen=True)
class Motion:
    """Where a vehicle is and how it moves, CARLA's frame: m/s, m/s^2, degrees/s."""

    transform: Transform
    velocity: np.ndarray
    acceleration: np.ndarray
    angular_velocity: np.ndarray


def drive(
    transform: Transform,
    velocity: np.ndarray,
    control: VehicleControl,
    extent: np.ndarray,
    delta: float,
    surface: LaneSurface,
    *,
    constant: np.ndarray | None = None,
) -> Motion:
    """The motion `delta` seconds later. extent: [3] half size of the box. velocity: [3] m/s.

    constant: [3] m/s in the vehicle's frame, a velocity that is held whatever the controls say.
    """
    pitch, yaw = (math.radians(angle) for angle in transform.rotation[1:].tolist())
    forward = np.array([math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), math.sin(pitch)])
    speed = float(velocity @ forward) if constant is None else float(constant[0])
    x, y, z = transform.location.tolist()
    wheelbase = 2 * WHEELBASE_SHARE * max(float(extent[0]), 0.3)
    back = wheelbase / 2
    steps = max(1, math.ceil(delta / STEP - 1e-9))
    rate = 0.0
    x, y = x - back * math.cos(yaw), y - back * math.sin(yaw)  # of the rear axle
    for _ in range(steps if delta > 0 else 0):
        h = delta / steps
        if constant is None:
            speed = _speed_after(speed, control, float(forward[2]), h)
        rate = _yaw_rate(speed, control, wheelbase)
        middle = yaw + rate * h / 2
        x, y, yaw = x + speed * h * math.cos(middle), y + speed * h * math.sin(middle), yaw + rate * h
    sideways = rate * back
    cos, sin = math.cos(yaw), math.sin(yaw)
    flat = (speed * cos - sideways * sin, speed * sin + sideways * cos)
    x, y = x + back * math.cos(yaw), y + back * math.sin(yaw)
    placed = on_ground(Transform(np.array([x, y, z]), np.array([0.0, 0.0, math.degrees(yaw)])), extent, surface)
    if placed is None:
        roll, pitch, _ = transform.rotation.tolist()
        placed = Transform(np.array([x, y, z]), np.array([roll, pitch, math.degrees(yaw)]))
    climb = speed * math.tan(math.radians(placed.rotation[1]))
    moved = np.array([*flat, climb])
    acceleration = (moved - velocity) / delta if delta > 0 else np.zeros(3)
    return Motion(placed, moved, acceleration, np.array([0.0, 0.0, math.degrees(rate)]))


def _speed_after(speed: float, control: VehicleControl, slope: float, h: float) -> float:
    """Speed along the vehicle, negative backwards, h seconds later. slope: rise over the way."""
    push = control.throttle * min(THRUST, POWER / max(abs(speed), 1e-6))
    push = -push if control.reverse or control.gear < 0 else push
    resist = BRAKE * control.brake + HAND_BRAKE * control.hand_brake + ROLLING + DRAG * speed * speed
    if control.throttle <= 0:
        resist += ENGINE_BRAKE
        if abs(speed) < CREEP and abs(slope) * GRAVITY < max(resist, 1.0):
            return 0.0
    pushed = speed + (push - GRAVITY * slope) * h
    return math.copysign(max(abs(pushed) - resist * h, 0.0), pushed)


def _yaw_rate(speed: float, control: VehicleControl, wheelbase: float) -> float:
    """rad/s, positive to the right, at most what the tyres hold."""
    rate = speed * math.tan(math.radians(steering_angle(control.steer, speed))) / wheelbase
    most = GRIP / max(abs(speed), 1e-6)
    return min(max(rate, -most), most)


def steering_angle(steer: float, speed: float) -> float:
    """Degrees of the front wheels, to the right. steer: -1 to 1. speed: m/s."""
    kmh, share = zip(*STEERING_CURVE)
    return steer * MAX_STEER * float(np.interp(abs(speed) * 3.6, kmh, share))


def on_ground(transform: Transform, extent: np.ndarray, surface: LaneSurface) -> Transform | None:
    """The transform with its height, pitch and roll from the road below the wheels; None off the road.

    Where only some wheels are on it, the others are as high as those.
    """
    x, y, z = transform.location.tolist()
    yaw = math.radians(transform.rotation[2])
    half_base = max(WHEELBASE_SHARE * float(extent[0]), 0.2)
    half_track = max(TRACK_SHARE * float(extent[1]), 0.05)
    cos, sin = math.cos(yaw), math.sin(yaw)
    wheels = np.array(
        [
            [x + along * cos - across * sin, -y - along * sin - across * cos, z]
            for along in (half_base, -half_base)
            for across in (half_track, -half_track)
        ]
    )
    heights = surface.heights(wheels, LAYER)
    if np.isnan(heights).all():
        return None
    front_right, front_left, rear_right, rear_left = np.where(np.isnan(heights), np.nanmean(heights), heights).tolist()
    pitch = math.atan2((front_right + front_left - rear_right - rear_left) / 2, 2 * half_base)
    roll = math.atan2((front_left + rear_left - front_right - rear_right) / 2, 2 * half_track)
    height = (front_right + front_left + rear_right + rear_left) / 4
    rotation = np.array([math.degrees(roll), math.degrees(pitch), transform.rotation[2]])
    return Transform(np.array([x, y, height]), rotation)


def is_free(transform: Transform, extent: np.ndarray, others: Sequence[tuple[Transform, np.ndarray]]) -> bool:
    """Does a box of half size `extent` [3] there touch none of the others, seen from above and within its height?"""
    z = float(transform.location[2])
    near = [
        (place, half)
        for place, half in others
        if np.linalg.norm((place.location - transform.location)[:2]) < np.hypot(*half[:2]) + np.hypot(*extent[:2])
        and abs(float(place.location[2]) - z) < 2 * max(float(half[2]), float(extent[2]))
    ]
    if not near:
        return True
    places = np.array([[place.location[:2]] for place, _ in near])
    headings = np.radians([[place.rotation[2]] for place, _ in near])
    sizes = np.array([2 * half[:2] for _, half in near])
    own = transform.location[None, :2], np.radians(transform.rotation[2:3]), 2 * np.asarray(extent[:2], float)
    return not overlaps(*own, (places, headings, sizes), margin=0.0).any()


def physics_control(transform: Transform, extent: np.ndarray) -> list[Any]:
    """The client's VehiclePhysicsControl of a vehicle: what the model here stands for."""
    half_base, half_track = WHEELBASE_SHARE * float(extent[0]), TRACK_SHARE * float(extent[1])
    wheels = []
    for along, across in ((1, -1), (1, 1), (-1, -1), (-1, 1)):
        steer = MAX_STEER if along > 0 else 0.0
        corner = Transform(np.array([along * half_base, across * half_track, 0.35]), np.zeros(3))
        place = (100 * (transform @ corner).location).tolist()  # centimetres
        hand = 0.0 if along > 0 else 1500.0
        wheels.append([3.5, 0.25, steer, 35.0, 1500.0, hand, 2.0, 17.0, 1000.0, place])
    curve = [[kmh, share] for kmh, share in STEERING_CURVE]
    torque, gears = [[0.0, 500.0], [6000.0, 500.0]], [[4.0, 0.5, 0.65], [2.0, 0.5, 0.65], [1.0, 0.5, 0.65]]
    engine = [torque, 6000.0, 1.0, 0.15, 2.0, 0.35, True, 0.5, 10.0, 4.0, gears]
    return [*engine, 1600.0, 0.3, [0.0, 0.0, 0.0], curve, wheels, False]
