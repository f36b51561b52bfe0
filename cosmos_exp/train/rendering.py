"""Rendering of training clips: procedural scenes in several styles, with captions and control videos.

A clip is determined by its seed, so a data set is a range of seeds and need not be stored.
"""

from __future__ import annotations

import multiprocessing as mp
import queue
import random
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.grammar import described_in
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.common.styles import STYLES
from cosmos_exp.controls import make_control
from cosmos_exp.evaluators.types import SEMANTIC_CLASSES
from cosmos_exp.models.transfer1.chunked_vae import TEMPORAL
from cosmos_exp.models.transfer1.tiles import LATENT_SIDE
from cosmos_exp.models.transfer1.tokenizer import latent_frame_count
from cosmos_exp.rendering.renderer import Renderer
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.rendering.weather import WEATHERS
from cosmos_exp.scene.procedural.street import ROADS, SAMPLED_ROADS, procedural_scene
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.rigs import camera_pose, mounting
from cosmos_exp.train.clips import Clip, ClipSize, ClipSpec, VideoKey, write_clip

HELD_OUT_SEED = 1_000_000  # seeds from this one on are never used in training
OBJECT_TAGS = [
    int(t) for name in ("vehicle", "person", "traffic_light", "traffic_sign") for t in SEMANTIC_CLASSES[name]
]
NUM_PHRASINGS = 4  # caption variants drawn in training
WORLDS = ("streets", "wide")
FURTHER_SHARE, NEAR_SHARE, TOWN_SHARE = 0.6, 0.5, 0.35  # of the scenes of the wide world
MOUNTING = (0.3, 0.05, 0.2)  # forward, left, up
ANGLES = (0.7, 2.0, 1.0)  # roll, pitch, yaw
FOCAL = 0.06
TRUTH = ("depth", "semantic", "instance", "hdmap")  # outputs that do not depend on the weather


def training_scene(seed: int, duration: float, world: str = "streets") -> Scene:
    """The procedural scene of a seed; traffic density is drawn from the same seed.

    world: one of WORLDS. `streets` has the kinds that are sampled without a name, with ordinary traffic. `wide` has all
    kinds of road, in NEAR_SHARE of the scenes traffic near the ego, in TOWN_SHARE the layout of towns.
    """
    rng = np.random.default_rng([seed, 1])
    num_vehicles, num_pedestrians = int(rng.integers(4, 25)), int(rng.integers(0, 12))
    options = wide_options(np.random.default_rng([seed, 4])) if world == "wide" else {}
    return procedural_scene(
        seed=seed, num_vehicles=num_vehicles, num_pedestrians=num_pedestrians, duration=duration, **options
    )


def wide_options(rng: np.random.Generator) -> dict[str, str]:
    """Of `procedural_scene`: further roads are more frequent than those of the streets."""
    shares = np.where(np.isin(ROADS, SAMPLED_ROADS), 1.0 - FURTHER_SHARE, FURTHER_SHARE)
    shares /= np.where(np.isin(ROADS, SAMPLED_ROADS), len(SAMPLED_ROADS), len(ROADS) - len(SAMPLED_ROADS))
    return {
        "road": str(rng.choice(ROADS, p=shares)),
        "traffic": "near" if rng.random() < NEAR_SHARE else "ordinary",
        "layout": "town" if rng.random() < TOWN_SHARE else "even",
    }


def varied(rig: Rig, rng: np.random.Generator) -> Rig:
    """The rig on another car, its cameras mounted with other angles and with other lenses: those of real clips are not
    the same everywhere. Standard deviations: `MOUNTING` metres of all cameras together, `ANGLES` degrees and a share
    `FOCAL` of the focal length of each pinhole camera."""
    shift = rng.normal(0.0, MOUNTING)
    cameras = []
    for camera in rig.cameras:
        position, rotation = mounting(camera.camera_to_rig)
        pose = camera_pose((position + shift).tolist(), (rotation + rng.normal(0.0, ANGLES)).tolist())
        zoom, model = float(np.exp(rng.normal(0.0, FOCAL))), camera.model
        if isinstance(model, Pinhole):
            model = replace(model, fx=model.fx * zoom, fy=model.fy * zoom)
        cameras.append(Camera(camera.name, model, pose))
    return Rig(rig.name, tuple(cameras))


def styles_of(spec: ClipSpec) -> tuple[str, ...]:
    """`num_styles` styles in random order, each equally likely over seeds."""
    order = np.random.default_rng([spec.seed, 2]).permutation(len(STYLES))
    return tuple(STYLES[i] for i in order[: spec.num_styles])


def render_clip(spec: ClipSpec, rig: Rig) -> Clip:
    """The clip of a seed; the rig's cameras have the clip's size."""
    size = spec.size
    scene = training_scene(spec.seed, (size.num_frames + 1) / size.fps, spec.world)
    if spec.world == "wide":
        rig = varied(rig, np.random.default_rng([spec.seed, 5]))
    renderer = Renderer(scene)
    times = scene.frame_times(size.num_frames, size.fps)
    styles = styles_of(spec)
    keys: list[VideoKey] = []
    videos: list[np.ndarray] = []
    objects: list[np.ndarray] = []
    for index, view in enumerate(spec.views):
        camera = rig.camera(view)
        controls = spec.controls if index == 0 else tuple(c for c in spec.controls if c == "hdmap")
        shaded, render = _draw(renderer, camera, times, styles, controls)
        assert render.semantic is not None
        objects.append(object_shares(render.semantic))
        for style in styles:
            keys.append(VideoKey(view, style))
            videos.append(shaded[style])
        for control in controls:
            keys.append(VideoKey(view, control))
            videos.append(make_control(control, render))
    caption = describe(scene)
    prompts = {style: styled_caption(caption, style, f"{spec.seed} {style}") for style in styles}
    return Clip(spec.seed, tuple(keys), np.stack(videos), prompts, np.stack(objects))


def object_shares(semantic: np.ndarray) -> np.ndarray:
    """Of each latent position, the share of its pixels in the frame that shows most of an object there.

    semantic: tags [F,H,W] of 1 + 8k frames. Returns float16 [1 + k, H/8, W/8].
    """
    frames, height, width = semantic.shape
    shown = np.isin(semantic, OBJECT_TAGS).astype(np.float32)
    rows, columns = height // LATENT_SIDE, width // LATENT_SIDE
    shares = shown.reshape(frames, rows, LATENT_SIDE, columns, LATENT_SIDE).mean(axis=(2, 4))
    later = shares[1:].reshape(latent_frame_count(frames) - 1, TEMPORAL, rows, columns).max(axis=1)
    return np.concatenate([shares[:1], later]).astype(np.float16)


def styled_caption(caption: str, style: str, seed: str) -> str:
    """The caption in a style, half of them by template, half as the rewriter words them."""
    rng = random.Random(seed)
    template = rewrite(caption, style, rng.randrange(NUM_PHRASINGS))
    return template if rng.random() < 0.5 else described_in(rng, caption, style) or template


def _draw(
    renderer: Renderer, camera: Camera, times: np.ndarray, styles: tuple[str, ...], controls: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], CameraRender]:
    """The view in each style, uint8 [F,H,W,3], and the render that its controls are made from; rasterised once."""
    weathers = dict.fromkeys((*styles, "Original") if {"edge", "vis"} & set(controls) else styles)
    frames: dict[str, list[np.ndarray]] = {name: [] for name in (*weathers, *TRUTH)}
    for t in times.tolist():
        gbuffer = renderer.gbuffer(camera, t, samples=2)
        for style in weathers:
            frames[style].append(renderer.shade(gbuffer, WEATHERS[style], seed=renderer.scene.seed))
        for name in TRUTH:
            frames[name].append(renderer.hdmap(camera, t) if name == "hdmap" else getattr(gbuffer, name))
    stacked = {name: np.stack(values) for name, values in frames.items()}
    render = CameraRender(camera.name, times, stacked.get("Original"), **{name: stacked[name] for name in TRUTH})
    return stacked, render


def render_styles(seed: int, camera: Camera, size: ClipSize) -> tuple[dict[str, np.ndarray], CameraRender]:
    """The scene of a seed in each style, {style: uint8 [F,H,W,3]}, and its ground truth."""
    scene = training_scene(seed, duration=(size.num_frames + 1) / size.fps)
    times = scene.frame_times(size.num_frames, size.fps)
    return _draw(Renderer(scene), camera, times, STYLES, ())


def _work(job: tuple[ClipSpec, Rig, str]) -> str:
    spec, rig, folder = job
    path = Path(folder) / f"{spec.seed:08d}.json"
    if not path.exists():
        write_clip(render_clip(spec, rig), Path(folder))
    return str(path)


def single_thread() -> None:
    cv2.setNumThreads(1)


def render_clips(specs: Iterable[ClipSpec], rig: Rig, folder: Path, num_workers: int) -> Iterator[Path]:
    """Render clips with a pool of processes and yield each one's index file, in order, as it is finished.

    Clips that are already in the folder are not rendered again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    specs = iter(specs)
    if (first := next(specs, None)) is None:
        return
    jobs = ((spec, rig, str(folder)) for spec in chain([first], specs))
    with mp.get_context("spawn").Pool(num_workers, initializer=single_thread) as pool:
        for path in pool.imap(_work, jobs):
            yield Path(path)


class ClipFeed:
    """Clips that are rendered in the background, in the order of their specs.

    ahead: clips that may be on disk and not taken yet. `close` ends the processes; clips that are finished stay.
    """

    def __init__(self, specs: Iterable[ClipSpec], rig: Rig, folder: Path, num_workers: int, ahead: int = 256):
        self._rendered: queue.SimpleQueue[Path | BaseException | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(ahead)
        self._closed = threading.Event()
        self.finished = False
        self._thread = threading.Thread(
            target=self._render, args=(self._wanted(specs), rig, folder, num_workers), daemon=True
        )
        self._thread.start()

    def take(self, wait: bool) -> list[Path]:
        """Index files of the clips that have been finished since the last call; of one at least where it waits."""
        taken: list[Path] = []
        while not self.finished and (not self._rendered.empty() or (wait and not taken)):
            item = self._rendered.get()
            if isinstance(item, BaseException):
                self.finished = True
                raise item
            if item is None:
                self.finished = True
                break
            taken.append(item)
            self._room.release()
        return taken

    def close(self) -> None:
        self._closed.set()
        self._room.release()
        self._thread.join()

    def _wanted(self, specs: Iterable[ClipSpec]) -> Iterator[ClipSpec]:
        for spec in specs:
            self._room.acquire()
            if self._closed.is_set():
                return
            yield spec

    def _render(self, specs: Iterator[ClipSpec], rig: Rig, folder: Path, num_workers: int) -> None:
        try:
            for path in render_clips(specs, rig, folder, num_workers):
                self._rendered.put(path)
                if self._closed.is_set():
                    break
            self._rendered.put(None)
        except BaseException as error:
            self._rendered.put(error)
