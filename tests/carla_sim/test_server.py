"""The embedded server and the real client: the road from `Client()` to matched images, on a street of our own."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.carla_sim.process import ServerProcess, server_process
from cosmos_exp.scene.carla.example import EGO, TOWN, example_log, example_map

carla = pytest.importorskip("carla", reason="CARLA's client is not installed: pip install 'cosmos-exp[carla]'")
pytest.importorskip("msgpack", reason="msgpack is not installed: pip install 'cosmos-exp[carla]'")

FPS = 20
KINDS = (
    "rgb",
    "depth",
    "semantic_segmentation",
    "instance_segmentation",
    "normals",
    "sky_mask",
    "cosmos_visualization",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("carla")
    (folder / f"{TOWN}.xodr").write_text(example_map())
    (folder / "drive.log").write_bytes(example_log())
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    options = ["--map", str(folder / f"{TOWN}.xodr"), "--recordings", str(folder), "--port", "0"]
    with server_process(options) as server:
        yield server


@pytest.fixture()
def client(server: ServerProcess) -> Iterator:
    client = carla.Client(server.host, server.port)
    client.set_timeout(60)
    client.load_world(TOWN)
    yield client
    client.reload_world()


def synchronous(world, fps: float = FPS) -> None:
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 1 / fps
    world.apply_settings(settings)


def until(condition, seconds: float = 5.0):
    """The condition's value once it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)
    return value


def hero(world):
    return until(lambda: next((a for a in world.get_actors() if a.attributes.get("role_name") == "hero"), None))


def camera(world, kind: str, carrier=None, *, width: int = 160, height: int = 96, **place: float):
    blueprint = world.get_blueprint_library().find(f"sensor.camera.{kind}")
    blueprint.set_attribute("image_size_x", str(width))
    blueprint.set_attribute("image_size_y", str(height))
    rotation = carla.Rotation(pitch=place.pop("pitch", 0.0), yaw=place.pop("yaw", 0.0))
    sensor = world.spawn_actor(blueprint, carla.Transform(carla.Location(**place), rotation), attach_to=carrier)
    images: queue.Queue = queue.Queue()
    sensor.listen(images.put)
    return sensor, images


def test_the_client_meets_a_server_of_its_own_version(client) -> None:
    assert client.get_server_version() == client.get_client_version()
    began = time.monotonic()
    world = client.get_world()
    assert world.get_map().name.endswith(TOWN)
    assert len(world.get_map().get_topology()) > 0
    assert time.monotonic() - began < 5.0
    assert any(TOWN in name for name in client.get_available_maps())


def test_a_log_is_replayed_and_every_image_has_the_frame_of_its_tick(client) -> None:
    world = client.reload_world()
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
