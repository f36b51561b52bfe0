from __future__ import annotations

import numpy as np

from cosmos_exp.scene import ActorClass, LightState
from cosmos_exp.scene.procedural.paths import straight
from cosmos_exp.scene.procedural.roads import Route
from cosmos_exp.scene.procedural.traffic import Vehicle, simulate

TIMES = np.linspace(0.0, 12.0, 121)
STOP = 100.0
SIGNALS = {
    "red": (np.array([0.0]), (LightState.RED,)),
    "green": (np.array([0.0]), (LightState.GREEN,)),
    "turning": (np.array([0.0, 4.0]), (LightState.RED, LightState.GREEN)),
}


def car(station: float, speed: float, route: int = 0) -> Vehicle:
    return Vehicle("sedan", ActorClass.CAR, (4.6, 1.9, 1.5), (1.0, 1.0, 1.0), route, station, speed, speed)


def stations(*vehicles: Vehicle, signal: str | None = None) -> np.ndarray:
    route = Route("lane", straight(np.zeros(2), 0.0, 400.0), 15.0, STOP if signal else None, signal)
    return simulate(list(vehicles), [route], SIGNALS, TIMES)


def test_a_free_vehicle_keeps_its_speed():
    result = stations(car(10.0, 12.0))
    np.testing.assert_allclose(result[:, 0], 10.0 + 12.0 * TIMES, atol=1e-9)


def test_a_follower_never_runs_into_a_slow_leader():
    result = stations(car(10.0, 15.0), car(60.0, 3.0))
    gap = result[:, 1] - result[:, 0] - 4.6
    assert gap.min() > 1.5
    speed = np.diff(result[:, 0]) / TIMES[1]
    assert abs(speed[-1] - 3.0) < 1.0


def test_red_is_obeyed_and_green_is_passed():
    nose = 2.3
    assert stations(car(40.0, 13.0), signal="red").max() + nose < STOP
    assert stations(car(40.0, 13.0), signal="green").max() > STOP + 50.0


def test_a_queue_stops_behind_its_first_vehicle():
    result = stations(car(20.0, 12.0), car(55.0, 12.0), signal="red")
    assert result[-1, 1] + 2.3 < STOP and result[-1, 0] + 4.6 < result[-1, 1]
    assert np.diff(result[-10:, :], axis=0).max() < 0.03


def test_traffic_starts_when_the_signal_turns_green():
    result = stations(car(STOP - 3.5, 8.0), signal="turning")[:, 0]
    assert result[TIMES <= 4.0].max() + 2.3 < STOP
    assert result[-1] > STOP + 10.0


def test_a_vehicle_that_cannot_stop_any_more_goes_on():
    assert stations(car(STOP + 1.0, 10.0), signal="red")[-1, 0] > STOP + 50.0
