"""The f-theta camera of NVIDIA's driving data: pixel radius as a polynomial of the angle to the optical axis.

Float precision follows the RDS-HQ renderer (mostly float32), since rasterised pixels depend on rounding. The
calibration gives one direction of the polynomial; the other is fitted over 500 uniform samples, as in that renderer (an
exact inverse differs by up to 0.04 px).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.sensors.ftheta_fit import fit_without_constant

FIT_SAMPLES = 500
SCAN_STEPS = 2000
SQUEEZES = 2
NARROWED = 0.9  # a linear term below this comes from a horizontally resized image, not from calibration


@dataclass(frozen=True)
class FTheta:
    """center: principal point (cx, cy), pixels. poly: p0..p5 of the direction that the calibration gives.

    backward: True when poly maps pixel radius to angle (radians), False when it maps angle to pixel radius.
    linear: (c, d, e) of pixel = [[c, d], [e, 1]] q + center, where q has the radial length.
    """

    width: int
    height: int
    center: tuple[float, float]
    poly: tuple[float, ...]
    backward: bool
    linear: tuple[float, float, float] = (1.0, 0.0, 0.0)

    @classmethod
    def from_array(cls, values: Sequence[float] | np.ndarray) -> FTheta:
        """The 11 or 14 numbers of an RDS-HQ `ftheta_intrinsic`: cx, cy, w, h, p0..p5, is_backward, (c, d, e)."""
        if len(values) not in (11, 14):
            raise UserError(f"an f-theta calibration has 11 or 14 numbers, not {len(values)}")
        cx, cy = (float(v) for v in np.asarray(values[:2], np.float32))
        width, height, *rest = (float(v) for v in values[2:])
        c, d, e = rest[7:10] or (1.0, 0.0, 0.0)
        return cls(int(width), int(height), (cx, cy), tuple(rest[:6]), rest[6] > 0, (c, d, e))

    def to_array(self) -> np.ndarray:
        """What `from_array` takes: 14 numbers, or 11 float64 where the linear part is the identity."""
        values = [*self.center, self.width, self.height, *self.poly, float(self.backward)]
        return np.array(values if self.linear == (1.0, 0.0, 0.0) else [*values, *self.linear])

    @cached_property
    def fw_poly(self) -> np.ndarray:
        """[6] float64: pixel radius of an angle."""
        if not self.backward:
            return np.asarray(self.poly, np.float64)
        radius = np.linspace(0.0, self.max_radius, FIT_SAMPLES)
        return _fit(_evaluate(self.poly, radius), radius)

    @cached_property
    def bw_poly(self) -> np.ndarray:
        """[6] float64: angle of a pixel radius."""
        if self.backward:
            return np.asarray(self.poly, np.float64)
        angle = np.linspace(0.0, self.forward_domain_end(), FIT_SAMPLES)
        return _fit(_evaluate(self.poly, angle), angle)

    @cached_property
    def max_radius(self) -> float:
        """Length of the largest horizontal and vertical distance from the principal point to a border, pixels."""
        center = np.asarray(self.center, np.float32)
        far = np.maximum(center, np.array([self.width, self.height], np.float32) - center)
        if self.linear[0] < NARROWED:
            far[0] /= self.linear[0]
        return float(np.linalg.norm(far))

    @cached_property
    def max_angle(self) -> float:
        """Largest angle of the four corner pixels, radians."""
        right, bottom = self.width - 1, self.height - 1
        corners = np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]], np.float32)
        offset = self._undistorted(corners)
        length = np.sqrt((offset * offset).sum(axis=1, keepdims=True))
        angle = _evaluate(self.bw_poly, length)
        across = np.linalg.norm(np.sin(angle) * offset / length, axis=1)
        return float(np.arctan2(across, np.cos(angle)[:, 0]).max())

    @cached_property
    def beyond_max(self) -> tuple[float, float]:
        """Radius at the maximum angle and its slope: the straight line on which larger angles are projected."""
        polynomials = (self.fw_poly, _derivative(self.fw_poly))
        radius, slope = (float(np.float32(_evaluate(poly, self.max_angle))) for poly in polynomials)
        return radius, slope

    def radius(self, angle: np.ndarray) -> np.ndarray:
        """Pixel radius of an angle (radians), extrapolated linearly beyond the maximum angle."""
        at_max, slope = self.beyond_max
        inside = _evaluate(self.fw_poly, angle)
        return np.where(angle <= self.max_angle, inside, at_max + (angle - self.max_angle) * slope)

    def project(self, points: np.ndarray) -> np.ndarray:
        """[N,3] -> [N,2] float64 pixels with the precision of float32. Nothing is rejected: a point behind lands far
        outside the image."""
        x, y, z = np.asarray(points, np.float32).reshape(-1, 3).T
        squared = x * x + y * y
        across = np.sqrt(squared)
        with np.errstate(invalid="ignore", divide="ignore"):
            cosine = z / np.sqrt(squared + z * z)
            angle = np.where(np.abs(cosine) < 1, np.arccos(cosine), across)
            scale = np.where(
                across > 0, self.radius(angle.astype(np.float64)).astype(np.float32) / across, np.float32(0)
            )
        x, y = x * scale, y * scale
        c, d, e = (np.float32(v) for v in self.linear)
        cx, cy = (np.float32(v) for v in self.center)
        return np.stack([c * x + d * y + cx, e * x + y + cy], axis=1).astype(np.float64)

    def unproject(self, pixels: np.ndarray) -> np.ndarray:
        """[N,2] pixels -> [N,3] float64 unit directions."""
        c, d, e = self.linear
        offset = np.asarray(pixels, np.float64) - self.center
        qx = (offset[:, 0] - d * offset[:, 1]) / (c - e * d)
        qy = (c * offset[:, 1] - e * offset[:, 0]) / (c - e * d)
        radius = np.hypot(qx, qy)
        angle = _evaluate(self.bw_poly, radius)
        scale = np.divide(np.sin(angle), radius, out=np.zeros_like(radius), where=radius > 1e-9)
        z = np.where(radius > 1e-9, np.cos(angle), 1.0)
        return np.stack([qx * scale, qy * scale, z], axis=1)

    def _undistorted(self, pixels: np.ndarray) -> np.ndarray:
        """[N,2] float32 pixels -> offsets [N,2] float32 from the principal point, whose length is the radius."""
        c, d, e = (np.float32(v) for v in self.linear)
        inverse = np.array([[1, -d], [-e, c]], np.float32) / (c - e * d)
        return (pixels - np.asarray(self.center, np.float32)) @ inverse.T

    def rays(self) -> np.ndarray:
        """[H,W,3] float32 unit directions through the pixel centres."""
        v, u = np.mgrid[0 : self.height, 0 : self.width]
        pixels = np.stack([u.ravel(), v.ravel()], axis=1)
        return self.unproject(pixels).reshape(self.height, self.width, 3).astype(np.float32)

    def scaled(self, scale: float) -> FTheta:
        """RDS-HQ's rule for another resolution: truncated size, the other polynomial refitted."""
        cx, cy = (float(np.float32(v) * np.float32(scale)) for v in self.center)
        model = self._rescaled(int(self.width * scale), int(self.height * scale), scale, 1.0)
        return replace(model, center=(cx, cy))

    def squeezed(self, width: int, height: int) -> FTheta:
        """The World Scenario renderer's rule for another resolution: radii scaled by the geometric mean of both ratios.

        So the lens is distorted where the ratios differ. Its size is truncated, and scaled again where that made it
        smaller.
        """
        model = self
        for _ in range(SQUEEZES):
            if (model.width, model.height) == (width, height):
                return model
            across, down = width / model.width, height / model.height
            cx, cy = model.center
            scaled = model._rescaled(int(model.width * across), int(model.height * down), np.sqrt(across * down), 1.0)
            center = float(np.float32(cx * across)), float(np.float32(cy * down))
            model = replace(scaled, center=center, poly=tuple(np.asarray(scaled.poly, np.float32).tolist()))
        return replace(model, width=width, height=height)

    def resized(self, width: int, height: int) -> FTheta:
        """Exactly width x height: scaled by the height ratio, the rest of the width ratio goes to the linear part."""
        scale = height / self.height
        return self._rescaled(width, height, scale, (width / self.width) / scale)

    def _rescaled(self, width: int, height: int, scale: float, stretch: float) -> FTheta:
        ratio = 1 / scale
        c, d, e = self.linear
        return replace(
            self,
            width=width,
            height=height,
            center=(self.center[0] * scale * stretch, self.center[1] * scale),
            poly=tuple(p * ratio**i if self.backward else p / ratio for i, p in enumerate(self.poly)),
            linear=(c * stretch, d * stretch, e),
        )

    def forward_domain_end(self) -> float:
        """Angle up to which the forward polynomial is fitted: before its maximum, or where it leaves the image."""
        steps = np.arange(SCAN_STEPS + 1) * (np.pi / SCAN_STEPS)
        turns = np.flatnonzero(_evaluate(_derivative(self.poly), steps) <= 0)
        leaves = np.flatnonzero(_evaluate(self.poly, steps) > self.max_radius)
        turn = turns[0] - 1 if len(turns) else SCAN_STEPS
        leave = leaves[0] if len(leaves) else SCAN_STEPS
        return float(steps[max(min(turn, leave), 1)])


def monotone(model: FTheta) -> bool:
    """Whether the angle increases with the radius over the whole image."""
    if not has_edge(model) or model.beyond_max[1] <= 0:
        return False
    radius = np.linspace(0.0, model.max_radius, FIT_SAMPLES)
    return bool((np.diff(_evaluate(model.bw_poly, radius)) > 0).all())


def has_edge(model: FTheta) -> bool:
    """Whether radius and slope at the corners are finite numbers, the slope 0 or more."""
    try:
        with np.errstate(all="ignore"):
            radius, slope = model.beyond_max
    except (np.linalg.LinAlgError, ValueError):  # nothing can be fitted to these coefficients
        return False
    return bool(np.isfinite(radius) and np.isfinite(slope) and slope >= 0)


def _evaluate(poly: Sequence[float] | np.ndarray, x: np.ndarray | float) -> np.ndarray:
    result = np.zeros_like(np.asarray(x, np.float64))
    for coefficient in reversed(poly):
        result = result * x + coefficient
    return result


def _derivative(poly: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.arange(1, len(poly)) * np.asarray(poly, np.float64)[1:]


def _fit(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[6] coefficients (float32 precision) of the degree-5 polynomial y(x) with zero constant term."""
    solution = fit_without_constant(x, y)
    solution[0] = 0.0
    return solution.astype(np.float32).astype(np.float64)
