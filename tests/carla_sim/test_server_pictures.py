"""What the server's cameras send is what the renderer draws of the same scene, pixel for pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.carla_clients import camera, hero, pixels, require_carla, synchronous

from cosmos_exp.carla_sim.weather_parameters import PRESETS, weather_of
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.rendering.types import SKY_TAG
from cosmos_exp.scene.actor_frame import actor_origin
from cosmos_exp.scene.carla.example import EGO, TOWN
from cosmos_exp.scene.carla.log import load_carla_scene
from cosmos_exp.sensors.carla_image import depth_of, instance_of, normals_of, rgb_of, semantic_of
from cosmos_exp.sensors.carla_yaml import carla_rig, read_carla_sensors

carla = require_carla()
pytest.importorskip("msgpack", reason="msgpack is not installed: pip install 'cosmos-exp[carla]'")
pytestmark = pytest.mark.own_process

START, RATE, FRAMES = 1.0, 24, 6
SIZE = (320, 180)
PLACE = {"x": 1.1, "y": -0.3, "z": 1.8, "pitch": -8.0, "yaw": 20.0}
SENSORS = """
- sensor: rgb
  wide_angle_lens: {wide}
  attributes: {{image_size_x: 320, image_size_y: 180, fov: {fov}}}
  transform: {{location: {{x: 1.1, y: -0.3, z: 1.8}}, rotation: {{pitch: -8, yaw: 20}}}}
"""
KINDS = {
    "rgb": "rgb", "depth": "depth", "semantic_segmentation": "semantic", "instance_segmentation": "instance",
    "normals": "normals", "cosmos_visualization": "hdmap", "sky_mask": "sky",
}  # fmt: skip
READ = {
    "rgb": rgb_of, "depth": depth_of, "semantic": semantic_of, "instance": instance_of, "normals": normals_of,
    "hdmap": rgb_of, "sky": lambda bgra: bgra[..., 0] == 255,
}  # fmt: skip


@pytest.mark.parametrize("wide", [False, True], ids=["pinhole", "wide angle"])
def test_a_replayed_log_looks_as_the_pipeline_draws_it(client, recordings: Path, tmp_path: Path, wide: bool) -> None:
    fov = 100 if wide else 90
    world = client.get_world()
    synchronous(world, RATE)
    client.replay_file("drive.log", START, 2.0, EGO, False)
    ego = hero(world)
    suffix = ".wide_angle_lens" if wide else ""
    sensors = {kind: camera(world, kind + suffix, ego, size=SIZE, fov=fov, **PLACE) for kind in KINDS}
    seen: dict[str, list[np.ndarray]] = {name: [] for name in KINDS.values()}
    for _ in range(FRAMES):
        frame = world.tick()
        for kind, (_, images) in sensors.items():
            image = images.get(timeout=60)
            assert image.frame == frame
            seen[KINDS[kind]].append(READ[KINDS[kind]](pixels(image)))
    for sensor, _ in sensors.values():
        sensor.destroy()

    scene = load_carla_scene(recordings / "drive.log", recordings / f"{TOWN}.xodr", ego=EGO, start=START, duration=2.0)
    (tmp_path / "sensors.yaml").write_text(SENSORS.format(wide=str(wide).lower(), fov=fov))
    rig = carla_rig(read_carla_sensors(tmp_path / "sensors.yaml"), actor_origin(scene))
    weather = weather_of(PRESETS["ClearNoon"])
    drawn = render_camera(Renderer(scene), rig.cameras[0], scene.frame_times(FRAMES, RATE), weather=weather)

    for name in ("semantic", "instance", "normals", "hdmap", "rgb"):
        assert np.array_equal(np.stack(seen[name]), drawn.output(name)), name
    assert np.array_equal(np.stack(seen["sky"]), drawn.output("semantic") == SKY_TAG)
    given, read = drawn.output("depth"), np.stack(seen["depth"])
    assert np.array_equal(np.isinf(given), read == 1000.0)
    assert np.abs(np.maximum(given, 0) - read)[np.isfinite(given)].max() < 1000 / (2**24 - 1)
    assert len(np.unique(drawn.output("instance"))) > 2


def test_a_camera_behind_its_car_sees_it_and_one_on_it_does_not(client) -> None:
    world = client.get_world()
    synchronous(world)
    car = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.tesla.model3"), carla.Transform(carla.Location(60, 1.75, 0.1))
    )
    behind, seen_behind = camera(world, "instance_segmentation", car, x=-6.0, z=2.5, pitch=-10)
    on, seen_on = camera(world, "instance_segmentation", car, x=0.5, z=1.7)
    above, seen_above = camera(world, "instance_segmentation", x=60.0, y=1.75, z=20.0, pitch=-90)
    world.tick()
    instances = [instance_of(pixels(images.get(timeout=60))) for images in (seen_behind, seen_on, seen_above)]
    assert [bool((found == car.id).any()) for found in instances] == [True, False, True]
    for sensor in (behind, on, above):
        sensor.destroy()


def test_a_camera_follows_where_it_is_put_and_what_carries_it(client) -> None:
    world = client.get_world()
    synchronous(world)
    car = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.tesla.model3"), carla.Transform(carla.Location(60, 1.75, 0.0))
    )
    sensor, images = camera(world, "depth", car, x=2.5, z=1.5, pitch=-90)
    other, _ = camera(world, "depth", sensor, z=1.0)
    world.tick()
    straight_down = depth_of(pixels(images.get(timeout=60)))
    assert straight_down[48, 80] == pytest.approx(1.5, abs=0.01)
    sensor.set_transform(carla.Transform(carla.Location(x=2.5, z=4.0), carla.Rotation(pitch=-90)))
    world.tick()
    assert depth_of(pixels(images.get(timeout=60)))[48, 80] == pytest.approx(4.0, abs=0.01)
    car.set_transform(carla.Transform(carla.Location(90, 1.75, 0.0), carla.Rotation(yaw=0)))
    world.tick()
    assert images.get(timeout=60).transform.location.x == pytest.approx(92.5, abs=0.01)
    assert other.get_transform().location.x == pytest.approx(93.5, abs=0.01)  # its up is the car's forward
    for each in (other, sensor):
        each.destroy()


def test_the_weather_changes_the_picture_continuously(client) -> None:
    world = client.get_world()
    synchronous(world)
    sensor, images = camera(world, "rgb", x=40.0, z=2.0)
    means = []
    for altitude in (45.0, 10.0, -5.0, -90.0):
        weather = carla.WeatherParameters(sun_altitude_angle=altitude)
        world.set_weather(weather)
        assert world.get_weather().sun_altitude_angle == pytest.approx(altitude)
        world.tick()
        means.append(float(rgb_of(pixels(images.get(timeout=60))).mean()))
    assert means == sorted(means, reverse=True)
    sensor.destroy()


def test_in_asynchronous_mode_images_come_by_themselves(client) -> None:
    world = client.get_world()
    sensor, images = camera(world, "depth", x=40.0, z=2.0)
    frames = [images.get(timeout=60).frame for _ in range(4)]
    assert frames == sorted(set(frames))
    assert world.wait_for_tick(20.0).frame >= frames[-1]
    sensor.stop()
    assert sensor.destroy()
