from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.controls import CONTROLS, PREVIEWS, make_control, preview
from cosmos_exp.controls.depth import depth
from cosmos_exp.rendering.palette import PALETTE, Tag
from cosmos_exp.rendering.types import CameraRender


@pytest.fixture
def render() -> CameraRender:
    rng = np.random.default_rng(0)
    shape = (2, 32, 48)
    metres = rng.uniform(1, 80, shape).astype(np.float32)
    tags = rng.integers(1, 20, shape).astype(np.uint8)
    tags[:, :8] = Tag.SKY
    metres[:, :8] = np.inf
    normals = np.zeros((*shape, 3), np.int8)
    normals[:, 8:] = [0, -127, 0]
    return CameraRender(
        "front_wide_120fov",
        np.arange(2) / 10,
        rgb=(128 + np.linspace(0, 100, 48)[:, None] * rng.uniform(-1, 1, (*shape, 3))).astype(np.uint8),
        depth=metres,
        semantic=tags,
        instance=rng.integers(0, 4, shape).astype(np.uint16),
        normals=normals,
        hdmap=rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        lidar=rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        wsm=rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
    )


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_is_a_colour_video_of_the_render_size(render, name):
    video = make_control(name, render)
    assert video.dtype == np.uint8 and video.shape == render.rgb.shape
    assert video.std() > 0


@pytest.mark.parametrize("name", PREVIEWS)
def test_every_preview_is_a_colour_video_of_the_render_size(render, name):
    video = preview(name, render)
    assert video.dtype == np.uint8 and video.shape == render.rgb.shape


def test_hdmap_passes_through(render):
    assert np.array_equal(make_control("hdmap", render), render.hdmap)


def test_depth_is_logarithmic_near_bright_truncated():
    metres = np.array([[[0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 5000.0, np.inf]]], np.float32)
    grey = depth(metres)[0, 0, :, 0]
    # five decades from 0.01 to 1000 m: one fifth of 255 each
    # five decades from 0.01 to 1000 m, a fifth of 255 each; truncation may take one level at an exact value
    assert np.abs(grey.astype(int) - [255, 255, 204, 153, 102, 51, 0, 0, 0]).max() <= 1


def test_depth_limits_set_the_contrast(render):
    video = make_control("depth", render, min_depth=1.0, max_depth=80.0)
    solid = video[:, 8:]
    assert solid.max() > 250 and solid.min() < 5
    assert not video[:, :8].any()
    assert np.array_equal(video[..., 0], video[..., 2])


@pytest.mark.parametrize("limits", [(0.0, 10.0), (10.0, 10.0), (5.0, 1.0), (1.0, np.inf)])
def test_impossible_depth_limits(render, limits):
    with pytest.raises(UserError, match="0 < min_depth < max_depth"):
        make_control("depth", render, min_depth=limits[0], max_depth=limits[1])


def test_nan_depth_is_not_sky():
    with pytest.raises(ValueError, match="NaN"):
        depth(np.full((1, 2, 2), np.nan, np.float32))


def test_seg_colours(render):
    assert np.array_equal(make_control("seg", render), PALETTE[render.semantic])
    instances = make_control("seg", render, mode="instance")
    assert not instances[render.instance == 0].any()
    colors = {i: np.unique(instances[render.instance == i], axis=0) for i in (1, 2, 3)}
    assert all(len(c) == 1 for c in colors.values())
    assert min(np.abs(colors[a][0].astype(int) - colors[b][0]).max() for a, b in ((1, 2), (2, 3), (1, 3))) > 60


def test_strength_changes_edge_and_vis(render):
    few, many = make_control("edge", render, strength="very_high"), make_control("edge", render, strength="very_low")
    assert few.mean() < many.mean()
    assert not np.array_equal(make_control("vis", render, strength="low"), make_control("vis", render, strength="high"))


def test_sky_and_normals_previews(render):
    sky = preview("sky", render)
    assert np.array_equal(sky[..., 0] == 255, render.semantic == Tag.SKY)
    normals = preview("normals", render)
    assert normals[0, 20, 20].tolist() == [128, 1, 128]
    assert not normals[:, :8].any()


def test_unknown_names_say_the_nearest(render):
    with pytest.raises(UserError, match="unknown control 'hd_map': did you mean 'hdmap'"):
        make_control("hd_map", render)
    with pytest.raises(UserError, match="unknown parameter of control 'edge' 'strengt': did you mean 'strength'"):
        make_control("edge", render, strengt="low")
    with pytest.raises(UserError, match="control 'hdmap' takes no parameters, got width=3"):
        make_control("hdmap", render, width=3)
    with pytest.raises(UserError, match="unknown seg control mode 'instances': did you mean 'instance'"):
        make_control("seg", render, mode="instances")
    with pytest.raises(UserError, match="unknown preview 'normal': did you mean 'normals'"):
        preview("normal", render)


def test_missing_output_is_named():
    with pytest.raises(ValueError, match="'left' was rendered without its 'depth' output"):
        make_control("depth", CameraRender("left", np.zeros(1)))
