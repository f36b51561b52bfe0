"""Cross-view Sampson error (CSE): do neighbouring cameras show the same scene where they overlap?

Matches between two cameras at the same instant, inside the field of view they share (rays of one that fall into the
image of the other), at up to TIMES instants; see `epipolar` for the error. Every pair of generated views that shares
at least 5 percent of an image counts. Lower is better; below 1 pixel is excellent at 960x540 (it scales with the image
width). Few matches are informative too: `cse_matches` is reported with the error.
"""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np

from cosmos_exp.metrics.epipolar import detect, match_errors, pinhole_matrix, summary
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.sensors.camera import Camera

TIMES = 3
MIN_SHARED = 0.05
SAME_RAY = 0.999  # cosine between a ray and what its projection sees


def shared_view(camera: Camera, other: Camera) -> np.ndarray:
    """[H,W] bool: pixels of `camera` whose direction lies in the image of `other` (exact for distant points)."""
    rays, model = camera.model.rays(), other.model
    turned = (rays @ (np.linalg.inv(other.camera_to_rig) @ camera.camera_to_rig)[:3, :3].T).astype(np.float32)
    pixels = np.nan_to_num(model.project(turned.reshape(-1, 3)), nan=-1.0, posinf=-1.0, neginf=-1.0)
    inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] <= model.width - 1) & (pixels[:, 1] <= model.height - 1)
    where = np.where(inside[:, None], pixels, 0.0).astype(np.float32).reshape(*rays.shape[:2], 2)
    seen = cv2.remap(model.rays(), where[..., 0], where[..., 1], cv2.INTER_LINEAR)
    return inside.reshape(rays.shape[:2]) & ((seen * turned).sum(axis=2) > SAME_RAY)


def cse(clip: GeneratedClip) -> dict[str, float]:
    """cse (median, pixels), cse_mean, cse_keep, cse_matches, and the median of each pair, `cse/left+right`."""
    videos = clip.videos
    groups: dict[str, list[np.ndarray]] = {}
    for a, b in combinations(videos, 2):
        masks = shared_view(clip.cameras[a], clip.cameras[b]), shared_view(clip.cameras[b], clip.cameras[a])
        if max(m.mean() for m in masks) >= MIN_SHARED:
            groups[f"{a}+{b}"] = _pair_errors(clip.cameras[a], clip.cameras[b], videos[a], videos[b], masks)
    return summary("cse", groups) if groups else {}


def _pair_errors(
    a: Camera, b: Camera, video_a: np.ndarray, video_b: np.ndarray, masks: tuple[np.ndarray, np.ndarray]
) -> list[np.ndarray]:
    b_from_a = np.linalg.inv(b.camera_to_rig) @ a.camera_to_rig
    K_a, K_b = pinhole_matrix(a), pinhole_matrix(b)
    rays_a, rays_b = a.model.rays(), b.model.rays()
    times = np.unique(np.linspace(0, len(video_a) - 1, TIMES).round().astype(int))
    return [
        match_errors(detect(video_a[t], rays_a, masks[0]), detect(video_b[t], rays_b, masks[1]), K_a, K_b, b_from_a)
        for t in times
    ]
