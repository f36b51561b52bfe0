"""What an OpenDRIVE map holds, in road coordinates, not yet sampled: roads, lane sections, signals and objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosmos_exp.scene.opendrive.bounds import check_bounds
from cosmos_exp.scene.opendrive.road_geometry import Profile, ReferenceLine


@dataclass(frozen=True)
class RoadMark:
    """Paint (or a kerb) on a lane's outer border from station s on."""

    s: float
    type: str
    color: str
    width: float


@dataclass(frozen=True)
class SpeedLimit:
    """From station s on: at most `kmh` km/h, None for no limit or an unknown one."""

    s: float
    kmh: float | None


@dataclass(frozen=True)
class LaneSpec:
    """width: lateral extent by station, or with `is_border` the lateral position of the outer border. level: it does
    not bank with the road."""

    id: int
    type: str
    level: bool
    width: Profile
    is_border: bool
    marks: tuple[RoadMark, ...]
    speeds: tuple[SpeedLimit, ...] = ()


@dataclass(frozen=True)
class LaneSection:
    """number: place among the road's sections, from 0. left: lanes 1, 2, ... outwards. right: lanes -1, -2, ...
    outwards. centre: marks of the centre line."""

    number: int
    start: float
    end: float
    left: tuple[LaneSpec, ...]
    right: tuple[LaneSpec, ...]
    centre: tuple[RoadMark, ...]


@dataclass(frozen=True)
class Signal:
    """s, t: road coordinates. orientation: + | - | none, the traffic it is for. width, height: metres; 0: not given."""

    id: str
    name: str
    type: str
    dynamic: bool
    s: float
    t: float
    heading: float
    orientation: str
    width: float
    height: float


@dataclass(frozen=True)
class SignalReference:
    """A signal that governs lanes from_lane..to_lane (both included) of the road that holds the reference."""

    signal: str
    from_lane: int
    to_lane: int


@dataclass(frozen=True)
class RoadObject:
    """outline: [K,3] corners in (u, v, z) of the object's frame, or (s, t, z) when `outline_in_road`; may be empty."""

    id: str
    name: str
    type: str
    s: float
    t: float
    z_offset: float
    heading: float
    length: float
    width: float
    height: float
    outline: np.ndarray
    outline_in_road: bool


@dataclass(frozen=True)
class Road:
    """junction: id of the junction this road connects through, None for a road between junctions."""

    id: str
    length: float
    junction: str | None
    left_hand_traffic: bool
    reference: ReferenceLine
    elevation: Profile
    superelevation: Profile
    lane_offset: Profile
    sections: tuple[LaneSection, ...]
    signals: tuple[Signal, ...] = ()
    signal_references: tuple[SignalReference, ...] = ()
    objects: tuple[RoadObject, ...] = ()
    speeds: tuple[SpeedLimit, ...] = ()

    def points(self, s: np.ndarray, t: np.ndarray) -> np.ndarray:
        """World points [N,3] at stations s and lateral offsets t (left positive) from the reference line.

        Raises Malformed beyond FARTHEST.
        """
        xy, heading = self.reference.at(s)
        bank = self.superelevation(s)
        normal = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
        flat = xy + (t * np.cos(bank))[:, None] * normal
        points = np.concatenate([flat, (self.elevation(s) + t * np.sin(bank))[:, None]], axis=-1)
        check_bounds(points)
        return points

    def heading(self, s: float) -> float:
        return float(self.reference.at(np.array([s]))[1][0])


@dataclass(frozen=True)
class RoadNetwork:
    """name: the header's, or the file's stem where that is empty. signal_phases: per junction with controllers, in
    their order, the ids of the signals that each switches together."""

    name: str
    vendor: str
    roads: tuple[Road, ...]
    signal_phases: tuple[tuple[tuple[str, ...], ...], ...] = ()
