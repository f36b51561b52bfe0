"""The simulated LiDAR: points lie where the renderer sees surfaces, and make a control of any scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.controls import make_control
from cosmos_exp.rendering.lidar.simulated import MAX_RANGE, SceneObjects, SimulatedLidar
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.pinhole import Pinhole


def camera_of() -> Camera:
    """At the windscreen, looking ahead."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], (1.7, 0, 1.4)
    return Camera("front", Pinhole.from_hfov(640, 352, np.radians(100)), pose)


def simulated_lidar(renderer: Renderer) -> SimulatedLidar:
    return SimulatedLidar(renderer.scene, lambda camera, t: renderer.gbuffer(camera, t).depth)


@pytest.fixture(scope="module")
def scene():
    return procedural_scene(seed=1000000, duration=2.0)


@pytest.fixture(scope="module")
def renderer(scene) -> Renderer:
    return Renderer(scene)


def test_sweeps_ten_times_a_second(renderer, scene):
    lidar = simulated_lidar(renderer)
    frames = lidar.lidar_frames()
    assert all(frame % 3 == 0 for frame in frames) and set(np.diff(frames)) == {3}
    assert scene.start * 30 <= frames[0] and frames[-1] <= scene.end * 30 + 1e-6


def test_a_sweep_looks_all_around_and_within_range(renderer, scene):
    points, to_world = simulated_lidar(renderer).lidar(6)
    assert points.dtype == np.float32 and len(points) > 50_000
    distance = np.linalg.norm(points, axis=1)
    assert distance.min() > 2 and distance.max() <= MAX_RANGE
    sectors, _ = np.histogram(np.arctan2(points[:, 1], points[:, 0]), bins=36)
    assert (sectors > 500).all()
    elevation = np.degrees(np.arcsin(points[:, 2] / distance))
    assert elevation.min() > -25.3 and elevation.max() < 15.3
    ground = scene.rig_trajectory.at(6 / 30)[2, 3]
    height = to_world[2, 3] - ground
    assert height == pytest.approx(scene.ego.size[2] + 0.3, abs=0.3)
    world = points @ to_world[:3, :3].T + to_world[:3, 3]
    assert -0.5 < np.percentile(world[:, 2], 1) - ground < 0.1


def test_the_image_agrees_with_the_depth_it_was_scanned_from(renderer, scene):
    camera = camera_of()
    render = render_camera(renderer, camera, [scene.start + 0.52], outputs=("depth", "lidar", "semantic"))
    image = make_control("lidar", render)
    assert image.shape == render.lidar.shape and image.dtype == np.uint8
    expected = (np.clip(render.depth, 0, 75) / 75 * 255).astype(int)
    drawn = image[..., 0] > 0
    difference = np.abs(image[..., 0].astype(int) - expected)[drawn]
    assert drawn.mean() > 0.3 and np.median(difference) <= 1 and np.percentile(difference, 85) <= 8
    assert drawn[render.sky].mean() < 0.1


def test_tracks_are_there_between_the_frames_too(scene):
    objects = SceneObjects(scene)
    frame = (scene.start + 0.51) * 30
    records = objects[frame]
    assert set(records) == {track.id for track in scene.tracks if track.exists_at(frame / 30)}
    track = scene.tracks[0]
    np.testing.assert_allclose(records[track.id].pose, track.trajectory.at(frame / 30))


def test_recorded_sweeps_come_first(scene):
    class Wall:
        """A wall 10 m ahead of the world's origin, seen once."""

        def lidar_frames(self):
            return (0,)

        def lidar(self, frame):
            y, z = np.meshgrid(np.linspace(-4, 4, 80), np.linspace(-1, 3, 40))
            ahead = np.stack([np.full(y.size, 10.0), y.ravel(), z.ravel()], axis=1)
            return ahead, scene.rig_trajectory.at(scene.start)

    camera = camera_of()
    image = Renderer(replace(scene, sweeps=Wall())).lidar(camera, scene.start)
    depth = 10 - camera.camera_to_rig[0, 3]
    grey = image[..., 0][image[..., 0] > 0]
    assert len(grey) and np.abs(grey.astype(int) - depth / 75 * 255).max() < 3


def test_a_scene_too_short_for_a_sweep(scene):
    short = replace(scene, start=0.01, end=0.05)
    with pytest.raises(UserError, match="too short for a LiDAR sweep"):
        Renderer(short).lidar(camera_of(), 0.02)
