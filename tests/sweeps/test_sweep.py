"""Multiruns through the real command line: every cell has its folder, one page compares them, failures are named."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from helpers.forked import run_forked
from helpers.sweep_at_work import with_model
from safetensors.torch import load_file, save_file

from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import DONE, FAILED
from cosmos_exp.tracking.wandb.file import read_run, run_files

QUICK = ("+experiment=quick", "previews=none", "metrics.names=[blur_ssim]", "sweep_name=swept", "paths.outputs=out")


@pytest.fixture
def sweep(tmp_path: Path):
    """A function: run a multirun in an empty folder. Returns the finished command and {cell folder: its run}."""

    def command(*overrides: str) -> tuple[CompletedProcess, dict[str, RunFolder]]:
        done = run_forked(*QUICK, *overrides, cwd=tmp_path, environment=with_model(os.environ))
        cells = sorted((tmp_path / "out" / "sweeps" / "swept").glob("[0-9]*_*"))
        return done, {cell.name.partition("_")[0]: RunFolder(cell) for cell in cells}

    return command


def test_a_sweep_of_guidance_renders_and_encodes_once(sweep, tiny_model_folder: Path, tmp_path: Path) -> None:
    done, cells = sweep("-m", f"model.weights={tiny_model_folder}", "sampler.guidance=1,2", "tracking=wandb")
    assert done.returncode == 0, done.stderr
    assert [cell.read_status().state for cell in cells.values()] == [DONE, DONE]
    assert set(cells["1"].read_status().misses) == {"single_view", "metrics"}
    assert "2 of 2 cells" in done.stderr
    assert "single view" not in done.stderr and "single view" in (cells["0"].path / "run.log").read_text()
    for number, cell in cells.items():
        (recorded,) = cell.wandb.glob("offline-run-*")
        assert recorded.name.endswith(cell.read_status().run_id), number
        (file,) = run_files(cell.path)
        assert read_run(file).config["axes"] == {"sampler_guidance": int(number) + 1}
    page = tmp_path / "out" / "sweeps" / "swept" / "compare.html"
    assert str(page.relative_to(tmp_path)) in done.stdout
    assert page.with_suffix(".png").exists()
    assert "sampler.guidance" in page.read_text()
    first = tmp_path / "out" / "cache" / "first_evaluation"
    assert len([entry for entry in first.iterdir() if entry.is_dir()]) == 1, "no guidance changes it"


def test_with_joblib_the_cells_race_and_compute_everything_once(sweep, tmp_path: Path) -> None:
    swept = ("hydra/launcher=joblib", "model=waiting", "controls=hdmap", "sampler.guidance=1,2")
    done, cells = sweep("-m", "verbose=true", *swept)
    assert done.returncode == 0, done.stderr
    assert "#0 generate Sunny" in done.stderr and "#1 generate Sunny" in done.stderr
    computed = sum((Counter(cell.read_status().misses) for cell in cells.values()), Counter())
    stored = Counter(entry.parent.name for entry in (tmp_path / "out" / "cache").glob("*/*") if entry.is_dir())
    assert computed == {stage: stored[stage] for stage in computed}
    assert (computed["render"], computed["generate"]) == (2, 2), "renders: in the scene's weather and in the style"


def test_a_failed_cell_is_named_and_the_others_are_compared(sweep, tiny_model_folder: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_model_folder, tmp_path / "broken")
    tensors = load_file(broken / "text_encoder.safetensors")
    save_file(dict(list(tensors.items())[1:]), broken / "text_encoder.safetensors")
    done, cells = sweep("-m", f"model.weights={broken},{tiny_model_folder}")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("2 cells: 1 failed, 1 done") == 1
    assert [cell.read_status().state for cell in cells.values()] == [FAILED, DONE]
    assert (tmp_path / "out" / "sweeps" / "swept" / "compare.html").exists()


def test_an_impossible_cell_stops_the_sweep_before_it_starts(sweep, tiny_model_folder: Path) -> None:
    done, cells = sweep("-m", f"model.weights={tiny_model_folder}", "sampler.guidance=1,-1", "model.num_frames=9,10")
    assert (done.returncode, cells) == (2, {})
    assert "cell 2, 3: sampler.guidance=-1" in done.stderr
    assert "cell 1, 3: model.num_frames=10" in done.stderr
    assert len(done.stderr.splitlines()) == 3


def test_a_ready_sweep_needs_no_flag(sweep, tiny_model_folder: Path) -> None:
    done, cells = sweep("+sweep=guidance_steps_hdmap", f"model.weights={tiny_model_folder}", "model.num_frames=10")
    assert (done.returncode, cells) == (2, {})
    assert "model.num_frames=10" in done.stderr
    done, cells = sweep("+sweep=guidance_steps_hdmap", f"model.weights={tiny_model_folder}", "sampler.sigma_min=-1")
    assert "sigma_min < sigma_max" in done.stderr
