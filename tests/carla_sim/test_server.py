"""The embedded server and the real client: the road from `Client()` to matched images, on a street of our own."""

from __future__ import annotations

import queue
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.carla_clients import FPS, camera, hero, require_carla, synchronous

from cosmos_exp.carla_sim.process import ServerProcess
from cosmos_exp.scene.carla.example import EGO, TOWN
from cosmos_exp.scene.carla.log import load_carla_scene

carla = require_carla()
pytest.importorskip("msgpack", reason="msgpack is not installed: pip install 'cosmos-exp[carla]'")
pytestmark = pytest.mark.own_process

SEGMENTATION = ("semantic_segmentation", "instance_segmentation")
KINDS = ("rgb", "depth", *SEGMENTATION, "normals", "sky_mask", "cosmos_visualization")


def test_the_client_meets_a_server_of_its_own_version(client) -> None:
    assert client.get_server_version() == client.get_client_version()
    began = time.monotonic()
    world = client.get_world()
    assert world.get_map().name.endswith(TOWN)
    assert len(world.get_map().get_topology()) > 0
    assert time.monotonic() - began < 5.0
    assert any(TOWN in name for name in client.get_available_maps())


def test_a_log_is_replayed_and_every_image_has_the_frame_of_its_tick(client) -> None:
    world = client.get_world()
    info = client.show_recorder_file_info("drive.log", False)
    assert "Frames: 103\n" in info and "Duration: 5.1 seconds" in info
    synchronous(world)
    client.replay_file("drive.log", 1.0, 3.0, EGO, False)
    ego = hero(world)
    assert ego.id == EGO and ego.type_id == "vehicle.lincoln.mkz_2020"
    assert np.allclose([ego.bounding_box.extent.x, ego.bounding_box.extent.y], (2.3, 0.95), atol=1e-5)
    sensors = {kind: camera(world, kind, ego, z=1.8, pitch=-8.0) for kind in KINDS}
    for step in range(20):
        frame = world.tick()
        images = {kind: images.get(timeout=30) for kind, (_, images) in sensors.items()}
        assert {image.frame for image in images.values()} == {frame}
        assert ego.get_transform().location.x == pytest.approx(20 + 9 * (1.0 + step / FPS), abs=1e-4)
        assert images["rgb"].transform.location.z == pytest.approx(1.8, abs=1e-5)
        assert images["rgb"].raw_data and (images["rgb"].width, images["rgb"].height) == (160, 96)
    for sensor, _ in sensors.values():
        sensor.destroy()


def test_a_second_client_connects_while_the_first_is_there(client, server: ServerProcess) -> None:
    synchronous(client.get_world())
    other = carla.Client(server.host, server.port)
    other.set_timeout(10)
    world = other.get_world()
    assert world.get_settings().synchronous_mode
    frame = world.tick()
    assert client.get_world().get_snapshot().frame >= frame - 1


def test_instruments_measure_the_world(client) -> None:
    world = client.get_world()
    synchronous(world)
    library = world.get_blueprint_library()
    car = world.spawn_actor(library.find("vehicle.tesla.model3"), carla.Transform(carla.Location(20, 1.75, 0.1)))
    place = carla.Transform(carla.Location(z=2.5))
    readings, sensors = {}, []
    for kind in ("lidar.ray_cast", "lidar.ray_cast_semantic", "other.gnss", "other.imu"):
        blueprint = library.find(f"sensor.{kind}")
        for name, value in (("range", "50"), ("channels", "16"), ("rotation_frequency", str(FPS))):
            if blueprint.has_attribute(name):
                blueprint.set_attribute(name, value)
        sensors.append(world.spawn_actor(blueprint, place, attach_to=car))
        readings[kind] = queue.Queue()
        sensors[-1].listen(readings[kind].put)
    frame = world.tick()
    scan, tagged, gnss, imu = (found.get(timeout=30) for found in readings.values())
    assert {scan.frame, tagged.frame, gnss.frame, imu.frame} == {frame}
    points = np.frombuffer(scan.raw_data, np.float32).reshape(-1, 4)
    ground = points[(np.abs(points[:, 0]) < 20) & (np.abs(points[:, 1]) < 1.5)]
    assert len(ground) > 50 and (np.abs(ground[:, 2] + 2.5) < 0.05).mean() > 0.9  # the road, 2.5 m below
    assert {detection.object_tag for detection in tagged} & {1, 2}  # road, sidewalk
    expected = world.get_map().transform_to_geolocation(car.get_transform().location)
    assert (gnss.latitude, gnss.longitude) == pytest.approx((expected.latitude, expected.longitude), abs=1e-6)
    assert imu.accelerometer.z == pytest.approx(9.81, abs=0.05)
    assert all(sensor.destroy() for sensor in sensors)


def test_a_sensor_tick_thins_the_images(client) -> None:
    world = client.get_world()
    synchronous(world)
    blueprint = world.get_blueprint_library().find("sensor.camera.depth")
    for name, value in (("image_size_x", "64"), ("image_size_y", "48"), ("sensor_tick", "0.2")):
        blueprint.set_attribute(name, value)
    sensor, images = world.spawn_actor(blueprint, carla.Transform(carla.Location(20, 0, 3))), queue.Queue()
    sensor.listen(images.put)
    frames = [world.tick() for _ in range(9)]
    assert [images.get(timeout=30).frame for _ in range(3)] == frames[::4]
    sensor.destroy()


def test_what_is_recorded_can_be_replayed_and_read(client, recordings: Path) -> None:
    world = client.get_world()
    synchronous(world)
    library = world.get_blueprint_library()
    hero_blueprint = library.find("vehicle.tesla.model3")
    hero_blueprint.set_attribute("role_name", "hero")
    path = client.start_recorder("own.log", True)
    assert Path(path) == recordings / "own.log"
    car = world.spawn_actor(hero_blueprint, carla.Transform(carla.Location(20, 1.75, 0.1)))
    car.enable_constant_velocity(carla.Vector3D(8.0, 0.0, 0.0))
    for _ in range(30):
        world.tick()
    client.stop_recorder()
    assert f"Duration: {30 / FPS:g} seconds" in client.show_recorder_file_info("own.log", False)

    scene = load_carla_scene(path, recordings / f"{TOWN}.xodr")
    way = np.linalg.norm(scene.ego.trajectory.poses[-1, :3, 3] - scene.ego.trajectory.poses[0, :3, 3])
    assert way == pytest.approx(8.0 * 29 / FPS, abs=0.05)

    world = client.reload_world()
    synchronous(world)
    client.replay_file("own.log", 0.5, 0.0, 0, False)
    replayed = hero(world)
    world.tick()
    rig = scene.ego.trajectory.at(0.5)[:3, 3]
    assert replayed.get_transform().location.x == pytest.approx(rig[0], abs=0.05)


def test_the_spectator_goes_with_the_actor_that_a_replay_follows(client) -> None:
    world = client.get_world()
    synchronous(world)
    behind = carla.Transform(carla.Location(x=-6.0, z=3.0), carla.Rotation(pitch=-20.0))
    client.replay_file("drive.log", 1.0, 0.0, EGO, False, behind)
    ego = hero(world)
    for _ in range(3):
        world.tick()
        place, seen = ego.get_transform(), world.get_spectator().get_transform()
        assert (seen.location.x, seen.location.z) == pytest.approx((place.location.x - 6.0, place.location.z + 3.0))
        assert seen.rotation.pitch == pytest.approx(-20.0, abs=1e-4)


def test_a_vehicle_keeps_the_limit_of_its_road(client, recordings: Path) -> None:
    """In km/h; CARLA's 30 where the map has none or a higher one."""
    limited = (
        "<type s='100' type='town'><speed max='10' unit='mph'/></type>"
        "<type s='160' type='town'><speed max='90' unit='km/h'/></type><planView>"
    )
    text = (recordings / f"{TOWN}.xodr").read_text().replace("<planView>", limited, 1)
    world = client.generate_opendrive_world(text, carla.OpendriveGenerationParameters())
    synchronous(world)
    model = world.get_blueprint_library().find("vehicle.tesla.model3")
    car = world.spawn_actor(model, carla.Transform(carla.Location(40, 1.75, 0.1)))
    limits = []
    for x in (40, 120, 40, 180):
        car.set_transform(carla.Transform(carla.Location(x, 1.75, 0.1)))
        world.tick()
        limits.append(car.get_speed_limit())
    assert limits == pytest.approx([30.0, 16.09344, 16.09344, 30.0], abs=1e-3)


def test_rays_meet_what_the_cameras_see(client) -> None:
    world = client.get_world()
    synchronous(world)
    ground = world.ground_projection(carla.Location(20, 1.75, 10), 100)
    assert (ground.location.z, ground.label) == (pytest.approx(0.0, abs=0.01), carla.CityObjectLabel.Roads)
    car = world.spawn_actor(
        world.get_blueprint_library().find("vehicle.tesla.model3"), carla.Transform(carla.Location(40, 1.75, 0.1))
    )
    world.tick()
    met = world.cast_ray(carla.Location(30, 1.75, 0.8), carla.Location(45, 1.75, 0.8))
    assert met and met[0].label == carla.CityObjectLabel.Car
    assert met[0].location.x == pytest.approx(40 - car.bounding_box.extent.x, abs=0.3)
    assert world.project_point(carla.Location(20, 1.75, 10), carla.Vector3D(0, 0, 1), 50) is None
