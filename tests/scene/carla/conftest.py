"""The small drive on a straight street, as files."""

from __future__ import annotations

import pytest
from helpers import opendrive_writer as o
from helpers import recorder_writer as w
from helpers.small_drive import small_drive

from cosmos_exp.scene.carla.log import load_carla_scene


@pytest.fixture
def town(tmp_path):
    path = tmp_path / "Straight01.xodr"
    path.write_text(o.straight_town())
    return path


@pytest.fixture
def load(tmp_path, town):
    def load(drive: w.Drive | None = None, **arguments):
        path = tmp_path / "drive 1.5.log"
        path.write_bytes((drive or small_drive()).to_bytes())
        return load_carla_scene(path, arguments.pop("map", town), **arguments)

    return load
