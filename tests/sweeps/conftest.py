"""Sweeps whose cells wait for their test, and a Slurm to run them on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.own_slurm import Slurm, missing, own_slurm
from helpers.sweep_at_work import QUICK, Sweep


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


@pytest.fixture(scope="session")
def filled_cache(tmp_path_factory) -> Path:
    """The stage cache that a cell of `Sweep.start` leaves."""
    root = tmp_path_factory.mktemp("filled")
    code, said = Sweep(root).run(*QUICK, f"paths.cache={root}/cache", "name=filled")
    assert code == 0, said
    return root / "cache"


@pytest.fixture
def prepared_sweep(sweep: Sweep, filled_cache: Path) -> Sweep:
    """A sweep whose cells find all but the sampling in the cache, for tests of something else."""
    shutil.copytree(filled_cache, sweep.cwd / "cache")
    return sweep


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[dict[str, str]]:
    """The environment of a real Slurm; skipped where there is none."""
    if reason := missing():
        pytest.skip(reason)
    with own_slurm(tmp_path_factory.mktemp("slurm")) as slurm:
        yield slurm.environment


@pytest.fixture
def two_machines(tmp_path_factory) -> Iterator[Slurm]:
    """A real Slurm of the machines n1 and n2, with one core each; skipped where `unshare` may not make machines."""
    if reason := missing(machines=True):
        pytest.skip(reason)
    with own_slurm(tmp_path_factory.mktemp("slurm"), ("n1", "n2")) as slurm:
        yield slurm
