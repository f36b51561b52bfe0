"""Scenes at the edge: empty ones, objects that come and go, and pictures that must repeat."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.streets import pose, still, street_map

from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.rendering.weather import WEATHERS
from cosmos_exp.scene.types import ActorClass, Lane, LaneType, SceneMap, Track, Trajectory
from cosmos_exp.sensors.rigs import build_rig

POSITION = {"position": [0, 0, 1.5], "rotation": [0, 0, 0]}
FTHETA = {"width": 128, "height": 72, "center": [64, 36], "poly": [0, 0.012, 0, 0, 0, 0], "backward": True}


@pytest.fixture(scope="module")
def camera():
    return build_rig("test", {"front_wide_120fov": {"hfov": 90, **POSITION}}, size=(128, 72)).cameras[0]


@pytest.mark.parametrize("scene_map", [SceneMap("empty"), street_map()], ids=["no_map", "street"])
def test_no_tracks(street, camera, scene_map):
    render = render_camera(replace(street, tracks=(), map=scene_map), camera, [0.0], weather="Night")
    assert (render.instance == 0).all()
    assert {Tag.SKY} < set(np.unique(render.semantic))


def test_lanes_without_extent(street, camera):
    point = np.zeros((4, 3))
    lanes = (Lane("a", LaneType.DRIVING, point, point), Lane("b", LaneType.SIDEWALK, point[:1], point[:1]))
    odd = replace(street_map(), lanes=lanes, lane_lines=(), poles=())
    assert render_camera(replace(street, map=odd), camera, [0.0]).rgb.any()


def test_tracks_come_and_go_with_a_stable_instance(street, camera):
    render = render_camera(street, camera, [0.5, 1.0, 1.4, 1.8], outputs=("instance", "semantic"))
    seen = [set(np.unique(frame)) for frame in render.instance]
    assert [2 in s for s in seen] == [False, True, True, False]
    assert all(1 in s for s in seen)
    assert (render.semantic[render.instance == 2] == Tag.PEDESTRIAN).all()


def test_objects_out_of_reach(street, camera):
    far = Track("far", ActorClass.CAR, (4, 2, 1.5), still(pose(5000, 0, 1)))
    behind = Track("behind", ActorClass.CAR, (4, 2, 1.5), still(pose(-20, 0, 1)))
    around = Track("around", ActorClass.OTHER, (9, 9, 9), still(pose(0, 0, 1)))
    render = render_camera(replace(street, tracks=(far, behind, around)), camera, [0.0])
    assert not np.isin(render.instance, (1, 2)).any()


def test_traffic_light_changes(street, camera):
    head = replace(street_map().traffic_lights[0], pose=pose(8, 0, 1.5, np.pi))
    renderer = Renderer(replace(street, map=replace(street_map(), traffic_lights=(head,)), tracks=()))
    before, after = (
        renderer.shade(renderer.gbuffer(camera, t), WEATHERS["Night"])[28:44, 56:72].astype(int) for t in (0.5, 1.5)
    )
    assert (before[..., 0] - before[..., 1]).max() > 80
    assert (after[..., 1] - after[..., 0]).max() > 80


@pytest.mark.parametrize("style", ["Rainy", "Snowy"])
def test_particles_repeat_and_move(street, camera, style):
    first, again = (render_camera(street, camera, [0.0, 0.1], weather=style, outputs=("rgb",)).rgb for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()


def test_far_from_the_world_origin(street, camera):
    """Coordinates of a city survey, where float32 alone would tremble."""
    shift = np.eye(4)
    shift[:3, 3] = (400_000.0, 5_000_000.0, 120.0)

    def moved(trajectory: Trajectory) -> Trajectory:
        return Trajectory(trajectory.times, shift @ trajectory.poses)

    tracks = tuple(replace(t, trajectory=moved(t.trajectory)) for t in street.tracks)
    lanes = tuple(
        replace(lane, left=lane.left + shift[:3, 3], right=lane.right + shift[:3, 3]) for lane in street.map.lanes
    )
    here = replace(street, map=SceneMap("here", lanes=street.map.lanes))
    there = replace(
        street, map=SceneMap("there", lanes=lanes), tracks=tracks, rig_trajectory=moved(street.rig_trajectory)
    )
    a, b = (render_camera(s, camera, [0.0], outputs=("depth", "semantic", "rgb")) for s in (here, there))
    assert (a.semantic == b.semantic).mean() > 0.999
    np.testing.assert_allclose(a.depth[a.semantic == b.semantic], b.depth[a.semantic == b.semantic], rtol=1e-3)


def test_ftheta_sees_the_same_street_as_pinhole(street, camera):
    wide = build_rig("test", {"front_wide_120fov": {"ftheta": FTHETA, **POSITION}}).cameras[0]
    renderer = Renderer(street)
    straight, curved = renderer.gbuffer(camera, 0.0), renderer.gbuffer(wide, 0.0)
    directions = wide.model.rays()
    pixels = np.round(camera.model.project(directions.reshape(-1, 3))).astype(int).reshape(72, 128, 2)
    inside = (pixels >= 0).all(axis=2) & (pixels < (128, 72)).all(axis=2)
    u, v = pixels[inside].T
    assert inside.sum() > 2000
    assert (straight.semantic[v, u] == curved.semantic[inside]).mean() > 0.95


def test_coarse_shading_is_close_to_full(street, camera):
    renderer = Renderer(street)
    gbuffer = renderer.gbuffer(camera, 0.0)
    coarse, full = (renderer.shade(gbuffer, WEATHERS["Sunny"], coarse=c).astype(int) for c in (True, False))
    assert np.abs(coarse - full).mean() < 2.5
