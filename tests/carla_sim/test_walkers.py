"""Walkers go where they are told."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.carla_clients import require_carla, synchronous

from cosmos_exp.carla_sim.navigation_mesh import navigation_mesh
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.carla_sim.walkers import FASTEST, walk
from cosmos_exp.scene.lane_surface import LaneSurface
from cosmos_exp.scene.types import Lane, LaneType

HALF = 0.93
SLOPE = LaneSurface(
    [
        Lane(
            "1",
            LaneType.SIDEWALK,
            np.array([[-50.0, 10.0, -5.0], [50.0, 10.0, 5.0]]),
            np.array([[-50.0, -10.0, -5.0], [50.0, -10.0, 5.0]]),
        )
    ]
)


def test_a_walker_goes_straight_on_the_ground_and_looks_ahead():
    place = Transform(np.array([0.0, 0.0, 1.0]), np.zeros(3))
    for _ in range(20):
        place = walk(place, np.array([3.0, 4.0, 0.0]), 1.5, HALF, 0.1, SLOPE)
    assert place.location[:2] == pytest.approx([1.8, 2.4])
    assert place.location[2] == pytest.approx(0.18 + HALF)
    assert place.rotation[2] == pytest.approx(np.degrees(np.arctan2(4, 3)))


def test_without_a_direction_or_a_speed_it_stands():
    place = Transform(np.array([10.0, 0.0, 1.5]), np.array([0.0, 0.0, 30.0]))
    for direction, speed in ((np.zeros(3), 1.5), (np.array([1.0, 0.0, 0.0]), 0.0)):
        stood = walk(place, direction, speed, HALF, 0.1, SLOPE)
        assert stood.location == pytest.approx([10.0, 0.0, 1.0 + HALF]) and stood.rotation[2] == 30.0


def test_off_the_lanes_it_keeps_its_height_and_nobody_is_faster_than_possible():
    lonely = Transform(np.array([900.0, 0.0, 7.0]), np.zeros(3))
    place = walk(lonely, np.array([1.0, 0.0, 0.0]), 1e6, HALF, 0.1, SLOPE)
    assert place.location == pytest.approx([900.0 + 0.1 * FASTEST, 0.0, 7.0])


@pytest.mark.own_process
def test_a_walker_is_led_by_the_clients_ai_along_its_sidewalk(client, tmp_path):
    """The client loads the navigation mesh, finds the way on it, and sends where its walker is."""
    carla = require_carla()
    client.set_files_base_folder(str(tmp_path))
    world = client.get_world()
    synchronous(world, 10)
    library = world.get_blueprint_library()
    places = [world.get_random_location_from_navigation() for _ in range(60)]
    assert all(4.0 <= abs(place.y) <= 7.3 and abs(place.z) < 0.3 for place in places)
    start, *_, goal = sorted((place for place in places if place.y > 0), key=lambda place: place.x)
    walker = world.spawn_actor(
        library.find("walker.pedestrian.0005"), carla.Transform(carla.Location(start.x, start.y, start.z + 1))
    )
    controller = world.spawn_actor(library.find("controller.ai.walker"), carla.Transform(), attach_to=walker)
    world.tick()
    controller.start()
    controller.go_to_location(goal)
    controller.set_max_speed(2.0)
    for _ in range(100):
        world.tick()
        assert 4.0 <= walker.get_location().y <= 7.3, "it stays on its sidewalk"
    assert walker.get_location().x - start.x == pytest.approx(20.0, abs=2.0)
    assert walker.get_velocity().x == pytest.approx(2.0, abs=0.1)
    assert walker.get_location().z == pytest.approx(walker.bounding_box.extent.z, abs=0.3)
    controller.stop()


def test_a_map_without_sidewalks_has_no_navigation_mesh():
    road = Lane("1", LaneType.DRIVING, np.array([[0.0, 2, 0], [9, 2, 0]]), np.array([[0.0, -2, 0], [9, -2, 0]]))
    walk_beside = Lane("2", LaneType.SIDEWALK, road.left + [0, 2, 0], road.left)
    assert navigation_mesh([road]) == b""
    assert len(navigation_mesh([road, walk_beside])) > len(navigation_mesh([walk_beside])) > 0
