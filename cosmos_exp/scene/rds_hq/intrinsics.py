"""Camera models from the numbers of `ftheta_intrinsic` and `pinhole_intrinsic`."""

from __future__ import annotations

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import require_pixels, shortened
from cosmos_exp.sensors.ftheta import FTheta, has_edge
from cosmos_exp.sensors.pinhole import Pinhole

CAMERA_TYPES = ("ftheta", "pinhole")
COUNTS = {"ftheta": (11, 14), "pinhole": (6,)}


def camera_model(camera_type: str, values: np.ndarray, place: str) -> FTheta | Pinhole:
    """The camera at its calibrated size.

    f-theta: cx, cy, w, h, p0..p5, is_backward, and c, d, e where there are 14. Pinhole: fx, fy, cx, cy, w, h.
    place: name of the numbers in messages.
    """
    if values.ndim != 1 or len(values) not in COUNTS[camera_type] or not np.isfinite(values).all():
        allowed = " or ".join(map(str, COUNTS[camera_type]))
        given = f"{shortened(values.ravel()[:20].tolist())} of shape {list(values.shape)}"
        raise UserError(f"{place}: {camera_type} intrinsics are {allowed} finite numbers, not {given}")
    return _ftheta(values, place) if camera_type == "ftheta" else _pinhole(values, place)


def _ftheta(values: np.ndarray, place: str) -> FTheta:
    _check_size(values[2], values[3], place)
    model = FTheta.from_array(values)
    if not has_edge(model):
        raise UserError(f"{place}: the radius must grow with the angle up to the corners of the image")
    return model


def _pinhole(values: np.ndarray, place: str) -> Pinhole:
    fx, fy, cx, cy, width, height = map(float, values)
    _check_size(width, height, place)
    if fx <= 0 or fy <= 0:
        raise UserError(f"{place}: focal lengths {fx:g}, {fy:g} must be above 0")
    return Pinhole(int(width), int(height), fx, fy, cx, cy)


def _check_size(width: float, height: float, place: str) -> None:
    if width < 1 or height < 1:
        raise UserError(f"{place}: width and height {width:g} x {height:g} must be at least 1")
    require_pixels(place, width, height)
