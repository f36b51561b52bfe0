from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosmos_exp.captions.describe import MAX_BYTES, color_name, describe
from cosmos_exp.captions.fidelity import violations
from cosmos_exp.captions.rewrite import NUM_PHRASINGS, rewrite
from cosmos_exp.common.styles import STYLES
from cosmos_exp.scene import ActorClass, LightState, Scene, SceneMap, Track, TrafficLight, Trajectory
from cosmos_exp.scene.procedural.street import ROADS, procedural_scene


def pose_at(x: float, y: float, yaw: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:2, 3] = x, y
    return pose


def standing(name: str, x: float, y: float, kind: ActorClass = ActorClass.CAR, color=None) -> Track:
    return Track(name, kind, (4.5, 1.9, 1.5), Trajectory(np.array([0.0, 1.0]), np.stack([pose_at(x, y)] * 2)), color)


def scene_with(*tracks: Track, facts: dict[str, str] | None = None, scene_map: SceneMap | None = None) -> Scene:
    ego = standing("ego", 0.0, 0.0)
    return Scene(
        clip_id="clip",
        source="test",
        map=scene_map or SceneMap("empty"),
        ego=ego,
        rig_trajectory=ego.trajectory,
        tracks=tracks,
        start=0.0,
        end=1.0,
        facts=facts or {},
    )


def test_names_road_leader_people_and_other_traffic():
    scene = scene_with(
        standing("leader", 15.0, 0.3, color=(0.7, 0.05, 0.1)),
        standing("oncoming", 30.0, 4.0, ActorClass.TRUCK),
        standing("behind", -10.0, 0.0, ActorClass.BUS),
        standing("walker_1", 20.0, -6.0, ActorClass.PEDESTRIAN),
        standing("walker_2", 25.0, -6.0, ActorClass.PEDESTRIAN),
        facts={"road": "straight_2lane", "area": "residential"},
    )
    assert describe(scene) == (
        "Driving along a residential two-lane street with a red car ahead, two pedestrians and another truck."
    )


def test_a_scene_without_facts_or_tracks_still_has_a_caption():
    assert describe(scene_with()) == "Driving along a street."


def test_the_light_that_faces_the_ego_is_named_and_the_one_that_does_not_is_not():
    red, green = np.zeros(1), np.zeros(1)
    facing = TrafficLight("a", pose_at(30.0, -5.0, np.pi), (0.3, 0.4, 1.0), red, (LightState.RED,))
    cross = TrafficLight("b", pose_at(20.0, -5.0, np.pi / 2), (0.3, 0.4, 1.0), green, (LightState.GREEN,))
    scene_map = SceneMap("lights", traffic_lights=(cross, facing))
    caption = describe(scene_with(facts={"road": "intersection"}, scene_map=scene_map))
    assert caption == "Driving through an intersection with a red light."


def test_articles_agree():
    scene = scene_with(standing("leader", 15.0, 0.0, color=(0.8, 0.36, 0.08)), facts={"road": "curve"})
    assert describe(scene) == "Driving along a curving road with an orange car ahead."


@pytest.mark.parametrize("road", ROADS)
def test_procedural_captions_are_short_ascii_and_name_the_area(road):
    for seed in range(4):
        scene = procedural_scene(seed=seed, road=road, num_vehicles=14, num_pedestrians=12)
        caption = describe(scene)
        assert len(caption.encode("ascii")) <= MAX_BYTES
        assert scene.facts["area"] in caption
        assert caption == describe(scene)


@pytest.mark.parametrize(
    ("road", "words"),
    [
        ("motorway", "along a rural motorway"),
        ("roundabout", "roundabout"),
        ("s_curve", "along a winding "),
        ("slope", "along a hilly "),
        ("residential", "along a narrow residential street"),
        ("multilane_intersection", "through a multi-lane "),
    ],
)
def test_further_roads_are_named_and_survive_every_style(road, words):
    for number, style in enumerate(STYLES):
        scene = procedural_scene(seed=number, road=road, num_vehicles=14, num_pedestrians=9, duration=1.0)
        caption = describe(scene)
        assert words in caption
        assert violations(caption, rewrite(caption, style, number % NUM_PHRASINGS), style) == (), caption


def test_a_taller_town_reads_differently():
    scene = procedural_scene(seed=5, road="straight_2lane", num_vehicles=0, num_pedestrians=0)
    towers = tuple(replace(b, height=40.0) for b in scene.map.buildings)
    houses = tuple(replace(b, height=5.0) for b in scene.map.buildings)
    assert "tall buildings" in describe(replace(scene, map=replace(scene.map, buildings=towers)))
    assert "houses" in describe(replace(scene, map=replace(scene.map, buildings=houses)))


def test_color_names():
    assert [color_name(c) for c in ((1, 1, 1), (0, 0, 0.5), (0.9, 0.7, 0.1))] == ["white", "blue", "yellow"]
