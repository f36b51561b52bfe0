"""A small clip of a procedural street with labels, read by the evaluator that ships with the package."""

from __future__ import annotations

from functools import cache

import numpy as np

from cosmos_exp.config.rigs import load_rig
from cosmos_exp.evaluators.config import EvaluatorConfig
from cosmos_exp.evaluators.nano import NanoEvaluator
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.scene.types import Scene
from cosmos_exp.train.rendering import HELD_OUT_SEED, training_scene

FRAMES, FPS, SIZE = 3, 4.0, (256, 144)
OUTPUTS = ("rgb", "depth", "semantic", "instance")
VIEWS = ("front_wide_120fov", "rear_left_70fov")


@cache
def street(seed: int = HELD_OUT_SEED + 5) -> Scene:
    return training_scene(seed, duration=(FRAMES + 1) / FPS)


@cache
def street_renderer(seed: int = HELD_OUT_SEED + 5) -> Renderer:
    return Renderer(street(seed))


@cache
def perceived_clip(style: str = "Original", seed: int = HELD_OUT_SEED + 5) -> GeneratedClip:
    """The renderer's own picture as the generated video."""
    scene, rig = street(seed), load_rig("six_views", size=SIZE)
    times = scene.frame_times(FRAMES, FPS)
    renders, targets = {}, {}
    for view in VIEWS:
        renders[view] = render_camera(
            street_renderer(seed),
            rig.camera(view),
            times,
            weather=style,
            outputs=("rgb", "depth", "semantic", "instance"),
        )
        targets[view] = renders[view].output("rgb")
    return GeneratedClip(
        style=style,
        prompt="a street",
        generated=targets,
        single_view=targets[VIEWS[0]],
        renders=renders,
        cameras={view: rig.camera(view) for view in VIEWS},
        rig_poses=scene.rig_trajectory.sample(times),
        targets=targets,
        scene=scene,
        evaluator=NanoEvaluator(EvaluatorConfig(every=1)),
    )


def shifted(pixels: int):
    """A change of a video [F,H,W,3]: moved sideways."""
    return lambda view, video: np.roll(video, pixels, axis=2)
