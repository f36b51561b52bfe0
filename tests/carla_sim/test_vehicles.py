"""Vehicles that move by their controls."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.carla_sim.actors import VehicleControl
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.carla_sim.vehicles import GRIP, Motion, drive, is_free, on_ground
from cosmos_exp.scene.lane_surface import LaneSurface
from cosmos_exp.scene.types import Lane, LaneType

CAR = np.array([2.4, 1.0, 0.75])


def lane(*points: tuple[float, float, float], width: float = 400.0) -> Lane:
    middle = np.array(points)
    side = np.array([0.0, width / 2, 0.0])
    return Lane("1", LaneType.DRIVING, middle + side, middle - side)


@pytest.fixture(scope="module")
def plain() -> LaneSurface:
    return LaneSurface([lane((-400.0, 0.0, 0.0), (400.0, 0.0, 0.0))])


def driven(control: VehicleControl, seconds: float, surface: LaneSurface, *, speed: float = 0.0, delta: float = 0.05):
    motion = Motion(
        Transform(np.array([0.0, 0.0, 0.3]), np.zeros(3)), np.array([speed, 0, 0]), np.zeros(3), np.zeros(3)
    )
    for _ in range(round(seconds / delta)):
        motion = drive(motion.transform, motion.velocity, control, CAR, delta, surface)
    return motion


def speed_of(motion: Motion) -> float:
    return float(np.linalg.norm(motion.velocity))


def test_full_throttle_is_like_that_of_a_car(plain):
    """100 km/h within 5 to 12 s, and a top speed."""
    assert driven(VehicleControl(throttle=1.0), 5, plain).velocity[0] * 3.6 < 100
    assert driven(VehicleControl(throttle=1.0), 12, plain).velocity[0] * 3.6 > 100
    faster = driven(VehicleControl(throttle=1.0), 60, plain, delta=0.2)
    assert speed_of(faster) * 3.6 < 300


def test_braking_stops_and_does_not_go_back(plain):
    motion = driven(VehicleControl(brake=1.0), 1.0, plain, speed=10.0)
    assert 0 < speed_of(motion) < 4
    stopped = driven(VehicleControl(brake=1.0), 3.0, plain, speed=10.0)
    assert speed_of(stopped) == 0.0 and 5 < stopped.transform.location[0] < 8
    assert driven(VehicleControl(hand_brake=True), 5.0, plain, speed=10.0).velocity[0] == 0.0


def test_reverse_drives_back(plain):
    motion = driven(VehicleControl(throttle=0.5, reverse=True), 2.0, plain)
    assert motion.velocity[0] < -1 and motion.transform.location[0] < -1


def test_steering_to_the_right_turns_to_the_right_on_a_circle(plain):
    """CARLA's yaw and y grow to the right. The rear axle keeps the distance of a bicycle from the circle's centre."""
    control = VehicleControl(throttle=0.3, steer=0.2)
    places = []
    motion = driven(control, 1.0, plain)
    for _ in range(200):
        motion = drive(motion.transform, motion.velocity, VehicleControl(0.05, 0.2), CAR, 0.05, plain)
        places.append(motion.transform)
    assert places[40].rotation[2] > 10 and places[40].location[1] > 0
    assert motion.angular_velocity[2] > 0
    rate, speed = np.radians(motion.angular_velocity[2]), float(motion.velocity @ _forward(motion))
    assert speed / rate == pytest.approx(2 * 0.58 * CAR[0] / np.tan(np.radians(0.2 * 70 * 0.95)), rel=0.1)


def _forward(motion: Motion) -> np.ndarray:
    yaw = np.radians(motion.transform.rotation[2])
    return np.array([np.cos(yaw), np.sin(yaw), 0.0])


def test_a_fast_car_turns_no_sharper_than_its_tyres_hold(plain):
    motion = driven(VehicleControl(throttle=0.5, steer=1.0), 0.5, plain, speed=30.0)
    speed = float(motion.velocity @ _forward(motion))
    assert abs(speed * np.radians(motion.angular_velocity[2])) <= GRIP + 0.01


def test_results_hardly_depend_on_the_length_of_ticks(plain):
    control = VehicleControl(throttle=0.6, steer=0.1)
    ends = [driven(control, 4.0, plain, delta=delta).transform.location for delta in (0.02, 0.05, 0.1)]
    assert max(np.linalg.norm(end - ends[0]) for end in ends) < 0.1


def test_a_car_stands_on_the_road_and_leans_with_it():
    """A street that climbs one in ten along x; the world's y is CARLA's -y."""
    slope = LaneSurface([lane((-50.0, 0.0, -5.0), (50.0, 0.0, 5.0))])
    placed = on_ground(Transform(np.array([10.0, 3.0, 1.6]), np.zeros(3)), CAR, slope)
    assert placed.location == pytest.approx([10.0, 3.0, 1.0], abs=1e-6)
    assert placed.rotation == pytest.approx([0.0, np.degrees(np.arctan(0.1)), 0.0], abs=1e-6)
    across = on_ground(Transform(np.array([10.0, 3.0, 1.0]), np.array([0.0, 0.0, 90.0])), CAR, slope)
    assert across.rotation == pytest.approx([np.degrees(np.arctan(0.1)), 0.0, 90.0], abs=1e-6)


def test_a_car_rolls_downhill_and_stands_with_its_brake():
    steep = LaneSurface([lane((-200.0, 0.0, 20.0), (200.0, 0.0, -20.0))])
    start = Transform(np.array([0.0, 0.0, 0.0]), np.array([0.0, -np.degrees(np.arctan(0.1)), 0.0]))
    free = held = Motion(start, np.zeros(3), np.zeros(3), np.zeros(3))
    for _ in range(40):
        free = drive(free.transform, free.velocity, VehicleControl(), CAR, 0.05, steep)
        held = drive(held.transform, held.velocity, VehicleControl(brake=0.5), CAR, 0.05, steep)
    assert held.transform.location[0] == 0.0 and free.transform.location[0] >= 0.0


def test_off_the_road_a_car_keeps_its_height(plain):
    lonely = Transform(np.array([1000.0, 0.0, 7.0]), np.zeros(3))
    motion = drive(lonely, np.array([5.0, 0, 0]), VehicleControl(throttle=0.2), CAR, 0.1, plain)
    assert motion.transform.location[2] == 7.0 and motion.transform.location[0] > 1000.4


def test_a_bridge_and_the_street_below_it_are_told_apart():
    both = LaneSurface([lane((-50, 0, 0), (50, 0, 0)), lane((-50, 0, 6), (50, 0, 6))])
    heights = both.heights(np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 5.5], [0.0, 0.0, 3.0], [90.0, 0.0, 0.0]]), 2.5)
    np.testing.assert_equal(heights, [0.0, 6.0, np.nan, np.nan])


def test_a_constant_velocity_is_held(plain):
    motion = Motion(Transform(np.zeros(3), np.zeros(3)), np.zeros(3), np.zeros(3), np.zeros(3))
    for _ in range(20):
        motion = drive(
            motion.transform,
            motion.velocity,
            VehicleControl(brake=1.0),
            CAR,
            0.05,
            plain,
            constant=np.array([6.0, 0, 0]),
        )
    assert motion.transform.location[0] == pytest.approx(6.0) and speed_of(motion) == pytest.approx(6.0)


def test_a_place_is_free_where_no_box_touches():
    here = Transform(np.zeros(3), np.zeros(3))
    beside = Transform(np.array([0.0, 2.5, 0.0]), np.zeros(3))
    across = Transform(np.array([0.0, 2.5, 0.0]), np.array([0.0, 0.0, 90.0]))
    above = Transform(np.array([0.0, 0.0, 6.0]), np.zeros(3))
    assert is_free(here, CAR, [(beside, CAR), (above, CAR)])
    assert not is_free(here, CAR, [(across, CAR)]) and not is_free(here, CAR, [(here, CAR)])
