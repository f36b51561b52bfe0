"""Requests of CARLA's Cosmos client as requests of the job API."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.requests import put
from helpers.videos import encode, numbered

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.common.files import file_sha256
from cosmos_exp.config.compose import compose
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.models.dit.map_files import read_map
from cosmos_exp.remote.wire import ControlInput
from cosmos_exp.serving.blobs import BlobStore
from cosmos_exp.serving.config import settings
from cosmos_exp.serving.generation import job_of
from cosmos_exp.serving.requests import Limits, Translated, from_upstream, parse_upstream, upload_name

VALUES = {"prompt": "rain", "negative_prompt": "", "guidance": 7, "sigma_max": 80, "num_steps": 35, "seed": 5}

CONTROLS = "hdmap, edge, depth, seg, vis, lidar, wsm, keypoint, upscale"


@pytest.fixture(scope="module")
def limits() -> Limits:
    """Of nano_fast: 9, 17 or 25 frames of 256 x 144 pixels at 24 Hz."""
    return Limits("nano_fast", RunSpec.of(compose(["model=nano_fast"])).contract, 24.0, (256, 144))


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def upload(tmp_path: Path, blobs: BlobStore) -> Callable[..., str]:
    def keep(name: str, frames: int = 9, fps: float = 24, size: tuple[int, int] = (144, 256)) -> str:
        path = encode(tmp_path / name, numbered(frames, *size), fps=fps)
        sha256 = file_sha256(path)
        blobs.put(sha256, io.BytesIO(path.read_bytes()), name)
        return upload_name(sha256, name)

    return keep


@pytest.fixture
def read(blobs: BlobStore, limits: Limits) -> Callable[..., Translated]:
    return lambda **values: from_upstream({**VALUES, **values}, blobs, limits)


def problems(read: Callable[..., Translated], **values) -> tuple[str, ...]:
    with pytest.raises(ValidationErrors) as caught:
        read(**values)
    return caught.value.errors


def sha256_of(name: str) -> str:
    return name.split("/")[1]


def test_values_and_controls_keep_their_meaning(read, upload):
    edge = upload("edge.mp4")
    made = read(edge={"control_weight": 0.5, "input_control": edge})
    request = made.request
    assert (request.backend, request.prompt, request.negative_prompt) == ("nano_fast", "rain", "")
    assert (request.guidance, request.num_steps, request.seed) == (7.0, 35, 5)
    assert request.controls == {"edge": ControlInput(blob=sha256_of(edge), weight=0.5)}
    assert request.extra.config == {"sampler.sigma_max": 80.0, "model.num_frames": 9}
    assert made.notes == ()


def test_below_80_the_generation_starts_from_the_input_video(read, upload):
    own = upload("input.mp4")
    request = read(input_video_path=own, sigma_max=70).request
    assert request.rgb == {"single_view": sha256_of(own)}
    assert request.extra.config["sampler.input"] == "rgb"
    assert request.extra.config["sampler.sigma_max"] == 70.0


def test_at_80_the_input_video_is_not_read_and_that_is_told(read, upload):
    made = read(input_video_path=upload("input.mp4"), edge={"control_weight": 1, "input_control": upload("edge.mp4")})
    assert made.request.rgb == {}
    assert made.notes == ("sigma_max=80: the generation starts from pure noise, not from the input video",)


def test_edge_and_vis_are_made_from_the_input_video_with_their_presets(read, upload):
    made = read(
        input_video_path=upload("input.mp4"),
        sigma_max=70,
        edge={"control_weight": 0.5},
        vis={},
        canny_threshold="low",
        blur_strength="very_high",
    )
    assert made.request.controls == {
        "edge": ControlInput(derive=True, weight=0.5),
        "vis": ControlInput(derive=True, weight=0.5),
    }
    assert made.request.extra.config["controls.edge.strength"] == "low"
    assert made.request.extra.config["controls.vis.strength"] == "very_high"
    assert "vis has no control_weight: 0.5 is taken" in made.notes


def test_a_weight_may_be_an_uploaded_tensor_with_that_of_every_pixel(read, upload, blobs, tmp_path):
    torch.save(torch.full((9, 18, 32), 0.5), tmp_path / "map.pt")
    weights = (tmp_path / "map.pt").read_bytes()
    name = upload_name(put(blobs, weights, "first_uploaded_under_another_name.bin"), "map.pt")
    request = read(edge={"control_weight": name, "input_control": upload("edge.mp4")}).request
    assert request.controls["edge"].weight == 1.0
    assert request.extra.config["controls.edge.weight_map.mask"] == f"blob:{sha256_of(name)}.pt"
    assert sha256_of(name) in request.blobs
    job = job_of(settings(["model=nano_fast", f"paths.outputs={tmp_path}"]).config, request, blobs, tmp_path / "job")
    assert read_map(Path(job.spec.config.controls.edge.weight_map.mask), 9).unique().tolist() == [0.5]


def test_a_weight_of_a_file_that_was_not_uploaded_is_refused(read, upload):
    (told,) = problems(read, edge={"control_weight": "/tmp/map.pt", "input_control": upload("edge.mp4")})
    assert told.startswith("edge.control_weight: '/tmp/map.pt' is no file that was uploaded here")


def test_a_preset_without_effect_is_told(read, upload):
    made = read(edge={"control_weight": 1, "input_control": upload("edge.mp4")}, canny_threshold="low")
    assert made.notes == ("canny_threshold has no effect: no edge is made from the input video",)


def test_a_clip_is_as_long_as_its_videos_and_not_shortened_unasked(read, upload):
    long = {"control_weight": 1, "input_control": upload("edge.mp4", frames=30)}
    assert problems(read, edge=long) == (
        "the videos have 30 frames; this model makes 9 or 17 or 25 frames: give num_frames=25 to use the first 25",
    )
    made = read(edge=long, num_frames=25)
    assert made.request.extra.config["model.num_frames"] == 25
    assert made.notes == ("num_frames=25: the first 25 frames of edge.input_control are used",)
    assert problems(read, edge=long, num_frames=33) == ("edge.input_control has 30 frames, num_frames is 33",)


def test_videos_have_one_length_and_one_rate(read, upload):
    edge, depth = upload("edge.mp4"), upload("depth.mp4", frames=17, fps=30)
    tables = {
        "edge": {"control_weight": 1, "input_control": edge},
        "depth": {"control_weight": 1, "input_control": depth},
    }
    assert problems(read, **tables) == (
        "videos of unequal length: edge.input_control 9, depth.input_control 17 frames; cut them, or give num_frames",
        "videos of unequal rate: edge.input_control 24, depth.input_control 30 frames per second; give all the same",
    )


def test_rate_and_size_of_the_videos_are_told_where_they_are_not_those_of_the_model(read, upload):
    made = read(edge={"control_weight": 1, "input_control": upload("edge.mp4", fps=30, size=(64, 64))})
    assert made.request.extra.config["model.fps"] == 30.0
    assert made.notes == (
        "edge.input_control is resized from 64x64 to 256x144, which makes things 1.78 times as wide",
        "the video has 30 frames per second, as those that were given",
    )


def test_all_mistakes_are_told_at_once(read):
    assert problems(
        read,
        prompt="",
        guidance=True,
        num_steps="35",
        blur_strength="blurry",
        gudance=3,
        output_dir="/tmp/x",
        depth={"control_weight": 1},
        seg={"control_weight": float("nan"), "control_weight_prompt": "car"},
        lanes={},
        edge=0.5,
    ) == (
        "prompt='': a text that is not empty",
        "guidance=True: a number of 0 or more",
        "num_steps='35': a whole number of 1 to 1000",
        "blur_strength='blurry': unknown blur_strength 'blurry': allowed: very_low, low, medium, high, very_high",
        "unknown key 'gudance': did you mean 'guidance'? allowed: prompt, negative_prompt, guidance, sigma_max, "
        "num_steps, seed, num_frames, blur_strength, canny_threshold, input_video_path, num_input_frames, "
        f"{CONTROLS}",
        "output_dir='/tmp/x': this server chooses where it writes; leave it out",
        "edge=0.5: give an object with control_weight and input_control",
        "depth: this server has no network to make depth from an input video, as it makes edge and vis; "
        "upload a video of depth as input_control",
        "seg.control_weight_prompt: this server has no network to find things in pictures; upload the control's "
        "weight at every pixel, a tensor [T,H,W] or [H,W] in a file .pt, as control_weight",
        "seg.control_weight=nan: a number of 0 or more, or a file .pt that was uploaded",
        f"unknown control 'lanes': did you mean 'lidar'? allowed: {CONTROLS}",
    )


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../blobs/x", "uploads/../x", f"uploads/{'a' * 64}/../../x", f"uploads/{'A' * 64}/x.mp4", 5, ["x"]],
)
def test_no_path_but_that_of_an_upload_is_taken(read, path):
    (told,) = problems(read, input_video_path=path, sigma_max=70)
    assert "is no file that was uploaded here" in told


def test_an_upload_that_was_deleted_is_told(read):
    (told,) = problems(read, input_video_path=f"uploads/{'a' * 64}/x.mp4", sigma_max=70)
    assert told.endswith("is not here, or no longer: upload it again")


def test_a_file_that_is_no_video_is_told_without_the_servers_paths(read, blobs, tmp_path):
    content = b"no video"
    (tmp_path / "x").write_bytes(content)
    sha256 = file_sha256(tmp_path / "x")
    blobs.put(sha256, io.BytesIO(content), "x.mp4")
    (told,) = problems(read, input_video_path=upload_name(sha256, "x.mp4"), sigma_max=70)
    assert told.startswith("input_video_path: cannot read the video the file: ")
    assert str(tmp_path) not in told


@pytest.mark.parametrize("name", ["../../x.mp4", "C:\\x.mp4", "a/b", "", "....", "x" * 500 + ".mp4", "<b>.mp4"])
def test_the_name_of_an_upload_is_one_part_of_a_path(name):
    sha256, part = upload_name("0" * 64, name).removeprefix("uploads/").split("/")
    assert sha256 == "0" * 64
    assert part not in ("", ".", "..") and len(part) <= 80


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "is not JSON"),
        ("[1]", "give a JSON object"),
        ('{"controlnet_specs": 1}', "controlnet_specs=1: give a table"),
        ('{"seed": 1, "controlnet_specs": {"seed": 2}}', "seed: given at the top and below controlnet_specs"),
        ("[" * 100_000, "nested"),
    ],
)
def test_what_is_no_request_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_upstream(text)


def test_controlnet_specs_is_the_same_request():
    assert parse_upstream(json.dumps({"controlnet_specs": VALUES})) == VALUES
