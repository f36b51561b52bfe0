"""Sensors that are no cameras: LiDAR, semantic LiDAR, GNSS and IMU, and what each sends in a tick.

A collision sensor never sends anything, as nothing collides; the client finds lane invasions itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgpack
import numpy as np

from cosmos_exp.carla_sim.actors import Actor
from cosmos_exp.carla_sim.messages import Moment, header, message
from cosmos_exp.carla_sim.sensor_data import GeoReference, Lidar, gnss, imu
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.rendering.gbuffer import GBuffer
from cosmos_exp.sensors.camera import Camera

LIDAR, SEMANTIC_LIDAR = "sensor.lidar.ray_cast", "sensor.lidar.ray_cast_semantic"
GNSS, IMU = "sensor.other.gnss", "sensor.other.imu"
INSTRUMENTS = (LIDAR, SEMANTIC_LIDAR, GNSS, IMU)
SILENT = ("sensor.other.collision", "sensor.other.lane_invasion")


@dataclass(frozen=True)
class Reading:
    """What a sensor that is no camera knows of a tick.

    since: seconds since it last measured. acceleration m/s^2, angular_velocity deg/s: [3] of its carrier, in the world,
    CARLA's frame. look: what a camera in the carrier's rig sees; sensor_to_rig [4,4]: the sensor there
    (FLU); both None for sensors that do not look.
    """

    moment: Moment
    since: float
    transform: Transform
    acceleration: np.ndarray
    angular_velocity: np.ndarray
    look: Callable[[Camera], GBuffer] | None = None
    sensor_to_rig: np.ndarray | None = None


class Instrument:
    """A LiDAR, GNSS or IMU. Raises UserError on attributes that make no such sensor."""

    def __init__(self, actor: Actor, reference: GeoReference):
        self.actor = actor
        self.values = {name: value for name, (_, value) in actor.attributes.items()}
        self.reference = reference
        self.lidar = Lidar(self.values) if actor.type_id in (LIDAR, SEMANTIC_LIDAR) else None
        if self.lidar is None:  # its attributes are read when it measures
            self._bytes(Reading(Moment(0, 0.0), 0.0, Transform(), np.zeros(3), np.zeros(3)))

    @property
    def looks(self) -> bool:
        return self.lidar is not None

    def message(self, type_number: int, reading: Reading) -> bytes:
        return message(header(type_number, reading.moment, reading.transform), self._bytes(reading))

    def _bytes(self, reading: Reading) -> bytes:
        frame = reading.moment.frame
        if self.lidar is not None:
            assert reading.look is not None and reading.sensor_to_rig is not None
            returns = self.lidar.sweep(reading.since, reading.sensor_to_rig, reading.look)
            if self.actor.type_id == SEMANTIC_LIDAR:
                return returns.semantic_bytes()
            kept, intensity = self.lidar.measured(returns, frame)
            return kept.bytes(intensity)
        if self.actor.type_id == GNSS:
            return msgpack.packb(gnss(self.values, self.reference, reading.transform.location, frame))
        rotation, felt, turning = reading.transform.rotation, reading.acceleration, reading.angular_velocity
        return msgpack.packb(imu(self.values, rotation, felt, turning, frame))
