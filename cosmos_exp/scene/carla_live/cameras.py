"""CARLA's cameras on the ego vehicle, and their images, each matched to the frame of its tick."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from cosmos_exp.scene.carla_live.connection import PROBE, CaptureError, Connection, Undoing
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.carla_image import BLUEPRINTS, DECODERS
from cosmos_exp.sensors.pinhole_faces import Face, PinholeFaces, pinhole_faces
from cosmos_exp.sensors.rigs import mounting

WAITING = 8  # images of one camera that may wait; a tick makes one


@dataclass(frozen=True)
class WantedCamera:
    """camera: its pose is relative to the ego actor's origin (FLU, metres). outputs: of BLUEPRINTS. attributes:
    {output: further attributes of its blueprint}."""

    camera: Camera
    outputs: tuple[str, ...]
    attributes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class LiveOutput:
    """One output of a camera: the server's cameras for its faces, and their images."""

    def __init__(self, camera: Camera, output: str, faces: PinholeFaces, streams: Sequence[ImageStream]):
        self.camera = camera.name
        self.output = output
        self.faces = faces
        self.streams = streams

    def take(self, frame: int, deadline: float, connection: Connection) -> list[Any]:
        """The images of a tick, one for each face; see `ImageStream.take`."""
        return [stream.take(frame, deadline, connection) for stream in self.streams]

    def picture(self, images: Sequence[Any]) -> np.ndarray:
        """The camera's array of a frame, as `CameraRender` has it."""
        return self.faces.assemble(self.output, [DECODERS[self.output](_bytes_of(image)) for image in images])


def _bytes_of(image: Any) -> np.ndarray:
    return np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)


class ImageStream:
    """The images of one `carla.Sensor`, as they arrive. label: what messages call it."""

    def __init__(self, sensor: Any, label: str):
        self.sensor = sensor
        self.label = label
        self._images: queue.Queue[Any] = queue.Queue(WAITING)
        sensor.listen(self._arrived)

    def _arrived(self, image: Any) -> None:
        with contextlib.suppress(queue.Full):  # the frame is missed when it is asked for
            self._images.put_nowait(image)

    def take(self, frame: int, deadline: float, connection: Connection) -> Any:
        """The image of that frame; those of earlier frames are dropped. deadline: of time.monotonic(). Raises
        CaptureError where it does not come before the deadline, a later one comes first, or the server is gone."""
        began = time.monotonic()
        while True:
            try:
                image = self._images.get(timeout=min(PROBE, max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                connection.require_there(f"{self.label}: no image of frame {frame}")
                waited = time.monotonic() - began
                if time.monotonic() < deadline:
                    continue
                raise CaptureError(f"{self.label}: no image of frame {frame} within {waited:.1f} s") from None
            if image.frame == frame:
                return image
            if image.frame > frame:
                raise CaptureError(f"{self.label}: the image of frame {frame} is missing, {image.frame} came after it")

    def stop(self) -> None:
        self.sensor.stop()
        with contextlib.suppress(queue.Empty):
            while True:
                self._images.get_nowait()


def mount(
    connection: Connection, world: Any, ego: Any, cameras: Sequence[WantedCamera], undoing: Undoing
) -> list[LiveOutput]:
    """Spawn the cameras on the ego, one for every output and face, and listen. undoing: stops and destroys them.

    Raises CaptureError where the server lacks a blueprint or does not spawn one.
    """
    library = connection.ask("the server does not tell its blueprints", world.get_blueprint_library)
    live = []
    for wanted in cameras:
        faces = pinhole_faces(wanted.camera.model)
        for output in wanted.outputs:
            streams = []
            for i, face in enumerate(faces.faces):
                label = f"{wanted.camera.name}, {output}" + (f", face {i}" if len(faces.faces) > 1 else "")
                blueprint = _blueprint(library, face, output, wanted.attributes.get(output, {}), label)
                place = _place(wanted.camera, face)
                spawn = partial(world.spawn_actor, blueprint, place, attach_to=ego)
                sensor = connection.ask(f"{label}: the camera cannot be spawned", spawn)
                undoing.add(f"{label}: the camera cannot be removed", sensor.destroy)
                start = partial(ImageStream, sensor, label)
                stream = connection.ask(f"{label}: the camera does not start", start)
                undoing.add(f"{label}: the camera cannot be stopped", stream.stop)
                streams.append(stream)
            live.append(LiveOutput(wanted.camera, output, faces, streams))
    return live


def _blueprint(library: Any, face: Face, output: str, attributes: Mapping[str, str], label: str) -> Any:
    try:
        blueprint = library.find(BLUEPRINTS[output])
    except IndexError:
        raise CaptureError(f"{label}: the server has no {BLUEPRINTS[output]}") from None
    model = face.model
    fov = np.degrees(2 * np.arctan(model.width / (2 * model.fx)))
    values = {"image_size_x": str(model.width), "image_size_y": str(model.height), "fov": shortest(fov)}
    for name, value in {**attributes, **values}.items():
        if not blueprint.has_attribute(name):
            raise CaptureError(f"{label}: {BLUEPRINTS[output]} of this server has no attribute {name!r}")
        blueprint.set_attribute(name, value)
    return blueprint


def _place(camera: Camera, face: Face) -> Any:
    """On the ego actor, as a `carla.Transform`."""
    pose = camera.camera_to_rig.copy()
    pose[:3, :3] = pose[:3, :3] @ face.rotation
    return transform_of(pose)


def shortest(value: float) -> str:
    """The shortest decimal of the nearest float32, which is what CARLA computes with."""
    return str(np.float32(value))


def transform_of(pose: np.ndarray) -> Any:
    """The `carla.Transform` of a camera's pose [4,4] (OpenCV axes) in an FLU frame: CARLA counts y, pitch and yaw the
    other way."""
    import carla

    (x, y, z), (roll, pitch, yaw) = mounting(pose)
    return carla.Transform(carla.Location(x, 0.0 - y, z), carla.Rotation(0.0 - pitch, 0.0 - yaw, roll))
