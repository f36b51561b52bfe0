"""The style of the road, the sky, the vegetation and the buildings, each by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.metrics.style_regions import (
    FEATURES,
    REGIONS,
    fit_region,
    load,
    region_features,
    region_margin,
    save,
    shipped_classifiers,
    style_regions,
)
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.scene.procedural.street import procedural_scene


def painted(colours: dict[Tag, tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """A video of stripes, one per class, and its classes."""
    semantic = np.repeat(np.repeat(np.array(list(colours), np.uint8), 48)[:, None], 128, axis=1)[None]
    video = np.zeros((*semantic.shape, 3), np.uint8)
    for tag, colour in colours.items():
        video[semantic == tag] = colour
    return video, semantic


def test_each_region_has_the_colours_of_its_pixels():
    found = region_features(*painted({Tag.SKY: (255, 255, 255), Tag.ROAD: (255, 0, 0), Tag.CAR: (0, 255, 0)}))
    assert set(found) == {"sky", "road"}
    (sky,), (road,) = found["sky"], found["road"]
    assert dict(zip(FEATURES, sky)) == pytest.approx({"red": 1, "green": 1, "blue": 1, "contrast": 0, "saturation": 0})
    assert road[:3] == pytest.approx([1, 0, 0]) and road[4] == pytest.approx(1)


@pytest.fixture(scope="module")
def classifier():
    """A: dark, B: bright, C: hardly brighter than A."""
    rng = np.random.default_rng(0)
    levels = {"A": 0.2, "B": 0.8, "C": 0.21}
    features = [level + rng.normal(0, 0.02, 5) for level in levels.values() for _ in range(20)]
    return fit_region(np.array(features), [name for name in levels for _ in range(20)])


def test_the_margin_falls_evenly_from_the_style_to_the_nearest_that_the_region_tells_apart(classifier):
    dark, bright = (classifier.centroids[classifier.styles.index(name)] for name in "AB")
    margins = [region_margin(classifier, (1 - a) * dark + a * bright, "A") for a in (0, 0.25, 0.5, 0.75, 1)]
    assert margins == pytest.approx([1, 0.5, 0, -0.5, -1]), "of A and C, which look alike, nothing is said"
    alike = replace(classifier, centroids=np.stack([dark, dark, dark]))
    assert region_margin(alike, dark, "A") is None


def test_classifiers_survive_a_file(classifier, tmp_path):
    save({"road": classifier}, tmp_path / "regions.json")
    again = load(tmp_path / "regions.json")["road"]
    assert again.styles == classifier.styles and again.centroids == pytest.approx(classifier.centroids, abs=1e-4)
    (tmp_path / "other.json").write_text('{"features": ["red"], "regions": {}}')
    with pytest.raises(UserError, match="fitted for other features"):
        load(tmp_path / "other.json")


def test_the_shipped_ones_know_all_styles():
    assert set(shipped_classifiers()) == set(REGIONS)
    assert all(set(found.styles) == set(STYLES) for found in shipped_classifiers().values())


def test_snow_is_seen_on_the_road_and_fades_by_degrees(truth):
    """A held-out street as the renderer draws it, in snow, in fair weather, and between."""
    renderer, camera = Renderer(procedural_scene(seed=1_000_020, duration=1.0)), truth.cameras["front_wide_120fov"]
    seen = render_camera(renderer, camera, [0.0, 0.5], outputs=("rgb", "semantic"))
    snowy = render_camera(renderer, camera, [0.0, 0.5], outputs=("rgb",), weather="Snowy").output("rgb")

    def scores(video: np.ndarray) -> dict[str, float]:
        clip = replace(truth, style="Snowy", generated={}, single_view=video, renders={camera.name: seen})
        return style_regions(clip)

    blends = [scores(((1 - a) * snowy + a * seen.output("rgb")).astype(np.uint8)) for a in (0, 0.25, 0.5, 0.75, 1)]
    for key in ("style_road", "style_regions"):
        assert [blend[key] for blend in blends] == sorted((blend[key] for blend in blends), reverse=True)
        assert blends[0][key] > 0.3 and blends[-1][key] < -0.5


def test_an_unknown_style_names_the_nearest(truth):
    with pytest.raises(UserError, match="did you mean 'Night'"):
        style_regions(replace(truth, style="night"))
