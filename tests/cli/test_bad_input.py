"""Bad input through the real command line: one clear message, exit status not 0, nothing that looks whole."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.command_line import run_here
from helpers.forked import NETWORKS, Forked
from safetensors.torch import load_file, save_file

from cosmos_exp.common.cache import MANIFEST
from cosmos_exp.common.errors import UserError
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import DONE, FAILED, INTERRUPTED, RUNNING

COMMAND = (sys.executable, "-m", "cosmos_exp")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
QUICK = ("+experiment=quick", "previews=none", "metrics.names=[blur_ssim]", "name=it", "paths.outputs=out")


@pytest.fixture
def cosmos_exp(tiny_model_folder: Path, tmp_path: Path):
    """A function: run the command in an empty folder with the tiny model."""
    own = (f"model.weights={tiny_model_folder}", *QUICK)
    return lambda *overrides: run_here(*own, *overrides, cwd=tmp_path)


def message_of(done: subprocess.CompletedProcess) -> str:
    """The one message of a failed command."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    messages = [line for line in done.stderr.splitlines() if line.startswith("cosmos-exp: ")]
    assert len(messages) == 1, done.stderr
    return done.stderr[done.stderr.index("cosmos-exp: ") :]


LOG, OTHER_LOG, TOWN, OTHER_TOWN = (
    "carla/logs/DistanceToLaneCenter.log",
    "carla/logs/DistanceBetweenVehicles.log",
    "carla/maps/Town01.xodr",
    "carla/maps/Town02.xodr",
)


@pytest.fixture
def carla(shared: Path, tmp_path: Path, cosmos_exp):
    """A function: run on a CARLA log; `log_bytes` and `map_bytes` truncate the files first."""

    def cut(source: Path, size: int | None) -> Path:
        target = tmp_path / source.name
        target.write_bytes(source.read_bytes()[:size])
        return target

    def command(*overrides: str, log: str = LOG, town: str = TOWN, log_bytes=None, map_bytes=None):
        files = f"scene.log={cut(shared / log, log_bytes)}", f"scene.map={cut(shared / town, map_bytes)}"
        return cosmos_exp("scene=carla_log", *files, *overrides)

    return command


def test_a_missing_log(cosmos_exp) -> None:
    message = message_of(cosmos_exp("scene=carla_log", "scene.log=no.log", "scene.map=no.xodr"))
    assert "scene.log: no file 'no.log'" in message
    assert "scene.map: no file 'no.xodr'" in message


@pytest.mark.parametrize("size", [0, 10, 100])
def test_a_log_cut_before_its_first_frame(size: int, carla) -> None:
    assert "DistanceToLaneCenter.log" in message_of(carla(log_bytes=size))


def test_a_log_cut_too_early_for_the_clip(carla) -> None:
    assert "the scene is 0.12 s long" in message_of(carla(log_bytes=60_000))


def test_a_log_that_is_none(carla) -> None:
    assert "not a CARLA recorder log" in message_of(carla(log=TOWN))


def test_a_truncated_map(carla) -> None:
    assert "truncated or not valid XML" in message_of(carla(map_bytes=20_000))


def test_a_log_of_another_town(carla) -> None:
    message = message_of(carla(town=OTHER_TOWN))
    assert "Town01" in message
    assert "Town02" in message


def test_an_ego_that_does_not_exist_lists_the_vehicles(carla) -> None:
    message = message_of(carla("scene.ego=4711", log=OTHER_LOG))
    assert "174 vehicle.lincoln.mkz_2017" in message
    assert "175 vehicle.nissan.patrol" in message


def test_a_time_window_of_no_length(carla) -> None:
    assert "longer than 0 s" in message_of(carla("scene.duration=0"))


def test_a_time_window_after_the_end(carla) -> None:
    assert "1000" in message_of(carla("scene.start=1000"))


def test_frames_the_model_cannot_make(cosmos_exp, tmp_path: Path) -> None:
    message = message_of(cosmos_exp("model.num_frames=12"))
    assert "9 or 17 frames" in message
    assert "nearest is 9" in message
    assert not (tmp_path / "out").exists(), "a refused run leaves no folder"


@pytest.fixture
def message_with(configure, tiny_model_folder: Path, tmp_path: Path):
    """A function: the message of a run whose copy of the model has been tampered with. refused: before it begins."""

    def message(tamper: Callable[[Path], None], *, refused: bool = False) -> str:
        model = shutil.copytree(tiny_model_folder, tmp_path / "model")
        tamper(model)
        cfg = configure(*QUICK, f"model.weights={model}", f"paths.outputs={tmp_path / 'out'}")
        with pytest.raises(UserError) as caught:
            run(cfg, tmp_path / "run")
        status = RunFolder(tmp_path / "run").read_status()
        assert (status is None) == refused and (refused or status.state == FAILED)
        return str(caught.value)

    return message


def rewrite(path: Path, change: Callable[[dict], None]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_weights_with_a_missing_key(message_with) -> None:
    message = message_with(
        lambda model: rewrite(model / "base.safetensors", lambda t: t.pop("patch_embed.proj.weight"))
    )
    assert "missing: patch_embed.proj.weight" in message
    assert "base.safetensors" in message


def test_weights_with_an_extra_key(message_with) -> None:
    message = message_with(lambda model: rewrite(model / "base.safetensors", lambda t: t.update(new=torch.zeros(3))))
    assert "not expected: new" in message


def test_a_truncated_weights_file(message_with) -> None:
    message = message_with(lambda model: os.truncate(model / "tokenizer.safetensors", 1000), refused=True)
    assert "may be truncated" in message


def test_a_missing_weights_file(message_with) -> None:
    message = message_with(lambda model: (model / "text_encoder.safetensors").unlink(), refused=True)
    assert "text_encoder.safetensors" in message


def test_a_folder_one_may_not_write_to(cosmos_exp, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file" in message_of(cosmos_exp("paths.outputs=file/below"))


def test_a_full_disk(tmp_path: Path, tiny_model_folder: Path) -> None:
    """On a file system of 1 MB, mounted in a name space of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = [
        "unshare",
        "-rm",
        "sh",
        "-c",
        f'mount -t tmpfs -o size=1m none {disk} && "$@"; code=$?; cp -r {disk} kept; exit $code',
        "-",
    ]
    if not shutil.which("unshare") or subprocess.run([*mounted, "true"], cwd=tmp_path, capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here (unshare -rm)")
    shutil.rmtree(tmp_path / "kept")
    arguments = [*COMMAND, f"model.weights={tiny_model_folder}", *QUICK, "views=six", f"paths.outputs={disk}"]
    done = subprocess.run(
        [*mounted, *arguments], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )
    assert "no space left on the disk" in message_of(done)
    assert_nothing_looks_whole(tmp_path / "kept" / "runs" / "it", tmp_path / "kept" / "cache")


def assert_nothing_looks_whole(folder: Path, cache: Path) -> None:
    """No metrics, no state `done`, no video that cannot be read, no cache entry without its manifest."""
    from cosmos_exp.common.video import read_video

    assert not (folder / "metrics.json").exists()
    assert RunFolder(folder).read_status().state != DONE
    for path in folder.rglob("*.mp4"):
        read_video(path)
    entries = [p for p in cache.glob("*/*") if p.is_dir() and p.suffix != ".partial"]
    assert all((entry / MANIFEST).exists() for entry in entries)


@pytest.fixture
def sampling(tiny_model_folder: Path, tmp_path: Path):
    """A process that has been caught while it samples the single view."""
    overrides = (f"model.weights={tiny_model_folder}", *QUICK, "sampler.num_steps=400")
    process = Forked(*overrides, cwd=tmp_path, libraries=NETWORKS)
    status = tmp_path / "out" / "runs" / "it" / "status.json"
    deadline = time.monotonic() + 300
    while not (status.exists() and json.loads(status.read_text())["stage"] == "single_view"):
        assert process.poll() is None, process.stderr
        assert time.monotonic() < deadline
        time.sleep(0.02)
    while not list((tmp_path / "out" / "cache" / "single_view").glob("*.partial")):
        time.sleep(0.01)
    yield process
    process.kill()
    process.wait()


def test_ctrl_c(sampling: Forked, tmp_path: Path) -> None:
    sampling.send_signal(signal.SIGINT)
    _, errors = sampling.communicate(timeout=300)
    assert sampling.returncode == -signal.SIGINT, "shells go by this"
    assert errors.splitlines()[-1] == "cosmos-exp: interrupted"
    assert "Traceback" not in errors
    folder = tmp_path / "out" / "runs" / "it"
    assert RunFolder(folder).read_status().state == INTERRUPTED
    assert_nothing_looks_whole(folder, tmp_path / "out" / "cache")
    assert not list((tmp_path / "out" / "cache").rglob("*.partial"))


def test_kill_minus_nine_and_again(sampling: Forked, cosmos_exp, tmp_path: Path) -> None:
    sampling.send_signal(signal.SIGKILL)
    sampling.communicate(timeout=300)
    folder = tmp_path / "out" / "runs" / "it"
    assert RunFolder(folder).read_status().state == RUNNING
    assert_nothing_looks_whole(folder, tmp_path / "out" / "cache")
    shutil.rmtree(folder)
    done = cosmos_exp("sampler.num_steps=3")
    assert done.returncode == 0, done.stderr
    status = RunFolder(folder).read_status()
    assert status.state == DONE
    assert set(status.misses) == {"single_view", "metrics"}, "what was whole is used, what was not is made again"
    assert not list((tmp_path / "out" / "cache").rglob("*.partial"))
