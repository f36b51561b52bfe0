"""The blueprint library. That the client reads it is tested with the server."""

from __future__ import annotations

import pytest

from cosmos_exp.carla_sim.blueprints import (
    AttributeType,
    blueprint,
    catalogue,
    definitions,
)
from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.recorder import read_log
from cosmos_exp.sensors.carla_lens import LENS_ATTRIBUTES

PARSERS = {
    AttributeType.BOOL: ("true", "false").index,
    AttributeType.INT: int,
    AttributeType.FLOAT: float,
    AttributeType.STRING: str,
    AttributeType.COLOR: lambda value: bytes(map(int, value.split(","))),
}


def test_values_are_of_their_types_and_names_unique():
    for item in catalogue().values():
        for attribute in item.attributes:
            for value in (attribute.value, *attribute.recommended):
                PARSERS[attribute.type](value)
        assert len({attribute.name for attribute in item.attributes}) == len(item.attributes)


def test_definitions_are_what_the_client_reads():
    uids = [uid for uid, *_ in definitions()]
    assert len(set(uids)) == len(uids) > 150
    found = next(item for item in definitions() if item[1] == "vehicle.audi.tt")
    assert found[2] == "vehicle,audi,tt"
    assert ["number_of_wheels", 2, "4", [], False, False] in found[3]
    assert ["base_type", 4, "car", [], False, False] in found[3]


def test_vehicles_of_every_kind():
    bases = {item.defaults["base_type"][1] for item in catalogue().values() if item.id.startswith("vehicle.")}
    assert bases == {"car", "truck", "van", "bus", "motorcycle", "bicycle"}
    assert blueprint("vehicle.ford.crown").defaults["special_type"] == (4, "taxi")
    assert blueprint("vehicle.gazelle.omafiets").defaults["number_of_wheels"] == (2, "2")


def test_the_box_of_a_vehicle_stands_on_the_ground_and_that_of_a_walker_is_around_its_origin(shared):
    model = blueprint("vehicle.lincoln.mkz_2017")
    assert model.box == pytest.approx((2.4508, 1.0642, 0.7554), abs=1e-3)
    assert model.box_center == (0.0, 0.0, model.box[2])
    assert blueprint("walker.pedestrian.0012").box_center == (0.0, 0.0, 0.0)


def test_a_walker_has_a_walking_and_a_running_speed():
    """Scripts take the second and the third of the recommended values."""
    (speed,) = (item for item in blueprint("walker.pedestrian.0001").attributes if item.name == "speed")
    assert [float(value) for value in speed.recommended] == [0.0, 1.5, 3.2]


def test_cameras_have_the_attributes_that_their_lenses_read():
    wide = {item.name for item in blueprint("sensor.camera.depth.wide_angle_lens").attributes}
    assert set(LENS_ATTRIBUTES) <= wide and {"image_size_x", "image_size_y", "sensor_tick"} <= wide


def test_an_unknown_blueprint_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="model3"):
        blueprint("vehicle.tesla.model33")
    with pytest.raises(UserError, match="radar"):
        blueprint("sensor.other.radar")


def test_what_a_log_spawns_has_a_blueprint_with_its_attributes(shared):
    log = read_log(shared / "carla/logs/DistanceToLaneCenter.log")
    for actor in (actor for frame in log.frames for actor in frame.added):
        if actor.type_id.startswith(("vehicle.", "static.", "sensor.")):
            assert set(actor.attributes) <= set(blueprint(actor.type_id).defaults)
