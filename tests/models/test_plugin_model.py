"""A video model of another package, installed with its entry point: run, swept, planned, compared, reproduced."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.forked import run_forked

PACKAGE = Path(__file__).resolve().parents[1] / "plugin_model"
SMALL = ("model=flat", "model.num_frames=5", "views=single", "scene.num_vehicles=2", "metrics.names=[blur_ssim,psnr]")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """A function: `cosmos-exp` with these arguments, where the package is installed; (exit status, what it printed)."""
    site, cwd = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("work")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(site), str(PACKAGE)], check=True, capture_output=True)
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))

    def run(*arguments: str) -> tuple[int, str]:
        done = run_forked(*arguments, cwd=cwd, environment=os.environ | {"PYTHONPATH": path})
        return done.returncode, done.stdout + done.stderr

    run.cwd = cwd
    return run


@pytest.fixture(scope="module")
def sweep(command) -> Path:
    overrides = ("model.brightness=0.5,1", "sampler.seed=0,1", "sampler.num_steps=3", "tracking=disabled")
    code, text = command("-m", *SMALL, *overrides, "sweep_name=flat")
    assert code == 0, text
    return command.cwd / "outputs" / "sweeps" / "flat"


def test_it_is_listed(command) -> None:
    (models,) = (line for line in command("--help")[1].splitlines() if line.startswith("  model "))
    assert "nano*" in models and "flat" in models
    code, text = command("model=flatt")
    assert code == 2 and "did you mean 'flat'" in text


def test_its_own_rule_and_its_contract_are_checked(command) -> None:
    code, text = command(*SMALL, "model.brightness=2", "model.height=100", "controls.lidar.weight=1")
    assert code == 2 and "Traceback" not in text
    for part in ("model.brightness=2: must be 0 to 1", "96x160", "unknown control of this model 'lidar'"):
        assert part in text
    assert "unknown config key 'model.brightnes'" in command(*SMALL, "model.brightnes=1")[1]


def test_its_cells_differ_as_their_configs_do(sweep: Path) -> None:
    cells = sorted(path for path in sweep.iterdir() if (path / "metrics.json").exists())
    assert len(cells) == 4
    values = [json.loads((cell / "metrics.json").read_text())["Sunny"] for cell in cells]
    assert len({value["psnr"] for value in values}) == 4
    assert (sweep / "compare.html").exists()
    assert [json.loads((cell / "status.json").read_text())["misses"]["generate"] for cell in cells] == [1] * 4
    noise = [json.loads((cell / "provenance.json").read_text())["noise"]["generate"] for cell in cells]
    assert len({seed for (seed,) in noise}) == 2  # one per sampler.seed


def test_a_plan_knows_what_is_there(sweep: Path, command) -> None:
    code, text = command("plan", "-m", *SMALL, "model.brightness=0.5,1,0.2", "sampler.num_steps=3")
    assert code == 0, text
    generate = next(line for line in text.splitlines() if line.strip("│| ").startswith("generate"))
    wanted, cached, _, to_make = (int(n) for n in generate.replace("│", " ").split()[1:5])
    assert (wanted, cached, to_make) == (3, 2, 1)


def test_a_cell_is_reproduced(sweep: Path, command) -> None:
    code, text = command("reproduce", str(next(sweep.glob("0_*"))))
    assert code == 0, text


def test_the_renderer_stands_beside_it_in_a_sweep(command) -> None:
    code, text = command(*SMALL[1:], "model=render", "model.like=flat", "tracking=disabled", "name=ceiling")
    assert code == 0, text
    metrics = json.loads((command.cwd / "outputs" / "runs" / "ceiling" / "metrics.json").read_text())["Sunny"]
    assert metrics["psnr"] == 99.0
