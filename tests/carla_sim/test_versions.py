"""What the server knows of the versions of CARLA's client."""

from __future__ import annotations

import pytest

from cosmos_exp.carla_sim.blueprints import definitions
from cosmos_exp.carla_sim.versions import VERSIONS, WORLD, version_of
from cosmos_exp.common.errors import UserError


@pytest.mark.parametrize(
    ("version", "world", "depth", "normals", "rgb", "instance"),
    [("0.9.13", 15, 1, 12, 12, 14), ("0.9.14", 16, 1, 2, 13, 15), ("0.9.16", 17, 1, 2, 13, 15)],
)
def test_types_of_messages(version: str, world: int, depth: int, normals: int, rgb: int, instance: int) -> None:
    """As in the clients' own lists. 0.9.13 has no normals camera: its image comes as one of the RGB camera."""
    layout = version_of(version)
    names = ("depth", "normals", "rgb", "instance_segmentation")
    numbers = [layout.type_number(f"sensor.camera.{name}") for name in names]
    assert [layout.type_number(WORLD), *numbers] == [world, depth, normals, rgb, instance]
    assert layout.type_number("sensor.camera.depth.wide_angle_lens") == depth
    assert layout.type_number("sensor.camera.sky_mask") == rgb


def test_types_of_attributes_begin_at_one_since_0_9_16() -> None:
    for version in VERSIONS.values():
        (lincoln,) = (d for d in definitions(version.first_attribute_type) if d[1] == "vehicle.lincoln.mkz_2017")
        types = {name: kind for name, kind, *_ in lincoln[3]}
        assert types["role_name"] == 3 + version.first_attribute_type


def test_an_unknown_version_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"did you mean '0\.9\.1"):
        version_of("0.9.10")
