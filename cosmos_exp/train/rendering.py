"""Rendering of training clips: procedural scenes in several styles, with captions and control videos.

A clip is a function of its seed alone, so a data set is a range of seeds and need not be stored.
"""

from __future__ import annotations

import multiprocessing as mp
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numba
import numpy as np

from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.controls import make_control
from cosmos_exp.render.renderer import Renderer
from cosmos_exp.render.types import CameraRender
from cosmos_exp.render.weather import WEATHERS
from cosmos_exp.scene.procedural import procedural_scene
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Rig
from cosmos_exp.styles import STYLES
from cosmos_exp.train.clips import Clip, ClipSpec, VideoKey, write_clip

HELD_OUT_SEED = 1_000_000  # seeds from here on are never trained on
NUM_PHRASINGS = 4  # caption variants drawn in training


def training_scene(seed: int, duration: float) -> Scene:
    """The procedural scene of a seed; traffic density is drawn from the same seed."""
    rng = np.random.default_rng([seed, 1])
    return procedural_scene(
        seed=seed,
        num_vehicles=int(rng.integers(3, 16)),
        num_pedestrians=int(rng.integers(0, 12)),
        duration=duration,
    )


def styles_of(spec: ClipSpec) -> tuple[str, ...]:
    """`num_styles` styles in random order, each equally likely over seeds."""
    order = np.random.default_rng([spec.seed, 2]).permutation(len(STYLES))
    return tuple(STYLES[i] for i in order[: spec.num_styles])


def render_clip(spec: ClipSpec, rig: Rig) -> Clip:
    size = spec.size
    scene = training_scene(spec.seed, duration=(size.num_frames + 1) / size.fps)
    renderer = Renderer(scene)
    times = scene.frame_times(size.num_frames, size.fps)
    styles = styles_of(spec)
    keys: list[VideoKey] = []
    videos: list[np.ndarray] = []
    for index, view in enumerate(spec.views):
        camera = rig.resized(size.width, size.height).camera(view)
        gbuffers = [renderer.gbuffer(camera, t) for t in times]
        for style in styles:
            frames = [renderer.shade(g, WEATHERS[style], t) for g, t in zip(gbuffers, times)]
            keys.append(VideoKey(view, style))
            videos.append(np.stack(frames))
        for control in spec.controls if index == 0 else [c for c in spec.controls if c == "hdmap"]:
            keys.append(VideoKey(view, control))
            videos.append(make_control(control, _render(renderer, camera, times, gbuffers, control)))
    caption = describe(scene)
    variant = int(np.random.default_rng([spec.seed, 3]).integers(NUM_PHRASINGS))
    prompts = {style: rewrite(caption, style, variant) for style in styles}
    return Clip(spec.seed, tuple(keys), np.stack(videos), prompts)


def _render(renderer, camera, times, gbuffers, control: str) -> CameraRender:
    """Only the outputs that the control is derived from."""
    fields: dict[str, np.ndarray] = {}
    if control == "hdmap":
        fields["hdmap"] = np.stack([renderer.hdmap(camera, t) for t in times])
    if control in ("edge", "vis"):
        fields["rgb"] = np.stack([renderer.shade(g, WEATHERS["Original"], t) for g, t in zip(gbuffers, times)])
    if control == "depth":
        fields["depth"] = np.stack([g.depth for g in gbuffers])
    if control == "seg":
        fields["semantic"] = np.stack([g.semantic for g in gbuffers])
        fields["instance"] = np.stack([g.instance for g in gbuffers])
    return CameraRender(camera=camera.name, times=times, **fields)


def _work(job: tuple[ClipSpec, Rig, str]) -> str:
    spec, rig, folder = job
    path = Path(folder) / f"{spec.seed:08d}.json"
    if not path.exists():
        write_clip(render_clip(spec, rig), Path(folder))
    return str(path)


def _single_thread() -> None:
    cv2.setNumThreads(1)
    numba.set_num_threads(1)


def render_clips(specs: Iterable[ClipSpec], rig: Rig, folder: Path, num_workers: int) -> Iterator[Path]:
    """Render clips with a pool of processes and yield each one's index file, in order, as it is finished.

    Clips that are already in the folder are not rendered again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = ((spec, rig, str(folder)) for spec in specs)
    with mp.get_context("spawn").Pool(num_workers, initializer=_single_thread) as pool:
        for path in pool.imap(_work, jobs):
            yield Path(path)
