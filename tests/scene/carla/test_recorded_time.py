"""Defects of CARLA's exporter in reading a recording, pinned by number where a recording becomes a scene."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import opendrive_writer as o
from helpers import recorder_writer as w

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.log import load_carla_scene

STEPS = [0.0, 0.05, 0.12, 0.03, 0.1, 0.07, 0.11, 0.02, 0.1, 0.1, 0.1]
TIMES = np.cumsum(STEPS)
EGO, OTHER = 10, 11
SPEED = 10.0


@pytest.fixture
def load(tmp_path):
    """The ego, actor 10, at 10 m/s along x; frames at irregular times."""
    drive = w.Drive(times=TIMES)
    box = ((0, 0, 75), (240, 100, 75))
    drive.add(
        0,
        w.added(
            w.actor(EGO, 1, "vehicle.lincoln.mkz", role_name="hero"),
            w.actor(OTHER, 1, "vehicle.audi.tt", role_name="x"),
        ),
        w.boxes({EGO: box, OTHER: box}),
    )
    place = {i: (100 * SPEED * t, 175, 0.0, 0.0, 0.0, 0.0) for i, t in enumerate(TIMES)}
    drive.movers = {EGO: place, OTHER: {i: (3000, 175, 0.0, 0.0, 0.0, 0.0) for i in range(len(TIMES))}}
    log, town = tmp_path / "drive.log", tmp_path / "Straight01.xodr"
    log.write_bytes(drive.to_bytes())
    town.write_text(o.straight_town())
    return lambda **arguments: load_carla_scene(log, town, **arguments)


def test_05_the_ego_is_found_by_role_and_an_unknown_id_is_an_error(load):
    assert load().ego.id == str(EGO) and load(ego=OTHER).ego.id == str(OTHER)
    with pytest.raises(UserError, match="no vehicle with id 0; the vehicles are: 10"):
        load(ego=0)


def test_06_a_start_is_exact(load):
    """Wherever it falls between two frames, the ego is where it was at that moment."""
    start = 0.262
    scene = load(start=start)
    first = scene.rig_trajectory.at(scene.frame_times(1, 24.0)[0])
    origin = (first @ np.append(scene.ego_origin, 1.0))[:3]
    assert scene.start == start and origin[0] == pytest.approx(SPEED * start, abs=1e-4)


def test_07_irregular_frame_times_are_kept(load):
    """At constant speed the ego covers equal ways in equal times, though the frames do not."""
    scene = load()
    x = scene.rig_trajectory.sample(scene.frame_times(19, 24.0))[:, 0, 3]
    np.testing.assert_allclose(np.diff(x), SPEED / 24.0, atol=1e-4)


def test_08_a_start_without_a_duration_ends_with_the_log(load):
    assert load(start=0.3).end == pytest.approx(TIMES[-1])
    with pytest.raises(UserError, match=r"ends at .* after the last frame"):
        load(start=0.3, duration=float(TIMES[-1]))


def test_the_ego_actors_origin_is_where_the_log_has_it(load):
    """For the sensors mounted on it."""
    scene = load()
    rig = scene.rig_trajectory.at(0.0)
    np.testing.assert_allclose((rig @ np.append(scene.ego_origin, 1.0))[:3], [0.0, -1.75, 0.0], atol=1e-6)
