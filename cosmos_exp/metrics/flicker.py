"""Temporal flicker: brightness change between frames that the motion of the scene does not explain.

Every sampled pixel of frame t is unprojected with the true depth, moved by the known ego motion and looked up
(bilinearly) in frame t-1; the mean absolute difference, in grey levels of 0..255, is taken over the static scene: no
vehicles or people in either frame, nothing that was occluded or outside the image before (depths agree within 5
percent; sky must stay sky). A frozen video of a moving car scores badly, as does shimmering texture. 0 is perfect; the
rendered video scores a few levels, because fine texture does not survive resampling. Lower is better.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from cosmos_exp.metrics.types import GeneratedClip, per_view
from cosmos_exp.rendering.palette import ACTOR_TAGS
from cosmos_exp.rendering.types import SKY_TAG, CameraRender
from cosmos_exp.sensors.camera import Camera

DYNAMIC_TAGS = tuple(ACTOR_TAGS.values())
FAR = 1e5  # metres; the sky only turns
DEPTH_TOLERANCE = 0.05
MAX_SAMPLES = 10_000  # pixels looked up per frame


def static_mask(semantic: np.ndarray) -> np.ndarray:
    """bool: True where no dynamic object is visible."""
    return ~np.isin(semantic, DYNAMIC_TAGS)


def warp_error(video: np.ndarray, motion: Sequence[np.ndarray]) -> float | None:
    """Mean absolute grey difference of uint8 [F,H,W,3] after motion compensation; None where nothing is comparable.

    motion: what `compensation` returns.
    """
    differences = frame_differences(video, motion)
    count = sum(len(difference) for difference in differences)
    return sum(float(difference.sum()) for difference in differences) / count if count else None


def frame_differences(video: np.ndarray, motion: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Of each frame after the first, the absolute grey differences [N] of its comparable pixels."""
    grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in video]
    found = []
    for t, (chosen, where) in enumerate(zip(motion[::2], motion[1::2], strict=True), 1):
        if not len(chosen):
            found.append(np.zeros(0, np.float32))
            continue
        before = cv2.remap(grey[t - 1], where[None, :, 0], where[None, :, 1], cv2.INTER_LINEAR)[0]
        found.append(np.abs(grey[t].ravel()[chosen] - before))
    return found


def compensation(render: CameraRender, camera: Camera, rig_poses: np.ndarray) -> list[np.ndarray]:
    """For each frame t after the first, two arrays: indices [N] of its pixels that are visible in frame t-1 too, and
    their float32 positions there [N,2], column and row."""
    metres, semantic = render.output("depth"), render.output("semantic")
    num_frames, height, width = metres.shape
    step = max(1, round((height * width / MAX_SAMPLES) ** 0.5))
    rays = camera.model.rays()[::step, ::step].astype(np.float64)
    pixel = np.arange(height * width, dtype=np.int32).reshape(height, width)[::step, ::step].ravel()
    depth = np.minimum(metres, FAR)
    still = static_mask(semantic)
    world_from_camera = rig_poses @ camera.camera_to_rig
    found = []
    for t in range(1, num_frames):
        before_from_now = np.linalg.inv(world_from_camera[t - 1]) @ world_from_camera[t]
        points = rays * (depth[t, ::step, ::step] / rays[..., 2])[..., None]
        points = points.reshape(-1, 3) @ before_from_now[:3, :3].T + before_from_now[:3, 3]
        pixels = camera.model.project(points)
        usable = still[t, ::step, ::step].ravel() & _visible(points, pixels, depth[t - 1], still[t - 1])
        sky = (semantic[t, ::step, ::step] == SKY_TAG).ravel()
        u, v = _nearest(pixels[usable])
        same_kind = sky[usable] == (semantic[t - 1, v, u] == SKY_TAG)
        chosen = np.flatnonzero(usable)[same_kind]
        found += [pixel[chosen], pixels[chosen].astype(np.float32)]
    return found


def _nearest(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.round(pixels[:, 0]).astype(np.int64), np.round(pixels[:, 1]).astype(np.int64)


def _visible(points: np.ndarray, pixels: np.ndarray, depth: np.ndarray, still: np.ndarray) -> np.ndarray:
    """[N] bool: camera-frame points in front, inside the image, and as near as what was seen there."""
    height, width = depth.shape
    inside = points[:, 2] > 0
    inside &= (pixels >= 0).all(axis=1) & (pixels[:, 0] <= width - 1) & (pixels[:, 1] <= height - 1)
    visible = np.zeros(len(points), bool)
    u, v = _nearest(pixels[inside])
    agrees = np.abs(points[inside, 2] - depth[v, u]) <= DEPTH_TOLERANCE * depth[v, u]
    visible[inside] = agrees & still[v, u]
    return visible


def flicker(clip: GeneratedClip) -> dict[str, float]:
    """Motion-compensated frame difference of each view."""
    scores = {}
    for view, video in clip.videos.items():
        compute = partial(compensation, clip.renders[view], clip.cameras[view], clip.rig_poses)
        error = warp_error(video, clip.cached_reference("flicker", view, compute))
        if error is not None:
            scores[view] = error
    return per_view("flicker", scores)
