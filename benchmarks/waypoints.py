"""Lanes of OpenDRIVE maps against the waypoints of CARLA's client: position, width and height.

python -m benchmarks.waypoints [MAP.xodr ...]   needs the extra `carla`; by default the towns of
                                                $COSMOS_EXP_SHARED/carla/maps

Compared are all driving lanes every 2 m, and all lanes half a millimetre after the start of every record: lane section,
lane offset, width, elevation, geometry. CARLA ignores superelevation, so it is taken out of the map first. Not
compared are waypoints of lanes narrower than 5 mm, which have no surface here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.scene.opendrive.lane_strips import MIN_WIDTH
from cosmos_exp.scene.opendrive.reader import load_opendrive
from cosmos_exp.scene.types import Lane

SPACING = 2.0  # metres
AFTER = 0.0005  # metres after a record's start
BARS = {"position": 0.02, "width": 0.01, "height": 0.02}


@dataclass(frozen=True)
class Comparison:
    """Of one map. errors: {position, width, height: [N] metres}. places: road, lane, station of each waypoint.
    missing: waypoints whose lane is not on the map. narrow: waypoints not compared."""

    errors: dict[str, np.ndarray]
    places: list[tuple[str, int, float]]
    missing: list[tuple[str, int, float]]
    narrow: int
    seconds: float

    def beyond(self) -> list[tuple[tuple[str, int, float], dict[str, float]]]:
        """Places and errors of the waypoints that miss a bar."""
        found = []
        for i, place in enumerate(self.places):
            errors = {name: float(values[i]) for name, values in self.errors.items()}
            if _misses(errors):
                found.append((place, errors))
        return found


def _misses(errors: dict[str, float]) -> bool:
    return any(errors[name] > bar for name, bar in BARS.items())


def has_client() -> bool:
    return importlib.util.find_spec("carla") is not None


def compare(path: Path) -> Comparison:
    """Raises ModuleNotFoundError without the client."""
    import carla

    text = without_superelevation(path.read_text())
    with tempfile.TemporaryDirectory() as folder:
        flat = Path(folder) / path.name
        flat.write_text(text)
        started = time.process_time()
        lanes = {lane.id: _Strip(lane) for lane in load_opendrive(flat).lanes}
        seconds = time.process_time() - started
    reference = carla.Map(path.stem, text)
    errors: dict[str, list[float]] = {name: [] for name in BARS}
    places, missing, narrow = [], [], 0
    for waypoint in _waypoints(reference, text):
        place = (f"{waypoint.road_id}:{waypoint.section_id}", waypoint.lane_id, waypoint.s)
        lane = lanes.get(f"{place[0]}:{waypoint.lane_id}")
        if lane is None and waypoint.lane_width <= MIN_WIDTH:
            narrow += 1
            continue
        if lane is None:
            missing.append(place)
            continue
        places.append(place)
        for name, value in lane.against(waypoint).items():
            errors[name].append(value)
    return Comparison({k: np.array(v) for k, v in errors.items()}, places, missing, narrow, seconds)


def without_superelevation(text: str) -> str:
    root = ElementTree.fromstring(text.encode())
    for profile in root.findall("road/lateralProfile"):
        profile.clear()
    return ElementTree.tostring(root, encoding="unicode")


def _waypoints(reference: Any, text: str) -> Iterator[Any]:
    yield from reference.generate_waypoints(SPACING)
    for road in ElementTree.fromstring(text.encode()).findall("road"):
        ids = sorted({int(lane.get("id", "0")) for lane in road.findall("lanes/laneSection/*/lane")} - {0})
        for start in sorted(set(record_starts(road))):
            for lane_id in ids:
                waypoint = reference.get_waypoint_xodr(int(road.get("id", "")), lane_id, start + AFTER)
                if waypoint is not None:
                    yield waypoint


def record_starts(road: ElementTree.Element) -> Iterator[float]:
    """Stations where a record of the road starts."""
    for path in ("planView/geometry", "elevationProfile/elevation", "lanes/laneOffset", "lanes/laneSection"):
        yield from (float(record.get("s", "0")) for record in road.findall(path))
    for section in road.findall("lanes/laneSection"):
        start = float(section.get("s", "0"))
        yield from (start + float(width.get("sOffset", "0")) for width in section.findall("*/lane/width"))


class _Strip:
    """A lane's centre, to look a waypoint up on."""

    def __init__(self, lane: Lane):
        self.left, self.right = lane.left, lane.right
        self.centre = (lane.left + lane.right) / 2

    def against(self, waypoint: Any) -> dict[str, float]:
        """Metres between the waypoint and the lane where the centre is nearest or, beside a step, within the bar."""
        location = waypoint.transform.location
        point = np.array([location.x, -location.y])
        start, step = self.centre[:-1, :2], np.diff(self.centre[:, :2], axis=0)
        share = ((point - start) * step).sum(-1) / np.maximum((step * step).sum(-1), 1e-18)
        share = np.clip(share, 0.0, 1.0)
        distance = np.linalg.norm(start + share[:, None] * step - point, axis=1)
        candidates = np.flatnonzero(distance <= max(distance.min(), BARS["position"]))  # several beside a step
        found = []
        for i in candidates:
            left, right = (edge[i] + share[i] * (edge[i + 1] - edge[i]) for edge in (self.left, self.right))
            width = float(np.linalg.norm((left - right)[:2])) - waypoint.lane_width
            height = float(left[2] + right[2]) / 2 - location.z
            found.append({"position": float(distance[i]), "width": abs(width), "height": abs(height)})
        return min(found, key=lambda errors: (_misses(errors), errors["position"]))


def maps() -> list[Path]:
    shared = os.environ.get("COSMOS_EXP_SHARED") or Path(__file__).resolve().parents[2] / "shared"
    return sorted((Path(shared) / "carla" / "maps").glob("*.xodr"))


def main(paths: list[Path] | None = None) -> None:
    paths = paths or maps()
    if not has_client():
        print("the client of CARLA is not installed (pip install 'cosmos-exp[carla]'): not measured")
        return
    if not paths:
        print("no OpenDRIVE map: not measured")
        return
    print(f"{'map':16} waypoints  beyond  missing  narrow " + "".join(f"{name:>10}" for name in BARS) + "  read in")
    for path in paths:
        found = compare(path)
        worst = "".join(f"{values.max() * 1000:7.1f} mm" for values in found.errors.values())
        counts = f"{len(found.places):9} {len(found.beyond()):7} {len(found.missing):8} {found.narrow:7} "
        print(f"{path.stem:16} {counts}{worst}  {found.seconds:.2f} s", flush=True)
        for (section, lane, s), errors in sorted(found.beyond(), key=lambda row: -max(row[1].values()))[:5]:
            print(f"    {section}:{lane} at s={s:.6f}: " + ", ".join(f"{k} {v:.4f} m" for k, v in errors.items()))


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
