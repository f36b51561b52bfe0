"""Sampson distance of matched pixels under a known calibration.

Matches are SIFT key points (Lowe 2004), mutual nearest neighbours that pass the ratio test at 0.8. Key points become
unit rays by the camera's own model (pinhole or f-theta), then pixels of an ideal pinhole of the same image width and
horizontal field of view (at most 120 degrees; rays further out are not used). The fundamental matrix comes from the
known poses alone, F = K1^-T [t]x R K0^-1, so image errors cannot be absorbed by a fitted F. The value is the square
root of the first-order (Sampson) distance, Hartley and Zisserman eq. 11.9, in pixels of that pinhole:
|x1' F x0| / sqrt((F x0)_1^2 + (F x0)_2^2 + (F' x1)_1^2 + (F' x1)_2^2).

Pixels depend on the size of the image. `_960` is the error at the 960 pixels of width of published evaluations, and
`_norm` that of the normalised image coordinates x / z, y / z (intrinsics of 1), which depend on neither size nor lens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.sensors.camera import Camera, CameraModel

RATIO = 0.8
MAX_FEATURES = 4000  # per image
MAX_HALF_FOV = np.radians(60.0)
KEEP_PX = 3.0  # matches below this error count as kept
PUBLISHED_WIDTH = 960
MIN_BASELINE = 0.05  # metres; without translation there is no epipolar line


@dataclass(frozen=True)
class Features:
    """Key points of one image. rays: [N,3] unit directions in the camera frame; descriptors: [N,128] float32; pixels:
    [N,2] int, column and row of the nearest pixel."""

    rays: np.ndarray
    descriptors: np.ndarray
    pixels: np.ndarray

    def inside(self, mask: np.ndarray) -> Features:
        """Those where [H,W] bool is True."""
        chosen = mask[self.pixels[:, 1], self.pixels[:, 0]]
        return Features(self.rays[chosen], self.descriptors[chosen], self.pixels[chosen])


@lru_cache(maxsize=16)
def rays_of(model: CameraModel) -> np.ndarray:
    """`model.rays()`, kept for the next metric."""
    return model.rays()


def pinhole_matrix(camera: Camera) -> np.ndarray:
    """[3,3] intrinsics of the ideal pinhole that replaces the camera model."""
    rays = rays_of(camera.model)
    middle = rays[rays.shape[0] // 2]
    half = min(max(_angle(middle[0]), _angle(middle[-1])), MAX_HALF_FOV)
    width, height = camera.model.width, camera.model.height
    focal = width / (2 * np.tan(half))
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def _angle(ray: np.ndarray) -> float:
    return float(np.arctan2(np.hypot(ray[0], ray[1]), ray[2]))


def features_of(clip: GeneratedClip, view: str, frame: int) -> Features:
    """Of a frame of a view's video, found once for all metrics."""
    rays = rays_of(clip.cameras[view].model)
    return clip.once(("features", view, str(frame)), lambda: detect(clip.videos[view][frame], rays))


def detect(frame: np.ndarray, rays: np.ndarray) -> Features:
    """SIFT features of an RGB frame. rays: [H,W,3] of the camera."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT.create(nfeatures=MAX_FEATURES).detectAndCompute(grey, None)
    if not points:
        return Features(np.zeros((0, 3)), np.zeros((0, 128), np.float32), np.zeros((0, 2), int))
    where = np.array([p.pt for p in points], np.float32)
    sampled = cv2.remap(rays, where[None, :, 0], where[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[
        0
    ]
    sampled = sampled / np.linalg.norm(sampled, axis=1, keepdims=True)
    usable = sampled[:, 2] >= np.cos(MAX_HALF_FOV)
    pixels = np.minimum((where + 0.5).astype(int), [frame.shape[1] - 1, frame.shape[0] - 1])
    return Features(sampled[usable].astype(np.float64), descriptors[usable], pixels[usable])


def match(a: Features, b: Features) -> tuple[np.ndarray, np.ndarray]:
    """Indices into a and b of mutual nearest neighbours that pass the ratio test."""
    if len(a.rays) < 2 or len(b.rays) < 2:
        return np.zeros(0, int), np.zeros(0, int)
    squared = (a.descriptors**2).sum(1)[:, None] + (b.descriptors**2).sum(1)[None] - 2 * a.descriptors @ b.descriptors.T
    best, back = squared.argmin(axis=1), squared.argmin(axis=0)
    first, second = np.maximum(np.partition(squared, 1, axis=1)[:, :2], 0).T
    index = np.flatnonzero((back[best] == np.arange(len(best))) & (first < RATIO**2 * second))
    return index, best[index]


def fundamental(K0: np.ndarray, K1: np.ndarray, one_from_zero: np.ndarray) -> np.ndarray:
    """[3,3] F with x1' F x0 = 0, from intrinsics and the pose [4,4] that maps camera-0 points into camera 1."""
    R, t = one_from_zero[:3, :3], one_from_zero[:3, 3]
    cross = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]])
    return np.linalg.inv(K1).T @ cross @ R @ np.linalg.inv(K0)


def sampson(F: np.ndarray, x0: np.ndarray, x1: np.ndarray) -> np.ndarray:
    """[N] pixels. x0, x1: [N,3] homogeneous pixels with last component 1."""
    line1, line0 = x0 @ F.T, x1 @ F
    squared = line1[:, 0] ** 2 + line1[:, 1] ** 2 + line0[:, 0] ** 2 + line0[:, 1] ** 2
    return np.abs((x1 * line1).sum(axis=1)) / np.sqrt(np.maximum(squared, 1e-24))


def match_errors(a: Features, b: Features, K0: np.ndarray, K1: np.ndarray, one_from_zero: np.ndarray) -> np.ndarray:
    """[2,N] Sampson errors of the matches between two images, in pixels and in normalised coordinates; empty without a
    baseline."""
    if np.linalg.norm(one_from_zero[:3, 3]) < MIN_BASELINE:
        return np.zeros((2, 0))
    i, j = match(a, b)
    x0, x1 = a.rays[i] / a.rays[i, 2:], b.rays[j] / b.rays[j, 2:]
    one = np.eye(3)
    normalised = sampson(fundamental(one, one, one_from_zero), x0, x1)
    return np.stack([sampson(fundamental(K0, K1, one_from_zero), x0 @ K0.T, x1 @ K1.T), normalised])


def width_of(clip: GeneratedClip) -> int:
    """Of its pictures, pixels."""
    return next(iter(clip.videos.values())).shape[2]


def summary(name: str, groups: Mapping[str, Sequence[np.ndarray]], width: int) -> dict[str, float]:
    """Metric values of errors, as `match_errors` returns them, grouped by view or pair. width: of the images.

    `name`: median over all matches; `name_960`, `name_norm`: the same in other units; `name_mean`; `name_keep`: share
    below KEEP_PX; `name_matches`: how many. Each group's median is `name/group`. Without any match only the count, 0,
    is given.
    """
    pooled = {group: np.concatenate([*arrays, np.zeros((2, 0))], axis=1) for group, arrays in groups.items()}
    errors, normalised = np.concatenate([*pooled.values(), np.zeros((2, 0))], axis=1)
    values = {f"{name}_matches": float(len(errors))}
    if len(errors):
        values[name] = float(np.median(errors))
        values[f"{name}_960"] = values[name] * PUBLISHED_WIDTH / width
        values[f"{name}_norm"] = float(np.median(normalised))
        values[f"{name}_mean"] = float(errors.mean())
        values[f"{name}_keep"] = float((errors < KEEP_PX).mean())
        values |= {f"{name}/{group}": float(np.median(e)) for group, (e, _) in pooled.items() if e.size}
    return values
