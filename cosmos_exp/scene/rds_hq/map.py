"""SceneMap <-> the labels of the static layers, with those of their attributes that a SceneMap has.

Attributes of NVIDIA's clips keep their names and values; the attributes `junction`, `radius`, `states` and
`state_times` and the lane types beyond shoulders are added here, so that a written map can be read back.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.map_layers import cuboid_corners
from cosmos_exp.scene.rds_hq.layers import Label
from cosmos_exp.scene.types import (
    Lane,
    LaneLine,
    LaneType,
    LightState,
    Pole,
    SceneMap,
    TrafficLight,
    TrafficSign,
)

logger = logging.getLogger(__name__)

LINE_STYLES = {"solid": "SOLID_SINGLE", "broken": "LONG_DASHED_SINGLE", "solid_solid": "SOLID_GROUP"}
MARKING = re.compile(r"[A-Z_]{1,40}")
LANE_TYPES = {f"{kind.name}_LANE": kind for kind in LaneType} | {"BIKE_LANE": LaneType.BIKING}
CENTRE_LINE_WIDTH = 3.6  # metres: of a lane that is given by its centre line alone


def map_labels(scene_map: SceneMap, *, start: float = 0.0) -> dict[str, list[Label]]:
    """{layer: labels} of all nine layers. Buildings and trees have no layer.

    start: seconds of the map's clock at frame 0, from which the times of lights are counted.
    """
    return {
        "lanelines": [Label((line.points,), _line_attributes(line)) for line in scene_map.lane_lines],
        "lanes": [Label((lane.left, lane.right), _lane_attributes(lane)) for lane in scene_map.lanes],
        "road_boundaries": [Label((line,)) for line in scene_map.road_boundaries],
        "crosswalks": [Label((area,)) for area in scene_map.crosswalks],
        "road_markings": [Label((area,)) for area in scene_map.road_markings],
        "wait_lines": [Label((line,)) for line in scene_map.wait_lines],
        "poles": [
            Label((np.stack([pole.base, pole.top]),), ({"name": "radius", "double": float(pole.radius)},))
            for pole in scene_map.poles
        ],
        "traffic_signs": [
            Label((cuboid_corners(sign.pose, sign.size),), (_feature(sign.id), _text("sign_class", sign.kind)))
            for sign in scene_map.traffic_signs
        ],
        "traffic_lights": [
            Label((cuboid_corners(light.pose, light.size),), (_feature(light.id), *_states(light, start)))
            for light in scene_map.traffic_lights
        ],
    }


def map_of_labels(name: str, layers: Mapping[str, Iterable[Label]]) -> SceneMap:
    """The map of {layer: labels}; a layer that is not given is empty. Labels with attributes that are not of the format
    are left out, with a warning that counts them."""

    def read(layer: str, make) -> tuple:
        made, odd = [], []
        for label in layers.get(layer, ()):
            try:
                made += make(label)
            except UserError:
                raise
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
                odd.append(error)
        if odd:
            why = f"{type(odd[0]).__name__} {odd[0]}"
            logger.warning("%s: %d labels of %s left out, the first for an odd value: %s", name, len(odd), layer, why)
        return tuple(made)

    return SceneMap(
        name=name,
        lanes=read("lanes", _lanes),
        lane_lines=read("lanelines", _lane_lines),
        road_boundaries=read("road_boundaries", lambda label: label.vertices),
        crosswalks=read("crosswalks", lambda label: label.vertices),
        road_markings=read("road_markings", lambda label: label.vertices),
        wait_lines=read("wait_lines", lambda label: label.vertices),
        poles=read("poles", _poles),
        traffic_signs=read("traffic_signs", _signs),
        traffic_lights=read("traffic_lights", _lights),
    )


def values_of(label: Label) -> dict[str, Any]:
    """{name: value} of the attributes; lists without their wrapping."""
    found: dict[str, Any] = {}
    for attribute in label.attributes:
        value = next((v for k, v in attribute.items() if k != "name"), None)
        if isinstance(value, Mapping):
            value = next(iter(value.values()), [])
        if isinstance(name := attribute.get("name", ""), str):
            found[name] = value
    return found


def cuboid_pose(corners: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Pose [4,4] and (depth, width, height) of a cuboid of 8 corners: x as from vertex 3 to 0, z nearest to up.

    Vertices 0-3 are a face, i and i+4 are joined; from 3 to 0 is the way a sign faces. NVIDIA's cuboids are mirrored
    (their axes left-handed) and arbitrarily rotated about x, so y and z are reassigned to give a proper rotation.
    """
    x = (corners[[0, 1, 4, 5]] - corners[[3, 2, 7, 6]]).mean(axis=0)
    across = (corners[[0, 3, 4, 7]] - corners[[1, 2, 5, 6]]).mean(axis=0)
    down = (corners[:4] - corners[4:]).mean(axis=0)
    upright, level = sorted((across, down), key=lambda axis: -abs(_unit(axis)[2]))
    z = _unit(upright if upright[2] >= 0 else -upright, (0.0, 0.0, 1.0))
    x_axis = _unit(x, np.cross(_unit(level, (0.0, 1.0, 0.0)), z))
    pose = np.eye(4)
    pose[:3, 0] = x_axis
    pose[:3, 1] = _unit(np.cross(z, x_axis), (0.0, 1.0, 0.0))
    pose[:3, 2] = np.cross(x_axis, pose[:3, 1])
    pose[:3, 3] = corners.mean(axis=0)
    depth, width, height = (float(np.linalg.norm(axis)) for axis in (x, level, upright))
    return pose, (depth, width, height)


def _unit(axis: np.ndarray, otherwise: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0)) -> np.ndarray:
    """The axis at length 1, or where it has none, the other one."""
    length = np.linalg.norm(axis)
    return axis / length if length > 1e-9 else np.asarray(otherwise, np.float64)


def _text(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "text": value}


def _feature(identity: str) -> dict[str, Any]:
    return _text("feature_id", identity)


def _each(name: str, value: str, count: int) -> dict[str, Any]:
    return {"name": name, "enumsList": {"enumsList": [value] * count}}


def _line_attributes(line: LaneLine) -> tuple[dict[str, Any], ...]:
    count = len(line.points)
    return (
        {"name": "width", "double": float(line.width)},
        _each("colors", line.color.upper(), count),
        _each("styles", line.marking or LINE_STYLES[line.style], count),
    )


def _lane_attributes(lane: Lane) -> tuple[dict[str, Any], ...]:
    uses = {} if lane.type is LaneType.DRIVING else {"enumsList": [f"{lane.type.name}_LANE"]}
    return (
        _feature(lane.id),
        {"name": "use_types", "enumsList": uses},
        {"name": "junction", "flag": bool(lane.junction)},
    )


def _states(light: TrafficLight, start: float) -> Iterator[dict[str, Any]]:
    if light.states:
        yield {"name": "states", "enumsList": {"enumsList": [state.name for state in light.states]}}
        yield {"name": "state_times", "textList": {"textList": [repr(float(t - start)) for t in light.state_times]}}


def _lane_lines(label: Label) -> Iterator[LaneLine]:
    values = values_of(label)
    (points,) = label.vertices
    color = "yellow" if "YELLOW" in _most_common(values.get("colors")) else "white"
    word = _most_common(values.get("styles")).upper()
    style = _line_style(word)
    marking = word if MARKING.fullmatch(word) and word != LINE_STYLES[style] else ""
    yield LaneLine(points, style, color, _size(values, "width", LaneLine.width), marking)


def _size(values: Mapping[str, Any], name: str, otherwise: float) -> float:
    """An attribute in metres; the usual size where there is none, or 0."""
    given = values.get(name)
    if given is None:
        return otherwise
    size = _number(given)
    if not 0 <= size < math.inf:
        raise UserError(f"attribute {name} of a label is {given!r}: it must be a finite number, 0 or more")
    return size or otherwise


def _number(given: Any) -> float:
    """NaN for what is none."""
    try:
        return float(given)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _line_style(name: str) -> str:
    if "DASH" in name or "DOT" in name:
        return "broken"
    return "solid_solid" if "GROUP" in name or "DOUBLE" in name else "solid"


def _most_common(values: Sequence[str] | None) -> str:
    return Counter(values).most_common(1)[0][0] if values else ""


def _lanes(label: Label) -> Iterator[Lane]:
    values = values_of(label)
    left, right = label.vertices if len(label.vertices) == 2 else _beside(label.vertices[0])
    if len(left) < 2 or len(right) < 2:
        return
    if len(left) != len(right):
        left, right = _same_stations(left, right)
    kind = next((LANE_TYPES[use] for use in values.get("use_types") or () if use in LANE_TYPES), LaneType.DRIVING)
    junction = values.get("junction")
    if junction is None:
        junction = "TURN" in values.get("lane_direction", "")
    yield Lane(_lane_id(values), kind, left, right, bool(junction))


def _lane_id(values: Mapping[str, Any]) -> str:
    """`<road>:<lane>` where the lane names its siblings: the smallest id among all lanes of the road stands for it."""
    own = str(values.get("feature_id", ""))
    siblings = values.get("road_segment_sibling_lane_ids")
    if not siblings:
        return own
    return f"{min([*siblings, *(values.get('opposite_road_segment_sibling_lane_ids') or ())])}:{own}"


def _beside(centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges of a lane that is known by its centre line."""
    along = np.gradient(centre[:, :2], axis=0) if len(centre) > 1 else np.zeros((len(centre), 2))
    along = along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    half = CENTRE_LINE_WIDTH / 2 * np.stack([-along[:, 1], along[:, 0], np.zeros(len(along))], axis=1)
    return centre + half, centre - half


def _same_stations(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both edges at the stations (shares of the length) of either."""
    stations = [_shares(left), _shares(right)]
    every = np.unique(np.concatenate(stations))
    resampled = [
        np.stack([np.interp(every, own, edge[:, k]) for k in range(3)], axis=1)
        for edge, own in zip((left, right), stations)
    ]
    return resampled[0], resampled[1]


def _shares(edge: np.ndarray) -> np.ndarray:
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(edge, axis=0), axis=1))])
    return length / max(length[-1], 1e-9)


def _poles(label: Label) -> Iterator[Pole]:
    ends = label.vertices[0]
    if len(ends) < 2:
        return
    low, high = (ends[0], ends[-1]) if ends[0][2] <= ends[-1][2] else (ends[-1], ends[0])
    yield Pole(low, high, _size(values_of(label), "radius", Pole.radius))


def _signs(label: Label) -> Iterator[TrafficSign]:
    values = values_of(label)
    yield TrafficSign(
        str(values.get("feature_id", "")), *cuboid_pose(label.vertices[0]), str(values.get("sign_class", ""))
    )


def _lights(label: Label) -> Iterator[TrafficLight]:
    yield traffic_light(label)


def traffic_light(label: Label) -> TrafficLight:
    """UserError for states that are none."""
    values = values_of(label)
    states = tuple(LightState[name] for name in map(str, values.get("states") or ()) if name in LightState.__members__)
    times = np.array([_number(text) for text in values.get("state_times") or ()])
    if (
        len(values.get("states") or ()) != len(times)
        or len(states) != len(times)
        or not np.isfinite(times).all()
        or (np.diff(times) < 0).any()
    ):
        raise UserError(
            f"traffic light {values.get('feature_id', '')}: states and state_times are as many names, of "
            f"{', '.join(LightState.__members__)}, as finite times that ascend"
        )
    return TrafficLight(str(values.get("feature_id", "")), *cuboid_pose(label.vertices[0]), times, states)
