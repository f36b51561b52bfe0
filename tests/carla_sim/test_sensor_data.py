"""Measurements of LiDAR, GNSS and IMU. That the client reads their bytes is tested with the server."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from helpers.carla_clients import require_carla

from cosmos_exp.carla_sim.blueprints import blueprint
from cosmos_exp.carla_sim.sensor_data import GRAVITY, GeoReference, Lidar, gnss, imu
from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.renderer import Renderer
from cosmos_exp.scene.carla.example import TOWN, example_log, example_map
from cosmos_exp.scene.carla.log import load_carla_scene

HEIGHT = 2.0  # of the sensor over the road


def attributes(type_id: str, **changed: float) -> dict[str, str]:
    values = {name: value for name, (_, value) in blueprint(type_id).defaults.items()}
    assert set(changed) <= set(values)
    return values | {name: str(value) for name, value in changed.items()}


def lidar(**changed: float) -> Lidar:
    return Lidar(attributes("sensor.lidar.ray_cast", range=60.0, points_per_second=64_000, **changed))


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    """What a camera on the ego of the example sees at 1 s: `look`, and a mount over its rig."""
    folder = tmp_path_factory.mktemp("street")
    (folder / "drive.log").write_bytes(example_log())
    (folder / f"{TOWN}.xodr").write_text(example_map())
    renderer = Renderer(load_carla_scene(folder / "drive.log", folder / f"{TOWN}.xodr"))
    mount = np.eye(4)
    mount[:3, 3] = [1.5, 0.0, HEIGHT]
    return (lambda camera: renderer.gbuffer(camera, 1.0)), mount, renderer.scene


def test_points_lie_on_their_beams_and_on_the_road(street):
    look, mount, _ = street
    sensor = lidar()
    returns = sensor.sweep(0.1, mount, look)
    x, y, z = returns.points.T
    channel = np.repeat(np.arange(32), returns.channels)
    distance = np.hypot(np.hypot(x, y), z)
    np.testing.assert_allclose(np.arcsin(z / distance), sensor.elevations[channel], atol=1e-9)
    road = returns.tags == Tag.ROAD
    assert road.sum() > 500
    assert np.quantile(np.abs(z[road] + HEIGHT), 0.99) < 0.001, "the rest are those of pixels at a surface's edge"
    assert np.quantile(np.abs(returns.cosine - np.abs(z / distance))[road], 0.99) < 1e-3
    assert distance.max() <= 60.0


def test_the_car_in_front_is_met_at_its_rear_and_named(street):
    look, mount, scene = street
    returns = lidar().sweep(0.1, mount, look)
    cars = returns.points[returns.tags == Tag.CAR] * [1, -1, 1]
    front = next(index for index, track in enumerate(scene.tracks) if track.id == "235")
    assert 1 + front in set(returns.instances[returns.tags == Tag.CAR].tolist())
    to_world = scene.rig_trajectory.at(1.0) @ mount
    world = cars @ to_world[:3, :3].T + to_world[:3, 3]
    centre = scene.tracks[front].trajectory.at(1.0)[:3, 3]
    near = world[np.linalg.norm(world - centre, axis=1) < 3.0]
    assert len(near) > 5
    assert abs(near[:, 0].min() - (centre[0] - scene.tracks[front].size[0] / 2)) < 0.3


def test_ticks_scan_on_where_the_last_one_ended(street):
    """Four ticks of a quarter turn are the sweep of one turn."""
    look, mount, _ = street
    whole = lidar().sweep(0.1, mount, look)
    sensor = lidar()
    parts = [sensor.sweep(0.025, mount, look) for _ in range(4)]
    assert [round(np.degrees(part.angle)) for part in parts] == [90, 180, 270, 0]
    assert sum(len(part.points) for part in parts) == len(whole.points)
    ours = np.concatenate([part.points for part in parts])
    np.testing.assert_allclose(np.sort(ours, axis=0), np.sort(whole.points, axis=0), atol=1e-9)
    first = parts[0].points
    assert (first[:, 1] <= 0.01).all() and (first[:, 0] <= 0.01).all(), "it starts behind and turns to the left first"


def test_bytes_are_counts_by_channel_and_rows(street):
    look, mount, _ = street
    sensor = lidar(channels=4)
    returns = sensor.sweep(0.05, mount, look)
    data = returns.semantic_bytes()
    angle, channels, *counts = struct.unpack_from("<fI4I", data)
    assert (channels, counts) == (4, returns.channels.tolist()) and angle == pytest.approx(np.pi)
    rows = np.frombuffer(data, np.dtype([("f", "<f4", 4), ("instance", "<u4"), ("tag", "<u4")]), offset=24)
    assert len(rows) == sum(counts) and rows["tag"].tolist() == returns.tags.tolist()
    plain, intensity = sensor.measured(returns, 1)
    assert len(plain.bytes(intensity)) == 24 + 16 * sum(counts)
    assert ((intensity > 0) & (intensity <= 1)).all()


def test_points_are_lost_and_noisy_where_that_is_asked_for_and_the_same_again(street):
    look, mount, _ = street
    exact = lidar()
    returns = exact.sweep(0.1, mount, look)
    kept, _ = exact.measured(returns, 5)
    assert (kept.points == returns.points).all()
    rough = lidar(dropoff_general_rate=0.45, noise_stddev=0.1)
    some, intensity = rough.measured(returns, 5)
    assert 0.5 < len(some.points) / len(returns.points) < 0.6 and len(intensity) == some.channels.sum()
    again, _ = rough.measured(returns, 5)
    assert (again.points == some.points).all()


def test_attributes_that_make_no_scan_are_refused():
    for wrong in ({"channels": 0}, {"upper_fov": 90.0}, {"horizontal_fov": 400.0}, {"range": float("nan")}):
        with pytest.raises(UserError, match=f"{next(iter(wrong))}="):
            Lidar(attributes("sensor.lidar.ray_cast") | {name: str(value) for name, value in wrong.items()})


@pytest.mark.parametrize("reference", ["+proj=tmerc +lat_0=49.5 +lon_0=-8.25 +k=1", "+proj=utm +zone=32", ""])
def test_places_on_earth_are_those_of_the_client(reference):
    carla = require_carla()
    text = example_map().replace("<road ", f"<geoReference><![CDATA[{reference}]]></geoReference><road ", 1)
    text = text.replace('vendor="cosmos-exp"/>', 'vendor="cosmos-exp">').replace(
        "</geoReference>", "</geoReference></header>", 1
    )
    theirs = carla.Map("street", text)
    ours = GeoReference.of_map(text)
    for place in ((0.0, 0.0, 0.0), (100.0, -250.0, 4.0), (-30_000.0, 50_000.0, 0.0)):
        point = theirs.transform_to_geolocation(carla.Location(*place))
        assert ours.at(np.array(place)) == pytest.approx((point.latitude, point.longitude, point.altitude), abs=1e-9)


def test_gnss_is_exact_and_has_the_noise_that_is_asked_for():
    reference, place = GeoReference(49.0, 8.0), np.array([10.0, 20.0, 3.0])
    values = attributes("sensor.other.gnss")
    assert gnss(values, reference, place, 1) == list(reference.at(place))
    noisy = values | {"noise_lat_bias": "0.5", "noise_alt_stddev": "1.0"}
    latitude, longitude, altitude = gnss(noisy, reference, place, 1)
    assert latitude == pytest.approx(reference.at(place)[0] + 0.5) and longitude == reference.at(place)[1]
    assert altitude != 3.0 and gnss(noisy, reference, place, 1)[2] == altitude != gnss(noisy, reference, place, 2)[2]


@pytest.mark.parametrize(("yaw", "compass"), [(-90.0, 0.0), (0.0, 90.0), (90.0, 180.0), (179.0, 269.0)])
def test_the_compass_is_zero_in_the_north_and_grows_clockwise(yaw, compass):
    values = attributes("sensor.other.imu")
    assert np.degrees(imu(values, np.array([0.0, 0.0, yaw]), np.zeros(3), np.zeros(3), 0)[2]) == pytest.approx(compass)


def test_an_imu_measures_in_its_own_frame():
    values = attributes("sensor.other.imu")
    turned = np.array([0.0, 0.0, 90.0])  # looks along +y
    felt, turning, _ = imu(values, turned, np.array([0.0, 2.0, 0.0]), np.array([0.0, 0.0, 90.0]), 0)
    np.testing.assert_allclose(felt, [2.0, 0.0, GRAVITY], atol=1e-12)
    np.testing.assert_allclose(turning, [0.0, 0.0, np.pi / 2], atol=1e-12)
    nose_up = np.array([0.0, 90.0, 0.0])
    np.testing.assert_allclose(imu(values, nose_up, np.zeros(3), np.zeros(3), 0)[0], [GRAVITY, 0, 0], atol=1e-12)
