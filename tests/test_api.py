"""The front door in Python: light to import, and the same runs, sweeps and readers as the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cosmos_exp as cx

ROOT = Path(__file__).resolve().parents[1]
SMALL = ("model.num_frames=9", "views=single", "sampler.num_steps=1", "scene.num_vehicles=2", "tracking=disabled")


def python(code: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_it_is_light(tmp_path: Path) -> None:
    code = "import sys, cosmos_exp; print(sorted({'torch', 'hydra', 'numpy', 'cv2', 'wandb'} & set(sys.modules)))"
    assert python(code, tmp_path) == "[]"


@pytest.mark.parametrize("initialize", ["module", "dir"])
def test_hydras_own_api_composes_the_tree(initialize: str, tmp_path: Path) -> None:
    place = {"module": "'cosmos_exp.conf'", "dir": "str(Path(cosmos_exp.__file__).parent / 'conf')"}[initialize]
    code = (
        "from pathlib import Path; import cosmos_exp; import hydra;"
        f"context = hydra.initialize_config_{initialize}({place}, version_base='1.3'); context.__enter__();"
        "print(hydra.compose('config', overrides=['scene=procedural', 'sampler.guidance=2']).sampler.guidance)"
    )
    assert python(code, tmp_path) == "2.0"


def test_a_source_folder_without_metadata_is_enough(tmp_path: Path) -> None:
    """As a checkout on PYTHONPATH that was never installed."""
    (tmp_path / "source").mkdir()
    for name in ("cosmos_exp", "conf", "sweeps", "hydra_plugins", "pyproject.toml"):
        (tmp_path / "source" / name).symlink_to(ROOT / name)
    code = (
        "import importlib.metadata as m; real = m.Distribution.from_name\n"
        "def absent(name):\n"
        "    if name.replace('_', '-') == 'cosmos-exp': raise m.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "m.Distribution.from_name = absent\n"
        "from cosmos_exp.pipeline.provenance import package_versions; print('torch' in package_versions())"
    )
    assert python(code, tmp_path, PYTHONPATH=str(tmp_path / "source")) == "True"


@pytest.fixture(scope="module")
def first(tiny_model_folder: Path, tmp_path_factory):
    """A run with the tiny model, and the overrides that made it."""
    root = tmp_path_factory.mktemp("api")
    places = [f"paths.outputs={root}", f"paths.cache={root}/cache", f"model.weights={tiny_model_folder}"]
    overrides = [*SMALL, *places, "metrics.names=[blur_ssim]"]
    return cx.run([*overrides, "name=first"]), overrides


def test_a_run_is_read_back(first) -> None:
    run, _ = first
    assert run.status.state == "done" and run.path.name == "first"
    assert run.styles == ("Sunny",) and "blur_ssim" in run.metrics["Sunny"]
    assert run.video().shape == (9, 32, 48, 3) and run.control("hdmap").shape == (9, 32, 48, 3)
    frames = run.frame_series["Sunny"]["blur_ssim"]
    assert frames.shape == (9,) and frames.mean() == pytest.approx(run.metrics["Sunny"]["blur_ssim"], abs=1e-5)
    assert repr(cx.load_run(run.path)) == repr(run)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.video(style="Suny"), "did you mean 'Sunny'"),
        (lambda run: run.video("rear_tele_30fov"), "view of this run"),
        (lambda run: run.control("hdmpa"), "did you mean 'hdmap'"),
        (lambda run: cx.load_run(run.path / "captions"), "is no run folder"),
        (lambda run: cx.load_run("nowhere"), "no folder at nowhere"),
        (lambda run: cx.load_sweep("nowhere"), "no folder at nowhere"),
        (lambda run: cx.load_scene("procedurel"), "did you mean 'procedural'"),
        (lambda run: cx.load_scene(sed=1), "did you mean 'seed'"),
        (lambda run: cx.load_scene("carla_log", log="x"), "map is required"),
        (lambda run: cx.load_rig("six_view"), "did you mean 'six_views'"),
        (lambda run: cx.compose(["sampler.guidanc=1"]), "did you mean 'sampler.guidance'"),
        (lambda run: cx.run(["sampler.guidance=-1"]), "must be 0"),
    ],
)
def test_a_mistake_is_one_message(ask, message: str, first) -> None:
    with pytest.raises(cx.UserError, match=message):
        ask(first[0])


def test_a_sweep_as_rows_and_as_a_frame(first, tmp_path: Path) -> None:
    _, overrides = first
    before = (os.environ.get("HYDRA_FULL_ERROR"), sys.argv)
    sweep = cx.sweep([*overrides, "sampler.seed=0,1", "sweep_name=seeds"])
    assert (os.environ.get("HYDRA_FULL_ERROR"), sys.argv) == before  # the caller's own process is left as it was
    assert sweep.axes == {"sampler.seed": [0, 1]}
    assert [row["sampler.seed"] for row in sweep.rows()] == [0, 1]
    assert len({row["blur_ssim"] for row in sweep.rows()}) == 2
    assert [run.status.state for run in sweep.runs()] == ["done", "done"]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = sweep.to_frame()
    assert isinstance(frame, pandas.DataFrame) and list(frame["sampler.seed"]) == [0, 1]


def test_a_scene_of_ones_own_through_a_model(first, tiny_model_folder: Path) -> None:
    scene = cx.load_scene(seed=4, num_vehicles=1, num_pedestrians=0, duration=1.0)
    model = cx.load_model("nano", [f"model.weights={tiny_model_folder}", *SMALL, "captions.styles=[Rainy]"])
    clip = model.generate(scene)["Rainy"]
    assert clip.single_view.shape == (9, 32, 48, 3) and clip.single_view.dtype == np.uint8
    assert set(cx.evaluate(clip, ["psnr"])) == {"psnr", "psnr/front_wide_120fov"}
    renders = cx.render(scene, cx.load_rig("front", size=(48, 32)), num_frames=9, fps=model.fps)
    assert np.array_equal(clip.renders["front_wide_120fov"].depth, renders["front_wide_120fov"].depth)
    assert cx.make_control("hdmap", renders["front_wide_120fov"]).shape == (9, 32, 48, 3)
