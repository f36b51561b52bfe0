"""The cameras of a ClipGT rig: `calibration_estimate.rig_json`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import FARTHEST, parse_json, shortened
from cosmos_exp.scene.rds_hq.intrinsics import camera_model
from cosmos_exp.scene.rds_hq.writer import camera_name as clip_camera_name
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.lens_conversion import as_ftheta
from cosmos_exp.sensors.rigs import camera_pose, mounting

DIRECTIONS = {"pixeldistance-to-angle": True, "angle-to-pixeldistance": False}  # polynomial-type: backward?
CORRECTIONS = ("correction_sensor_R_FLU", "correction_rig_T")


def camera_name(name: str) -> str:
    """The name with underscores: `camera:front:wide:120fov` and `camera_front_wide_120fov` are one camera."""
    return name.replace(":", "_")


def rig_json(cameras: Iterable[Camera]) -> str:
    """The rig that `read_cameras` reads: f-theta lenses, fitted to pinholes (`as_ftheta`), coefficients as float32.

    UserError for a camera whose name the format cannot have.
    """
    return json.dumps({"rig": {"properties": {}, "sensors": [_sensor(camera) for camera in cameras]}})


def as_calibrated(camera: Camera) -> Camera:
    """The camera as it is read from the calibration that it is written to."""
    cameras, _ = read_cameras(rig_json([camera]), f"camera {camera.name}")
    return next(iter(cameras.values()))


def _sensor(camera: Camera) -> dict[str, Any]:
    lens = as_ftheta(camera.model)
    position, angles = mounting(camera.camera_to_rig)
    kind = next(name for name, backward in DIRECTIONS.items() if backward == lens.backward)
    numbers = {"cx": lens.center[0], "cy": lens.center[1], "width": lens.width, "height": lens.height}
    numbers |= {f"linear-{key}": value for key, value in zip("cde", lens.linear)}
    return {
        "name": clip_camera_name(camera).replace("_", ":"),
        "properties": {
            "Model": "ftheta",
            **{key: repr(float(value)) if isinstance(value, float) else str(value) for key, value in numbers.items()},
            "polynomial": " ".join(repr(float(value)) for value in lens.poly),
            "polynomial-type": kind,
        },
        "nominalSensor2Rig_FLU": {"t": position.tolist(), "roll-pitch-yaw": angles.tolist()},
    }


def read_cameras(text: str, place: str) -> tuple[dict[str, Camera], list[str]]:
    """{name: camera at its calibrated size} of the sensors with a polynomial, and notes on what is not used.

    The corrections of a calibration (`correction_sensor_R_FLU`, `correction_rig_T`) are not applied, as by NVIDIA's
    loader. place: name of the text in messages.
    """
    document = parse_json(text, place)
    rig = document.get("rig") if isinstance(document, Mapping) else None
    sensors = rig.get("sensors") if isinstance(rig, Mapping) else None
    if not isinstance(sensors, list):
        raise UserError(f"{place}: a rig is an object with a list rig.sensors")
    cameras: dict[str, Camera] = {}
    corrected, lensless = [], []
    for number, sensor in enumerate(sensors):
        if not isinstance(sensor, Mapping) or not isinstance(sensor.get("name"), str):
            raise UserError(f"{place}: rig.sensors[{number}] has no name")
        name = camera_name(sensor["name"])
        properties = sensor.get("properties")
        if not isinstance(properties, Mapping) or not {"polynomial", "bw-poly"} & set(properties):
            if name.startswith("camera"):
                lensless.append(name)
            continue
        if name in cameras:
            raise UserError(f"{place}: camera {name} is there twice")
        cameras[name] = _camera(name, sensor, properties, f"{place}: camera {name}")
        corrected += [name] if any(sensor.get(key) for key in CORRECTIONS) else []
    if not cameras:
        raise UserError(f"{place}: no sensor has an f-theta polynomial; only such cameras can be drawn")
    notes = [f"corrections of the calibration are not applied, as by NVIDIA's loader: {', '.join(corrected)}"]
    absent = [f"without an f-theta polynomial, left out: {', '.join(lensless)}"]
    return cameras, notes * bool(corrected) + absent * bool(lensless)


def _camera(name: str, sensor: Mapping[str, Any], properties: Mapping[str, Any], place: str) -> Camera:
    backward = "bw-poly" in properties
    poly = _numbers(properties["bw-poly" if backward else "polynomial"], place, "polynomial")
    if len(poly) not in (5, 6):
        raise UserError(f"{place}: the polynomial has 5 or 6 coefficients, not {len(poly)}")
    kind = properties.get("polynomial-type")
    if not backward and kind is None:
        backward = abs(poly[1]) < 1
    elif not backward:
        if kind not in DIRECTIONS:
            raise UserError(f"{place}: polynomial-type {shortened(kind)}: allowed {' and '.join(DIRECTIONS)}")
        backward = DIRECTIONS[kind]
    needed = ("cx", "cy", "width", "height")
    if missing := [key for key in needed if key not in properties]:
        raise UserError(f"{place}: properties have no {', '.join(missing)}")
    cx, cy, width, height = (_number(properties[key], place, key) for key in needed)
    linear = [
        _number(properties.get(f"linear-{key}", usual), place, f"linear-{key}")
        for key, usual in (("c", 1.0), ("d", 0.0), ("e", 0.0))
    ]
    coefficients = np.asarray([*poly, 0.0][:6], np.float32).tolist()
    values = np.array([cx, cy, width, height, *coefficients, float(backward), *linear])
    return Camera(name, camera_model("ftheta", values, place), _camera_to_rig(sensor, place))


def _camera_to_rig(sensor: Mapping[str, Any], place: str) -> np.ndarray:
    """[4,4], OpenCV camera axes."""
    nominal = sensor.get("nominalSensor2Rig_FLU")
    if nominal is None:
        return camera_pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    if not isinstance(nominal, Mapping):
        raise UserError(f"{place}: nominalSensor2Rig_FLU is an object with t and roll-pitch-yaw")
    position, rotation = (_numbers(nominal.get(key, [0.0, 0.0, 0.0]), place, key) for key in ("t", "roll-pitch-yaw"))
    if len(position) != 3 or len(rotation) != 3 or max(map(abs, [*position, *rotation])) > FARTHEST:
        raise UserError(f"{place}: t and roll-pitch-yaw are three metres and three degrees")
    return camera_pose(tuple(position), tuple(rotation))


def _numbers(value: Any, place: str, key: str) -> list[float]:
    """Of a list, or of a text with blanks between them."""
    parts = value.split() if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise UserError(f"{place}: {key} is {shortened(value)}, not numbers")
    return [_number(part, place, key) for part in parts]


def _number(value: Any, place: str, key: str) -> float:
    try:
        number = float(value) if isinstance(value, (str, int, float)) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{place}: {key} is {shortened(value)}, not a finite number")
    return number
