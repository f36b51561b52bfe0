"""Images of the cameras: sensors of equal pose and lens share a g-buffer; all of a tick render in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from cosmos_exp.carla_sim.actors import Actor
from cosmos_exp.carla_sim.messages import Moment, image_message
from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.carla_pixels import draw_pixels
from cosmos_exp.rendering.gbuffer import GBuffer
from cosmos_exp.rendering.renderer import SMALL_IMAGE, Frame, Renderer
from cosmos_exp.rendering.weather import Weather
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.carla_lens import finite, lens_of
from cosmos_exp.sensors.rigs import build_rig

PREFIX = "sensor.camera."
WIDE = ".wide_angle_lens"
# Blueprint -> the renderer's output; sky: white where the sky is seen.
OUTPUTS = {
    "rgb": "rgb", "depth": "depth", "semantic_segmentation": "semantic", "instance_segmentation": "instance",
    "normals": "normals", "cosmos_visualization": "hdmap", "hdmap": "hdmap", "sky_mask": "sky",
}  # fmt: skip
DEFAULT_SIZE = (800, 600)


def is_camera(actor: Actor) -> bool:
    return actor.type_id.startswith(PREFIX)


@dataclass(frozen=True)
class CameraSensor:
    """A camera sensor: its output, and its camera relative to the actor that it is attached to (FLU), or to the world.

    fov: degrees, as the client is told.
    """

    actor: Actor
    output: str
    camera: Camera
    fov: float

    @property
    def key(self) -> tuple:
        """Sensors of equal keys and carriers see the same."""
        return (self.actor.parent, self.camera.model, self.camera.camera_to_rig.tobytes())


def camera_sensor(actor: Actor) -> CameraSensor:
    """The camera that a sensor actor's attributes describe. Raises UserError on attributes that make no camera."""
    kind = actor.type_id.removeprefix(PREFIX)
    output = OUTPUTS.get(kind.removesuffix(WIDE))
    if output is None:
        raise UserError(f"there is no {actor.type_id}: cameras are {', '.join(sorted(OUTPUTS))}")
    values = {name: value for name, (_, value) in actor.attributes.items()}
    size = tuple(int(finite(n, values.get(n, d))) for n, d in zip(("image_size_x", "image_size_y"), DEFAULT_SIZE))
    notes: list[str] = []
    wide = kind.endswith(WIDE)
    lens = {k: v for k, v in values.items() if wide or k == "fov"}
    options = lens_of({"wide_angle_lens": wide}, lens, (size[0], size[1]), notes)
    placed = actor.relative or actor.transform
    x, y, z = placed.location.tolist()
    roll, pitch, yaw = placed.rotation.tolist()
    options |= {"position": [x, 0.0 - y, z], "rotation": [roll, 0.0 - pitch, 0.0 - yaw]}
    camera = build_rig("sensor", {"camera": options}).camera("camera")
    return CameraSensor(actor, output, camera, finite("fov", values.get("fov", 90.0)))


@dataclass(frozen=True)
class View:
    """A camera of a frame, and the sensors that share it."""

    renderer: Renderer
    frame: Frame
    camera: Camera
    weather: Weather
    sensors: tuple[CameraSensor, ...]

    def render(
        self, moment: Moment, type_number: Callable[[str], int], new: Callable[[int], bytearray]
    ) -> list[tuple[int, bytearray]]:
        """(stream, message) of each sensor. new: memory of a size for a message."""
        model = self.camera.model
        outputs = {sensor.output for sensor in self.sensors}
        samples = 2 if model.height <= SMALL_IMAGE and "rgb" in outputs else 1
        gbuffer = self.renderer.gbuffer(self.camera, self.frame, samples=samples) if outputs - {"hdmap"} else None
        messages = []
        pixels_of: dict[str, np.ndarray] = {}
        for sensor in self.sensors:
            actor = sensor.actor
            data, pixels = image_message(
                type_number(actor.type_id), moment, actor.transform, model.width, model.height, sensor.fov, new
            )
            if sensor.output in pixels_of:
                pixels[:] = pixels_of[sensor.output]
            else:
                self._draw(sensor.output, gbuffer, pixels)
                pixels_of[sensor.output] = pixels
            messages.append((actor.id, data))
        return messages

    def _draw(self, output: str, gbuffer: GBuffer | None, out: np.ndarray) -> None:
        """Fill out [H,W,4] uint8 BGRA."""
        if output == "hdmap":
            cv2.cvtColor(self.renderer.hdmap(self.camera, self.frame), cv2.COLOR_RGB2BGRA, dst=out)
            return
        assert gbuffer is not None
        if output == "rgb":
            rgb = self.renderer.shade(gbuffer, self.weather, frame=self.frame, seed=self.renderer.scene.seed)
            cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA, dst=out)
        else:
            draw_pixels(gbuffer, output, out)


def views(
    sensors: Iterable[CameraSensor], place: Callable[[CameraSensor], tuple[Renderer, Frame, Camera, Weather]]
) -> list[View]:
    """The views of a tick. place: where a sensor's camera stands, and what it sees."""
    groups: dict[tuple, list[CameraSensor]] = {}
    for sensor in sensors:
        groups.setdefault(sensor.key, []).append(sensor)
    return [View(*place(group[0]), tuple(group)) for group in groups.values()]
