"""The calls that CARLA's Cosmos exporter makes, in its order, with CARLA's own client."""

from __future__ import annotations

import queue
import re
from pathlib import Path

import numpy as np
import pytest
from helpers.carla_clients import pixels, require_carla

from cosmos_exp.carla_sim.process import ServerProcess
from cosmos_exp.scene.carla.example import EGO

carla = require_carla()
pytestmark = pytest.mark.own_process

SENSORS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation", "normals")
ATTRIBUTES = {"image_size_x": "96", "image_size_y": "56", "fov": "110"}
START, DURATION = 1.0, 1.5  # seconds of the log
PLACE = carla.Transform(carla.Location(0.0, 0.0, 1.8), carla.Rotation(pitch=8.0))


def test_the_sequence_gives_every_frame_of_every_sensor_in_order(server: ServerProcess, recordings: Path) -> None:
    log = str(recordings / "drive.log")
    client = carla.Client(server.host, server.port)
    client.set_timeout(60.0)
    client.reload_world()

    info = client.show_recorder_file_info(log, False)
    frames, seconds = int(re.search(r"Frames: (.+)\n", info)[1]), float(re.search(r"Duration: (.+) seconds", info)[1])
    delta = seconds / frames
    client.set_replayer_time_factor(1.0)
    client.set_replayer_ignore_hero(False)
    client.set_replayer_ignore_spectator(True)
    told = client.replay_file(log, START, DURATION, EGO, False)
    assert "not found" not in told.lower()

    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, delta
    world.apply_settings(settings)

    ego = world.get_actor(EGO)
    assert ego is not None and ego.attributes["role_name"] == "hero"
    library, images, sensors = world.get_blueprint_library(), {}, []
    for kind in SENSORS:
        blueprint = library.find(f"sensor.camera.{kind}")
        for name, value in ATTRIBUTES.items():
            blueprint.set_attribute(name, value)
        sensors.append(world.spawn_actor(blueprint, PLACE, attach_to=ego, attachment_type=carla.AttachmentType.Rigid))
        images[kind] = queue.Queue()
        sensors[-1].listen(images[kind].put)

    ticks, seen, places = [], {kind: [] for kind in SENSORS}, []
    t = START
    while t < START + DURATION:
        ticks.append(world.tick())
        places.append(ego.get_location().x)
        for kind in SENSORS:
            seen[kind].append(images[kind].get(timeout=60))  # of no frame in particular, as the exporter does it
        t += delta

    client.stop_replayer(keep_actors=False)
    for sensor in sensors:
        sensor.stop()
        assert sensor.destroy()
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)

    assert len(ticks) >= int(DURATION / delta) and np.diff(ticks).tolist() == [1] * (len(ticks) - 1)
    for kind in SENSORS:
        assert [image.frame for image in seen[kind]] == ticks, kind
        assert images[kind].empty(), f"{kind}: nothing came twice"
        assert {pixels(image).shape for image in seen[kind]} == {(56, 96, 4)}
        assert np.any(pixels(seen[kind][0]) != pixels(seen[kind][-1])) or kind == "normals", f"{kind} moves on"
    assert np.all(np.diff(places) > 0), "and the ego drives"
