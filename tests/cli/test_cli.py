"""The command line: help without Hydra, commands, Hydra's own flags, and the wheel in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.command_line import run_here

from cosmos_exp.config.hydra_internals import unknown_key
from cosmos_exp.scene.sources import SOURCES

ROOT = Path(__file__).resolve().parents[2]


def cosmos_exp(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run the command in another process."""
    return subprocess.run(
        [sys.executable, "-m", "cosmos_exp", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_help_names_every_group_option_and_command(tmp_path: Path) -> None:
    done = cosmos_exp("--help", cwd=tmp_path)
    assert done.returncode == 0
    for word in ("scene info", "compare", "verify goldens", "train", *SOURCES, "procedural*", "+sweep", "seeds"):
        assert word in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_takes_less_than_half_a_second(tmp_path: Path) -> None:
    """Of one core, which other tests may be using as well."""

    def seconds() -> float:
        before = os.times()
        cosmos_exp("--help", cwd=tmp_path)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    assert min(seconds() for _ in range(3)) < 0.5


def test_the_command_imports_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys, cosmos_exp.cli.main; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "numpy", "hydra", "omegaconf", "cv2", "numba", "wandb", "av"} & set(modules)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verfy"], "unknown command 'verfy': did you mean 'verify'?"),
        (["scene"], "usage: cosmos-exp scene [-h] [--json] info LOG"),
        (["scene", "inof", "x.log"], "did you mean 'info'?"),
        (["verify", "goldens"], "required: FOLDER; usage: cosmos-exp verify [-h]"),
        (["scene", "info", "x.log", "--jsn"], "did you mean '--json'?"),
        (["scene", "info", "x.log", "y.log"], "surplus argument 'y.log'"),
        (["explain", "psrn"], "'psrn' is neither a metric nor a config key: did you mean the metric 'psnr'"),
        (["explain"], "required: METRIC|CONFIG.KEY; usage: cosmos-exp explain [-h]"),
        (["compare"], "required: SWEEP_FOLDER; usage: cosmos-exp compare [-h]"),
    ],
)
def test_a_wrong_command_is_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run_here(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampler.num_stepz=3", "did you mean 'sampler.num_steps'?"),
        ("guidance=3", "did you mean 'sampler.guidance'?"),
        ("scen=carla_log", "did you mean 'scene'?"),
        ("scene=carla", "unknown option of scene 'carla': did you mean 'carla_log'? allowed: "),
        ("+sweep=sedes", "unknown option of sweep 'sedes': did you mean 'seeds'?"),
        ("hydra/launcher=jobli", "did you mean 'joblib'?"),
        ("sampler.num_steps=six", "sampler.num_steps=six: Value 'six' of type 'str' could not be converted to Integer"),
        ("captions.styles=Night", "captions.styles=Night"),
        ("captions.styles=[Night", "cannot read the override 'captions.styles=[Night'"),
        ("sampler.guidance=1,3", "sampler.guidance=1,3"),
        ("~sampler.steps", "unknown config key 'sampler.steps'"),
        ("captions.regions=[{promt: a}]", "unknown key of captions.regions 'promt': did you mean 'prompt'?"),
        ("controls.hdmap.weight_map=a.pt", "a mapping is needed, of the keys classes, box, mask, inside, outside"),
    ],
)
def test_a_wrong_override_is_one_line(override: str, message: str, tmp_path: Path) -> None:
    done = run_here(override, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_traceback_is_there_for_who_asks(tmp_path: Path) -> None:
    assert "Traceback" in cosmos_exp("scene=carla", cwd=tmp_path, HYDRA_FULL_ERROR="1").stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--cfg", "job"], "num_steps: null"),
        (["run", "--cfg", "job", "sampler.num_steps=5"], "num_steps: 5"),
        (["--info", "defaults"], "scene/procedural"),
        (["-sc", "install=bash"], "complete"),
        (["--hydra-help"], "--multirun"),
    ],
)
def test_hydras_flags_pass_through(arguments: list[str], word: str, tmp_path: Path) -> None:
    done = cosmos_exp(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert word in done.stdout


def test_own_options_come_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "mine" / "sampler").mkdir(parents=True)
    (tmp_path / "mine" / "sampler" / "slow.yaml").write_text("num_steps: 35\n")
    done = cosmos_exp("--config-dir", "mine", "sampler=slow", "--cfg", "job", cwd=tmp_path)
    assert "num_steps: 35" in done.stdout
    assert "guidance: 1.0" in done.stdout, "the type's own defaults fill what the option leaves out"


def test_nearest_keys() -> None:
    assert "'scene.road'" in unknown_key("road")
    assert "'controls.hdmap.weight'" in unknown_key("controls.hdmap.wieght")


@pytest.mark.skipif(not (Path(__file__).parents[2] / "cosmos_exp").is_dir(), reason="needs the whole repository")
def test_the_wheel_runs_from_an_empty_folder(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    done = cosmos_exp("--cfg", "job", "+sweep=seeds", cwd=empty, **environment)
    assert "sweep_name: seeds" in done.stdout, done.stderr
    assert "seeds" in cosmos_exp("--help", cwd=empty, **environment).stdout
    assert "MSE" in cosmos_exp("explain", "psnr", cwd=empty, **environment).stdout
    where = subprocess.run(
        [sys.executable, "-c", "import cosmos_exp; print(cosmos_exp.__file__)"],
        cwd=empty,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert where.stdout.startswith(str(tmp_path / "site"))
