"""Training clips on disk: several videos of one procedural scene, with captions.

A clip is three files: `<seed>.npy` (uint8 [N,F,H,W,3]), `<seed>.objects.npy` (where objects are) and `<seed>.json`
(what the N videos are). The json is written last, so a half-written clip is never read.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cosmos_exp.common.guards import read_json, read_npy

OBJECTS = ".objects.npy"


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
    """keys[i] names videos[i]; videos: uint8 [N,F,H,W,3]; prompts: style -> caption.

    objects: float16 [V,T,h,w], the share of each latent position that shows road users, lights or signs, by view.
    """

    seed: int
    keys: tuple[VideoKey, ...]
    videos: np.ndarray
    prompts: dict[str, str]
    objects: np.ndarray

    def video(self, view: str, name: str) -> np.ndarray:
        return self.videos[self.keys.index(VideoKey(view, name))]


def write_clip(clip: Clip, folder: Path) -> None:
    stem = folder / f"{clip.seed:08d}"
    np.save(stem.with_suffix(".npy"), clip.videos)
    np.save(stem.with_suffix(OBJECTS), clip.objects)
    index = {"seed": clip.seed, "keys": [asdict(k) for k in clip.keys], "prompts": clip.prompts}
    partial = stem.with_suffix(".partial")
    partial.write_text(json.dumps(index))
    os.replace(partial, stem.with_suffix(".json"))


def read_clip(path: Path) -> Clip:
    """The clip whose `.json` is `path`; the videos stay memory-mapped."""
    index = read_json("clip", path)
    keys = tuple(VideoKey(**k) for k in index["keys"])
    videos, objects = (read_npy("clip", path.with_suffix(suffix)) for suffix in (".npy", OBJECTS))
    return Clip(index["seed"], keys, videos, index["prompts"], objects)


def delete_clip(path: Path) -> None:
    """The files of `read_clip`."""
    for suffix in (".json", OBJECTS, ".npy"):
        path.with_suffix(suffix).unlink(missing_ok=True)
