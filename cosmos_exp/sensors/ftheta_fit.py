"""The polynomial fit of the RDS-HQ renderer, reproduced to rounding.

That renderer inverts an f-theta polynomial with a bounded trust-region fit (Branch, Coleman and Li, SIAM J. Sci.
Comput. 21, 1999, as in SciPy's `curve_fit`) whose constant term may be anything from 0 to 2.2e-16. The problem is
linear but so ill-conditioned that the fit ends up to 2e-6 radians from the least-squares solution, at a point that
depends on rounding. This module runs the same iteration for this problem. It agrees bit for bit where the linear
algebra library rounds alike, which depends on the processor, and to about 2e-3 px elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DEGREE = 5
EPS = float(np.finfo(np.float64).eps)  # also the upper bound of the constant term; the lower one is 0
TOLERANCE = 1e-8  # of cost, step and gradient
MAX_EVALUATIONS = 600
INNER_TOLERANCE, INNER_ITERATIONS = 0.01, 10


def fit_without_constant(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[6] float64 coefficients c0..c5 of y(x), of which c0 is at most 2.2e-16. x, y: [N] float64."""

    def residuals(c: np.ndarray) -> np.ndarray:
        value = c[DEGREE]
        for i in range(DEGREE - 1, -1, -1):
            value = c[i] + x * value
        return value - y

    c = np.array([EPS / 2] + [1.0] * DEGREE)
    f = residuals(c)
    cost = 0.5 * np.dot(f, f)
    jacobian = _jacobian(residuals, c, f)
    gradient = jacobian.T.dot(f)
    radius = _length(c / _distances(c, gradient)[0] ** 0.5)
    damping, evaluations = 0.0, 1
    while evaluations < MAX_EVALUATIONS:
        distances, slopes = _distances(c, gradient)
        steepest = np.abs(gradient * distances).max()
        if steepest < TOLERANCE:
            break
        local = _Quadratic.at(f, jacobian, gradient, distances, slopes)
        reduction, ended = -1.0, False
        while reduction <= 0 and evaluations < MAX_EVALUATIONS and not ended:
            newton, damping = local.trust_region_step(radius, damping)
            step, scaled, predicted = local.bounded_step(c, newton, radius, max(0.995, 1 - steepest))
            tried = _inside(c + step)
            new_f = residuals(tried)
            evaluations += 1
            new_cost = 0.5 * np.dot(new_f, new_f)
            reduction = cost - new_cost
            ratio = reduction / predicted if predicted > 0 else float(predicted == reduction == 0)
            new_radius = _radius(radius, ratio, _length(scaled))
            ended = bool(reduction < TOLERANCE * cost and ratio > 0.25) or bool(
                _length(step) < TOLERANCE * (TOLERANCE + _length(c))
            )
            if not ended:
                damping *= radius / new_radius
                radius = new_radius
        if reduction > 0:
            c, f, cost = tried, new_f, new_cost
            jacobian = _jacobian(residuals, c, f)
            gradient = jacobian.T.dot(f)
        if ended:
            break
    return c


def _jacobian(residuals: Callable[[np.ndarray], np.ndarray], c: np.ndarray, f: np.ndarray) -> np.ndarray:
    """[N,6] forward differences; the constant term's step goes to the farther bound."""
    steps = EPS**0.5 * np.where(c >= 0, 1.0, -1.0) * np.maximum(1.0, np.abs(c))
    steps[0] = EPS - c[0] if EPS - c[0] >= c[0] else -c[0]
    rows = np.empty((len(c), len(f)))
    for i, step in enumerate(steps):
        moved = c.copy()
        moved[i] = c[i] + step
        rows[i] = (residuals(moved) - f) / (moved[i] - c[i])
    return rows.T


def _distances(c: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coleman and Li's scaling and its derivatives: distance of the constant term to the bound it moves towards."""
    distances, slopes = np.ones(len(c)), np.zeros(len(c))
    if gradient[0] < 0:
        distances[0], slopes[0] = EPS - c[0], -1
    elif gradient[0] > 0:
        distances[0], slopes[0] = c[0], 1
    return distances, slopes


def _inside(c: np.ndarray) -> np.ndarray:
    if c[0] <= 0:
        c[0] = np.nextafter(0.0, EPS)
    elif c[0] >= EPS:
        c[0] = np.nextafter(EPS, 0.0)
    return c


def _to_bound(start: float, direction: float) -> float:
    """Multiple of the direction that brings the constant term to a bound."""
    return max(-start / direction, (EPS - start) / direction) if direction else np.inf


def _radius(radius: float, ratio: float, step: float) -> float:
    if ratio < 0.25:
        return 0.25 * step
    return 2.0 * radius if ratio > 0.75 and step > 0.95 * radius else radius


def _length(v: np.ndarray) -> float:
    return np.sqrt(np.dot(v, v))


@dataclass(frozen=True)
class _Quadratic:
    """The cost around a point, in variables scaled by the root of the distances to the bounds."""

    scale: np.ndarray
    curvature: np.ndarray  # of the scaling
    gradient: np.ndarray
    jacobian: np.ndarray
    singular: np.ndarray
    right: np.ndarray
    projected: np.ndarray  # residuals, on the left singular vectors

    @classmethod
    def at(
        cls, f: np.ndarray, jacobian: np.ndarray, gradient: np.ndarray, distances: np.ndarray, slopes: np.ndarray
    ) -> _Quadratic:
        scale = distances**0.5
        curvature = gradient * slopes
        count, size = jacobian.shape
        augmented = np.empty((count + size, size))
        augmented[:count] = jacobian * scale
        augmented[count:] = np.diag(curvature**0.5)
        left, singular, right = np.linalg.svd(augmented, full_matrices=False)
        padded = np.concatenate([f, np.zeros(size)])
        projected = np.ascontiguousarray(left.T).dot(padded)
        right = np.ascontiguousarray(right.T)
        return cls(scale, curvature, scale * gradient, augmented[:count], singular, right, projected)

    def value(self, step: np.ndarray) -> float:
        along = self.jacobian.dot(step)
        return 0.5 * (np.dot(along, along) + np.dot(step * self.curvature, step)) + np.dot(step, self.gradient)

    def least_on_ray(
        self, direction: np.ndarray, low: float, high: float, start: np.ndarray | None = None
    ) -> tuple[float, float]:
        """Multiple of the direction, between low and high, with the least value, and that value."""
        along = self.jacobian.dot(direction)
        a = 0.5 * (np.dot(along, along) + np.dot(direction * self.curvature, direction))
        b, c = np.dot(self.gradient, direction), 0.0
        if start is not None:
            before = self.jacobian.dot(start)
            b = b + np.dot(before, along) + np.dot(start * self.curvature, direction)
            c = 0.5 * np.dot(before, before) + np.dot(self.gradient, start)
            c += 0.5 * np.dot(start * self.curvature, start)
        places = [low, high]
        if a != 0 and low < -0.5 * b / a < high:
            places.append(-0.5 * b / a)
        values = [t * (a * t + b) + c for t in places]
        best = int(np.argmin(values))
        return places[best], values[best]

    def trust_region_step(self, radius: float, damping: float) -> tuple[np.ndarray, float]:
        """Least value within the radius (Levenberg-Marquardt, after More 1978), and the damping that gives it."""
        s, weighted = self.singular, self.singular * self.projected
        full_rank = s[-1] > EPS * len(self.jacobian) * s[0]

        def excess(damping: float) -> tuple[float, float]:
            denominator = s**2 + damping
            length = _length(weighted / denominator)
            return length - radius, -np.sum(weighted**2 / denominator**3) / length

        low = 0.0
        high = _length(weighted) / radius
        if full_rank:
            step = -self.right.dot(self.projected / s)
            if _length(step) <= radius:
                return step, 0.0
            over, slope = excess(0.0)
            low = -over / slope
        elif damping == 0:
            damping = max(0.001 * high, (low * high) ** 0.5)
        for _ in range(INNER_ITERATIONS):
            if damping < low or damping > high:
                damping = max(0.001 * high, (low * high) ** 0.5)
            over, slope = excess(damping)
            if over < 0:
                high = damping
            low = max(low, damping - over / slope)
            damping -= (over + radius) * (over / slope) / radius
            if abs(over) < INNER_TOLERANCE * radius:
                break
        step = -self.right.dot(weighted / (s**2 + damping))
        step *= radius / _length(step)
        return step, damping

    def bounded_step(
        self, c: np.ndarray, newton: np.ndarray, radius: float, theta: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """The best of three steps within the bounds: step, scaled step, predicted reduction of the cost.

        They are the trust-region step shortened, the same reflected at the bound, and steepest descent. theta:
        largest fraction of the distance to a bound that a step may cover.
        """
        step = self.scale * newton
        if 0 <= (c + step)[0] <= EPS:
            return step, newton, -self.value(newton)
        stride = _to_bound(c[0], step[0])
        step, newton, reflected = step * stride, newton * stride, newton.copy()
        reflected[0] *= -1
        candidates = [self._reflected(c[0] + step[0], newton, reflected, stride, radius, theta)]
        short = newton * theta
        candidates.append((step * theta, short, self.value(short)))
        descent = -self.gradient
        downhill = self.scale * descent
        edge, bound = radius / _length(descent), _to_bound(c[0], downhill[0])
        part, value = self.least_on_ray(descent, 0.0, theta * bound if bound < edge else edge)
        candidates.append((downhill * part, descent * part, value))
        chosen, scaled, value = min(candidates, key=lambda candidate: candidate[2])
        return chosen, scaled, -value

    def _reflected(
        self, start: float, newton: np.ndarray, reflected: np.ndarray, stride: float, radius: float, theta: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        edge = _to_sphere(newton, reflected, radius)
        bound = _to_bound(start, (self.scale * reflected)[0])
        reach = min(bound, edge)
        if reach <= 0:
            return newton, newton, np.inf
        low, high = (1 - theta) * stride / reach, theta * bound if reach == bound else edge
        if low > high:
            return newton, newton, np.inf
        part, value = self.least_on_ray(reflected, low, high, start=newton)
        scaled = reflected * part + newton
        return scaled * self.scale, scaled, value


def _to_sphere(start: np.ndarray, direction: np.ndarray, radius: float) -> float:
    """Multiple of the direction at which the ray from start leaves the sphere."""
    a, b, c = np.dot(direction, direction), np.dot(start, direction), np.dot(start, start) - radius**2
    q = -(b + np.copysign(np.sqrt(b * b - a * c), b))
    return max(q / a, c / q)
