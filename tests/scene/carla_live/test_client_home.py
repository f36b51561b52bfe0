"""CARLA's client needs a home folder that can be written: what is said where there is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla_live.connection import Server, connect, home_problem


def test_a_home_that_can_be_written_is_enough(monkeypatch, tmp_path: Path) -> None:
    for home in (tmp_path, tmp_path / "new" / "home"):
        monkeypatch.setenv("HOME", str(home))
        assert home_problem() is None


def test_without_a_home_nothing_is_connected_to(monkeypatch) -> None:
    """And the client is not imported, which would take the process down."""
    monkeypatch.delenv("HOME")
    with pytest.raises(UserError, match=r"\$HOME/carlaCache, and HOME is not set: set HOME to a folder of your own"):
        connect(Server(port=9))


def test_a_home_that_cannot_be_written_is_named(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(UserError, match=r"and cannot write to '.*/file': set HOME"):
        connect(Server(port=9))


def test_the_command_says_it_in_one_message(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "sensors.yaml").write_text("[{sensor: rgb}]")
    monkeypatch.delenv("HOME")
    arguments = ["--sensors", tmp_path / "sensors.yaml", "-f", "drive.log", "-o", tmp_path / "out"]
    said = subprocess.run(
        [sys.executable, "-m", "cosmos_exp", "capture", *map(str, arguments)], capture_output=True, text=True
    )
    assert (said.returncode, "Traceback" in said.stderr) == (2, False), said.stderr
    assert said.stderr.count("HOME is not set") == 1
