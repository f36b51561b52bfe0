"""What differs between versions of CARLA's client on the wire."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_exp.common.errors import UserError, unknown_name

# The client's list of sensor data types; a message names its type by the index.
_TYPES_0916 = (
    "sensor.other.collision", "sensor.camera.depth", "sensor.camera.normals", "sensor.camera.dvs", "sensor.other.gnss",
    "sensor.other.imu", "sensor.other.lane_invasion", "sensor.other.obstacle", "sensor.camera.optical_flow",
    "sensor.other.radar", "sensor.lidar.ray_cast_semantic", "sensor.lidar.ray_cast", "sensor.other.rss",
    "sensor.camera.rgb", "sensor.camera.semantic_segmentation", "sensor.camera.instance_segmentation",
    "sensor.camera.cosmos_visualization", "world", "gbuffer.uint8", "gbuffer.float", "sensor.other.v2x",
    "sensor.other.v2x_custom",
)  # fmt: skip
WORLD = "world"


@dataclass(frozen=True)
class Version:
    """A version of the client. sensor_types: names by their index in the client's list of sensor data types.

    box_has_actor: whether a bounding box carries the id of its actor. first_attribute_type: number of the type bool of
    attributes; int, float, string and color follow. ackermann: whether batches know the command of that name, which
    moves the numbers of those after it.
    """

    name: str
    sensor_types: tuple[str, ...]
    box_has_actor: bool = True
    first_attribute_type: int = 1
    ackermann: bool = True

    def type_number(self, blueprint: str) -> int:
        """Index of the data type that a sensor of this blueprint sends. Cameras that CARLA lacks send RGB images."""
        for name in (blueprint, blueprint.removesuffix(".wide_angle_lens")):
            if name in self.sensor_types:
                return self.sensor_types.index(name)
        if blueprint.startswith("sensor.camera."):
            return self.sensor_types.index("sensor.camera.rgb")
        raise KeyError(blueprint)


_TYPES_0915 = (
    *(name for name in _TYPES_0916[:17] if name != "sensor.camera.cosmos_visualization"), *_TYPES_0916[17:20],
)  # fmt: skip
_TYPES_0913 = tuple(name for name in _TYPES_0915[:17] if name != "sensor.camera.normals")
VERSIONS = {
    version.name: version
    for version in (
        Version("0.9.13", _TYPES_0913, first_attribute_type=0, ackermann=False),
        Version("0.9.14", _TYPES_0915, first_attribute_type=0),
        Version("0.9.15", _TYPES_0915, first_attribute_type=0),
        Version("0.9.16", _TYPES_0916),
    )
}
DEFAULT = "0.9.16"


def version_of(name: str) -> Version:
    """Raises UserError where the layouts of that version are not known."""
    if name not in VERSIONS:
        raise UserError(unknown_name("version of CARLA", name, VERSIONS))
    return VERSIONS[name]
