"""Rigs from plain configuration values."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cosmos_exp.common.errors import UserError, ValidationErrors, attempt, nearest_name, unknown_name
from cosmos_exp.common.guards import FARTHEST, require_pixels, shortened
from cosmos_exp.common.views import ALL_VIEWS
from cosmos_exp.sensors.camera import Camera, CameraModel, Rig
from cosmos_exp.sensors.ftheta import FTheta, monotone
from cosmos_exp.sensors.pinhole import Pinhole

PINHOLE_SIZE = (1280, 704)
MAX_HFOV = 170.0
CAMERA_NAME = re.compile(r"[a-z][a-z0-9_]*")
CAMERA_KEYS = ("hfov", "size", "ftheta", "position", "rotation")
FTHETA_KEYS = ("width", "height", "center", "poly", "backward", "linear")
OPENCV_IN_FLU = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def build_rig(name: str, cameras: Mapping[str, Mapping], *, size: tuple[int, int] | None = None) -> Rig:
    """Rig of named cameras.

    cameras: `{name: {hfov: degrees | ftheta: {...}, position: [x, y, z], rotation: [roll, pitch, yaw]}}`; a name is of
    lower-case letters, digits and _.
    position: metres, rotation: degrees, both of the FLU camera axes in the rig frame (FLU, origin on the ground below
    the rear axle), R = Rz(yaw) Ry(pitch) Rx(roll): positive pitch looks down, positive yaw looks left.
    hfov: of a pinhole with square pixels at its own `size: [width, height]`, where it has one.
    ftheta: width, height, center, poly (p0..p5), backward, optional linear (c, d, e).
    size: (width, height) of every camera: those with a size of their own are resized to it, a pinhole without gets
    square pixels at it. Where absent, a camera's own size, else 1280x704.
    Raises ValidationErrors that names every mistake.
    """
    errors, built = [], []
    if not cameras:
        errors.append(f"rig {name!r} has no cameras: name at least one, such as {ALL_VIEWS[0]}")
    if size is not None and min(size) < 8:
        errors.append(f"image size {size[0]}x{size[1]} of rig {name!r}: the smallest is 8x8")
    errors += attempt(lambda: require_pixels(f"image size of rig {name!r}", *(size or PINHOLE_SIZE)))[1]
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


def translated(rig: Rig, offset: np.ndarray) -> Rig:
    """The rig with every camera moved by `offset` [3] metres in the rig frame."""
    shift = np.eye(4)
    shift[:3, 3] = offset
    return Rig(rig.name, tuple(replace(camera, camera_to_rig=shift @ camera.camera_to_rig) for camera in rig.cameras))


def cameras_of_views(cameras: Sequence[str], views: Mapping[str, str]) -> dict[str, str]:
    """{view: camera} of a rig. cameras: names of its cameras.

    views: {camera: view} for cameras that stand for a view of another name; the rest stand for the view of their own
    name, where there is one. Raises ValidationErrors that names every mistake in `views`.
    """
    errors = [f"sensors.views: {unknown_name('camera of the rig', c, cameras)}" for c in views if c not in cameras]
    errors += [f"sensors.views: {unknown_name('view', v, ALL_VIEWS)}" for v in views.values() if v not in ALL_VIEWS]
    taken: dict[str, list[str]] = defaultdict(list)
    for camera in cameras:
        view = views.get(camera, camera)
        if view in ALL_VIEWS:
            taken[view].append(camera)
    errors += [
        f"sensors.views: {' and '.join(several)} all stand for the view {view!r}: one camera per view"
        for view, several in taken.items()
        if len(several) > 1
    ]
    if errors:
        raise ValidationErrors(errors)
    return {view: camera for view, (camera,) in taken.items()}


def rig_of_views(rig: Rig, views: Mapping[str, str], names: Sequence[str]) -> Rig:
    """The cameras that stand for the views `names`, named by these and in their order.

    views: as for `cameras_of_views`. Raises UserError that names every view without a camera.
    """
    found = cameras_of_views([camera.name for camera in rig.cameras], views)
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(_no_camera(rig, found, missing))
    return Rig(rig.name, tuple(replace(rig.camera(found[name]), name=name) for name in names))


def _no_camera(rig: Rig, found: Mapping[str, str], missing: Sequence[str]) -> str:
    view_of = {camera: view for view, camera in found.items()}
    listed = ", ".join(f"{c.name} -> {view_of.get(c.name, 'no view')}" for c in rig.cameras)
    free = [camera.name for camera in rig.cameras if camera.name not in view_of]
    stand_in = nearest_name(missing[0], free) or next(iter(free), None)
    remedy = f"; +sensors.views.{stand_in}={missing[0]} lets one stand for it" if stand_in else ""
    views = f"view{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}"
    return f"rig {rig.name!r} has no camera for the {views}: its cameras stand for {listed}{remedy}"


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


def mounting(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The position [3] in metres and roll, pitch, yaw [3] in degrees of a camera_pose [4,4]."""
    R = pose[:3, :3] @ OPENCV_IN_FLU.T
    angles = np.arctan2(R[2, 1], R[2, 2]), np.arcsin(np.clip(-R[2, 0], -1, 1)), np.arctan2(R[1, 0], R[0, 0])
    return pose[:3, 3].copy(), np.degrees(angles)


def _camera(name: str, options: Mapping, size: tuple[int, int] | None) -> Camera:
    if not CAMERA_NAME.fullmatch(name):
        nearest = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
        raise UserError(f"camera name {name!r}: lower-case letters, digits and _, a letter first, such as {nearest!r}")
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
    own = options.get("size")
    if ftheta is not None:
        if own is not None:
            raise UserError(f"size of camera {name!r} goes with hfov: an f-theta camera has ftheta.width and .height")
        return _ftheta(name, ftheta)
    if own is not None:
        size = _size(f"size of camera {name!r} (width, height in pixels)", own)
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
    cx, cy = _numbers(f"f-theta center of camera {name!r} (cx, cy in pixels)", options["center"], 2)
    poly = _numbers(f"f-theta poly of camera {name!r} (p0..p5)", options["poly"], 6)
    c, d, e = _numbers(f"f-theta linear of camera {name!r} (c, d, e)", options.get("linear", (1.0, 0.0, 0.0)), 3)
    size = _size(f"f-theta size of camera {name!r} (width, height)", [options["width"], options["height"]])
    if abs(c - d * e) < 1e-9:
        raise UserError(f"f-theta linear {(c, d, e)} of camera {name!r}: [[c, d], [e, 1]] must be invertible")
    model = FTheta(*size, (cx, cy), poly, bool(options["backward"]), (c, d, e))
    if not monotone(model):
        what = "angle of pixel radius" if model.backward else "pixel radius of angle"
        raise UserError(f"f-theta poly {poly} of camera {name!r}: {what} must grow from the centre to the corners")
    return model


def _size(what: str, values: object) -> tuple[int, int]:
    width, height = _numbers(what, values, 2)
    if min(width, height) < 8 or width % 1 or height % 1:
        raise UserError(f"{what}: {width:g}x{height:g} is no image size; whole numbers, the smallest is 8x8")
    require_pixels(what, width, height)
    return int(width), int(height)


def _numbers(what: str, values: object, count: int) -> tuple[float, ...]:
    listed = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else []
    try:
        numbers = tuple(float(v) for v in listed)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    if len(numbers) != count or not (np.abs(numbers) <= FARTHEST).all():
        needed = f"{count} finite number{'s' if count > 1 else ''} up to {FARTHEST:g}"
        raise UserError(f"{what} needs {needed}, not {shortened(values)}")
    return numbers
