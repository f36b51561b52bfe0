"""One drive three ways gives the same pictures: from its log, from a server that replays it, from its RDS-HQ clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.carla_sim import Drive
from benchmarks.three_ways import (
    FPS,
    FRAMES,
    OUTPUTS,
    captured,
    log_and_capture,
    log_and_clip,
    log_scene,
    replaying,
    sample_times,
    six_cameras,
    through_a_clip,
)
from cosmos_exp.rendering.renderer import Renderer

pytest.importorskip("carla", reason="CARLA's client is not installed: pip install 'cosmos-exp[carla]'")
pytest.importorskip("msgpack", reason="msgpack is not installed: pip install 'cosmos-exp[carla]'")
pytestmark = pytest.mark.own_process

EQUAL = dict.fromkeys(OUTPUTS, "equal")
RIG = six_cameras((48, 32))
DRIVES = {"DistanceBetweenVehicles.log": (174, 2.0), "DistanceToLaneCenter.log": (234, 6.0)}  # ego, start


@pytest.fixture(scope="module", params=DRIVES)
def drive(shared: Path, request: pytest.FixtureRequest) -> Drive:
    """A drive that a real CARLA has recorded."""
    ego, start = DRIVES[request.param]
    return Drive(shared / "carla/maps/Town01.xodr", shared / "carla/logs" / request.param, ego, start)


@pytest.fixture(scope="module")
def drawn(drive: Drive) -> Renderer:
    return Renderer(log_scene(drive))


def told(differences) -> dict[str, str]:
    return {output: str(difference) for output, difference in differences.items()}


def test_log_and_capture_are_equal(drive: Drive, drawn: Renderer, tmp_path: Path) -> None:
    """Six cameras with five outputs, 121 frames, in order, nothing lost."""
    with replaying(drive) as server:
        taken = captured(server, drive, RIG, tmp_path / "capture")
    assert np.diff(taken.about["frames"]).tolist() == [1] * (FRAMES - 1)
    assert {len(taken.array(camera.name, output)) for camera in RIG.cameras for output in OUTPUTS} == {FRAMES}
    assert told(log_and_capture(drawn, taken, RIG, every=6)) == EQUAL
    front, other = (taken.array(camera.name, "rgb") for camera in RIG.cameras[:2])
    assert np.any(front[0] != front[-1]) and np.any(front[0] != other[0])  # cameras that drive, each its own


def test_log_and_clip_are_equal_where_the_clip_has_samples(drawn: Renderer) -> None:
    scene = drawn.scene
    clip = through_a_clip(scene, RIG)
    looks = [[(t.id, t.actor_class, t.color, t.model, t.role) for t in s.tracks] for s in (scene, clip)]
    assert looks[0] == looks[1] != []
    theirs = Renderer(clip)
    assert told(log_and_clip(drawn, theirs, RIG, sample_times(FRAMES)[::12])) == EQUAL
    between = log_and_clip(drawn, theirs, RIG, np.arange(1, FRAMES, 30) / FPS)
    assert between["semantic"].differing < 0.003 * between["semantic"].pixels
