"""Traffic lights: which of a junction are green when, and which of them holds a vehicle.

The lights of a junction's controllers take turns, in the order of the controllers: green, yellow, then red for a while,
then the next. A map without controllers has one for each signal of a junction.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from cosmos_exp.carla_sim.actors import LightPhase
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.scene.opendrive.lane_strips import Strip
from cosmos_exp.scene.opendrive.records import RoadNetwork
from cosmos_exp.scene.opendrive.road_furniture import Entry, junction_entries

RED, YELLOW, GREEN, OFF = range(4)
REACH = 10.0  # metres before a stop line in which its light holds a vehicle; at speed, what it needs to brake
BRAKING = 4.0  # m/s^2
ASTRAY = np.cos(np.radians(60.0))  # a vehicle that heads farther off does not enter there
BOX_LENGTH, BOX_HEIGHT = 2.0, 1.0  # half sizes of a trigger volume, metres
BEFORE_LINE = 2.0  # metres from a stop line back to the middle of its trigger volume


@dataclass(frozen=True)
class SignalPlan:
    """groups: per junction its phases, each the ids of signals that are green together. entries: by signal, where the
    lanes that it governs enter their junction."""

    groups: tuple[tuple[tuple[str, ...], ...], ...] = ()
    entries: Mapping[str, list[Entry]] = field(default_factory=dict)


def signal_plan(network: RoadNetwork, strips: list[Strip]) -> SignalPlan:
    """Of an OpenDRIVE map and its lanes."""
    lights = {signal.id for road in network.roads for signal in road.signals if signal.dynamic}
    entries = {key: found for key, found in junction_entries(network, strips).items() if key in lights}
    groups, free = [], set(lights)
    for phases in network.signal_phases:
        group = []
        for phase in phases:
            group.append(tuple(key for key in phase if key in free))  # a signal of two controllers is the first one's
            free.difference_update(phase)
        groups.append(tuple(phase for phase in group if phase))
    return SignalPlan((*(group for group in groups if group), *_uncontrolled(network, free)), entries)


def _uncontrolled(network: RoadNetwork, lights: set[str]) -> list[tuple[tuple[str, ...], ...]]:
    """Groups of lights without a controller: those of a junction take turns one by one; the others stand alone."""
    junctions: dict[str, dict[str, None]] = defaultdict(dict)
    for road in network.roads:
        for reference in road.signal_references:
            if reference.signal in lights and road.junction is not None:
                junctions[road.junction].setdefault(reference.signal)
    used = {key for found in junctions.values() for key in found}
    groups: list[tuple[tuple[str, ...], ...]] = [tuple((key,) for key in found) for found in junctions.values()]
    return groups + [((key,),) for key in sorted(lights - used)]


@dataclass
class _Group:
    phases: list[list[LightPhase]]
    active: int = 0
    stage: int = GREEN
    elapsed: float = 0.0


class LightCycles:
    """The turns of all lights. Sets `state` and `elapsed` of the LightPhase of each signal."""

    def __init__(self, plan: SignalPlan, phases: Mapping[str, LightPhase]):
        """phases: by signal; each is written by this object from now on."""
        self.frozen = False
        known = [[[phases[key] for key in phase if key in phases] for phase in group] for group in plan.groups]
        self._groups = [_Group([phase for phase in group if phase]) for group in known if any(group)]
        self._names = {id(phase): key for key, phase in phases.items()}
        for group in self._groups:
            self._begin(group)

    def group_of(self, signal: str) -> list[str]:
        """Signals of the same junction, itself among them."""
        group = self._with(signal)
        return [] if group is None else [self._names[id(light)] for phase in group.phases for light in phase]

    def freeze(self, signal: str, frozen: bool) -> None:
        """Stop the time of a light's whole group, as CARLA does."""
        for light in self._lights(self._with(signal)):
            light.frozen = frozen

    def freeze_all(self, frozen: bool) -> None:
        self.frozen = frozen
        for group in self._groups:
            for light in self._lights(group):
                light.frozen = frozen

    def reset_group(self, signal: str) -> None:
        group = self._with(signal)
        if group is not None:
            self._begin(group)

    def reset_all(self) -> None:
        for group in self._groups:
            self._begin(group)

    def step(self, delta: float) -> None:
        """`delta` seconds pass."""
        for group in self._groups:
            if any(light.frozen for light in self._lights(group)):
                continue
            group.elapsed += delta
            lights = group.phases[group.active]
            times = {GREEN: lights[0].green, YELLOW: lights[0].yellow, RED: lights[0].red}
            if group.elapsed >= times[group.stage] - 1e-9:
                if group.stage == RED:
                    group.active = (group.active + 1) % len(group.phases)
                self._enter(group, {GREEN: YELLOW, YELLOW: RED, RED: GREEN}[group.stage])
            elif group.stage != RED:
                for light in lights:
                    light.elapsed = group.elapsed

    def _begin(self, group: _Group) -> None:
        for light in self._lights(group):
            light.state, light.elapsed = RED, 0.0
        group.active = len(group.phases) - 1  # as CARLA begins
        self._enter(group, GREEN)

    def _enter(self, group: _Group, stage: int) -> None:
        group.stage, group.elapsed = stage, 0.0
        for light in group.phases[group.active]:
            light.state, light.elapsed = stage, 0.0

    def _with(self, signal: str) -> _Group | None:
        found = (g for g in self._groups if any(self._names[id(light)] == signal for light in self._lights(g)))
        return next(found, None)

    @staticmethod
    def _lights(group: _Group | None) -> Iterator[LightPhase]:
        if group is not None:
            yield from (light for phase in group.phases for light in phase)


class StopLines:
    """Which light holds a vehicle that comes up to a junction."""

    def __init__(self, entries: Mapping[str, Iterable[Entry]]):
        found = [(key, entry) for key, each in entries.items() for entry in each]
        self._signals = [key for key, _ in found]
        self._middle = np.array([entry.middle[:2] for _, entry in found]).reshape(-1, 2)
        headings = np.array([entry.heading for _, entry in found])
        self._ahead = np.stack([np.cos(headings), np.sin(headings)], axis=1)
        self._half = np.array([np.linalg.norm(np.diff(entry.line[:, :2], axis=0)) / 2 for _, entry in found])

    def holding(self, front: np.ndarray, direction: np.ndarray, speed: float) -> str | None:
        """The signal of the stop line that is nearest ahead. front: [2] middle of the bumper, direction: [2] unit
        vector, both in the world frame (FLU). speed: m/s."""
        if not self._signals:
            return None
        offset = front[None] - self._middle
        along = np.einsum("nk,nk->n", offset, self._ahead)
        across = np.abs(offset[:, 0] * self._ahead[:, 1] - offset[:, 1] * self._ahead[:, 0])
        reach = max(REACH, speed * speed / (2 * BRAKING) + 2.0)
        inside = (along <= 0) & (along >= -reach) & (across <= self._half) & (self._ahead @ direction >= ASTRAY)
        if not inside.any():
            return None
        return self._signals[int(np.argmax(np.where(inside, along, -np.inf)))]


def trigger_box(transform: Transform, entries: Iterable[Entry]) -> tuple[np.ndarray, np.ndarray]:
    """Centre and half size [3], metres, of a light's trigger volume, in the frame of the light at `transform`.

    It lies across the lanes before their stop lines; both 0 where the light governs none.
    """
    boxes = list(entries)
    if not boxes:
        return np.zeros(3), np.zeros(3)
    inverse = np.linalg.inv(transform.pose)
    corners = []
    for entry in boxes:
        ahead = np.array([np.cos(entry.heading), np.sin(entry.heading), 0.0])
        middle = entry.line - BEFORE_LINE * ahead
        corners += [*(middle + BOX_LENGTH * ahead), *(middle - BOX_LENGTH * ahead)]
    local = (np.array(corners) @ inverse[:3, :3].T + inverse[:3, 3]) * [1, -1, 1]
    low, high = local.min(axis=0), local.max(axis=0)
    half = (high - low) / 2
    return (low + high) / 2 + [0, 0, BOX_HEIGHT], np.array([half[0], half[1], BOX_HEIGHT])
