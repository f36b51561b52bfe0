"""Training clips on disk: several videos of one procedural scene, with captions.

A clip is two files, `<seed>.npy` (uint8 [N,F,H,W,3]) and `<seed>.json` (what the N videos are), the json written last,
so a half-written clip is never read.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cosmos_exp.common.guards import read_json, read_npy


@dataclass
class ClipSize:
    """num_frames at fps frames per second; height, width in pixels."""

    num_frames: int
    fps: float
    height: int
    width: int


@dataclass(frozen=True)
class ClipSpec:
    """One clip to render.

    views: camera names of the rig. num_styles: how many of the eight styles to shade (drawn from the seed). world: one
    of `train.rendering.WORLDS`.
    controls: control videos of the first view; the HD map is rendered for every view when it is among them.
    """

    seed: int
    views: tuple[str, ...]
    num_styles: int
    controls: tuple[str, ...]
    size: ClipSize
    world: str = "streets"

    @property
    def num_videos(self) -> int:
        maps = len(self.views) - 1 if "hdmap" in self.controls else 0
        return len(self.views) * self.num_styles + len(self.controls) + maps


@dataclass(frozen=True)
class VideoKey:
    """What one video of a clip shows: a style or a control, seen by one view."""

    view: str
    name: str


@dataclass(frozen=True)
class Clip:
    """keys[i] names videos[i]; videos: uint8 [N,F,H,W,3]; prompts: style -> caption."""

    seed: int
    keys: tuple[VideoKey, ...]
    videos: np.ndarray
    prompts: dict[str, str]

    def video(self, view: str, name: str) -> np.ndarray:
        return self.videos[self.keys.index(VideoKey(view, name))]


def write_clip(clip: Clip, folder: Path) -> None:
    stem = folder / f"{clip.seed:08d}"
    np.save(stem.with_suffix(".npy"), clip.videos)
    index = {"seed": clip.seed, "keys": [asdict(k) for k in clip.keys], "prompts": clip.prompts}
    partial = stem.with_suffix(".partial")
    partial.write_text(json.dumps(index))
    os.replace(partial, stem.with_suffix(".json"))


def read_clip(path: Path) -> Clip:
    """The clip whose `.json` is `path`; the videos stay memory-mapped."""
    index = read_json("clip", path)
    keys = tuple(VideoKey(**k) for k in index["keys"])
    return Clip(index["seed"], keys, read_npy("clip", path.with_suffix(".npy")), index["prompts"])
