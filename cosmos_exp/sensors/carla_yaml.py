"""The sensor file of CARLA's Cosmos exporter -> cameras of a rig, and the outputs requested from each.

A YAML list with an entry per sensor: its kind, its blueprint's attributes, and its transform relative to the ego actor
in Unreal's axes (left-handed: x forward, y right, z up; metres, degrees, positive pitch looks up). Entries with the
same lens and transform are one camera with several outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, ValidationErrors, unknown_name
from cosmos_exp.common.guards import SIDE, shortened
from cosmos_exp.common.input_files import read_yaml
from cosmos_exp.sensors.camera import Rig
from cosmos_exp.sensors.carla_lens import LENS_ATTRIBUTES, finite, lens_of
from cosmos_exp.sensors.config import SensorsConfig
from cosmos_exp.sensors.rigs import build_rig, translated

# sensor: output of the renderer
SENSOR_OUTPUTS = {
    "rgb": "rgb",
    "depth": "depth",
    "semantic_segmentation": "semantic",
    "instance_segmentation": "instance",
    "normals": "normals",
    "cosmos_visualization": "hdmap",
    "rds_hq": "hdmap",
}
ENTRY_KEYS = (
    "sensor", "attributes", "transform", "wide_angle_lens", "fisheye", "pinhole_parameters", "ftheta_parameters"
)  # fmt: skip
LOCATION, ROTATION = ("x", "y", "z"), ("pitch", "yaw", "roll")
# fmt: off
# Exposure and post-processing attributes of CARLA's cameras, which the renderer does not model.
PHOTOGRAPHIC = frozenset({
    "black_clip", "blade_count", "bloom_intensity", "blur_amount", "blur_radius", "calibration_constant",
    "chromatic_aberration_intensity", "chromatic_aberration_offset", "enable_postprocess_effects",
    "exposure_compensation", "exposure_max_bright", "exposure_min_bright", "exposure_mode", "exposure_speed_down",
    "exposure_speed_up", "focal_distance", "fstop", "gamma", "iso", "lens_circle_falloff", "lens_circle_multiplier",
    "lens_flare_intensity", "lens_k", "lens_kcube", "lens_x_size", "lens_y_size", "min_fstop",
    "motion_blur_intensity", "motion_blur_max_distortion", "motion_blur_min_object_screen_size", "role_name",
    "sensor_tick", "shoulder", "shutter_speed", "slope", "temp", "tint", "toe", "white_clip",
})
# fmt: on
ATTRIBUTES = ("image_size_x", "image_size_y", *LENS_ATTRIBUTES, *sorted(PHOTOGRAPHIC))
DEFAULT_SIZE = {"image_size_x": 800, "image_size_y": 600}  # of CARLA's blueprints


@dataclass(frozen=True)
class CarlaSensors:
    """cameras: `{camera_0: options}` in the file's order, as `build_rig` takes them, but with positions relative to the
    ego actor's origin (FLU metres). outputs: {camera: renderer outputs}. sensors: {camera: sensors as the file names
    them}. photographic: {camera: {renderer output: {attribute: value}}} of exposure and post-processing, which CARLA's
    own cameras follow. notes: settings of the file that are ignored; those that only the renderer ignores are in
    `not_drawn`.
    """

    cameras: dict[str, dict[str, Any]]
    outputs: dict[str, tuple[str, ...]]
    sensors: dict[str, tuple[str, ...]]
    photographic: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def not_drawn(self) -> tuple[str, ...]:
        given = {name for camera in self.photographic.values() for values in camera.values() for name in values}
        return tuple(
            f"attribute {name} has no counterpart in the renderer and is not followed" for name in sorted(given)
        )


@dataclass
class _Group:
    """Entries of one camera. photographic: {sensor: attributes}."""

    options: dict[str, Any]
    sensors: list[str] = field(default_factory=list)
    photographic: dict[str, dict[str, str]] = field(default_factory=dict)


def read_carla_sensors(path: str | Path) -> CarlaSensors:
    """Cameras and outputs of a sensor file; a leading `file:` of the path is left out, as CARLA's exporter does.

    Raises ValidationErrors that names every mistake by its entry; UserError on a file that is not a YAML list.
    """
    path = Path(str(path).removeprefix("file:"))
    groups: list[_Group] = []
    errors: list[str] = []
    notes: list[str] = []
    for number, entry in enumerate(_entries(path), start=1):
        try:
            sensor, options, photographic = _read_entry(entry, notes)
        except ValidationErrors as error:
            errors += [f"{path.name}, entry {number}: {text}" for text in error.errors]
            continue
        group = next((g for g in groups if g.options == options), None)
        if group is None:
            groups.append(group := _Group(options))
        if sensor in group.sensors:
            notes.append(f"entry {number} repeats an earlier {sensor} of the same lens and transform: one is enough")
        else:
            group.sensors.append(sensor)
            group.photographic[SENSOR_OUTPUTS[sensor]] = photographic
    if errors:
        raise ValidationErrors(errors)
    named = {f"camera_{i}": group for i, group in enumerate(groups)}
    return CarlaSensors(
        {name: group.options for name, group in named.items()},
        {name: tuple(dict.fromkeys(SENSOR_OUTPUTS[s] for s in group.sensors)) for name, group in named.items()},
        {name: tuple(group.sensors) for name, group in named.items()},
        {name: group.photographic for name, group in named.items()},
        tuple(dict.fromkeys(notes)),
    )


def configured_cameras(sensors: SensorsConfig) -> Mapping[str, Mapping[str, Any]]:
    """{camera: options} of a `sensors` config: those of its file, relative to the ego actor, or its own.

    Raises UserError where it has both or neither, or an `actor_origin` that is not a point.
    """
    if not sensors.file:
        if not sensors.cameras:
            raise UserError(f"sensors={sensors.name} has no cameras: give sensors.file=PATH, or sensors.cameras")
        return sensors.cameras
    if sensors.cameras:
        raise UserError(f"sensors.file={sensors.file} and sensors.cameras: give one of them")
    origin = sensors.actor_origin
    if origin is not None and (len(origin) != 3 or not np.isfinite(origin).all()):
        raise UserError(f"sensors.actor_origin={origin}: must be x, y, z in metres, or null for that of the scene")
    return read_carla_sensors(sensors.file).cameras


def carla_rig(sensors: CarlaSensors, origin: np.ndarray, *, name: str = "carla_yaml") -> Rig:
    """The cameras at the sizes that the file gives. origin: [3] of the ego actor in the rig frame, `actor_origin`."""
    return translated(build_rig(name, sensors.cameras), origin)


def _entries(path: Path) -> list:
    given = read_yaml("sensor file", path, give="the path of a YAML list of sensors")
    if not isinstance(given, list) or not given:
        what = "is empty" if not given else f"is a {type(given).__name__}"
        raise UserError(f"sensor file {str(path)!r} {what}: it must be a list of entries that begin `- sensor: rgb`")
    return given


def _read_entry(entry: object, notes: list[str]) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Kind of sensor, options of its camera, and photographic attributes."""
    if not isinstance(entry, Mapping):
        raise ValidationErrors([f"{shortened(entry)} is no entry of keys such as sensor, attributes, transform"])
    errors = [unknown_name("key", str(key), ENTRY_KEYS) for key in entry if key not in ENTRY_KEYS]
    sensor = str(entry.get("sensor") or "")
    if sensor not in SENSOR_OUTPUTS:
        errors.append(unknown_name("sensor", sensor, SENSOR_OUTPUTS) if sensor else "has no key `sensor`")
    attributes = _mapping(entry, "attributes", errors)
    errors += [unknown_name("attribute", str(name), ATTRIBUTES) for name in attributes if name not in ATTRIBUTES]
    options: dict[str, Any] = {}
    try:
        width, height = (_whole(name, attributes.get(name, default)) for name, default in DEFAULT_SIZE.items())
        options = lens_of(entry, attributes, (width, height), notes)
    except UserError as error:
        errors.append(str(error))
    options |= _mounting(_mapping(entry, "transform", errors), errors)
    if not errors:
        try:
            build_rig("sensor", {"camera": options})
        except ValidationErrors as error:
            errors += [text.removeprefix("rig 'sensor': ") for text in error.errors]
    if errors:
        raise ValidationErrors(errors)
    return sensor, options, {name: str(value) for name, value in attributes.items() if name in PHOTOGRAPHIC}


def _mounting(transform: Mapping, errors: list[str]) -> dict[str, Any]:
    """position and rotation as `build_rig` takes them: y, pitch and yaw count the other way in Unreal."""
    errors += [unknown_name("key of transform", str(k), ("location", "rotation")) for k in transform
               if k not in ("location", "rotation")]  # fmt: skip
    x, y, z = _vector(transform, "location", LOCATION, errors)
    pitch, yaw, roll = _vector(transform, "rotation", ROTATION, errors)
    return {"position": [x, 0.0 - y, z], "rotation": [roll, 0.0 - pitch, 0.0 - yaw]}


def _vector(transform: Mapping, part: str, names: tuple[str, ...], errors: list[str]) -> list[float]:
    given = _mapping(transform, part, errors)
    errors += [unknown_name(f"key of {part}", str(key), names) for key in given if key not in names]
    values = []
    for name in names:
        try:
            values.append(finite(f"{part}.{name}", given.get(name, 0.0)))
        except UserError as error:
            errors.append(str(error))
            values.append(0.0)
    return values


def _mapping(parent: Mapping, key: str, errors: list[str]) -> Mapping:
    value = parent.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        errors.append(f"{key} is {shortened(value)}, not a set of keys")
        return {}
    return value


def _whole(name: str, value: Any) -> int:
    number = finite(name, value)
    if number % 1 or not 8 <= number <= SIDE:
        raise UserError(f"{name}={shortened(value)}: a whole number of pixels, 8 to {SIDE}")
    return int(number)
