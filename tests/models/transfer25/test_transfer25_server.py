"""`cosmos-exp serve` with a small Cosmos-Transfer2.5, over sockets: the frames of the model in the same process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import run_here
from helpers.served import Served, served

from cosmos_exp.common.video import read_video, write_video
from cosmos_exp.config.compose import compose
from cosmos_exp.config.validate import validate
from cosmos_exp.pipeline.api import run

pytestmark = pytest.mark.slow

MODEL = "transfer25_auto_multiview"
VIEWS = ("front_wide_120fov", "cross_left_120fov", "front_tele_30fov")
COMMON = (
    *(
        "sensors=nvidia_seven",
        "scene.num_vehicles=2",
        "scene.duration=3",
        "sampler.num_steps=2",
        "captions.styles=[Night]",
        "tracking=disabled",
        "previews=none",
    ),
    *("previews.controls=used", "metrics.names=[psnr]", "metrics.references=false"),
)


THREE = (*COMMON, "controls=wsm", f"views.names=[{','.join(VIEWS)}]")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("served25")


@pytest.fixture(scope="module")
def server(root: Path, model25_folder: Path):
    """Its model begins with five given frames, where a request has some."""
    own = (f"model={MODEL}", f"model.weights={model25_folder}", "model.given_frames=[5]", "controls=wsm")
    with served(root / "server", *own, "views=seven", "sensors=nvidia_seven", "scene.duration=3") as started:
        yield started


def made(root: Path, name: str, *overrides: str) -> list[np.ndarray]:
    run([*THREE, *overrides, f"paths.outputs={root}", f"paths.cache={root / 'cache'}"], root / name / "run")
    (folder,) = (root / name / "run" / "multi_view").iterdir()
    return [read_video(folder / f"{number}.mp4") for number in range(len(VIEWS))]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("given", ("sampler.first_frames=rgb", "model.num_frames=13")),
        ("long", ("model.num_frames=25", "controls.wsm.weight_map={box: [0,0,0.5,1], outside: 0.25}")),
    ],
)
def test_the_frames_are_those_of_the_model_in_process(server: Served, root: Path, model25_folder: Path, name, options):
    remote = made(root, f"{name}_remote", "model=remote", f"model.endpoint={server.url}", *options)
    own = (f"model={MODEL}", f"model.weights={model25_folder}", "model.given_frames=[5]")
    here = made(root, f"{name}_here", *own, *options)
    assert all(np.array_equal(*pair) for pair in zip(remote, here)) and remote[0].std() > 1


def test_the_server_says_what_its_model_makes(server: Served):
    info = server.client().model(MODEL)
    assert info.contract["subsets"] and len(info.contract["views"]) == 7 and info.contract["controls"] == ["wsm"]
    assert info.defaults["model.given_frames"] == [5]
    weights = {f"{name}.safetensors" for name in ("network", "text_encoder", "tokenizer")}
    assert set(info.checkpoints) == {"model.json", *weights}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("controls=hdmap",), "controls.hdmap"),
        (
            ("model.num_frames=20",),
            "all views together are of 13, 25 ... 121 frames, with model.overlap=1; nearest is 25",
        ),
        (("model.height=64",), "this model makes 32x48 pixels"),
        (("model.overlap=3", "model.num_frames=25"), "continues a video from 1 or 5 frames; nearest is"),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(server: Served, overrides, message):
    errors = validate(compose([*THREE, "model=remote", f"model.endpoint={server.url}", *overrides]))
    assert any(message in error for error in errors), errors


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampler.sigma_max=40", "the noise levels of transfer25_auto_multiview follow from sampler.num_steps alone"),
        ("captions.regions=[{prompt: A house., box: [0,0,1,0.5]}]", "reads a prompt per view and no regions"),
    ],
)
def test_what_the_model_has_no_place_for_is_refused_by_the_server(server: Served, root: Path, override, message):
    from cosmos_exp.common.errors import UserError

    with pytest.raises(UserError, match=message):
        made(
            root,
            f"refused_{len(message)}",
            "model=remote",
            f"model.endpoint={server.url}",
            "model.num_frames=13",
            override,
        )


def test_a_request_file_makes_the_front_view(server: Served, root: Path):
    """CARLA's interface, with a World Scenario map as its control."""
    pattern = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    write_video(root / "wsm.mp4", np.stack([np.roll(pattern, n, 1) for n in range(13)]), 10)
    (root / "drive.toml").write_text(
        'prompt = "Rain."\nnegative_prompt = ""\nguidance = 2\nsigma_max = 80\nnum_steps = 2\nseed = 1\n'
        '[wsm]\ncontrol_weight = 1.0\ninput_control = "wsm.mp4"\n'
    )
    done = run_here("request", server.url, "drive.toml", "--output", "made.mp4", cwd=root)
    assert done.returncode == 0, done.stderr
    assert read_video(root / "made.mp4").shape == (13, 32, 48, 3)


def test_a_single_view_model_of_a_server(general25, root: Path):
    own = ("model=transfer25_edge", f"model.weights={general25('transfer25_edge')[0]}", "controls=edge", "views=single")
    alone = ("views=single", "controls=edge", "model.num_frames=20", "model.fps=10")
    with served(root / "edge", *own, "scene.duration=5") as started:
        for name, model in (("edge_remote", ("model=remote", f"model.endpoint={started.url}")), ("edge_here", own)):
            places = (f"paths.outputs={root}", f"paths.cache={root / 'cache'}")
            run([*COMMON, *model, *alone, *places], root / name / "run")
    remote, here = (next((root / n / "run" / "single_view").glob("*.mp4")) for n in ("edge_remote", "edge_here"))
    assert remote.read_bytes() == here.read_bytes() and read_video(here).shape == (20, 32, 48, 3)
