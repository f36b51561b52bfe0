"""CARLA's own traffic manager, which runs in the client, drives the server's vehicles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import pytest
from helpers.carla_clients import require_carla, synchronous

from cosmos_exp.carla_sim.process import server_process

carla = require_carla()
pytestmark = pytest.mark.own_process

TM_PORT = 8731
SECONDS, RATE = 20, 10


@pytest.fixture()
def town(shared) -> Iterator:
    """A client on Town01 in synchronous mode."""
    maps = shared / "carla/maps"
    with server_process(["--map", str(maps / "Town01.xodr"), "--port", "0"]) as server:
        client = carla.Client(server.host, server.port)
        client.set_timeout(60)
        synchronous(client.get_world(), RATE)
        yield client


@pytest.fixture()
def manager(town) -> Iterator:
    """It ends before the server does: its thread ends the client's process where the server is gone."""
    manager = town.get_trafficmanager(TM_PORT)
    manager.set_synchronous_mode(True)
    manager.set_random_device_seed(1)
    yield manager
    manager.shut_down()


def flat_speed(vehicle) -> float:
    velocity = vehicle.get_velocity()
    return math.hypot(velocity.x, velocity.y)


def in_its_way(vehicle, other) -> float:
    """Metres from bumper to bumper where the other is ahead in the same lane, else infinity."""
    here, there = vehicle.get_transform(), other.get_transform()
    yaw = math.radians(here.rotation.yaw)
    dx, dy = there.location.x - here.location.x, there.location.y - here.location.y
    along, across = dx * math.cos(yaw) + dy * math.sin(yaw), abs(dy * math.cos(yaw) - dx * math.sin(yaw))
    if along < 0 or across > 1.5:
        return math.inf
    return along - vehicle.bounding_box.extent.x - other.bounding_box.extent.x


def test_autopilot_follows_lanes_keeps_gaps_and_waits_at_red_lights(town, manager) -> None:
    """All lights are red: cars come up to them, and none enters a junction that a light holds it from."""
    world = town.get_world()
    plan = world.get_map()
    for light in world.get_actors().filter("traffic.traffic_light"):
        light.set_state(carla.TrafficLightState.Red)
        light.freeze(True)
    model = world.get_blueprint_library().find("vehicle.audi.tt")
    spots = plan.get_spawn_points()
    cars = [world.spawn_actor(model, spot) for spot in spots[:3] + spots[40:43]]
    assert world.try_spawn_actor(model, spots[0]) is None, "a place is free for one"
    world.tick()
    for car in cars:
        car.set_autopilot(True, manager.get_port())

    moved = dict.fromkeys((car.id for car in cars), 0.0)
    astray, gap, outside = 0.0, math.inf, {}
    for _ in range(SECONDS * RATE):
        world.tick()
        for car in cars:
            here = car.get_location()
            lane = plan.get_waypoint(here)
            moved[car.id] += flat_speed(car) / RATE
            if not lane.is_junction:
                centre = lane.transform.location
                astray = max(astray, math.hypot(here.x - centre.x, here.y - centre.y))
            assert not (outside.get(car.id) and lane.is_junction), "entered a junction on red"
            outside[car.id] = not lane.is_junction and car.is_at_traffic_light()
        gap = min(gap, *(in_its_way(a, b) for a, b in itertools.permutations(cars, 2)))

    waiting = [car for car in cars if car.is_at_traffic_light() and flat_speed(car) < 0.1]
    assert astray < 1.0 and gap > 1.0, "a car in the middle of its lane has a metre on each side"
    assert max(moved.values()) > 20 and waiting
    assert waiting[0].get_traffic_light_state() == carla.TrafficLightState.Red
    assert waiting[0].get_traffic_light().get_state() == carla.TrafficLightState.Red

    for light in world.get_actors().filter("traffic.traffic_light"):
        light.set_state(carla.TrafficLightState.Green)
    before = {car.id: car.get_location() for car in waiting}
    for _ in range(5 * RATE):
        world.tick()
    assert all(car.get_location().distance(before[car.id]) > 3 for car in waiting), "they go on when it is green"
