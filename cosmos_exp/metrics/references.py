"""Ceiling and floor of a metric: what it is worth where a video is as good as the renderer, and where it shows nothing
of what the metric asks about.

The ceiling is the metric of the renderer's own picture in the style. The floor is that of another video in the style:

- `foreign`: another scene, seen by the same cameras at a few instants, against the truth of this one at as many. Of
  every metric that compares a picture with this scene.
- `displaced`: every frame of every view of the renderer's own picture, moved by an offset of its own, so that no two
  of them agree. Of metrics that compare frames or views with each other, which a foreign scene passes: it is consistent
  too.
- a number, where the metric's definition has one: -1 of a style score is the mean of another style.

A metric whose floor is `None` has none: no noise and no blur is the worst, a Frechet distance depends on the number of
frames, and a caption is no video.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np

from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.rendering.types import CameraRender

FOREIGN, DISPLACED = "foreign", "displaced"
Floor = str | float | None

FLOORS: dict[str, Floor] = {
    "flicker": DISPLACED,
    "tse": DISPLACED,
    "cse": DISPLACED,
    "style_score": -1.0,
    "style_regions": -1.0,
    "sharpness": None,
    "artefacts": None,
    "frechet": None,
    "caption_precision": None,
    "caption_recall": None,
}
"""{metric: its floor}; `foreign` of all others."""

FLOOR_OF_KEY = {"style_match": 0.0}
"""Of a key whose floor is another number than its metric's."""

UNBOUNDED = frozenset({"psnr", "caption_precision", "caption_recall"})
"""Metrics without a ceiling: the renderer's own picture has no error at all, and an infinite value; nor has it a
caption."""

FLOOR_VERSION = 1
"""Part of the cache key of a floor: to be increased when the videos below change."""

FOREIGN_FRAMES = 3
DISPLACED_FRAMES = 5  # those between which `tse` matches, and all in between for `flicker`


def floor_of(metric: str) -> Floor:
    return FLOORS.get(metric, FOREIGN)


def foreign_frames(frames: int) -> np.ndarray:
    """Of a clip of so many frames, those that a foreign scene is compared with, spread over it."""
    return np.unique(np.linspace(0, frames - 1, FOREIGN_FRAMES).round().astype(int))


def foreign_clip(clip: GeneratedClip, foreign: Mapping[str, np.ndarray]) -> GeneratedClip:
    """The clip at `foreign_frames`, with videos of another scene. foreign: {view: uint8 [len(foreign_frames),H,W,3]}"""
    return with_videos(at_frames(clip, foreign_frames(len(clip.rig_poses))), foreign)


def displaced_clip(clip: GeneratedClip) -> GeneratedClip:
    """Consecutive frames from the middle of the clip, each moved across the borders by a quarter to three quarters of
    the picture in both directions."""
    start = max(0, (len(clip.rig_poses) - DISPLACED_FRAMES) // 2)
    part = at_frames(clip, np.arange(start, min(start + DISPLACED_FRAMES, len(clip.rig_poses))))
    rng = np.random.default_rng(0)
    videos = {}
    for view, video in part.videos.items():
        offsets = rng.uniform(0.25, 0.75, (len(video), 2)) * video.shape[1:3]
        videos[view] = np.stack([np.roll(x, offset, (0, 1)) for x, offset in zip(video, offsets.astype(int))])
    return with_videos(part, videos)


def with_videos(clip: GeneratedClip, videos: Mapping[str, np.ndarray]) -> GeneratedClip:
    """The same truth, with these as generated videos."""
    front = next(iter(videos.values()))
    return replace(clip, generated=videos, single_view=front)


def at_frames(clip: GeneratedClip, frames: np.ndarray) -> GeneratedClip:
    """The clip at these of its frames alone."""

    def part(render: CameraRender) -> CameraRender:
        arrays = {entry.name: getattr(render, entry.name) for entry in fields(render) if entry.name != "camera"}
        return replace(render, **{name: array[frames] for name, array in arrays.items() if array is not None})

    return replace(
        clip,
        generated={view: video[frames] for view, video in clip.videos.items()},
        single_view=clip.single_view[frames],
        renders={view: part(render) for view, render in clip.renders.items()},
        rig_poses=clip.rig_poses[frames],
        targets={view: target[frames] for view, target in clip.targets.items()},
        read_every=1,
        part_of=(clip, frames),
    )
