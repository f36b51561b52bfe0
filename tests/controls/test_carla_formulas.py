"""The formulas of CARLA's exporter, against their plain form in numpy."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.controls import make_control
from cosmos_exp.controls.depth import depth
from cosmos_exp.controls.edge import edges_of_masked, masked_rgb
from cosmos_exp.controls.seg import distinct_palette, prism_palette, shaded, stored_normals
from cosmos_exp.rendering.palette import PALETTE, Tag
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.sensors.carla_image import depth_of, instance_of, normals_of, rgb_of, semantic_of

# of the table that matplotlib 3.11 (`get_cmap("prism")` at linspace(0, 1, 65536)) and numpy.random.seed(140) make
PRISM_SHA256 = "cc20f73c65bc303c1bf4694299ee08f322509263ae98d179ecd992a6e1187f65"


def test_class_colours_are_carlas(shared):
    given = json.loads((shared / "carla" / "cityscapes_palette_0.9.16.json").read_text())
    assert given["order"] == "RGB" and given["modulus"] == len(PALETTE)
    assert PALETTE.tolist() == given["palette"]


def test_the_depth_picture_of_every_depth_that_carla_can_send():
    rng = np.random.default_rng(0)
    bgra = rng.integers(0, 256, (1, 64, 4096, 4), dtype=np.uint8)
    bgra[..., 0] >>= rng.integers(0, 8, bgra.shape[:-1], dtype=np.uint8)
    bgra[0, 0, 0], bgra[0, 0, 1] = 0, 255
    metres = depth_of(bgra)
    blue, green, red = (bgra[..., i].astype(np.float64) for i in range(3))
    code = red + 256 * green + 65536 * blue
    np.testing.assert_allclose(metres, 1000 * code / (2**24 - 1), rtol=1e-6)
    m = np.clip(metres, np.float32(0.01), np.float32(1000))
    v = (np.log(m) - np.log(0.01)) / (np.log(1000.0) - np.log(0.01))
    expected = (255 * (1 - v)).astype(np.uint8)
    grey = depth(metres)
    assert np.array_equal(grey[..., 0], expected) and np.array_equal(grey[..., 0], grey[..., 2])
    assert grey[0, 0, 0, 0] == 255 and grey[0, 0, 1, 0] == 0


def test_other_depth_mappings_span_the_clip():
    metres = np.array([[[2.0, 4.0]], [[8.0, np.inf]]], np.float32)
    inverse = depth(metres, 0.1, 1000, mapping="inverse")[..., 0]
    assert inverse.ravel().tolist() == [255, 127, 63, 0]
    linear = depth(metres, 0.1, 8.0, mapping="linear")[..., 0]
    assert linear.ravel().tolist() == [255, 170, 0, 0]
    with pytest.raises(UserError, match="unknown depth mapping 'logarithmic': did you mean 'log'"):
        depth(metres, mapping="logarithmic")


def test_the_prism_palette_is_matplotlibs_in_numpys_order():
    palette = prism_palette()
    assert palette.shape == (65536, 3) and not palette[0].any()
    assert palette[1:4].tolist() == [[0, 126, 150], [255, 241, 0], [202, 0, 163]]
    assert hashlib.sha256(palette.tobytes()).hexdigest() == PRISM_SHA256


def test_raw_pictures_are_decoded():
    bgra = np.array([[[[5, 3, 14, 255], [0, 128, 255, 0]]]], np.uint8)
    assert rgb_of(bgra)[0, 0, 0].tolist() == [14, 3, 5]
    assert semantic_of(bgra)[0, 0, 0] == Tag.CAR
    assert instance_of(bgra)[0, 0, 0] == 3 * 256 + 5
    assert normals_of(bgra)[0, 0, 1].tolist() == [127, 0, -127]


@pytest.fixture
def street() -> CameraRender:
    """Road, sidewalk, a car and the sky in noise, all outputs."""
    rng = np.random.default_rng(3)
    shape = (2, 48, 64)
    semantic = np.full(shape, Tag.ROAD, np.uint8)
    semantic[:, :, 48:], semantic[:, :16], semantic[:, 20:34, 20:40] = Tag.SIDEWALK, Tag.SKY, Tag.CAR
    rgb = np.repeat(PALETTE[semantic].mean(axis=-1, keepdims=True), 3, axis=-1) / 2
    rgb[:, 24:30, 24:36] += (120, 10, 60)
    normals = rng.normal(size=(*shape, 3))
    normals = np.round(127 * normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.int8)
    normals[semantic == Tag.SKY] = 0
    instance = np.where(semantic == Tag.CAR, 300, 0).astype(np.uint16)
    rgb = np.clip(rgb + rng.integers(0, 12, (*shape, 3)), 0, 255).astype(np.uint8)
    return CameraRender("front", np.arange(2), rgb=rgb, semantic=semantic, instance=instance, normals=normals)


def test_the_exporters_masked_edges(street):
    """Its steps on a BGR picture, as its pictures are."""
    for frame, kept in zip(street.rgb, street.semantic == Tag.ROAD):
        bgr = np.ascontiguousarray(frame[..., ::-1])
        picture = np.zeros_like(bgr)
        picture[kept] = cv2.GaussianBlur(bgr, (5, 5), 1.0)[kept]
        assert np.array_equal(masked_rgb(frame, kept), picture[..., ::-1])
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
        assert np.array_equal(edges_of_masked(frame, kept, (100, 200)), cv2.Canny(grey, 100, 200))


def test_shading_is_by_the_normals_first_axis(street):
    keep = street.semantic == Tag.ROAD
    objects = prism_palette()[street.instance]
    stored = stored_normals(street.normals)
    expected = np.where(keep[..., None], PALETTE[street.semantic], objects) * (stored[..., :1] / 255.0)
    ours = shaded(PALETTE[street.semantic], objects, keep, stored)
    assert np.abs(ours.astype(int) - expected.astype(np.uint8)).max() <= 1
    assert (ours == expected.astype(np.uint8)).mean() > 0.999


def test_the_shaded_control(street):
    video = make_control("seg", street, mode="shaded", palette="prism")
    assert np.array_equal(video[0, 5, 5], (PALETTE[Tag.SKY] * (128 / 255)).astype(np.uint8))
    car = street.semantic == Tag.CAR
    hue = prism_palette()[300].astype(float)
    assert np.abs(video[car].max(axis=0) / video[car].max() - hue / hue.max()).max() < 0.05
    assert not np.array_equal(video, make_control("seg", street, mode="shaded"))
    assert len(np.unique(distinct_palette()[1:200], axis=0)) == 199


def test_sky_edges_go(street):
    noisy = CameraRender("front", street.times, rgb=255 - street.rgb * 4, semantic=street.semantic)
    plain, below = make_control("edge", noisy), make_control("edge", noisy, drop_sky=True)
    assert plain[:, :12].any() and not below[:, :16].any() and below[:, 16:].any()
    grey = cv2.cvtColor(noisy.rgb[0], cv2.COLOR_RGB2GRAY)
    assert np.array_equal(below[0, 16:, :, 0], cv2.Canny(grey, 100, 200)[16:])
    both = make_control("edge", noisy, drop_sky=True, class_filter="carla")
    assert not both[:, :16].any()


def test_unknown_palette_and_compat_without_a_filter(street):
    with pytest.raises(UserError, match="unknown instance palette 'prisma': did you mean 'prism'"):
        make_control("seg", street, mode="instance", palette="prisma")
    with pytest.raises(UserError, match="reference_compat changes masked edges only"):
        make_control("edge", street, reference_compat=True)
