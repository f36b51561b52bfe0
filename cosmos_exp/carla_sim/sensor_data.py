"""Measurements of LiDAR, GNSS and IMU, and their bytes after the common header of a message.

They are exact: noise and lost points are drawn only where a sensor's attributes ask for them, from a generator seeded
with the sensor's seed and the frame, so that a run can be repeated.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.gbuffer import GBuffer
from cosmos_exp.scene.carla.axes import carla_rotation
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.pinhole import Pinhole

Look = Callable[[Camera], GBuffer]  # what a camera at a pose in the carrier's rig sees
Values = Mapping[str, str]

FACE = 90.0  # degrees of azimuth that one view covers
FACE_WIDTH = 900  # pixels
STEEPEST = 80.0  # degrees of elevation
MOST_POINTS = 5_000_000  # of one sweep
OPENCV_IN_FLU = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


@dataclass(frozen=True)
class Returns:
    """Points of one sweep, ordered by channel. points: [N,3] metres in the sensor's frame (CARLA's: x forward, y right,
    z up). cosine: [N] of the angle between beam and surface normal. tags, instances: [N] of what was hit. channels:
    [C] points of each. angle: radians, where the sensor has turned to.
    """

    points: np.ndarray
    cosine: np.ndarray
    tags: np.ndarray
    instances: np.ndarray
    channels: np.ndarray
    angle: float

    def _header(self) -> bytes:
        counts = self.channels.astype("<u4").tobytes()
        return struct.pack("<fI", self.angle, len(self.channels)) + counts

    def semantic_bytes(self) -> bytes:
        """Rows x, y, z, cosine, instance, tag."""
        rows = np.empty(len(self.points), np.dtype([("f", "<f4", (4,)), ("u", "<u4", (2,))]))
        rows["f"] = np.column_stack([self.points, self.cosine])
        rows["u"] = np.column_stack([self.instances, self.tags])
        return self._header() + rows.tobytes()

    def bytes(self, intensity: np.ndarray) -> bytes:
        """Rows x, y, z, intensity."""
        return self._header() + np.column_stack([self.points, intensity]).astype("<f4").tobytes()


class Lidar:
    """A spinning LiDAR. Each tick scans as far as it has turned since the last one, all beams at the same time.

    A beam meets the triangle that the renderer sees in its direction, at the exact point of that triangle's plane.
    """

    def __init__(self, values: Values):
        """values: attributes of the blueprint. Raises UserError on one that makes no scan."""
        self.channels = int(_number(values, "channels", 1, 1024))
        self.range = _number(values, "range", 0, 1e4)
        self.rate = _number(values, "points_per_second", 1, 1e9)
        self.rotations = _number(values, "rotation_frequency", 0, 1e4)
        upper, lower = (_number(values, name, -STEEPEST, STEEPEST) for name in ("upper_fov", "lower_fov"))
        self.fov = _number(values, "horizontal_fov", 0, 360)
        self.elevations = np.radians(np.linspace(upper, lower, self.channels))
        self.values = values
        self._angle = 0.0  # degrees

    def sweep(self, delta: float, sensor_to_rig: np.ndarray, look: Look) -> Returns:
        """Scan for `delta` seconds. sensor_to_rig: [4,4], FLU."""
        per_channel = math.floor(self.rate * delta / self.channels + 0.5)
        if per_channel * self.channels > MOST_POINTS:
            raise UserError(f"points_per_second={self.rate:g}: {per_channel * self.channels:,} points in one tick of "
                            f"{delta:g} s; {MOST_POINTS:,} are allowed")  # fmt: skip
        turned = self.rotations * self.fov * delta
        azimuth = (self._angle + turned * np.arange(per_channel) / max(per_channel, 1)) % max(self.fov, 1e-9)
        azimuth -= self.fov / 2
        self._angle = (self._angle + turned) % max(self.fov, 1e-9)
        found = [self._face(k, azimuth, sensor_to_rig, look) for k in self._faces(azimuth)]
        return self._joined([part for part in found if part is not None])

    def _faces(self, azimuth: np.ndarray) -> Iterator[int]:
        """Numbers of the views that have beams."""
        return iter(np.unique(np.round(azimuth / FACE).astype(int)).tolist())

    def _face(self, number: int, azimuth: np.ndarray, sensor_to_rig: np.ndarray, look: Look) -> tuple | None:
        """Beams of one view that met something: columns of `_joined`."""
        chosen = np.flatnonzero(np.round(azimuth / FACE).astype(int) == number)
        camera, rotation = self._view(number, sensor_to_rig)
        theta, phi = np.radians(azimuth[chosen])[None, :], self.elevations[:, None]
        shape = (self.channels, len(chosen))
        beams = np.stack(  # sensor frame, FLU; CARLA's azimuth is clockwise
            np.broadcast_arrays(np.cos(phi) * np.cos(theta), -np.cos(phi) * np.sin(theta), np.sin(phi) + 0 * theta), -1
        ).reshape(-1, 3)
        gbuffer = look(camera)
        distance, cosine, ids = _hits(gbuffer, beams @ rotation, self.range)
        hit = np.flatnonzero(np.isfinite(distance))
        if len(hit) == 0:
            return None
        codes = _codes(gbuffer, ids[hit])
        channel, step = np.unravel_index(hit, shape)
        points = beams[hit] * distance[hit, None] * [1.0, -1.0, 1.0]
        return channel, chosen[step], points, cosine[hit], codes[:, 1], codes[:, 2]

    def _view(self, number: int, sensor_to_rig: np.ndarray) -> tuple[Camera, np.ndarray]:
        yaw = -math.radians(number * FACE)
        turn = np.array([[math.cos(yaw), -math.sin(yaw), 0], [math.sin(yaw), math.cos(yaw), 0], [0, 0, 1]])
        rotation = turn @ OPENCV_IN_FLU
        pose = sensor_to_rig.copy()
        pose[:3, :3] = sensor_to_rig[:3, :3] @ rotation
        return Camera(f"lidar_{number}", self._model, pose), rotation

    @cached_property
    def _model(self) -> Pinhole:
        """A quarter of the horizon, as high as the beams at its sides need."""
        focal = FACE_WIDTH / 2
        up, down = (np.tan(self.elevations[[0, -1]]) * focal * np.sqrt(2) * [1, -1]).tolist()
        top = math.ceil(max(up, 0.0)) + 1
        height = top + math.ceil(max(down, 0.0)) + 2
        return Pinhole(FACE_WIDTH, height, focal, focal, (FACE_WIDTH - 1) / 2, top)

    def _joined(self, parts: list[tuple]) -> Returns:
        angle = math.radians(self._angle)
        if not parts:
            nothing = np.zeros(0)
            return Returns(np.zeros((0, 3)), nothing, nothing, nothing, np.zeros(self.channels), angle)
        channel, step, points, cosine, tags, instances = (np.concatenate(column) for column in zip(*parts))
        order = np.lexsort([step, channel])
        counts = np.bincount(channel, minlength=self.channels)
        return Returns(points[order], cosine[order], tags[order], instances[order], counts, angle)

    def measured(self, returns: Returns, frame: int) -> tuple[Returns, np.ndarray]:
        """What the plain LiDAR sends: the points that are not lost, noise along the beam, and intensities [N].

        Intensity is exp(-attenuation x distance).
        """
        distance = np.linalg.norm(returns.points, axis=1)
        intensity = np.exp(-_number(self.values, "atmosphere_attenuation_rate", 0, 1e3) * distance)
        rng = np.random.default_rng([int(_number(self.values, "noise_seed", 0, 2**31)), frame])
        kept = rng.random(len(distance)) >= self._lost(intensity)
        noise = _number(self.values, "noise_stddev", 0, 1e3)
        points = returns.points
        if noise:
            points = points * (1 + rng.normal(0.0, noise, len(distance)) / np.maximum(distance, 1e-6))[:, None]
        channel = np.repeat(np.arange(len(returns.channels)), returns.channels.astype(int))
        counts = np.bincount(channel[kept], minlength=len(returns.channels))
        rest = (returns.cosine[kept], returns.tags[kept], returns.instances[kept])
        return Returns(points[kept], *rest, counts, returns.angle), intensity[kept]

    def _lost(self, intensity: np.ndarray) -> np.ndarray:
        """[N] probability of each point to be lost: some of all, and more of those that are faint."""
        always = _number(self.values, "dropoff_general_rate", 0, 1)
        limit = _number(self.values, "dropoff_intensity_limit", 0, 1)
        faint = _number(self.values, "dropoff_zero_intensity", 0, 1)
        more = np.where(intensity < limit, faint * (1 - intensity / max(limit, 1e-9)), 0.0)
        return 1 - (1 - always) * (1 - more)


def _hits(gbuffer: GBuffer, beams: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance [N], inf where a beam meets nothing; cosine [N]; triangle [N]. beams: [N,3] in the camera's frame."""
    model, rays = gbuffer.camera.model, gbuffer.rays
    pixels = np.round(model.project(beams)).astype(int)
    column, row = (np.clip(pixels[:, k], 0, size - 1) for k, size in enumerate((model.width, model.height)))
    ids, inverse = gbuffer.ids[row, column], gbuffer.inverse[row, column]
    seen = ids >= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        points = (rays[:, row, column] / inverse).T.astype(np.float64)  # on the surface, along the pixel's own ray
        normals = _attributes(gbuffer, ids)[:, :3] @ gbuffer.camera_to_world[:3, :3]
        facing = np.einsum("nk,nk->n", normals, beams)
        along = np.einsum("nk,nk->n", normals, points) / facing
        straight = np.linalg.norm(points, axis=1)
        sound = np.isfinite(along) & (np.abs(along - straight) < 0.05 * straight + 0.1)  # else the edge of a surface
        distance = np.where(sound, along, straight)
    distance[~seen | ~(distance <= reach)] = np.inf
    return distance, np.abs(facing), ids


def _attributes(gbuffer: GBuffer, ids: np.ndarray) -> np.ndarray:
    return _of_triangles(gbuffer.static.attributes, gbuffer.moving.attributes, ids)


def _codes(gbuffer: GBuffer, ids: np.ndarray) -> np.ndarray:
    """[N,3] material, tag, instance."""
    return _of_triangles(gbuffer.static.codes, gbuffer.moving.codes, ids)


def _of_triangles(static: np.ndarray, moving: np.ndarray, ids: np.ndarray) -> np.ndarray:
    values = np.zeros((len(ids), static.shape[1]), static.dtype)
    fixed, moves = (ids >= 0) & (ids < len(static)), ids >= len(static)
    values[fixed], values[moves] = static[ids[fixed]], moving[ids[moves] - len(static)]
    return values


# GNSS

EARTH_RADIUS, SCALE = 6378137.0, 0.9996  # metres; scale on the central meridian
DEFAULT_REFERENCE = (42.0, 2.0)  # degrees, where a map has none


@dataclass(frozen=True)
class GeoReference:
    """Latitude and longitude, degrees, of a map's origin. As the 0.9.16 client has it: a transverse Mercator projection
    of the sphere, whatever projection the map names, with north along CARLA's y.
    """

    latitude: float
    longitude: float

    @classmethod
    def of_map(cls, text: str) -> GeoReference:
        """The `geoReference` of an OpenDRIVE text."""
        found = re.search(r"<geoReference>(.*?)</geoReference>", text, re.DOTALL)
        named = dict(re.findall(r"\+(lat_0|lon_0)=([-+.\deE]+)", found.group(1) if found else ""))
        try:
            return cls(float(named["lat_0"]), float(named["lon_0"]))
        except (KeyError, ValueError):
            return cls(*DEFAULT_REFERENCE)

    def at(self, location: np.ndarray) -> tuple[float, float, float]:
        """Latitude and longitude in degrees and altitude in metres of a place [3] in CARLA's frame (Snyder, 1987)."""
        x, y, z = (float(value) for value in location)
        east, north = x / (SCALE * EARTH_RADIUS), y / (SCALE * EARTH_RADIUS) + math.radians(self.latitude)
        latitude = math.asin(math.sin(north) / math.cosh(east))
        longitude = math.radians(self.longitude) + math.atan2(math.sinh(east), math.cos(north))
        return math.degrees(latitude), math.degrees(longitude), z


def gnss(values: Values, reference: GeoReference, location: np.ndarray, frame: int) -> list[float]:
    """Latitude, longitude, altitude, to be packed as msgpack."""
    rng = _noise(values, frame)
    kinds = zip(("lat", "lon", "alt"), reference.at(location))
    return [
        value + _number(values, f"noise_{name}_bias") + rng.normal(0.0, 1.0) * _number(values, f"noise_{name}_stddev")
        for name, value in kinds
    ]


# IMU

GRAVITY = 9.81  # m/s^2


def imu(
    values: Values, rotation: np.ndarray, acceleration: np.ndarray, angular_velocity: np.ndarray, frame: int
) -> list:
    """[acceleration m/s^2, angular velocity rad/s, compass radians], to be packed as msgpack.

    rotation: [3] roll, pitch, yaw of the sensor, degrees. acceleration m/s^2, angular_velocity degrees/s: [3] in the
    world, CARLA's frame. What is measured is in the sensor's frame, with the gravity that it feels at rest. The compass
    is 0 towards -y, CARLA's north, and grows clockwise.
    """
    rng = _noise(values, frame)
    to_sensor = carla_rotation(rotation).T
    felt = to_sensor @ (np.asarray(acceleration, np.float64) + [0.0, 0.0, GRAVITY])
    turning = to_sensor @ np.radians(angular_velocity)
    for k, axis in enumerate("xyz"):
        felt[k] += rng.normal(0.0, 1.0) * _number(values, f"noise_accel_stddev_{axis}")
        turning[k] += _number(values, f"noise_gyro_bias_{axis}")
        turning[k] += rng.normal(0.0, 1.0) * _number(values, f"noise_gyro_stddev_{axis}")
    compass = math.radians(float(rotation[2]) + 90.0) % (2 * math.pi)
    return [felt.tolist(), turning.tolist(), compass]


def _noise(values: Values, frame: int) -> np.random.Generator:
    return np.random.default_rng([int(_number(values, "noise_seed", 0, 2**31)), frame])


def _number(values: Values, name: str, least: float = -1e9, most: float = 1e9) -> float:
    """A number among the attributes; 0 where it is missing."""
    given = values.get(name, "0")
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise UserError(f"{name}={given}: must be a number from {least:g} to {most:g}")
    return number
