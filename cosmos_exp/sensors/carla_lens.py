"""Lenses of CARLA's cameras as the models of a rig: pinhole, or f-theta for the wide-angle blueprints.

A wide-angle lens maps the angle a to the optical axis to the radius f r(a), r by its `camera_model`; its fov is
vertical. Where r is not a polynomial of degree 5, one is fitted over the image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import FARTHEST, shortened

KANNALA_BRANDT = (0.083092, 0.011121, 0.008587, 0.000854)  # k0..k3 of CARLA's blueprints
LENS_ATTRIBUTES = (
    "fov", "camera_model", "focal_length", "k0", "k1", "k2", "k3", "perspective", "equirectangular", "fov_mask",
    "fov_fade_size", "longitude_offset",
)  # fmt: skip
LENS_MODELS = ("perspective", "equidistant", "stereographic", "equisolid", "orthographic", "kannala-brandt")
DEFAULT_FOV = 90.0
DEGREE = 5
SAMPLES = 500
MAX_FIT_ERROR = 0.005  # of the image's height
NOTED_FIT_ERROR = 0.5  # pixels
LAST_ANGLE = {"perspective": np.pi / 2, "equisolid": np.pi, "orthographic": np.pi / 2}  # radius increases up to here


def lens_of(entry: Mapping, attributes: Mapping[str, Any], size: tuple[int, int], notes: list[str]) -> dict[str, Any]:
    """`hfov` and `size`, or `ftheta`, of a sensor entry. size: (width, height) in pixels. notes: extended by
    messages about the fit.

    Raises UserError on a value that is not a number, an unknown model, or a lens that a polynomial cannot approximate.
    """
    if entry.get("ftheta_parameters") is not None:
        return {"ftheta": _given_ftheta(entry["ftheta_parameters"], size)}
    if entry.get("pinhole_parameters") is not None:
        return {"hfov": _hfov(_focal_length(entry["pinhole_parameters"]), size[0]), "size": list(size)}
    fov = finite("fov", attributes.get("fov", DEFAULT_FOV))
    if not (entry.get("wide_angle_lens") or "fisheye" in entry or "camera_model" in attributes):
        return {"hfov": fov, "size": list(size)}
    return _wide_angle(attributes, fov, size, notes)


def finite(name: str, value: Any) -> float:
    """A finite number, also given as a string, as in CARLA's attributes; UserError otherwise."""
    try:
        number = float(value) if not isinstance(value, bool) else float("nan")
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= FARTHEST:
        raise UserError(f"{name}={shortened(value)}: must be a finite number up to {FARTHEST:g}")
    return number


def _hfov(focal: float, width: int) -> float:
    return float(np.degrees(2 * np.arctan(width / (2 * focal))))


def _focal_length(parameters: object) -> float:
    if not isinstance(parameters, Mapping) or list(parameters) != ["focal_length"]:
        raise UserError(f"pinhole_parameters={shortened(parameters)}: must be the one key focal_length (pixels)")
    focal = finite("focal_length", parameters["focal_length"])
    if focal <= 0:
        raise UserError(f"focal_length={focal:g}: must be above 0 pixels")
    return focal


def _given_ftheta(parameters: object, size: tuple[int, int]) -> dict[str, Any]:
    known = {"polynomials": {f"k{i}" for i in range(DEGREE + 1)}, "is_bw_poly": set(), "linear": set("cde")}
    if not isinstance(parameters, Mapping) or not isinstance(parameters.get("polynomials"), Mapping):
        raise UserError(f"ftheta_parameters={shortened(parameters)}: must have polynomials: {{k0: ..., k5: ...}}")
    for key, value in parameters.items():
        if key not in known:
            raise UserError(unknown_name("key of ftheta_parameters", str(key), known))
        for name in value if isinstance(value, Mapping) else ():
            if name not in known[key]:
                raise UserError(unknown_name(f"key of {key}", str(name), sorted(known[key])))
    poly, linear = parameters["polynomials"], parameters.get("linear") or {}
    return {
        "width": size[0],
        "height": size[1],
        "center": [size[0] / 2, size[1] / 2],
        "poly": [finite(f"k{i}", poly.get(f"k{i}", 0.0)) for i in range(DEGREE + 1)],
        "backward": bool(parameters.get("is_bw_poly", False)),
        "linear": [finite(name, linear.get(name, usual)) for name, usual in zip("cde", (1.0, 0.0, 0.0))],
    }


def _wide_angle(attributes: Mapping[str, Any], fov: float, size: tuple[int, int], notes: list[str]) -> dict[str, Any]:
    model = str(attributes.get("camera_model", "equidistant"))
    if model not in LENS_MODELS:
        raise UserError(unknown_name("camera_model", model, LENS_MODELS))
    for name in ("perspective", "equirectangular", "fov_mask"):
        if str(attributes.get(name, False)).lower() not in ("false", "0"):
            raise UserError(f"{name}={attributes[name]}: this projection is not available; leave it out")
    radius = radius_of(model, [finite(f"k{i}", attributes.get(f"k{i}", KANNALA_BRANDT[i])) for i in range(4)])
    half = np.radians(fov) / 2
    last = LAST_ANGLE.get(model, np.pi)
    focal = finite("focal_length", attributes.get("focal_length", 0.0))
    if focal < 0 or (not focal and not 0 < half <= last - 1e-6):
        raise UserError(f"fov={fov:g}: the vertical field of view of a {model} lens is above 0 and below "
                        f"{np.degrees(2 * last):g} degrees")  # fmt: skip
    focal = focal or size[1] / 2 / float(radius(half))
    if model == "perspective":
        return {"hfov": _hfov(focal, size[0]), "size": list(size)}
    return {
        "ftheta": {
            "width": size[0],
            "height": size[1],
            "center": [size[0] / 2, size[1] / 2],
            "poly": _polynomial(model, radius, focal, size, notes),
            "backward": False,
        }
    }


def radius_of(model: str, k: list[float]) -> Callable[[np.ndarray], np.ndarray]:
    """Radius in focal lengths of an angle (radians). k: four Kannala-Brandt coefficients."""
    models: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "perspective": np.tan,
        "equidistant": lambda a: a,
        "stereographic": lambda a: 2 * np.tan(a / 2),
        "equisolid": lambda a: 2 * np.sin(a / 2),
        "orthographic": np.sin,
        "kannala-brandt": lambda a: a * (1 + k[0] * a**2 + k[1] * a**4 + k[2] * a**6 + k[3] * a**8),
    }
    return models[model]


def _polynomial(model: str, radius: Callable, focal: float, size: tuple[int, int], notes: list[str]) -> list[float]:
    """[6] pixel radius of an angle, from the centre to the corners of the image."""
    if model == "equidistant":
        return [0.0, focal, 0.0, 0.0, 0.0, 0.0]
    corner = float(np.hypot(*size)) / 2
    angles = np.linspace(0.0, LAST_ANGLE.get(model, np.pi) * (1 - 1e-6), 20 * SAMPLES)
    radii = focal * radius(angles)
    if radii.max() < corner:
        raise UserError(
            f"a {model} lens of {focal:.4g} pixels focal length leaves the corners of {size[0]}x{size[1]} pixels dark, "
            "which no camera of a rig can: give a smaller fov or a larger focal_length"
        )
    angles = np.linspace(0.0, angles[int(np.argmax(radii >= corner))], SAMPLES)
    unit = angles[-1]
    powers = np.stack([(angles / unit) ** i for i in range(1, DEGREE + 1)], axis=1)
    solution = np.linalg.lstsq(powers, focal * radius(angles), rcond=None)[0]
    error = float(np.abs(powers @ solution - focal * radius(angles)).max())
    fit = f"a {model} lens out to {np.degrees(unit):.0f} degrees is up to {error:.1f} pixels off its f-theta polynomial"
    if error > MAX_FIT_ERROR * size[1]:
        raise UserError(f"{fit}: give a smaller fov or a larger focal_length")
    if error > NOTED_FIT_ERROR:
        notes.append(fit)
    return [0.0, *(solution / unit ** np.arange(1, DEGREE + 1)).tolist()]
