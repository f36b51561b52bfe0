"""Cross-view Sampson error (CSE): do neighbouring cameras show the same scene where they overlap?

Matches between two cameras at the same instant, inside the field of view they share (rays of one that fall into the
image of the other), at up to TIMES instants; see `epipolar` for the error. Every pair of generated views that shares
at least 5 percent of an image counts. Lower is better; below 1 pixel is excellent at 960x540 (it scales with the image
width). Few matches are informative too: `cse_matches` is reported with the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import combinations

import cv2
import numpy as np

from cosmos_exp.metrics.epipolar import Features, features_of, match_errors, pinhole_matrix, rays_of, summary, width_of
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.sensors.camera import Camera

TIMES = 3
MIN_SHARED = 0.05
SAME_RAY = 0.999  # cosine between a ray and what its projection sees


def shared_view(camera: Camera, other: Camera) -> np.ndarray:
    """[H,W] bool: pixels of `camera` whose direction lies in the image of `other` (exact for distant points)."""
    rays, model = rays_of(camera.model), other.model
    turned = (rays @ (np.linalg.inv(other.camera_to_rig) @ camera.camera_to_rig)[:3, :3].T).astype(np.float32)
    pixels = np.nan_to_num(model.project(turned.reshape(-1, 3)), nan=-1.0, posinf=-1.0, neginf=-1.0)
    inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] <= model.width - 1) & (pixels[:, 1] <= model.height - 1)
    where = np.where(inside[:, None], pixels, 0.0).astype(np.float32).reshape(*rays.shape[:2], 2)
    seen = cv2.remap(rays_of(model), where[..., 0], where[..., 1], cv2.INTER_LINEAR)
    return inside.reshape(rays.shape[:2]) & ((seen * turned).sum(axis=2) > SAME_RAY)


def shared_views(a: Camera, b: Camera) -> list[np.ndarray]:
    """What each of two cameras shares with the other."""
    return [shared_view(a, b), shared_view(b, a)]


def cse(clip: GeneratedClip) -> dict[str, float]:
    """cse (median, pixels), cse_960, cse_norm, cse_mean, cse_keep, cse_matches, and of each pair, `cse/left+right`."""
    times = np.unique(np.linspace(0, len(clip.rig_poses) - 1, TIMES).round().astype(int)).tolist()
    groups: dict[str, list[np.ndarray]] = {}
    for a, b in combinations(clip.videos, 2):
        masks = clip.cached_reference("cse", f"{a}+{b}", partial(shared_views, clip.cameras[a], clip.cameras[b]))
        if max(m.mean() for m in masks) < MIN_SHARED:
            continue
        seen = [tuple(features_of(clip, v, t).inside(mask) for v, mask in zip((a, b), masks)) for t in times]
        groups[f"{a}+{b}"] = _pair_errors(clip.cameras[a], clip.cameras[b], seen)
    return summary("cse", groups, width_of(clip)) if groups else {}


def _pair_errors(a: Camera, b: Camera, seen: Sequence[Sequence[Features]]) -> list[np.ndarray]:
    b_from_a = np.linalg.inv(b.camera_to_rig) @ a.camera_to_rig
    K_a, K_b = pinhole_matrix(a), pinhole_matrix(b)
    return [match_errors(of_a, of_b, K_a, K_b, b_from_a) for of_a, of_b in seen]
