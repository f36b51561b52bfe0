"""Rigs from plain configuration values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cosmos_exp.errors import UserError, ValidationErrors, unknown_name
from cosmos_exp.sensors.camera import Camera, CameraModel, Rig
from cosmos_exp.sensors.ftheta import FTheta, monotone
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.views import VIEWS

PINHOLE_SIZE = (1280, 704)
MAX_HFOV = 170.0
CAMERA_KEYS = ("hfov", "ftheta", "position", "rotation")
FTHETA_KEYS = ("width", "height", "center", "poly", "backward", "linear")
OPENCV_IN_FLU = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def build_rig(name: str, cameras: Mapping[str, Mapping], *, size: tuple[int, int] | None = None) -> Rig:
    """Rig of named cameras.

    cameras: `{view name: {hfov: degrees | ftheta: {...}, position: [x, y, z], rotation: [roll, pitch, yaw]}}`.
    position: metres, rotation: degrees, both of the FLU camera axes in the rig frame (FLU, origin on the ground below
    the rear axle), R = Rz(yaw) Ry(pitch) Rx(roll): positive pitch looks down, positive yaw looks left.
    ftheta: width, height, center, poly (p0..p5), backward, optional linear (c, d, e).
    size: (width, height) of every camera: a pinhole has square pixels at this size, an f-theta camera is resized to it.
    Where absent, 1280x704 for a pinhole and the calibrated size for f-theta.
    Raises ValidationErrors that names every mistake.
    """
    errors, built = [], []
    if not cameras:
        errors.append(f"rig {name!r} has no cameras: name at least one of {', '.join(VIEWS)}")
    if size is not None and min(size) < 8:
        errors.append(f"image size {size[0]}x{size[1]} of rig {name!r}: the smallest is 8x8")
    for camera_name, options in cameras.items():
        try:
            built.append(_camera(str(camera_name), options, size))
        except UserError as error:
            errors.append(f"rig {name!r}: {error}")
    if errors:
        raise ValidationErrors(errors)
    return Rig(name, tuple(built))


def resized(rig: Rig, width: int, height: int) -> Rig:
    """The same rig with every camera at width x height pixels."""
    cameras = (Camera(c.name, c.model.resized(width, height), c.camera_to_rig) for c in rig.cameras)
    return Rig(rig.name, tuple(cameras))


def camera_pose(position: Sequence[float], rotation: Sequence[float]) -> np.ndarray:
    """[4,4] camera (OpenCV axes) to rig, from position in metres and roll, pitch, yaw in degrees."""
    roll, pitch, yaw = np.radians(rotation)
    cr, sr, cp, sp, cy, sy = np.cos(roll), np.sin(roll), np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    Rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    Ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    Rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    pose = np.eye(4)
    pose[:3, :3] = Rz @ Ry @ Rx @ OPENCV_IN_FLU
    pose[:3, 3] = position
    return pose


def _camera(name: str, options: Mapping, size: tuple[int, int] | None) -> Camera:
    if name not in VIEWS:
        raise UserError(unknown_name("camera", name, VIEWS))
    for key in options:
        if key not in CAMERA_KEYS:
            raise UserError(unknown_name(f"option of camera {name!r}", key, CAMERA_KEYS))
    position = _numbers(f"position of camera {name!r} (x, y, z in metres)", options.get("position"), 3)
    rotation = _numbers(f"rotation of camera {name!r} (roll, pitch, yaw in degrees)", options.get("rotation"), 3)
    model = _model(name, options, size or PINHOLE_SIZE)
    return Camera(name, model if size is None else model.resized(*size), camera_pose(position, rotation))


def _model(name: str, options: Mapping, size: tuple[int, int]) -> CameraModel:
    hfov, ftheta = options.get("hfov"), options.get("ftheta")
    if (hfov is None) == (ftheta is None):
        raise UserError(f"camera {name!r} needs exactly one of hfov (degrees) and ftheta")
    if ftheta is not None:
        return _ftheta(name, ftheta)
    (hfov,) = _numbers(f"hfov of camera {name!r} (degrees)", [hfov], 1)
    if not 1.0 <= hfov <= MAX_HFOV:
        nearest = min(max(hfov, 1.0), MAX_HFOV)
        hint = "; wider cameras need ftheta" if hfov > MAX_HFOV else ""
        raise UserError(
            f"hfov {hfov:g} of camera {name!r}: allowed are 1 to {MAX_HFOV:g} degrees, nearest {nearest:g}{hint}"
        )
    return Pinhole.from_hfov(*size, np.radians(hfov))


def _ftheta(name: str, options: Mapping) -> FTheta:
    for key in options:
        if key not in FTHETA_KEYS:
            raise UserError(unknown_name(f"f-theta parameter of camera {name!r}", key, FTHETA_KEYS))
    missing = [key for key in FTHETA_KEYS[:-1] if key not in options]
    if missing:
        raise UserError(f"f-theta parameters of camera {name!r} lack {', '.join(missing)}")
    center = _numbers(f"f-theta center of camera {name!r} (cx, cy in pixels)", options["center"], 2)
    poly = _numbers(f"f-theta poly of camera {name!r} (p0..p5)", options["poly"], 6)
    linear = _numbers(f"f-theta linear of camera {name!r} (c, d, e)", options.get("linear", (1.0, 0.0, 0.0)), 3)
    size = _numbers(f"f-theta size of camera {name!r} (width, height)", [options["width"], options["height"]], 2)
    if min(size) < 8:
        raise UserError(f"f-theta size {size[0]:g}x{size[1]:g} of camera {name!r}: the smallest is 8x8")
    if abs(linear[0] - linear[1] * linear[2]) < 1e-9:
        raise UserError(f"f-theta linear {linear} of camera {name!r}: [[c, d], [e, 1]] must be invertible")
    model = FTheta(int(size[0]), int(size[1]), center, poly, bool(options["backward"]), linear)
    if not monotone(model):
        what = "angle of pixel radius" if model.backward else "pixel radius of angle"
        raise UserError(f"f-theta poly {poly} of camera {name!r}: {what} must grow from the centre to the corners")
    return model


def _numbers(what: str, values: object, count: int) -> tuple[float, ...]:
    listed = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else None
    try:
        numbers = tuple(float(v) for v in listed)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise UserError(f"{what} needs {count} finite number{'s' if count > 1 else ''}, not {values!r}")
    return numbers
