"""Temporal Sampson error (TSE): does the image motion agree with the ego motion?

Matches between frames t and t + GAP of one view, on static surfaces only (vehicles and people are masked by the true
classes), at up to PAIRS places spread over the clip; see `epipolar` for the error. Pairs during which the rig moved
less than 5 cm have no epipolar geometry and are left out. Every generated view counts (published evaluations use the
three forward views; their values are reported next to the median). Lower is better; below 1 pixel is excellent at
960x540, and it scales with the image width.

Blind spot: under pure translation an unmoved point lies on its own epipolar line, so a frozen video scores 0, and any
other scene with the same ego motion scores well. Read it together with `flicker` and the sanity gate.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from cosmos_exp.metrics.epipolar import Features, features_of, match_errors, pinhole_matrix, summary, width_of
from cosmos_exp.metrics.flicker import static_mask
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.rendering.types import SKY_TAG, CameraRender
from cosmos_exp.sensors.camera import Camera

GAP = 4  # frames
PAIRS = 4


def view_errors(
    features_at: Callable[[int], Features],
    render: CameraRender,
    camera: Camera,
    rig_poses: np.ndarray,
    *,
    gap: int = GAP,
) -> list[np.ndarray]:
    """Sampson errors [2,N] of each frame pair of one view, in pixels and normalised. features_at: of a frame."""
    last = len(rig_poses) - 1
    gap = min(gap, last)
    if gap < 1:
        return []
    starts = np.unique(np.linspace(0, last - gap, PAIRS).round().astype(int))
    K = pinhole_matrix(camera)
    poses = rig_poses @ camera.camera_to_rig
    frames = sorted({int(t) for s in starts for t in (s, s + gap)})
    semantic = render.output("semantic")
    usable = {t: static_mask(semantic[t]) & (semantic[t] != SKY_TAG) for t in frames}
    features = {t: features_at(t).inside(usable[t]) for t in frames}
    return [
        match_errors(features[s], features[s + gap], K, K, np.linalg.inv(poses[s + gap]) @ poses[s]) for s in starts
    ]


def tse(clip: GeneratedClip) -> dict[str, float]:
    """tse (median, pixels), tse_960, tse_norm, tse_mean, tse_keep, tse_matches, and the median of each view."""
    return summary(
        "tse",
        {
            view: view_errors(partial(features_of, clip, view), clip.renders[view], clip.cameras[view], clip.rig_poses)
            for view in clip.videos
        },
        width_of(clip),
    )
