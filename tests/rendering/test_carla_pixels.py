"""Outputs of the renderer survive the way through the pixels of CARLA's cameras."""

from __future__ import annotations

import numpy as np

from cosmos_exp.controls.carla_image import depth_of, instance_of, normals_of, semantic_of
from cosmos_exp.rendering.carla_pixels import write_depth, write_normals, write_tags


def blank(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 4), np.uint8)


def test_depth_to_a_sixteenth_of_a_millimetre_and_the_sky_at_the_far_plane() -> None:
    depth = np.array([[0.0, 0.1, 1.8, 57.125, 699.9, np.inf]], np.float32)
    pixels = blank(*depth.shape)
    write_depth(depth, pixels)
    assert np.abs(depth_of(pixels) - depth)[:, :-1].max() <= 1000 / (2**24 - 1) / 2 * 1.01
    assert depth_of(pixels)[0, -1] == 1000.0
    assert (pixels[..., 3] == 255).all()


def test_tags_and_instances_of_sixteen_bits() -> None:
    tags, instances = np.array([[0, 11, 14, 28]], np.uint8), np.array([[0, 1, 256, 65535]], np.uint16)
    pixels = blank(1, 4)
    write_tags(tags, instances, pixels)
    assert (semantic_of(pixels) == tags).all() and (instance_of(pixels) == instances).all()


def test_every_normal_comes_back() -> None:
    values = np.arange(-127, 128, dtype=np.int8)
    normals = np.stack([values, values[::-1], np.roll(values, 7)], axis=1)[None]
    pixels = blank(1, len(values))
    write_normals(normals, pixels)
    assert (normals_of(pixels) == normals).all()
