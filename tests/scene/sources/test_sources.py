"""Scene sources: what every one of them has to keep to, and the checks of those that are there."""

from __future__ import annotations

import inspect

import pytest

from cosmos_exp.scene.source import SceneConfig, own_options
from cosmos_exp.scene.sources import SOURCES, load_scene
from cosmos_exp.scene.sources.carla_log import CarlaLogConfig
from cosmos_exp.scene.sources.procedural import ProceduralConfig


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_names_fields_of_its_own_config(name: str) -> None:
    source = SOURCES[name]
    own = own_options(source.config())
    assert issubclass(source.config, SceneConfig)
    assert {*source.files, *source.folders, *source.every} <= set(own)
    inspect.signature(source.load).bind(**own)


def test_a_scene_is_made_of_its_config() -> None:
    config = ProceduralConfig(source="procedural", seed=5, num_vehicles=0, num_pedestrians=0, duration=1.0)
    scene = load_scene(config)
    assert (scene.seed, scene.tracks, scene.end) == (5, (), 1.0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ProceduralConfig(seed=-1), "scene.seed=-1"),
        (ProceduralConfig(duration=0.0), "scene.duration=0"),
        (CarlaLogConfig(start=-1.0), "scene.start=-1: must be 0 s or later"),
        (CarlaLogConfig(duration=0.0), "scene.duration=0: a time window must be longer than 0 s"),
    ],
)
def test_a_value_no_source_can_use_is_named(config: SceneConfig, message: str) -> None:
    source = next(source for source in SOURCES.values() if source.config is type(config))
    (problem,) = source.check(own_options(config))
    assert message in problem


def test_values_that_are_fine_have_no_problem() -> None:
    for source in SOURCES.values():
        assert list(source.check(own_options(source.config()))) == []
