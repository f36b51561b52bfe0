"""What tests do with CARLA's client: ticks, cameras, waiting."""

from __future__ import annotations

import queue
import socket
import time
from typing import Any

import numpy as np
import pytest

from cosmos_exp.scene.carla_live.connection import home_problem

FPS = 20


def require_carla() -> Any:
    """CARLA's module; skips where it is not installed, or could not work here."""
    if problem := home_problem():
        pytest.skip(problem, allow_module_level=True)
    return pytest.importorskip("carla", reason="CARLA's client is not installed: pip install 'cosmos-exp[carla]'")


class RawClient:
    """Speaks to a server without CARLA's client."""

    def __init__(self, host: str, port: int):
        import msgpack

        self.socket = socket.create_connection((host, port), timeout=20)
        self._pack, self._unpacker = msgpack.packb, msgpack.Unpacker(raw=False)

    def call(self, method: str, *arguments: object) -> object:
        self.socket.sendall(self._pack([0, 7, method, [[False], *arguments]]))
        return self.answer()

    def answer(self) -> object:
        while True:
            for _, number, error, result in self._unpacker:
                assert number == 7 and error is None
                return result
            data = self.socket.recv(1 << 16)
            if not data:
                return "closed"
            self._unpacker.feed(data)


def synchronous(world: Any, fps: float = FPS) -> None:
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 1 / fps
    world.apply_settings(settings)


def until(condition: Any, seconds: float = 20.0) -> Any:
    """The condition's value once it is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)
    return value


def hero(world: Any) -> Any:
    """The actor with the role `hero`, once the client knows it."""
    return until(lambda: next((a for a in world.get_actors() if a.attributes.get("role_name") == "hero"), None))


def camera(world: Any, kind: str, carrier: Any = None, *, size: tuple[int, int] = (160, 96), **options: Any) -> tuple:
    """A listening camera and the queue of its images. options: x, y, z, pitch, yaw, roll, and attributes."""
    import carla

    blueprint = world.get_blueprint_library().find(f"sensor.camera.{kind}")
    place = {name: float(options.pop(name, 0.0)) for name in ("x", "y", "z", "pitch", "yaw", "roll")}
    for name, value in {"image_size_x": size[0], "image_size_y": size[1], **options}.items():
        blueprint.set_attribute(name, str(value))
    location = carla.Location(place["x"], place["y"], place["z"])
    rotation = carla.Rotation(pitch=place["pitch"], yaw=place["yaw"], roll=place["roll"])
    sensor = world.spawn_actor(blueprint, carla.Transform(location, rotation), attach_to=carrier)
    images: queue.Queue = queue.Queue()
    sensor.listen(images.put)
    return sensor, images


def pixels(image: Any) -> np.ndarray:
    """[H,W,4] uint8 BGRA of a carla.Image."""
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)
