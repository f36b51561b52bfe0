"""Recorder log -> Scene: which part of a log is the drive, and who drives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import recorder_writer as w
from helpers.small_drive import (
    CAR,
    EGO,
    TIMES,
    WALKER,
    at,
    small_drive,
)

from cosmos_exp.common.errors import UserError


def test_default_window_is_the_egos_life(load):
    scene = load()
    assert (scene.start, scene.end) == pytest.approx((TIMES[2], TIMES[9]))
    assert scene.source == "carla_log" and scene.ego.role == "hero" and scene.ego.id == "10"
    assert scene.clip_id == "drive_1_5_170000_700000" and "." not in scene.clip_id
    np.testing.assert_allclose(scene.ego.trajectory.times, TIMES[2:10])


def test_window(load):
    scene = load(start=0.25, duration=0.25)
    assert (scene.start, scene.end) == pytest.approx((0.25, 0.5))
    times = scene.ego.trajectory.times
    assert times[0] <= 0.25 < times[1] and times[-2] < 0.5 <= times[-1]
    assert scene.ego.exists_at(0.25) and scene.ego.exists_at(0.5)
    np.testing.assert_allclose(scene.frame_times(2, 4.0), [0.25, 0.5])


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"duration": 0.0}, "duration 0.0 s .* from 0.170 to 0.700 s"),
        ({"duration": -1.0}, "must be above 0"),
        ({"start": 5.0}, "start 5.0 s lies outside .* 0.170 to 0.700 s"),
        ({"start": 0.1}, "start 0.1 s lies outside"),
        ({"start": -1.0}, "start -1.0 s lies outside"),
        ({"start": 0.7}, "start 0.7 s lies outside"),
        ({"start": 0.5, "duration": 1.0}, "ends at 1.500 s.*the longest duration is 0.2"),
        ({"start": float("nan")}, "must be finite"),
        ({"duration": float("inf")}, "must be finite"),
    ],
)
def test_windows_outside_the_egos_time(load, window, message):
    with pytest.raises(UserError, match=message):
        load(**window)


def teleported() -> w.Drive:
    """The ego at one place in frames 2 and 3, and 300 m further from frame 4 to 9."""
    drive = small_drive()
    drive.movers[EGO] = {i: at(TIMES[i] if i < 4 else 100 + TIMES[i]) for i in range(2, 10)}
    return drive


def test_the_longest_piece_of_the_log_is_taken_and_said(load):
    scene = load(teleported())
    assert (scene.start, scene.end) == pytest.approx((TIMES[4], TIMES[9]))
    assert scene.notes == (
        "the ego 10 is on the map from 0.170 to 0.200 s and from 0.300 to 0.700 s: taken is 0.300 to 0.700 s (the "
        "longest; scene.start chooses another)",
    )
    first = load(teleported(), start=0.17)
    assert first.end == pytest.approx(TIMES[3]) and first.notes[0].endswith("taken is 0.170 to 0.200 s (by its start)")
    assert load(teleported(), start=0.0).start == pytest.approx(first.start), "0 is the first"
    with pytest.raises(UserError, match=r"start 0.25 s lies outside .* 0.170 to 0.200 s and from 0.300 to 0.700 s"):
        load(teleported(), start=0.25)


def test_an_ego_in_part_of_a_log_is_said(load):
    drive = small_drive()
    drive.times = [*TIMES, *(TIMES[-1] + 0.5 * np.arange(1, 5))]
    assert load(drive).notes == ("the ego 10 is on the map from 0.170 to 0.700 s, in a log of 2.800 s",)
    assert load().notes == (), "nearly the whole log"


def test_an_ego_spawned_again_is_found_in_its_longest_life(load):
    """Under another id, as when a run of routes places a new hero for each."""
    drive = small_drive()
    drive.movers[EGO] = {2: at(0), 3: at(0)}
    drive.add(4, w.deleted(EGO), w.added(w.actor(50, 1, "vehicle.audi.tt", role_name="hero")))
    drive.movers[50] = {i: at(50) for i in range(4, 10)}
    scene = load(drive)
    assert scene.ego.id == "50" and scene.start == pytest.approx(TIMES[4])
    assert "from 0.170 to 0.200 s (vehicle 10) and from 0.300 to 0.700 s (vehicle 50)" in scene.notes[0]


@pytest.mark.parametrize("bad", [(math.inf, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, math.nan), (1e30, 0, 0, 0, 0, 0)])
def test_an_ego_without_a_finite_pose_is_refused(load, bad):
    drive = small_drive()
    drive.movers[EGO] = dict.fromkeys(range(2, 10), bad)
    with pytest.raises(UserError, match=r"ego 10 \(vehicle.lincoln.mkz\) has no finite pose .* 8 frames; frame 3: x"):
        load(drive)


def test_poses_that_are_not_finite_end_a_piece_and_are_counted(load, caplog):
    """One such frame costs neither the log nor the actor."""
    drive = small_drive()
    drive.movers[EGO][4] = at(math.nan)
    drive.movers[WALKER][3] = at(20, yaw=math.inf)
    scene = load(drive)
    assert scene.start == pytest.approx(TIMES[5]) and "from 0.170 to 0.200 s and from 0.370" in scene.notes[0]
    assert all(np.isfinite(track.trajectory.poses).all() for track in scene.tracks)
    assert caplog.text.count("pose that is not finite") == 1
    assert "left out: actor 12, frame 4: x, y, z 20, 1.75, 0 m, roll, pitch, yaw 0, 0, inf, and 1 more" in caplog.text


def test_frames_hours_apart_hold_no_drive(load):
    drive = small_drive()
    drive.times = 1e9 * np.arange(len(TIMES))
    with pytest.raises(UserError, match=r"nowhere on the map for two frames in a row: .*7 more than 10 s after"):
        load(drive)


@pytest.mark.parametrize("role", ["ego_vehicle", "ego", "hero1"])
def test_roles_of_other_tools_are_the_ego_too(load, role):
    drive = small_drive()
    drive.extra[2][0] = w.added(w.actor(EGO, 1, "vehicle.lincoln.mkz", role_name=role))
    assert load(drive).ego.role == role


def test_ego_by_id_and_unknown_ego(load):
    assert load(ego=CAR).ego.model == "vehicle.nissan.patrol"
    for wrong in (99, WALKER):
        with pytest.raises(UserError, match=rf"no vehicle with id {wrong}.*11 vehicle.nissan.patrol \(role scenario\)"):
            load(ego=wrong)


def test_log_without_a_hero_lists_the_vehicles(load):
    drive = small_drive()
    drive.extra[2] = []
    with pytest.raises(UserError, match=r"no vehicle of role 'hero'.*11 vehicle.nissan.patrol"):
        load(drive)
