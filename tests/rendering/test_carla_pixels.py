"""Outputs of the renderer survive the way through the pixels of CARLA's cameras."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.rendering.carla_pixels import draw_pixels
from cosmos_exp.rendering.gbuffer import GBuffer
from cosmos_exp.rendering.renderer import Renderer
from cosmos_exp.rendering.types import SKY_TAG
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.sensors.carla_image import depth_of, instance_of, normals_of, semantic_of
from cosmos_exp.sensors.rigs import build_rig

FRONT = {"front": {"hfov": 90, "position": [1.5, 0, 1.6], "rotation": [0, 0, 0]}}


@pytest.fixture(scope="module", params=[1, 2], ids=["one sample", "four samples"])
def gbuffer(request: pytest.FixtureRequest) -> GBuffer:
    renderer = Renderer(procedural_scene(seed=3, duration=0.5))
    return renderer.gbuffer(build_rig("front", FRONT, size=(96, 54)).cameras[0], 0.0, samples=request.param)


def drawn(gbuffer: GBuffer, output: str) -> np.ndarray:
    pixels = np.zeros((54, 96, 4), np.uint8)
    draw_pixels(gbuffer, output, pixels)
    assert (pixels[..., 3] == 255).all()
    return pixels


def test_depth_to_half_a_step_and_the_sky_at_the_far_plane(gbuffer: GBuffer) -> None:
    given, read = gbuffer.depth, depth_of(drawn(gbuffer, "depth"))
    sky = np.isinf(given)
    assert sky.any() and (read[sky] == 1000.0).all()
    assert np.abs(read - given)[~sky].max() <= 1000 / (2**24 - 1)


def test_tags_and_instances(gbuffer: GBuffer) -> None:
    assert gbuffer.instance.any()
    assert (semantic_of(drawn(gbuffer, "semantic")) == gbuffer.semantic).all()
    instances = drawn(gbuffer, "instance")
    assert (semantic_of(instances) == gbuffer.semantic).all() and (instance_of(instances) == gbuffer.instance).all()


def test_normals(gbuffer: GBuffer) -> None:
    assert (normals_of(drawn(gbuffer, "normals")) == gbuffer.normals).all()


def test_the_sky_is_white(gbuffer: GBuffer) -> None:
    sky = drawn(gbuffer, "sky")[..., :3]
    assert (sky == np.where(gbuffer.semantic == SKY_TAG, 255, 0)[..., None]).all()
