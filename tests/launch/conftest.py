"""Sweeps of the tiny model, and a Slurm to run them on."""

from __future__ import annotations

from pathlib import Path

import pytest
from one_node_slurm import missing, one_node_slurm
from sweep_at_work import Sweep


@pytest.fixture
def sweep(tmp_path: Path, tiny_model_folder: Path) -> Sweep:
    return Sweep(tmp_path, tiny_model_folder)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> dict[str, str]:
    """The environment of a real Slurm."""
    if reason := missing():
        pytest.skip(reason)
    with one_node_slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment
