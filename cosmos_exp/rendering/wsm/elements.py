"""What a World Scenario map shows of a clip: elements of its map, and boxes and states of lights at each frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import shortened
from cosmos_exp.rendering.wsm.colors import LIGHTS
from cosmos_exp.scene.clipgt.clip import Clip, standing
from cosmos_exp.scene.map_layers import cuboid_corners
from cosmos_exp.scene.motion import BoxTrack, Motion
from cosmos_exp.scene.rds_hq.clip import FPS, RdsHqClip
from cosmos_exp.scene.rds_hq.layers import Label
from cosmos_exp.scene.rds_hq.map import values_of
from cosmos_exp.scene.rds_hq.objects import Objects, mean_of_records
from cosmos_exp.scene.types import LightState

UNKNOWN = "unknown"  # state of a light
STATUS = "3d_traffic_lights_status"
# World axes of the reference for ClipGT: right, down, forward (of the first heading).
RIGHT_DOWN_FORWARD = np.array(
    [[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


@dataclass(frozen=True)
class PaintedLine:
    """points: [N,3]. colors, styles: one per vertex as a rule, such as WHITE and SOLID_SINGLE."""

    points: np.ndarray
    colors: Sequence[str]
    styles: Sequence[str]


@dataclass(frozen=True)
class Elements:
    """A map: vertices [N,3] float64 of lines and areas, and corners [8,3] of cuboids, in the order of `cuboid_corners`.

    lights: corners, and the state at a frame.
    """

    lane_lines: Sequence[PaintedLine] = ()
    road_boundaries: Sequence[np.ndarray] = ()
    wait_lines: Sequence[np.ndarray] = ()
    poles: Sequence[np.ndarray] = ()
    crosswalks: Sequence[np.ndarray] = ()
    road_markings: Sequence[np.ndarray] = ()
    traffic_signs: Sequence[np.ndarray] = ()
    lights: Sequence[tuple[np.ndarray, Callable[[int], str]]] = ()


def elements_of_clipgt(
    clip: Clip,
    axes: np.ndarray,
    tables: Iterable[str] | None = None,
    time_of: Callable[[int], int] | None = None,
) -> Elements:
    """axes: [4,4] from the clip's world to that of the elements, RIGHT_DOWN_FORWARD or the identity. tables: those that
    are read; None for all. time_of: microseconds of a frame, at which lights have their state; None: states, which are
    no part of the format, are not read.

    A pole that is given by its base stands up; in RIGHT_DOWN_FORWARD it lies ahead, as in the reference.
    """
    wanted = set(clip.tables) if tables is None else set(tables)

    def lines(table: str) -> list[np.ndarray]:
        return [moved(points, axes) for points in (clip.lines(table) if table in wanted else ())]

    def cuboids(table: str) -> list[np.ndarray]:
        found = clip.cuboids(table) if table in wanted else []
        return [moved(cuboid_corners(pose, size), axes) for pose, size in found]

    painted = clip.lane_lines() if "lane_line" in wanted else []
    lights = cuboids("traffic_light")
    states = [_at_frame(state, time_of) for state in clip.light_states()] if time_of and lights else repeat(_unknown)
    return Elements(
        lane_lines=[PaintedLine(moved(points, axes), colors, styles) for points, colors, styles in painted],
        road_boundaries=lines("road_boundary"),
        wait_lines=lines("wait_line"),
        poles=[standing(points) for points in lines("pole")],
        crosswalks=lines("crosswalk"),
        road_markings=lines("road_marking"),
        traffic_signs=cuboids("traffic_sign"),
        lights=list(zip(lights, states)),
    )


def _unknown(frame: int) -> str:
    return UNKNOWN


def _at_frame(state: Callable[[int], LightState], time_of: Callable[[int], int]) -> Callable[[int], str]:
    def at(frame: int) -> str:
        found = state(time_of(frame))
        return UNKNOWN if found is LightState.OFF else found.value

    return at


def elements_of_rds_hq(clip: RdsHqClip) -> Elements:
    """With the states of `3d_traffic_lights_status` where the clip has them."""
    labels = clip.labels()
    states = _light_states(clip)
    vertices = {layer: [v for label in found for v in label.vertices] for layer, found in labels.items()}
    return Elements(
        lane_lines=[_painted_line(label) for label in labels["lanelines"] if len(label.vertices[0]) > 1],
        road_boundaries=[v for v in vertices["road_boundaries"] if len(v) > 1],
        wait_lines=[v for v in vertices["wait_lines"] if len(v) > 1],
        poles=[standing(v) for v in vertices["poles"]],
        crosswalks=[v for v in vertices["crosswalks"] if len(v) > 2],
        road_markings=[v for v in vertices["road_markings"] if len(v) > 2],
        traffic_signs=[_rebuilt(v) for v in vertices["traffic_signs"]],
        lights=[
            (_rebuilt(label.vertices[0]), _state_at(states.get(str(values_of(label).get("feature_id")), ())))
            for label in labels["traffic_lights"]
        ],
    )


def rds_hq_tracks(objects: Objects) -> tuple[BoxTrack, ...]:
    """The objects of a clip by id as text, at the times of its frames. Those that do not move in their first record
    stay at one mean pose."""
    records: dict[str, list[tuple[int, str]]] = {}
    for frame in sorted(objects):
        for name in objects[frame]:
            records.setdefault(name, []).append((frame, name))
    return tuple(_rds_hq_track(name, objects, [frame for frame, _ in records[name]]) for name in sorted(records))


def frame_time(frame: int) -> int:
    """Microseconds of a frame of an RDS-HQ clip."""
    return int(frame / FPS * 1e6)


def _rds_hq_track(name: str, objects: Objects, frames: list[int]) -> BoxTrack:
    found = [objects[frame][name] for frame in frames]
    poses, sizes = np.stack([r.pose for r in found]), np.array([r.size for r in found])
    if not found[0].moving:
        mean, size = mean_of_records(found)
        poses = poses if mean is None else np.broadcast_to(mean, poses.shape)
        sizes = np.broadcast_to(size, sizes.shape)
    times = np.array([frame_time(frame) for frame in frames], np.int64)
    return BoxTrack(name, found[0].type, Motion(times, poses), sizes)


def moved(points: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Points [N,3] in the world that axes [4,4] turn to."""
    return points @ axes[:3, :3].T


def _painted_line(label: Label) -> PaintedLine:
    values = values_of(label)
    colors, styles = ([str(word) for word in values.get(name) or ()] for name in ("colors", "styles"))
    return PaintedLine(label.vertices[0], colors, styles)


def _rebuilt(corners: np.ndarray) -> np.ndarray:
    """The corners of a true cuboid with the centre, the edges from corner 0 and the axes of these eight corners."""
    edges = corners[[3, 1, 4]] - corners[0]
    x = _unit(edges[0])
    y = _unit(edges[1] - (edges[1] @ x) * x)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([x, y, np.cross(x, y)], axis=1)
    pose[:3, 3] = corners.mean(axis=0)
    length, width, height = (float(size) for size in np.linalg.norm(edges, axis=1))
    return cuboid_corners(pose, (length, width, height))


def _unit(axis: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(axis)
    return axis / length if length > 0 else axis


def _light_states(clip: RdsHqClip) -> dict[str, list[str]]:
    """{feature_id: state at each frame}."""
    if not clip.has(STATUS):
        return {}
    document, place = clip.document(STATUS, "aggregated_states.json")
    lights = document.get("traffic_light_states") if isinstance(document, dict) else None
    if not isinstance(lights, dict):
        raise UserError(f"{place} is not an object with an object traffic_light_states")
    found = {}
    for name, light in lights.items():
        if not isinstance(light, dict) or not isinstance(light.get("state"), list) or "feature_id" not in light:
            raise UserError(f"{place}: {name}: a light has a feature_id and a list state; given {shortened(light)}")
        found[str(light["feature_id"])] = [_state(text, f"{place}: {name}") for text in light["state"]]
    return found


def _state(text: object, place: str) -> str:
    word = ("" if text is None else str(text)).strip().lower() or UNKNOWN
    if word == "off":  # the reference takes it and fails when it draws
        return UNKNOWN
    if word not in LIGHTS:
        raise UserError(f"{place}: {unknown_name('state', word, [*LIGHTS, 'off'])}")
    return word


def _state_at(states: Sequence[str]) -> Callable[[int], str]:
    return lambda frame: states[frame] if frame < len(states) else UNKNOWN
