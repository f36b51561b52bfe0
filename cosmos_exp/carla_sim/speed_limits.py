"""The speed limit at a place, from the `speed` records of an OpenDRIVE map's lanes and roads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cosmos_exp.scene.lane_surface import LaneSurface
from cosmos_exp.scene.opendrive.lane_strips import Strip
from cosmos_exp.scene.opendrive.records import SpeedLimit
from cosmos_exp.scene.types import Lane, LaneType

LAYER = 2.5  # metres from the road that a vehicle is on it


class SpeedLimits:
    """Of the drivable lanes. A lane's own limit counts before its road's."""

    def __init__(self, strips: Sequence[Strip]):
        self._strips = [strip for strip in strips if strip.drivable and any(_records(strip))]
        self._surface = LaneSurface(Lane(s.id, LaneType.DRIVING, s.inner, s.outer) for s in self._strips)

    def at(self, location: np.ndarray) -> float | None:
        """km/h at a place [3] of CARLA's frame; None where the map has no limit, and beside its lanes."""
        found = self._surface.piece(location * [1.0, -1.0, 1.0], LAYER)
        if found is None:
            return None
        strip = self._strips[found[0]]
        station = float(strip.stations[found[1] : found[1] + 2].mean())
        own, roads = (_limit(records, station) for records in _records(strip))
        return roads if own is None else own


def _records(strip: Strip) -> tuple[Sequence[SpeedLimit], Sequence[SpeedLimit]]:
    """Limits of the lane, and of its road."""
    section = next(section for section in strip.road.sections if section.number == strip.section)
    lane = next(lane for lane in (*section.left, *section.right) if lane.id == strip.lane)
    return lane.speeds, strip.road.speeds


def _limit(records: Sequence[SpeedLimit], station: float) -> float | None:
    return next((limit.kmh for limit in reversed(records) if limit.s <= station), None)
