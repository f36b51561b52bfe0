"""A scene of a running server, through CARLA's own client, as a ClipGT clip by the command, and back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
from helpers.carla_clients import require_carla
from helpers.clipgt_round_trip import check_same

from cosmos_exp.cli.commands.export import main as export
from cosmos_exp.scene.api import load_scene
from cosmos_exp.scene.clipgt.clip import ClipGt
from cosmos_exp.scene.clipgt.scene import load_clipgt_scene

carla = require_carla()
pytest.importorskip("pyarrow")
pytestmark = pytest.mark.own_process


@contextlib.contextmanager
def taxi(server) -> Iterator[None]:
    """A car of another client that drives down the street."""
    client = carla.Client(server.host, server.port)
    client.set_timeout(20)
    world = client.get_world()
    blueprint = world.get_blueprint_library().find("vehicle.lincoln.mkz_2020")
    blueprint.set_attribute("role_name", "taxi")
    car = world.spawn_actor(blueprint, carla.Transform(carla.Location(30.0, 1.75, 0.2)))
    try:
        car.enable_constant_velocity(carla.Vector3D(8.0, 0.0, 0.0))
        yield
    finally:
        car.destroy()


@pytest.mark.parametrize("replayed", [True, False], ids=["a recording", "live traffic"])
def test_a_capture_is_exported_and_read_back(server, drive, tmp_path, replayed):
    where = [f"scene.host={server.host}", f"scene.port={server.port}", f"scene.folder={tmp_path}", "scene.duration=1"]
    where += [f"scene.log={drive[0]}", "scene.start=0.5"] if replayed else ["scene.ego=taxi"]
    with contextlib.nullcontext() if replayed else taxi(server):
        assert (
            export(["clipgt", "-o", str(tmp_path / "clips"), "scene=carla_live", *where, "sensors=nvidia_seven"]) == 0
        )
    (path,) = (tmp_path / "clips").iterdir()
    scene = load_scene("carla_live", folder=str(tmp_path))  # of the capture that is there, without the server
    back = load_clipgt_scene(tmp_path / "clips", path.name)
    check_same(scene, back, ClipGt(path).frame_times / 1e6)
    assert len(back.tracks) == len(scene.tracks) and bool(back.tracks) == replayed
    assert back.map.lane_lines and back.map.lanes and len(ClipGt(path).cameras) == 7
    start, end = back.rig_trajectory.poses[[0, -1], :3, 3]
    assert np.linalg.norm(end - start) > 1
