"""The renderer on a hand-made street whose distances and classes are known."""

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.rendering.types import OUTPUTS
from cosmos_exp.rendering.weather import WEATHERS
from cosmos_exp.sensors.rigs import build_rig

FRONT = {"hfov": 90, "position": [0, 0, 1.5], "rotation": [0, 0, 0]}


@pytest.fixture(scope="module")
def renderer(street):
    return Renderer(street)


def camera_of(**options):
    return build_rig("test", {"front_wide_120fov": {**FRONT, **options}}, size=(128, 72)).cameras[0]


def test_depth_of_the_ground_and_of_a_box(renderer):
    gbuffer = renderer.gbuffer(camera_of(), 0.0)
    rows = np.arange(40, 72)
    expected = 1.5 / ((rows - 36) / 64)
    column = gbuffer.depth[40:, 64]
    ahead = gbuffer.semantic[40:, 64] == Tag.ROAD
    assert ahead.sum() > 15
    np.testing.assert_allclose(column[ahead], expected[ahead], rtol=1e-4)
    assert gbuffer.depth[36, 64] == pytest.approx(20.0 - 2.0, abs=0.6)


def test_tags_and_instances(renderer):
    gbuffer = renderer.gbuffer(camera_of(), 0.0)
    seen = set(np.unique(gbuffer.semantic))
    assert {Tag.ROAD, Tag.SIDEWALK, Tag.ROAD_LINE, Tag.SKY, Tag.CAR, Tag.BUILDING, Tag.VEGETATION} <= seen
    assert set(np.unique(gbuffer.instance)) == {0, 1}
    assert (gbuffer.semantic[gbuffer.instance == 1] == Tag.CAR).all()
    sky = gbuffer.semantic == Tag.SKY
    assert np.isinf(gbuffer.depth[sky]).all() and np.isfinite(gbuffer.depth[~sky]).all()
    assert (gbuffer.normals[sky] == 0).all()
    road = gbuffer.semantic == Tag.ROAD
    assert (gbuffer.normals[road] == [0, -127, 0]).all()


def test_supersampling_changes_no_measured_output(renderer):
    once, twice = renderer.gbuffer(camera_of(), 0.0), renderer.gbuffer(camera_of(), 0.0, samples=2)
    for name in ("semantic", "instance", "normals"):
        assert (getattr(once, name) == getattr(twice, name)).mean() > 0.999
    np.testing.assert_allclose(once.depth, twice.depth, rtol=1e-4)


def test_every_output_has_its_type_and_shape(renderer):
    render = render_camera(renderer, camera_of(), [0.0, 0.5], outputs=OUTPUTS)
    assert render.rgb.shape == render.hdmap.shape == render.normals.shape == (2, 72, 128, 3)
    assert render.depth.dtype == np.float32 and render.normals.dtype == np.int8
    assert render.semantic.dtype == np.uint8 and render.instance.dtype == np.uint16
    assert render.rgb.dtype == render.hdmap.dtype == np.uint8
    assert render.sky.any()


def test_outputs_not_asked_for_are_none(renderer):
    render = render_camera(renderer, camera_of(), [0.0], outputs=("depth",))
    assert render.depth is not None and render.rgb is None and render.hdmap is None


def test_unknown_names(renderer):
    with pytest.raises(UserError, match="did you mean 'normals'"):
        render_camera(renderer, camera_of(), [0.0], outputs=("normal",))
    with pytest.raises(UserError, match="did you mean 'Snowy'"):
        render_camera(renderer, camera_of(), [0.0], weather="snow")


def test_progress_is_told(renderer):
    calls = []
    render_camera(renderer, camera_of(), [0.0, 0.1], outputs=("depth",), progress=lambda *a: calls.append(a))
    assert calls == [(1, 2), (2, 2)]


def test_styles_differ_as_their_names_say(renderer):
    camera = camera_of()
    gbuffer = renderer.gbuffer(camera, 0.0)
    pictures = {style: renderer.shade(gbuffer, w).astype(float) for style, w in WEATHERS.items()}
    mean = {style: p.mean() for style, p in pictures.items()}
    assert mean["Night"] < 0.5 * min(v for k, v in mean.items() if k != "Night")
    road = gbuffer.semantic == Tag.ROAD
    assert pictures["Snowy"][road].mean() > 1.5 * pictures["Original"][road].mean()
    assert min((p.std() for s, p in pictures.items()), default=0) > 3
    assert pictures["Foggy"].std() < 0.7 * pictures["Sunny"].std()
    warmth = {s: p[..., 0].mean() - p[..., 2].mean() for s, p in pictures.items()}
    assert warmth["Golden hour"] == max(warmth.values())
    names = list(pictures)
    for i, a in enumerate(names):
        for b in names[:i]:
            assert np.abs(pictures[a] - pictures[b]).mean() > 4, (a, b)
