"""Longitudinal simulation of vehicles on lanes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.scene.procedural.roads import Route, Signals
from cosmos_exp.scene.types import ActorClass, LightState

TIME_STEP = 0.1
MAX_ACCELERATION, COMFORTABLE_BRAKING, HARD_BRAKING = 1.6, 2.5, 7.0  # m/s^2
STANDSTILL_GAP, HEADWAY = 2.5, 1.2  # metres, seconds


@dataclass(frozen=True)
class Vehicle:
    """A vehicle on `route`. station: of its centre at the start. size: length, width, height metres."""

    kind: str
    actor_class: ActorClass
    size: tuple[float, float, float]
    color: tuple[float, float, float]
    route: int
    station: float
    speed: float
    desired_speed: float


def signal_state(signals: Signals, group: str | None, t: float) -> LightState:
    """State of the signal group at t; green without a group."""
    if group is None:
        return LightState.GREEN
    times, states = signals[group]
    return states[max(int(np.searchsorted(times, t, side="right")) - 1, 0)]


def leaders(vehicles: list[Vehicle]) -> np.ndarray:
    """[V] index of the vehicle ahead on the same route, -1 where there is none."""
    ahead = np.full(len(vehicles), -1)
    for route in {v.route for v in vehicles}:
        order = [i for _, i in sorted((v.station, i) for i, v in enumerate(vehicles) if v.route == route)]
        ahead[order[:-1]] = order[1:]
    return ahead


def stopping_speed(gap: float) -> float:
    """The speed from which comfortable braking stops within `gap` metres."""
    return float(np.sqrt(2 * COMFORTABLE_BRAKING * max(gap, 0.0)))


def initial_speeds(vehicles: list[Vehicle], routes: list[Route], signals: Signals) -> np.ndarray:
    """[V] initial speeds, lowered so that every vehicle can still brake for the vehicle or red signal ahead."""
    speeds = np.array([v.speed for v in vehicles])
    ahead = leaders(vehicles)
    for i in sorted(range(len(vehicles)), key=lambda i: -vehicles[i].station):
        vehicle, route = vehicles[i], routes[vehicles[i].route]
        if ahead[i] >= 0:
            leader = vehicles[ahead[i]]
            gap = leader.station - vehicle.station - (leader.size[0] + vehicle.size[0]) / 2 - STANDSTILL_GAP
            speeds[i] = min(speeds[i], speeds[ahead[i]] + 0.5 * stopping_speed(gap))
        if route.stop is not None and signal_state(signals, route.signal, 0.0) in (LightState.RED, LightState.YELLOW):
            gap = route.stop - vehicle.station - vehicle.size[0] / 2
            if gap > 0:
                speeds[i] = min(speeds[i], stopping_speed(gap - 0.5))
    return speeds


def simulate(vehicles: list[Vehicle], routes: list[Route], signals: Signals, times: np.ndarray) -> np.ndarray:
    """Stations [T,V] of all centres at `times` (even steps).

    Intelligent Driver Model (Treiber, Hennecke, Helbing 2000) per lane; a signal that is not green is a standing
    obstacle at the stop line for vehicles that can still brake for it.
    """
    stations = np.array([v.station for v in vehicles])
    lengths = np.array([v.size[0] for v in vehicles])
    desired = np.array([max(v.desired_speed, 0.1) for v in vehicles])
    stop_lines = [routes[v.route].stop for v in vehicles]
    stops = np.array([np.inf if stop is None else stop for stop in stop_lines])
    groups = [routes[v.route].signal for v in vehicles]
    ahead = leaders(vehicles)
    has_leader = ahead >= 0
    speeds = initial_speeds(vehicles, routes, signals)
    dt = float(times[1] - times[0])
    result = [stations]
    for t in times[:-1]:
        gap = np.where(has_leader, stations[ahead] - stations - (lengths[ahead] + lengths) / 2, np.inf)
        closing = np.where(has_leader, speeds - speeds[ahead], 0.0)
        to_stop = stops - stations - lengths / 2
        closed = np.array([signal_state(signals, g, float(t)) is not LightState.GREEN for g in groups])
        can_stop = speeds**2 <= 2 * 1.6 * COMFORTABLE_BRAKING * np.maximum(to_stop, 0.0)
        line_gap = to_stop + STANDSTILL_GAP - 0.5
        at_line = closed & (to_stop > -0.2) & can_stop & (line_gap < gap)
        gap, closing = np.where(at_line, line_gap, gap), np.where(at_line, speeds, closing)
        braking = speeds * closing / (2 * np.sqrt(MAX_ACCELERATION * COMFORTABLE_BRAKING))
        wanted = STANDSTILL_GAP + np.maximum(HEADWAY * speeds + braking, 0.0)
        acceleration = MAX_ACCELERATION * (1 - (speeds / desired) ** 4 - (wanted / np.maximum(gap, 0.3)) ** 2)
        acceleration = np.clip(acceleration, -HARD_BRAKING, MAX_ACCELERATION)
        faster = np.maximum(speeds + acceleration * dt, 0.0)
        stations = stations + (speeds + faster) / 2 * dt
        speeds = faster
        result.append(stations)
    return np.stack(result)
