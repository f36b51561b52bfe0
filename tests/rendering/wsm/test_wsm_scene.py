"""World Scenario maps of scenes: drawn directly, and from the clip that a scene is exported as."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.streets import pose, still, street_map

from cosmos_exp.config.validate import validate
from cosmos_exp.controls import make_control
from cosmos_exp.rendering.renderer import render_camera
from cosmos_exp.rendering.wsm.colors import LIGHTS
from cosmos_exp.rendering.wsm.sources import open_source
from cosmos_exp.rendering.wsm.videos import WsmRenderer
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.scene.clipgt.writer import write_clip
from cosmos_exp.scene.types import ActorClass, Scene, Track, Trajectory
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.rigs import camera_pose

SIZE = (192, 108)
WIDE = FTheta(*SIZE, (96.0, 53.0), (0.0, 0.0095, 1e-7, 0.0, 0.0, 0.0), True)
RIG = Rig(
    "two",
    (
        Camera("front_wide_120fov", WIDE, camera_pose((1.7, 0.0, 1.4), (0.3, 1.5, -0.7))),
        Camera("rear", Pinhole.from_hfov(*SIZE, np.radians(70)), camera_pose((0.0, 0.0, 1.6), (0.0, 2.0, 171.0))),
    ),
)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A car that drives on a street that lies across the axes of the world, another that leaves, and a light."""
    turned = pose(40, -30, 2, 1.1)
    ends = np.stack([turned @ pose(0, 0, 0), turned @ pose(6, 0.3, 0, 0.1)])
    rig = Trajectory(np.array([7.0, 8.0]), ends)
    car = Track("7", ActorClass.TRUCK, (4.5, 1.9, 1.6), Trajectory(np.array([7.1, 7.6]), ends @ pose(12, 2, 0.8)))
    parked = Track("8", ActorClass.PEDESTRIAN, (0.6, 0.6, 1.8), still(turned @ pose(9, -2, 0.9), 20.0))
    street = street_map()

    def moved(points: np.ndarray) -> np.ndarray:
        return points @ turned[:3, :3].T + turned[:3, 3]

    light = street.traffic_lights[0]
    street = replace(
        street,
        lane_lines=tuple(replace(line, points=moved(line.points)) for line in street.lane_lines),
        road_boundaries=tuple(moved(line) for line in street.road_boundaries),
        crosswalks=tuple(moved(area) for area in street.crosswalks),
        traffic_signs=(replace(street.traffic_signs[0], pose=turned @ street.traffic_signs[0].pose),),
        traffic_lights=(replace(light, pose=turned @ light.pose, state_times=np.array([7.0, 7.5])),),
    )
    ego = Track("ego", ActorClass.CAR, (4.8, 1.9, 1.5), rig)
    return Scene("turned", "test", street, ego, rig, (car, parked), 7.0, 8.0)


def check_equal(scene: Scene, rig: Rig, folder: Path, frames: list[int]) -> dict[str, np.ndarray]:
    """{camera: frames} of the clip that the scene is exported as, which are to be those drawn of the scene."""
    clip = write_clip(scene, rig, folder)
    renderer = WsmRenderer(open_source(folder / clip.clip_id, clip.clip_id), (0, 0), scaled=True)
    found = {}
    for camera, name in zip(rig.cameras, clip.cameras, strict=True):
        renderer.size = (camera.model.width, camera.model.height)
        drawn = np.stack([image.copy() for _, image in renderer.images(name, frames)])
        render = render_camera(scene, camera, scene.start + np.array(frames) / 30, outputs=("wsm",))
        assert np.array_equal(make_control("wsm", render), drawn)
        found[camera.name] = drawn
    return found


def shows(image: np.ndarray, color: tuple[int, int, int]) -> bool:
    """Whether a colour is there, faded by depth or not."""
    pixels = image.reshape(-1, 3).astype(np.float64)
    bright = pixels[pixels.max(axis=1) > 60]
    return bool((np.abs(bright / bright.max(axis=1, keepdims=True) - np.array(color) / max(color)) < 0.03).all(1).any())


def test_a_scene_and_its_clip_are_drawn_alike(scene: Scene, tmp_path: Path) -> None:
    found = check_equal(scene, RIG, tmp_path, [0, 9, 14, 16, 30])
    front = found["front_wide_120fov"]
    assert all(frame.any() for frames in found.values() for frame in frames)
    assert shows(front[0], LIGHTS["red"]) and not shows(front[0], LIGHTS["green"])
    assert shows(front[4], LIGHTS["green"]) and not shows(front[4], LIGHTS["red"])
    assert not np.array_equal(front[0], front[4])


def test_a_recorded_drive_and_its_clip_are_drawn_alike(shared: Path, tmp_path: Path) -> None:
    log, town = (shared / "carla" / part for part in ("logs/DistanceToLaneCenter.log", "maps/Town01.xodr"))
    scene = load_carla_scene(log, town, start=4.0, duration=2.0)
    found = check_equal(scene, RIG, tmp_path, [0, 31, 60])
    assert min((frame.any(axis=-1)).mean() for frame in found["front_wide_120fov"]) > 0.01


def test_lines_shrink_with_the_picture(scene: Scene) -> None:
    shares = []
    for size in ((1280, 720), (320, 180)):
        camera = replace(RIG.cameras[0], model=WIDE.resized(*size))
        shares.append(render_camera(replace(scene, tracks=()), camera, [7.0], outputs=("wsm",)).wsm.mean())
    assert shares[1] == pytest.approx(shares[0], rel=0.03)


def test_the_nano_model_has_no_such_control(configure) -> None:
    (problem,) = validate(configure("controls.wsm.weight=0.5"))
    assert problem.startswith("controls.wsm.weight=0.5: unknown control of this model 'wsm'")
    assert "allowed: hdmap" in problem


def test_it_is_made_where_it_is_asked_for(configure) -> None:
    from cosmos_exp.config.run_spec import RunSpec

    usual, asked = (RunSpec.of(configure(*extra)) for extra in ((), ("previews.names=[wsm]",)))
    assert "wsm" not in (*usual.outputs, *usual.controls)
    assert "wsm" in asked.outputs and "wsm" in asked.controls
