"""The examples against CARLA's plain API run against the embedded server."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.carla_clients import require_carla

require_carla()
pytestmark = pytest.mark.own_process

EXAMPLES = Path(__file__).parents[2] / "examples" / "carla"


@pytest.fixture()
def run(server, client):
    """A function that runs an example on a fresh world and returns what it prints."""

    def run(name: str, *options: str) -> str:
        command = [sys.executable, str(EXAMPLES / name), "--port", str(server.port), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_every_example_is_run_here() -> None:
    named = set(re.findall(r'run\("(\w+\.py)"', Path(__file__).read_text()))
    assert named == {path.name for path in EXAMPLES.glob("*.py")} - {"common.py"}


def test_a_camera_of_a_spawned_car(run, tmp_path: Path) -> None:
    assert re.search(r"^vehicle\.\S+: 10 images", run("spawn_and_camera.py", "-o", str(tmp_path / "depth")))
    frames = sorted(int(path.stem) for path in (tmp_path / "depth").glob("*.png"))
    assert frames == list(range(frames[0], frames[0] + 10))


def test_cameras_in_step(run) -> None:
    told = run("synchronous_loop.py")
    assert told.startswith("20 ticks, road 1")
    assert "14: " in told, "the car before its camera"


def test_a_recording_is_told_and_played(run) -> None:
    told = run("recorder.py")
    assert "Map: ExampleStreet" in told and re.search(r"Frames: \d+\n", told)
    assert float(re.search(r"replayed to (\S+) m", told)[1]) < 2.0


def test_a_walk_along_a_lane(run) -> None:
    told = run("waypoint_walk.py")
    assert told.count("road 1 lane") >= 10 and "3.50 m wide" in told and "Yellow Broken" in told
