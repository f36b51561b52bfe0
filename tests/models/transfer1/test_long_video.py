"""The end-to-end pipeline with tiny models made like the released ones: two shapes, chunks, sizes, an init video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from helpers.pipeline_context import after, context_of, transfer1

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.common.video import read_video, resize, write_video
from cosmos_exp.common.views import VIEWS
from cosmos_exp.config.validate import validate
from cosmos_exp.models.checkpoints.released import WAYMO_VIEWS
from cosmos_exp.models.transfer1.generation import Generation
from cosmos_exp.pipeline.context import RunContext
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import DONE

CHUNK, MULTI_CHUNK = {"least": 17, "most": 17}, {"least": 9, "most": 9}
SIZES = ((32, 48), (48, 48), (48, 32))
RULE = {"base": 1, "step": 8}
SMALL = (
    "sampler.num_steps=1",
    "scene.num_vehicles=1",
    "controls=hdmap",
    "metrics.names=[psnr,edge_f1]",
    "tracking=disabled",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("long")


@pytest.fixture(scope="module")
def tiny_released(tiny_config, build_tiny, root: Path):
    """A function: folder of a tiny model of the released layout; overlaps: what its networks continue a video from."""

    def write(name: str, overlaps=(), multi_view_overlaps=(), views=VIEWS) -> Path:
        config = tiny_config()
        config["contract"] |= {
            "frames": RULE | CHUNK,
            "sizes": SIZES,
            "views": views,
            "overlaps": overlaps,
            "multi_view_overlaps": multi_view_overlaps,
            "multi_view_clip": {"height": 16, "width": 32, "frames": RULE | MULTI_CHUNK},
        }
        config["tokenizer"]["stat_frames"] = 3
        masked = {"condition_mask": bool(overlaps)}
        ids = {"num_views": len(views), "view_ids": [VIEWS.index(view) for view in views]}
        for stage, changes in (("single_view", masked), ("multi_view", ids)):
            config[stage]["base"] |= changes
            for control in config[stage]["controls"].values():
                control |= changes
        model = build_tiny(config)
        model.tokenizer.set_statistics(torch.randn(16, 3) / 8, torch.rand(16, 3) + 0.5)
        model.save(root / "models" / name)
        return root / "models" / name

    return write


@pytest.fixture(scope="module")
def t2w(tiny_released) -> Path:
    """One chunk of each network."""
    return tiny_released("t2w")


@pytest.fixture(scope="module")
def v2w(tiny_released) -> Path:
    """Both networks continue a video."""
    return tiny_released("v2w", overlaps=(1,), multi_view_overlaps=(1,))


@pytest.fixture(scope="module")
def run_tiny(configure, root: Path):
    def run_with(name: str, folder: Path, *overrides: str):
        places = (f"paths.outputs={root}", f"paths.cache={root}/cache", f"model.weights={folder}")
        status = run(configure(*SMALL, *places, *overrides), root / name)
        assert status.state == DONE
        (clip,) = RunFolder(root / name).clips()
        return status, RunFolder(root / name), clip

    return run_with


def context_of_tiny(configure, root: Path, *overrides: str) -> RunContext:
    return context_of(configure(*SMALL, *overrides), root / "cache")


def shapes(folder: RunFolder, clip: str, style: str = "Sunny") -> tuple:
    """Of the front view's video, of another view's, and of the grid."""
    paths = folder.single_view(clip, style), folder.view(clip, style, 1), folder.grid(clip, style)
    return tuple(read_video(path).shape[:3] for path in paths)


ONE_STYLE = "captions.styles=[Sunny]"


def test_the_front_view_and_all_views_of_another_shape(run_tiny, t2w: Path) -> None:
    status, folder, clip = run_tiny("two_shapes", t2w, ONE_STYLE)
    assert shapes(folder, clip) == ((17, 32, 48), (9, 16, 32), (9, 32, 96))
    front, side = (read_video(folder.control("hdmap", view, clip)) for view in VIEWS[:2])
    assert (front.shape[:3], side.shape[:3]) == ((17, 32, 48), (9, 16, 32))
    foreign = len(VIEWS)  # of the scene that floors are made of
    assert status.misses["render"] == (len(VIEWS) + 1) * 2 + foreign  # the front twice, the whole in two weathers
    assert {f"psnr/{view}" for view in VIEWS} <= set(folder.read_metrics()["Sunny"])


def test_a_control_is_made_where_it_is_shown_or_read(configure, root: Path, t2w: Path) -> None:
    options = (f"model.weights={t2w}", "controls=hdmap_seg")
    every, used = (context_of_tiny(configure, root, *options, f"previews.controls={n}").spec for n in ("all", "used"))
    front, (front_again, *others) = every.model.front, every.model.views.values()
    assert front != front_again
    assert set(every.control_requests("edge")) == {front, *others}
    assert set(every.control_requests("hdmap")) == {front, front_again, *others}
    assert set(used.controls) == {"hdmap", "seg"}
    assert used.control_requests("seg") == (front,)
    assert set(used.control_requests("hdmap")) == {front, front_again, *others}


def test_the_multi_view_net_sees_the_front_video_resized(configure, root: Path, t2w: Path) -> None:
    """And controls with the same borders, so that what is at the picture's edge is there in both."""
    context = context_of_tiny(configure, root, f"model.weights={t2w}")
    requests = (context.spec.model.front, context.spec.model.views[VIEWS[0]])
    front, other = (context.scene.camera(request).model for request in requests)
    corners = np.array([[0, 0], [front.width, front.height], [10, 20]], float)
    scale = np.array([other.width / front.width, other.height / front.height])
    np.testing.assert_allclose(front.unproject(corners), other.unproject(corners * scale), atol=1e-6)


def test_waymos_five_views(run_tiny, tiny_released) -> None:
    model = tiny_released("waymo", views=WAYMO_VIEWS)
    _, folder, clip = run_tiny("waymo", model, ONE_STYLE, "views=waymo_five", "sensors=waymo_five")
    assert len(list(folder.multi_view(clip, "Sunny").glob("?.mp4"))) == 5
    grid, front = read_video(folder.grid(clip, "Sunny")), read_video(folder.view(clip, "Sunny", 0))
    assert grid.shape[:3] == (9, 32, 96)
    assert np.abs(grid[:, :16, 32:64].astype(int) - front).mean() < 12
    for beside in (slice(None, 12), slice(84, None)):  # two views in the second row, in its middle
        assert grid[:, 18:, beside].mean() < 25


def test_a_long_video_is_made_in_chunks(run_tiny, v2w: Path) -> None:
    status, folder, clip = run_tiny("chunks", v2w, ONE_STYLE, "model.num_frames=40")
    assert shapes(folder, clip) == ((40, 32, 48), (33, 16, 32), (33, 32, 96))
    assert (status.misses["single_view"], status.misses["multi_view"]) == (3, 4)
    assert status.misses["hints"] == 3 + 4 * len(VIEWS)


def test_a_killed_long_run_goes_on_at_its_chunk(run_tiny, v2w: Path, monkeypatch) -> None:
    made, sample = [], Generation.single_view

    def killed_after_one(self, chunk, *inputs, **where):
        if made:
            raise KeyboardInterrupt
        made.append(chunk.index)
        return sample(self, chunk, *inputs, **where)

    overrides = (ONE_STYLE, "views=single", "model.num_frames=40", "sampler.seed=3")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Generation, "single_view", killed_after_one)
        run_tiny("killed", v2w, *overrides)
    status, _, _ = run_tiny("killed", v2w, *overrides)
    assert (status.hits["single_view"], status.misses["single_view"]) == (1, 2)


def test_a_chunk_keeps_the_frames_it_was_given(configure, root: Path, v2w: Path) -> None:
    """What was decoded at the end of one chunk, encoded again, is where the next begins; in every view."""
    context = after(
        context_of_tiny(configure, root, f"model.weights={v2w}", ONE_STYLE, "model.num_frames=40"), "generate"
    )
    made = context.state.generated["Sunny"]
    first, second, _ = map(load_arrays, made.front.entries)
    model = transfer1(context).folder.model
    np.testing.assert_allclose(second["latents"][:, :1], model.encode_video(first["video"][-1:]), atol=1e-5)
    assert not np.allclose(second["latents"][:, 1], first["latents"][:, 1], atol=0.1)

    first, second, *_ = map(load_arrays, made.views[VIEWS[0]].entries)
    for index, view in enumerate(VIEWS[1:], 1):
        given = model.encode_video(first[f"video/{view}"][-1:])
        np.testing.assert_allclose(second["latents"][index, :, :1], given, atol=1e-5)
    front = resize(made.front.read()[8:17], 16, 32)
    np.testing.assert_allclose(second["latents"][0], model.encode_video(front), atol=1e-5)


def test_the_first_frames_are_encoded_alone_as_within_a_video(configure, root: Path, v2w: Path) -> None:
    model = transfer1(context_of_tiny(configure, root, f"model.weights={v2w}")).folder.model
    video = np.random.default_rng(0).integers(0, 256, (17, 32, 48, 3), dtype=np.uint8)
    whole = model.encode_video(video)
    for frames, latents in ((1, 1), (9, 2)):
        torch.testing.assert_close(model.encode_video(video[:frames]), whole[:, :latents], atol=1e-5, rtol=1e-5)


def latents(configure, root: Path, folder: Path, *overrides: str) -> np.ndarray:
    """Of the front view."""
    context = context_of_tiny(configure, root, f"model.weights={folder}", ONE_STYLE, "views=single", *overrides)
    made = after(context, "generate").state.generated["Sunny"]
    return np.concatenate([load_arrays(entry)["latents"] for entry in made.front.entries], axis=1)


@pytest.fixture(scope="module")
def other_video(root: Path) -> Path:
    """Noise of 20 frames, of another size."""
    frames = np.random.default_rng(1).integers(0, 256, (20, 24, 40, 3), dtype=np.uint8)
    return write_video(root / "other.mp4", frames, 24)


def test_a_video_to_depart_from(configure, root: Path, t2w: Path, other_video: Path) -> None:
    """The less noise, the more of the input is left."""
    context = context_of_tiny(configure, root, f"model.weights={t2w}", "views=single")
    model = transfer1(context)
    scene = load_arrays(context.renders.render(model.front, "Original", context.spec.outputs))["rgb"]
    file = resize(read_video(other_video)[:17], 32, 48, cv2.INTER_AREA)
    for given, video in (("rgb", scene), (other_video, file)):
        original = model.folder.model.encode_video(video).numpy()
        near, far = (
            np.abs(latents(configure, root, t2w, f"sampler.input={given}", *levels) - original)
            for levels in (("sampler.sigma_max=0.01", "sampler.sigma_min=0.002"), ("sampler.sigma_max=20",))
        )
        assert near.mean() < 0.05 < 0.2 < far.mean()


def test_the_other_views_do_not_depart_from_it(configure, root: Path, t2w: Path) -> None:
    """A lower noise level is then of the front view alone."""
    for given, sigma in (("rgb", 80), ("null", 5)):
        overrides = (f"sampler.input={given}", "sampler.sigma_max=5")
        model = transfer1(context_of_tiny(configure, root, f"model.weights={t2w}", *overrides))
        assert (model.sampler.sigma_max, model.multi_view_sampler.sigma_max) == (5, sigma)


def test_reference_compat_is_another_result(run_tiny, t2w: Path) -> None:
    run_tiny("two_shapes", t2w, ONE_STYLE)
    status, _, _ = run_tiny("compat", t2w, ONE_STYLE, "model.reference_compat=true")
    assert set(status.misses) == {"single_view", "multi_view", "metrics"}


def test_weights_as_they_count_stand_in_the_run(run_tiny, t2w: Path) -> None:
    overrides = ("controls=all", "controls.hdmap.weight=1", "controls.edge.weight=1.5", "views=single")
    zero = [f"controls.{name}.weight=0" for name in ("depth", "seg", "vis")]
    _, folder, _ = run_tiny("weights", t2w, ONE_STYLE, *overrides, *zero)
    assert folder.read_status().weights == {"single_view": {"hdmap": 0.4, "edge": 0.6}}


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_run_of_another_aspect(size: tuple[int, int], run_tiny, t2w: Path) -> None:
    height, width = size
    _, folder, clip = run_tiny(
        f"aspect_{height}x{width}", t2w, ONE_STYLE, f"model.height={height}", f"model.width={width}"
    )
    assert shapes(folder, clip) == ((17, height, width), (9, 16, 32), (9, 32, 96))
    assert read_video(folder.control("hdmap", VIEWS[0], clip)).shape == (17, height, width, 3)


def test_the_size_follows_a_sensor_file(configure, root: Path, t2w: Path, tmp_path: Path) -> None:
    def front(image_size: tuple[int, int]) -> tuple[int, int]:
        attributes = {"image_size_x": image_size[0], "image_size_y": image_size[1]}
        (tmp_path / "sensors.yaml").write_text(yaml.safe_dump([{"sensor": "rgb", "attributes": attributes}]))
        overrides = ("sensors=carla_yaml", f"sensors.file={tmp_path / 'sensors.yaml'}", "views=single")
        return context_of_tiny(configure, root, f"model.weights={t2w}", *overrides).spec.model.front.shape[1:]

    assert [front(size) for size in ((1280, 720), (600, 600), (720, 1280))] == [(32, 48), (48, 48), (48, 32)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.mp4", "sampler.input: no file 'nowhere.mp4': give rgb"),
        ("slow.mp4", "has 12 frames per second, the clip has 24: give model.fps=12"),
        ("short.mp4", "has 9 frames, the clip has 17: give a longer video"),
        ("cut.mp4", "states no codec that can be decoded here; is it truncated?"),
        ("text.mp4", "cannot read the video"),
    ],
)
def test_input_videos_that_do_not_fit(
    given: str, message: str, configure, t2w: Path, other_video: Path, tmp_path
) -> None:
    frames = read_video(other_video)
    write_video(tmp_path / "slow.mp4", frames, 12)
    write_video(tmp_path / "short.mp4", frames[:9], 24)
    whole = other_video.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 50])
    (tmp_path / "text.mp4").write_text("no video")
    path = tmp_path / given if (tmp_path / given).exists() else given
    (found,) = validate(configure(f"model.weights={t2w}", "controls=hdmap", f"sampler.input={path}"))
    assert message in found


def test_a_truncated_input_video_ends_the_run(run_tiny, t2w: Path, other_video: Path, tmp_path: Path) -> None:
    """The index in front still announces every frame."""
    whole = other_video.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UserError, match=r"cut\.mp4.*truncated"):
        run_tiny("truncated", t2w, ONE_STYLE, "views=single", f"sampler.input={tmp_path / 'cut.mp4'}")


def test_all_views_begin_with_given_frames(configure, root: Path, v2w: Path, run_tiny) -> None:
    """The scene's pictures, or the videos of another run."""
    _, folder, clip = run_tiny("chunks", v2w, ONE_STYLE, "model.num_frames=40")
    other = folder.multi_view(clip, "Sunny")
    for given in ("rgb", other):
        context = context_of_tiny(configure, root, f"model.weights={v2w}", ONE_STYLE, f"sampler.first_frames={given}")
        made = after(context, "generate").state.generated["Sunny"]
        model = transfer1(context)
        first = load_arrays(made.views[VIEWS[0]].entries[0])["latents"]
        for index, view in enumerate(VIEWS[1:], 1):
            picture = load_arrays(context.scene_renders()[model.views[view]])["rgb"]
            video = picture if given == "rgb" else read_video(other / f"{index}.mp4")
            np.testing.assert_allclose(first[index, :, :1], model.folder.model.encode_video(video[:1]), atol=1e-5)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sampler.first_frames=rgb", "views=single"], "goes with all views of a model that continues them"),
        (["sampler.first_frames=nowhere"], "no folder 'nowhere': give rgb"),
        (["sampler.first_frames=/tmp"], "has nothing for front_wide_120fov"),
    ],
)
def test_first_frames_that_are_not_there(overrides: list[str], message: str, configure, v2w: Path) -> None:
    found = validate(configure(f"model.weights={v2w}", "controls=hdmap", *overrides))
    assert any(message in problem for problem in found), found
