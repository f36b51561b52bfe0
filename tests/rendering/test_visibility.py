"""Objects while a camera sees them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.streets import pose, still

from cosmos_exp.rendering.visibility import runs, visible_scene
from cosmos_exp.scene.types import ActorClass, Building, Scene, SceneMap, Track, Trajectory
from cosmos_exp.sensors.camera import Camera, Rig
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.rigs import camera_pose

WALL = Building(np.array([[20.0, -5, 0], [22, -5, 0], [22, 5, 0], [20, 5, 0]]), 8.0, (0.5, 0.5, 0.5))
FRONT = Camera("front", Pinhole.from_hfov(160, 90, np.radians(90)), camera_pose((0, 0, 1.5), (0, 0, 0)))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("", []),
        ("......", []),
        ("..x...", []),
        (".xx...", [(1, 2)]),
        ("x..x..", [(0, 3)]),
        ("xx...xx", [(0, 1), (5, 6)]),
        ("xxxxxx", [(0, 5)]),
    ],
)
def test_runs_bridge_gaps_of_two_frames(seen: str, expected: list) -> None:
    assert runs(np.array([mark == "x" for mark in seen], bool)) == expected


def test_objects_are_there_while_they_are_seen() -> None:
    """A car crosses behind a wall; one is before it, one behind the camera, one too far away."""
    ends = np.stack([pose(40, 30, 0.75), pose(40, -30, 0.75)])
    crossing = Track("crossing", ActorClass.CAR, (4.0, 2.0, 1.5), Trajectory(np.array([0.0, 1.0]), ends))
    others = {"near": (10, 0, 0.75), "behind": (-10, 0, 0.75), "far": (151, 30, 0.75), "hidden": (30, 0, 0.75)}
    tracks = [replace(crossing, id=name, trajectory=still(pose(*place))) for name, place in others.items()]
    rig = still(np.eye(4))
    ego = Track("ego", ActorClass.CAR, (4.0, 2.0, 1.5), rig)
    scene = Scene("s", "test", SceneMap("m", buildings=(WALL,)), ego, rig, (crossing, *tracks), 0.0, 1.0)
    told: list = []
    kept = visible_scene(scene, Rig("r", (FRONT,)), tick=lambda *numbers: told.append(numbers))
    assert [track.id for track in kept.tracks] == ["crossing", "crossing_1", "near"]
    first, second, near = (track.trajectory for track in kept.tracks)
    assert first.times[0] == 0.0 and second.times[-1] == 1.0 and (near.times[0], near.times[-1]) == (0.0, 1.0)
    # from the camera the wall's nearer edge, 20 m away and 5 m aside, hides what is within 10 m aside at 40 m
    assert first.poses[-1][1, 3] == pytest.approx(9, abs=3) and second.poses[0][1, 3] == pytest.approx(-9, abs=3)
    assert told[-1] == (31, 31)
