"""Runs of several processes, with a tiny model on the CPU: the same results, and one message where a process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
from safetensors.numpy import load_file

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.stored_arrays import ARRAYS
from cosmos_exp.config.validate import validate
from cosmos_exp.models.dit.workers import sampling_workers
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import FAILED

SMALL = (
    "model.num_frames=9",
    "sampler.num_steps=2",
    "scene.num_vehicles=2",
    "captions.styles=[Rainy]",
    "metrics.names=[]",
    "previews.names=[]",
    "tracking=disabled",
)
SAMPLED = ("single_view", "multi_view")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def run_small(configure, root: Path):
    """A function: run the pipeline with these overrides and this cache, into the folder of this name."""

    def run_with(name: str, cache: str, *overrides: str) -> None:
        run(configure(*SMALL, f"paths.outputs={root}", f"paths.cache={root / cache}", *overrides), root / name)

    return run_with


def sampled(cache: Path, before: dict[str, Path] | None = None) -> dict[str, Path]:
    """{stage: its only entry in the cache beside those before}."""
    found = {stage: set(cache.glob(f"{stage}/*/{ARRAYS}")) - {(before or {}).get(stage)} for stage in SAMPLED}
    assert all(len(files) <= 1 for files in found.values())
    return {stage: file for stage, files in found.items() for file in files}


def distance(one: Path, other: Path) -> float:
    """Relative, of the latents in two files."""
    a, b = load_file(one)["latents"], load_file(other)["latents"]
    return float(np.linalg.norm(a - b) / np.linalg.norm(a))


@pytest.mark.parametrize("guidance", [3, 0], ids=["a pass each", "half of the frames each"])
def test_two_processes_make_what_one_makes_and_keep_it_apart(guidance: int, run_small, root: Path) -> None:
    cache = f"cache_{guidance}"
    run_small(f"alone_{guidance}", cache, f"sampler.guidance={guidance}")
    alone = sampled(root / cache)
    run_small(f"together_{guidance}", cache, f"sampler.guidance={guidance}", "hardware.processes=2")
    together = sampled(root / cache, before=alone)
    assert set(alone) == set(together) == set(SAMPLED)
    if guidance:
        assert distance(together["single_view"], alone["single_view"]) == 0
        assert distance(together["multi_view"], alone["multi_view"]) == 0
        return
    assert distance(together["single_view"], alone["single_view"]) < 1e-5
    # the front view reaches the second network as 8-bit pixels, where a rounding may fall to the other side
    assert 0 < distance(together["multi_view"], alone["multi_view"]) < 1e-3


def one_rank_fails(model, end: str, *, progress=None, parallel):
    """A sampling function in which one process does not arrive."""
    if end == "interrupt" and parallel.rank == 0:
        raise KeyboardInterrupt
    if end == "kill" and parallel.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "raise" and parallel.rank == 1:
        raise ValueError("no luck\ntoday")
    dist.barrier()


@pytest.mark.parametrize(
    ("end", "error", "message"),
    [
        ("interrupt", KeyboardInterrupt, "^$"),
        ("kill", UserError, "^process 1 of 2 was killed by SIGKILL$"),
        ("raise", UserError, "^process 1 of 2: ValueError: no luck$"),
    ],
)
def test_all_end_with_the_first_and_its_reason(
    end: str, error: type[BaseException], message: str, tiny_model_folder: Path, monkeypatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    workers = sampling_workers(2, "cpu")
    model = WorldModel.from_folder(tiny_model_folder)
    with pytest.raises(error, match=message):
        workers.sample(
            one_rank_fails, model, (WorldModel.from_folder, tiny_model_folder, {}, ""), end, progress=None, threads=1
        )
    assert workers.closed and all(worker.exit_code is not None for worker in workers.processes)


def test_a_run_whose_process_cannot_start_says_why(run_small, root: Path, monkeypatch) -> None:
    monkeypatch.setattr("cosmos_exp.models.dit.workers.WORKER_SCRIPT", "raise SystemExit('no torch here')")
    with pytest.raises(UserError, match="process 1 of 2 failed: no torch here"):
        run_small("unborn", "alone", "hardware.processes=2", "sampler.seed=1")
    assert RunFolder(root / "unborn").read_status().state == FAILED


@pytest.mark.slow
def test_torchrun_starts_the_processes_of_the_command(root: Path, run_small, tiny_model_folder: Path) -> None:
    run_small("alone_single", "torchrun", "views=single", "sampler.num_steps=3")
    alone = sampled(root / "torchrun")
    places = [f"model.weights={tiny_model_folder}", f"paths.outputs={root}", f"paths.cache={root / 'torchrun'}"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "cosmos_exp"]
    done = subprocess.run(
        [*command, *SMALL, *places, "views=single", "sampler.num_steps=3", "name=led"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert distance(sampled(root / "torchrun", before=alone)["single_view"], alone["single_view"]) < 1e-5
    led = RunFolder(root / "runs" / "led")
    assert led.read_config()["hardware"]["processes"] == led.read_provenance()["machine"]["processes"] == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("hardware.processes=0",), "must be 1 or more"),
        (("hardware.processes=3",), "possible are 1, 2, 4; nearest is 2"),
        (("hardware.processes=3", "sampler.guidance=0"), "possible are 1, 2; nearest is 2"),
        (("hardware.processes=2", "hardware.device=cuda:0"), "give hardware.device=cuda"),
        (("hardware.processes=100", "hardware.device=cuda"), "each takes its own GPU, and this machine has"),
    ],
)
def test_numbers_that_cannot_be_are_refused(overrides: tuple[str, ...], message: str, configure) -> None:
    assert any(message in error for error in validate(configure(*SMALL, *overrides)))


def test_under_torchrun_its_number_counts(configure, monkeypatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert validate(configure(*SMALL)) == []
    (error,) = validate(configure(*SMALL, "hardware.processes=4"))
    assert "torchrun started 2" in error
    monkeypatch.setenv("WORLD_SIZE", "3")
    (error,) = validate(configure(*SMALL))
    assert "3 processes cannot split" in error
