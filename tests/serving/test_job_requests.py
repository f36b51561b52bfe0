"""Requests before they run: what of the config they may set, and that everything wrong with one is told at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.requests import FRONT, guided, mp4, picture_of, put, rendered, small

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.controls import make_control
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.remote.wire import ControlInput, JobRequest
from cosmos_exp.rendering.types import CameraRender
from cosmos_exp.serving.blobs import BlobStore
from cosmos_exp.serving.config import settings
from cosmos_exp.serving.generation import check_request, job_of, model_info


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def blobs(root: Path) -> BlobStore:
    return BlobStore(root / "blobs")


@pytest.fixture(scope="module")
def nano(root: Path):
    return settings(["model=nano_fast", f"paths.outputs={root}"]).config


@pytest.fixture(scope="module")
def hdmap(blobs: BlobStore) -> str:
    return put(blobs, mp4(picture_of(0)))


@pytest.fixture
def problems(nano, blobs: BlobStore, root: Path):
    return lambda request: check_request(nano, request, blobs, root)


def test_a_request_can_run(problems, hdmap: str):
    assert problems(guided(hdmap)) == []


def test_a_job_has_the_values_of_its_request_and_the_servers_for_the_rest(nano, blobs, hdmap: str, tmp_path: Path):
    request = guided(hdmap, 0.4, seed=5, guidance=3.0, extra=small(config={"sampler.sigma_max": 60.0}))
    config = job_of(nano, request, blobs, tmp_path).spec.config
    assert (config.sampler.seed, config.sampler.guidance, config.sampler.sigma_max) == (5, 3.0, 60.0)
    assert config.sampler.num_steps == nano.sampler.num_steps
    assert {name: control.weight for name, control in config.controls.used.items()} == {"hdmap": 0.4}
    assert config.views.names == [FRONT]


@pytest.mark.parametrize(
    ("given", "level"), [({}, 0.4), ({"sampler.sigma_min": None}, 0.4), ({"sampler.sigma_min": 0.1}, 0.1)]
)
def test_without_a_last_noise_level_a_job_has_the_models_own(nano, blobs, hdmap: str, tmp_path: Path, given, level):
    job = job_of(nano, guided(hdmap, extra=small(config=given)), blobs, tmp_path)
    assert job.spec.model.config.sampler.sigma_min == level
    assert model_info(nano).defaults["sampler.sigma_min"] == 0.4


def test_everything_that_is_wrong_is_told_at_once(problems, hdmap: str):
    request = guided(
        "0" * 64,
        backend="nano_fas",
        guidance=3.0,
        resolution="700",
        views=["x"],
        controls={
            "hdmap": ControlInput(blob="0" * 64),
            "seg": ControlInput(derive=True),
            "hdmpa": ControlInput(blob=hdmap),
        },
        extra=small(
            config={
                "model.num_frames": 10,
                "model.weights": "/etc",
                "sampler.guidance": 2.0,
                "sampler.sigma_max": "70",
                "sampler.input": "/etc/passwd",
                "captions.regions": [{"prompt": "a tram", "mask": "blob:" + "1" * 64}],
            }
        ),
    )
    told = "\n".join(problems(request))
    for part in (
        "backend: unknown model of this server 'nano_fas': did you mean 'nano_fast'?",
        "controls: unknown control 'hdmpa': did you mean 'hdmap'?",
        "unknown key of extra.config 'model.weights'",
        "sampler.guidance is given twice: 2.0 in extra.config, and 3.0",
        "sampler.sigma_max='70': needed is a number",
        "sampler.input='/etc/passwd': upload the file, and name it by blob:SHA-256",
        f"captions.regions[0].mask: no file {'1' * 64} was uploaded",
        "model.num_frames=10: nano_fast makes 9 or 17 or 25 frames; nearest is 9",
        "model.height=700: this model makes 144x256 pixels (height x width); nearest is 144x256",
        "views.names=['x']",
        f"controls.hdmap: no file {'0' * 64} was uploaded",
        "controls.seg.derive: of colour edge and vis are made; upload a video of seg",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no video at all", "is it truncated?"),
        (mp4(picture_of(1, 5)), "has 5 frames, the clip has 9"),
        (mp4(picture_of(1), 10), "has 10 frames per second, the clip has 24"),
        (mp4(picture_of(1))[:5000], "is truncated: it has 5000 bytes"),
    ],
)
def test_a_video_that_cannot_be_used_is_named_without_the_servers_paths(problems, blobs, root, content, told):
    sha256 = put(blobs, content)
    (error,) = problems(guided(sha256))
    assert error.startswith(f"controls.hdmap: {'cannot read the video ' if 'cannot' in error else ''}{sha256}")
    assert told in error and str(root) not in error


def test_videos_of_a_view_are_of_one_length(problems, blobs, hdmap: str):
    longer = put(blobs, mp4(picture_of(2, 12)))
    controls = {"hdmap": ControlInput(blob=hdmap), "seg": ControlInput(blob=longer)}
    (error,) = problems(guided(hdmap, controls=controls))
    assert error == f"the videos of {FRONT} have different numbers of frames: controls.hdmap 9, controls.seg 12"


def test_several_views_need_the_videos_of_each(problems, nano, hdmap: str):
    views = list(model_info(nano).contract["views"])
    (error,) = problems(guided(hdmap, views=views))
    assert error.startswith("controls.hdmap.blobs: lacks cross_left_120fov, cross_right_120fov")
    assert (
        problems(guided(hdmap, views=views, controls={"hdmap": ControlInput(blobs=dict.fromkeys(views, hdmap))})) == []
    )


def test_what_the_model_does_not_read_is_refused(problems, blobs, hdmap: str):
    (error,) = problems(guided(hdmap, rgb={FRONT: hdmap}))
    assert error == "rgb is given, but nano_fast does not read it in this request: leave it out"
    (error,) = problems(guided(hdmap, extra=small(config={"controls.seg.weight": 1.0})))
    assert error == "controls.seg.weight has a value, but controls lacks seg: give its videos there"


def test_what_the_model_reads_of_the_scene_is_asked_for(problems, hdmap: str):
    start = guided(hdmap, extra=small(config={"sampler.input": "rgb"}))
    assert problems(start) == [f"rgb: lacks {FRONT}, which this request needs"]
    assert problems(start.model_copy(update={"rgb": {FRONT: hdmap}})) == []
    cars = guided(hdmap, extra=small(config={"controls.hdmap.weight_map.classes": ["car"]}))
    assert problems(cars) == [f"extra.renders.semantic: lacks {FRONT}, which this request needs"]


def test_a_file_of_the_config_is_an_upload(nano, problems, blobs, hdmap: str, tmp_path: Path):
    mask = put(blobs, _npy(np.ones((4, 4), np.float32)), "mask.npy")
    request = guided(hdmap, extra=small(config={"controls.hdmap.weight_map.mask": f"blob:{mask}"}))
    assert problems(request) == []
    given = job_of(nano, request, blobs, tmp_path).spec.config.controls.hdmap.weight_map.mask
    assert given == str(tmp_path / "controls.hdmap.weight_map.mask.npy") and np.load(given).shape == (4, 4)


def test_a_file_is_read_as_the_request_names_it_whoever_uploaded_it_first(nano, problems, blobs, hdmap, tmp_path):
    mask = put(blobs, _npy(np.full((5, 5), 0.5, np.float32)), "first.png")
    named = guided(hdmap, extra=small(config={"controls.hdmap.weight_map.mask": f"blob:{mask}.npy"}))
    given = job_of(nano, named, blobs, tmp_path).spec.config.controls.hdmap.weight_map.mask
    assert given == str(tmp_path / "controls.hdmap.weight_map.mask.npy")
    (told,) = problems(guided(hdmap, extra=small(config={"controls.hdmap.weight_map.mask": f"blob:{mask}"})))
    assert "mask.png" in told


@pytest.mark.parametrize(("name", "strength"), [("edge", "very_low"), ("edge", "high"), ("vis", "low")])
def test_a_control_is_made_from_the_colours_that_are_sent(nano, blobs, tmp_path, name, strength):
    frames = picture_of(6)
    own, control = small(config={f"controls.{name}.strength": strength}), {name: ControlInput(derive=True, weight=0.5)}
    rgb = {"single_view": put(blobs, mp4(frames))}
    request = JobRequest(backend="nano_fast", prompt="A street.", controls=control, rgb=rgb, extra=own)
    job = job_of(nano, request, blobs, tmp_path)
    entries = job.generation_request(Results(job.spec, StageCache(tmp_path / "cache"))).controls[name]
    seen = CameraRender(FRONT, np.arange(9) / 24, rgb=frames)
    made = load_arrays(entries[job.spec.model.front])["video"]
    np.testing.assert_array_equal(made, make_control(name, seen, strength=strength))


def test_model_render_needs_the_scene_in_the_style_and_no_control(blobs, root: Path, hdmap: str):
    config = settings(["model=render", f"paths.outputs={root}"]).config
    assert check_request(config, rendered(hdmap), blobs, root) == []
    missing = rendered(hdmap).model_copy(update={"extra": small()})
    told = check_request(config, missing, blobs, root)
    assert told == [f"extra.renders.target: lacks {FRONT}, which this request needs"]


def _npy(array: np.ndarray) -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
