"""How streets are laid out: widths, bends, lanes and buildings of our own scenes beside those of maps and clips.

`python -m benchmarks.streets MAP.xodr CLIPS` prints a column per file (an OpenDRIVE map, or a folder with an RDS-HQ
clip) and one per set of procedural scenes. Cells are the 10th, 50th and 90th percentile over metres of lane, or shares
of them. Neither kind of file holds buildings or speeds beyond those of its own drive.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from cosmos_exp.scene.ground import OccupancyGrid
from cosmos_exp.scene.opendrive.reader import load_opendrive
from cosmos_exp.scene.procedural.street import ROADS, SAMPLED_ROADS, procedural_scene
from cosmos_exp.scene.rds_hq.scene import load_rds_hq_scene
from cosmos_exp.scene.types import Lane, LaneType, SceneMap, Trajectory

STEP = 2.0  # metres between the places that are measured
REACH = 30.0  # metres to each side within which lanes lie side by side
RADII = (25.0, 50.0, 100.0, 250.0)  # metres; above the last one a lane is straight
PERCENTILES = (10, 50, 90)


@dataclass(frozen=True)
class Samples:
    """Values at places every STEP metres of lane. widths: {lane type: [N] metres}. radii: [N] metres of driving lanes
    outside junctions. abreast: [N] driving lanes side by side there. grades: [N] rise over run. setbacks: [N] metres
    from the outermost lane of any type to a building that faces it. speeds: [N] m/s of the ego. in_junction: share of
    places."""

    widths: dict[str, np.ndarray]
    radii: np.ndarray
    abreast: np.ndarray
    grades: np.ndarray
    setbacks: np.ndarray
    speeds: np.ndarray
    in_junction: float


def samples_of(scene_map: SceneMap, ego: Trajectory | None = None) -> Samples:
    """Of one map; ego: a drive on it."""
    plain = [lane for lane in scene_map.lanes if not lane.junction]
    driving = [lane for lane in plain if lane.type is LaneType.DRIVING]
    widths = {
        kind.value: _joined([_resampled(lane)[1] for lane in plain if lane.type is kind])
        for kind in (LaneType.DRIVING, LaneType.PARKING, LaneType.SHOULDER, LaneType.SIDEWALK, LaneType.MEDIAN)
    }
    centres = [_resampled(lane)[0] for lane in driving]
    crossed = _joined(
        [_resampled(lane)[1] for lane in scene_map.lanes if lane.junction and lane.type is LaneType.DRIVING]
    )
    total = len(crossed) + sum(map(len, centres))
    return Samples(
        {kind: values[values > 0.3] for kind, values in widths.items()},
        _joined([_radii(centre) for centre in centres]),
        _abreast(scene_map, centres),
        _joined([_grades(centre) for centre in centres]),
        _setbacks(scene_map),
        np.zeros(0) if ego is None else _speeds(ego),
        len(crossed) / max(total, 1),
    )


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([*parts, np.zeros(0)])


def _resampled(lane: Lane) -> tuple[np.ndarray, np.ndarray]:
    """Centre [N,3] and width [N] every STEP metres."""
    centre, width = (lane.left + lane.right) / 2, np.linalg.norm(lane.left - lane.right, axis=1)
    stations = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centre, axis=0), axis=1))])
    at = np.arange(STEP / 2, stations[-1], STEP)
    xyz = np.stack([np.interp(at, stations, centre[:, k]) for k in range(3)], axis=-1)
    return xyz, np.interp(at, stations, width)


def _radii(centre: np.ndarray) -> np.ndarray:
    """Of the turn over 10 m around each place."""
    if len(centre) < 7:
        return np.zeros(0)
    steps = np.diff(centre[:, :2], axis=0)
    headings = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    turn = np.abs(headings[5:] - headings[:-5])
    return 5 * STEP / np.maximum(turn, 1e-6)


def _grades(centre: np.ndarray) -> np.ndarray:
    steps = np.diff(centre, axis=0)
    return np.abs(steps[:, 2]) / np.maximum(np.linalg.norm(steps[:, :2], axis=1), 1e-6)


def _abreast(scene_map: SceneMap, centres: list[np.ndarray]) -> np.ndarray:
    """Across each tenth place: driving lanes that no other surface separates."""
    grid = OccupancyGrid(scene_map.lanes)
    labels = np.zeros(grid.occupied.shape, np.int32)
    for number, lane in enumerate(scene_map.lanes, start=1):
        if lane.type is LaneType.DRIVING and not lane.junction:
            left, right = grid.cells(lane.left[:, :2]), grid.cells(lane.right[:, :2])
            cv2.fillPoly(labels, [np.concatenate([left, right[::-1]])], number)
    offsets = np.arange(0.0, REACH, grid.cell)
    counts = []
    for centre in centres:
        for a, b in zip(centre[:-1:10, :2], centre[1::10, :2]):
            across = np.array([a[1] - b[1], b[0] - a[0]]) / max(float(np.linalg.norm(b - a)), 1e-9)
            seen: set[int] = set()
            for side in (1, -1):
                line = grid.lookup(labels, a + side * offsets[:, None] * across, outside=0.0).astype(int)
                gap = np.flatnonzero(np.convolve(line == 0, np.ones(3), "valid") == 3)
                line = line[: gap[0]] if len(gap) else line
                seen |= {
                    number for number, n in zip(*np.unique(line, return_counts=True)) if number and n * grid.cell > 1.5
                }
            counts.append(len(seen))
    return np.array(counts)


def _setbacks(scene_map: SceneMap) -> np.ndarray:
    """Of buildings that face a lane, none behind another."""
    if not scene_map.buildings:
        return np.zeros(0)
    edges = np.concatenate([e[:, :2] for lane in scene_map.lanes for e in (lane.left, lane.right)])
    walls = [np.linalg.norm(b.footprint[:, None, :2] - edges, axis=-1).min() for b in scene_map.buildings]
    return np.array([distance for distance in walls if distance < 25.0])


def _speeds(ego: Trajectory) -> np.ndarray:
    return np.linalg.norm(np.diff(ego.poses[:, :3, 3], axis=0), axis=1) / np.diff(ego.times)


def merged(parts: Iterable[Samples]) -> Samples:
    parts = list(parts)
    names = ("radii", "abreast", "grades", "setbacks", "speeds")
    return Samples(
        {kind: _joined([p.widths[kind] for p in parts]) for kind in parts[0].widths},
        *(_joined([getattr(p, name) for p in parts]) for name in names),
        float(np.mean([p.in_junction for p in parts])),
    )


def rows(found: Samples) -> dict[str, str]:
    """{row: cell}."""
    table = {f"{kind} width, m": _spread(widths) for kind, widths in found.widths.items()}
    table["driving width, shares by 0.5 m"] = _histogram(found.widths["driving"], np.arange(2.25, 5.3, 0.5))
    bounds = (0.0, *RADII, np.inf)
    for low, high in itertools.pairwise(bounds):
        name = f"radius {low:g} to {high:g} m" if np.isfinite(high) else f"straighter than {low:g} m"
        table[name] = _share((found.radii >= low) & (found.radii < high))
    for lanes in range(1, 5):
        table[f"lanes abreast: {lanes}{' or more' if lanes == 4 else ''}"] = _share(
            found.abreast >= 4 if lanes == 4 else found.abreast == lanes
        )
    table["in junctions"] = f"{found.in_junction:.0%}"
    table["grade, %"] = _spread(100 * found.grades)
    table["building to road, m"] = _spread(found.setbacks)
    table["speed of the ego, m/s"] = _spread(found.speeds)
    return table


def _spread(values: np.ndarray) -> str:
    return " / ".join(f"{v:.1f}" for v in np.percentile(values, PERCENTILES)) if len(values) else "-"


def _share(mask: np.ndarray) -> str:
    return f"{mask.mean():.0%}" if len(mask) else "-"


def _histogram(values: np.ndarray, edges: np.ndarray) -> str:
    if not len(values):
        return "-"
    counts = np.histogram(values, edges)[0] / len(values)
    return " ".join(f"{low + 0.25:g}:{share:.0%}" for low, share in zip(edges, counts) if share > 0.005)


def samples_of_file(path: Path) -> Samples:
    if path.suffix == ".xodr":
        return samples_of(load_opendrive(path))
    scene = load_rds_hq_scene(path)
    return samples_of(replace(scene.map, buildings=()), scene.rig_trajectory)  # its buildings are our own


def samples_of_scenes(seeds: Iterable[int], **options: str) -> Samples:
    scenes = (procedural_scene(seed=seed, num_vehicles=0, num_pedestrians=0, **options) for seed in seeds)
    return merged(samples_of(scene.map, scene.rig_trajectory) for scene in scenes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streets", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="OpenDRIVE maps and folders with one RDS-HQ clip")
    parser.add_argument("--scenes", type=int, default=40, help="procedural scenes of each set")
    arguments = parser.parse_args()
    columns = {path.stem: rows(samples_of_file(path)) for path in arguments.files}
    seeds = range(arguments.scenes)
    columns["even"] = rows(samples_of_scenes(seeds))
    columns["town"] = rows(samples_of_scenes(seeds, layout="town"))
    wide = (samples_of_scenes(range(arguments.scenes // 5), road=road) for road in ROADS[len(SAMPLED_ROADS) :])
    columns["further roads"] = rows(merged(wide))
    print("| | " + " | ".join(columns) + " |\n" + "| --- " * (len(columns) + 1) + "|")
    for name in columns["even"]:
        print(f"| {name} | " + " | ".join(column[name] for column in columns.values()) + " |")


if __name__ == "__main__":
    main()
