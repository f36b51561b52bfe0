"""The map of a Waymo segment as RDS-HQ layers. The v2 tables have none: it is in the first frame of the v1 TFRecord."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.rds_hq.layers import Label
from cosmos_exp.scene.waymo.protobuf import BrokenMessage, double, fields, records, submessages

MAP_FEATURES = 10  # in Frame
FEATURE_ID = 1
# Field in MapFeature -> (kind, RDS-HQ layer, field of its points); those without a layer are not converted.
FEATURES = {
    3: ("lane", "lanes", 8),
    4: ("road_line", "lanelines", 2),
    5: ("road_edge", "road_boundaries", 2),
    7: ("stop_sign", None, 0),
    8: ("crosswalk", "crosswalks", 1),
    9: ("speed_bump", None, 0),
    10: ("driveway", None, 0),
}
# RoadLineType -> colour and style in RDS-HQ's vocabulary.
LINE_TYPES = {
    1: ("WHITE", "LONG_DASHED_SINGLE"),
    2: ("WHITE", "SOLID_SINGLE"),
    3: ("WHITE", "SOLID_GROUP"),
    4: ("YELLOW", "LONG_DASHED_SINGLE"),
    5: ("YELLOW", "DASHED_GROUP"),
    6: ("YELLOW", "SOLID_SINGLE"),
    7: ("YELLOW", "SOLID_GROUP"),
    8: ("YELLOW", "DASHED_SOLID_GROUP"),
}


@dataclass
class WaymoMap:
    """labels: {layer: labels}, vertices in Waymo's global frame. left_out: features of kinds that have no layer, and
    polylines of a single point, by name and number."""

    labels: dict[str, list[Label]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


def find_tfrecord(folder: Path, segment: str) -> Path | None:
    """The v1 file of a segment anywhere below the folder, such as `segment-<id>_with_camera_labels.tfrecord`."""
    found = glob.glob(f"{glob.escape(str(folder))}/**/*{glob.escape(segment)}*.tfrecord", recursive=True)
    return Path(min(found)) if found else None


def read_map(path: Path) -> WaymoMap:
    """The map of the first frame. UserError where the file cannot be read or that frame has none."""
    try:
        frame = next(records(path), None)
        if frame is None:
            raise UserError(f"{path} is empty")
        features = list(submessages(frame, MAP_FEATURES))
        if not features:
            raise UserError(
                f"{path}: its first frame has no map features; segments have them since version 1.4.2 of the dataset"
            )
        return _converted(features, path)
    except BrokenMessage as error:
        raise UserError(f"{path}: its first record is no Waymo frame: {error}") from None


def _converted(features: list[memoryview], path: Path) -> WaymoMap:
    result = WaymoMap()
    for feature in features:
        identity = next((value for number, value in fields(feature) if number == FEATURE_ID), 0)
        for number, value in fields(feature):
            if number not in FEATURES:
                continue
            kind, layer, points_field = FEATURES[number]
            if isinstance(value, int):
                raise BrokenMessage(f"map feature {identity} is a number, not a message")
            vertices = np.array([_point(p) for p in submessages(value, points_field)]).reshape(-1, 3)
            if not np.isfinite(vertices).all():
                raise UserError(f"{path}: {kind} {identity} has a point that is not finite")
            if layer is None or len(vertices) < 2:
                result.left_out[kind if layer is None else f"{kind} of {len(vertices)} points"] += 1
                continue
            attributes = ({"name": "feature_id", "text": str(identity)}, *_attributes(kind, value, len(vertices)))
            result.labels.setdefault(layer, []).append(Label((vertices,), attributes))
    return result


def _point(message: memoryview) -> tuple[float, float, float]:
    values = {number: double(value) for number, value in fields(message) if number in (1, 2, 3)}
    return values.get(1, 0.0), values.get(2, 0.0), values.get(3, 0.0)


def _attributes(kind: str, message: memoryview, count: int) -> Iterator[dict[str, Any]]:
    given = {number: value for number, value in fields(message) if isinstance(value, int)}
    if kind == "road_line" and given.get(1) in LINE_TYPES:
        color, style = LINE_TYPES[given[1]]
        yield {"name": "colors", "enumsList": {"enumsList": [color] * count}}
        yield {"name": "styles", "enumsList": {"enumsList": [style] * count}}
    if kind == "lane" and given.get(2) == 3:
        yield {"name": "use_types", "enumsList": {"enumsList": ["BIKE_LANE"]}}
