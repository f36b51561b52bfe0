"""A captured scene in the pipeline: its pictures are the renders of the run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.captures import cameras_of, write_capture
from helpers.carla_clients import require_carla
from helpers.pipeline_context import after, context_of

from cosmos_exp.common.cache import StageCache
from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.config.validate import validate
from cosmos_exp.pipeline.dry_run import dry_run
from cosmos_exp.scene.carla_live.folder import OUTPUTS, Capture, open_capture

VIEWS = ("front_wide_120fov", "cross_left_120fov")
BASE = ("scene=carla_live", f"views.names=[{','.join(VIEWS[:1])}]", "model.num_frames=9", "captions.styles=[Night]")


@pytest.fixture(scope="module")
def capture(configure, tmp_path_factory) -> Capture:
    spec = RunSpec.of(configure(*BASE))
    folder = tmp_path_factory.mktemp("captured") / "capture"
    return write_capture(folder, cameras_of(spec), frames=11, fps=spec.fps, weather="Golden hour", numbers=3)


@pytest.fixture
def given(configure, capture: Capture, tmp_path: Path):
    """A function: the config of a run on the capture, or on another folder."""

    def config(*more: str, folder: Path = capture.folder):
        return configure(*BASE, f"scene.folder={folder}", f"paths.outputs={tmp_path}", "tracking=disabled", *more)

    return config


def renders(cfg, tmp_path: Path) -> dict[str, np.ndarray]:
    """Arrays of the front view."""
    context = after(context_of(cfg, tmp_path / "cache"), "render")
    return load_arrays(next(iter(context.scene_renders().values())))


def test_pictures_are_the_capture_s_and_the_rest_is_drawn(given, capture: Capture, tmp_path: Path) -> None:
    own = renders(given(), tmp_path)
    context = context_of(given(), tmp_path / "cache")
    night = load_arrays(context.renders.render(context.spec.model.front, "Night", ("rgb",)))
    for output in set(OUTPUTS) - {"instance"}:
        np.testing.assert_array_equal(own[output], capture.array(VIEWS[0], output)[:9])
    np.testing.assert_allclose(own["times"], np.arange(9) / RunSpec.of(given()).fps)
    assert own["hdmap"].any() and set(night) == {"rgb", "times"}
    assert own["rgb"].mean() > 2 * night["rgb"].mean(), "rgb in other styles is the renderer's"


def test_pictures_lie_on_the_disk_once(given, capture: Capture, tmp_path: Path) -> None:
    """All but the objects, which have other numbers in a run: a result of the cache holds links to the files of the
    capture, which stay when that is removed."""
    cut = write_capture(tmp_path / "own", cameras_of(RunSpec.of(given())), frames=9, fps=capture.fps)
    config = given(folder=cut.folder)
    (entry,) = after(context_of(config, tmp_path / "cache"), "render").scene_renders().values()
    for output in set(OUTPUTS) - {"instance"}:
        assert (entry.path / f"{output}.npy").samefile(cut.folder / f"{VIEWS[0]}.{output}.npy"), output
    before = {name: array.copy() for name, array in load_arrays(entry).items()}
    shutil.rmtree(cut.folder)
    assert StageCache(tmp_path / "cache").get_or_compute("render", entry.key, pytest.fail).hit
    for name, array in load_arrays(entry).items():
        np.testing.assert_array_equal(array, before[name])


def test_a_capture_that_was_changed_is_no_cached_result_either(given, capture: Capture, tmp_path: Path) -> None:
    cut = write_capture(tmp_path / "own", cameras_of(RunSpec.of(given())), frames=9, fps=capture.fps)
    renders(given(folder=cut.folder), tmp_path)
    with (cut.folder / f"{VIEWS[0]}.rgb.npy").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x07")
    with pytest.raises(UserError, match=r"rgb\.npy of the capture .* is damaged .* capture again"):
        renders(given(folder=cut.folder), tmp_path)


def test_a_capture_that_is_gone_is_made_again_or_missed(given, tmp_path: Path) -> None:
    require_carla()
    with pytest.raises(UserError, match=r"no CARLA server at 127\.0\.0\.1:9 .*there is no capture in '.*gone'"):
        renders(given("scene.port=9", folder=tmp_path / "gone"), tmp_path)


def test_objects_get_the_numbers_of_the_scene_s_tracks(given, capture: Capture, tmp_path: Path) -> None:
    """Which evaluators and labels know them by."""
    context = after(context_of(given(), tmp_path / "cache"), "render")
    (entry,) = context.scene_renders().values()
    captured, ids = capture.array(VIEWS[0], "instance")[:9], load_arrays(entry)["instance"]
    np.testing.assert_array_equal(ids == 0, captured == 0)
    tracks = {i + 1: track.actor_class for i, track in enumerate(context.scene.scene.tracks)}
    semantic = capture.array(VIEWS[0], "semantic")[:9]
    seen = np.unique(ids[ids > 0])
    assert len(seen) and set(seen.tolist()) <= set(tracks)
    cars = np.unique(ids[semantic == 14])
    assert len(cars) and all(tracks[number].value == "car" for number in cars.tolist())


def test_a_plan_needs_no_server(given) -> None:
    planned = dry_run(RunSpec.of(given("paths.cache=${paths.outputs}/cache")))
    assert "render" in planned.stages and planned.generated


def test_the_capture_counts_by_its_content(given, capture: Capture, configure, tmp_path: Path) -> None:
    def key(folder: Path, *more: str) -> str:
        return context_of(given(*more, folder=folder), tmp_path / "cache").scene.key

    moved = tmp_path / "moved"
    shutil.copytree(capture.folder, moved)
    assert key(moved) == key(capture.folder) == key(moved, "scene.port=3000", "scene.log=other.log")
    assert key(moved, "scene.seed=3") != key(moved)
    again = write_capture(tmp_path / "again", cameras_of(RunSpec.of(given())), frames=11, fps=capture.fps)
    assert key(again.folder) != key(moved)


def test_cells_share_a_capture_below_the_outputs(configure, tmp_path: Path) -> None:
    """By what is captured: not by the sampler or the address of the server, but by window and size."""
    from cosmos_exp.pipeline.captured import capture_folder

    def folder(*more: str) -> Path:
        spec = RunSpec.of(configure(*BASE, "scene.log=drive.log", f"paths.outputs={tmp_path}", *more))
        return capture_folder(spec, StageCache(tmp_path / "cache"))

    assert folder().parent == tmp_path / "captures"
    assert folder() == folder("sampler.guidance=2", "scene.port=2100", "captions.styles=[Rainy]")
    others = [("scene.start=2",), ("scene.ego=taxi",), ("model.num_frames=17",), ("model.fps=10",)]
    others += [("scene.log=else.log",), ("sensors=six_views_ftheta",)]
    assert len({folder(), *(folder(*more) for more in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model.num_frames=17"], "has 11 frames, the run needs 17: set model.num_frames"),
        (["model.fps=12"], "frames per second, the run 12: set model.fps"),
        (["views.names=[cross_left_120fov]"], "has no camera 'cross_left_120fov': it has front_wide_120fov"),
        (["sensors=six_views_ftheta"], "front_wide_120fov: its lens is"),
        (["sensors.cameras.front_wide_120fov.position=[1,0,2]"], "mounted elsewhere than the run's camera"),
    ],
)
def test_a_capture_that_is_not_of_the_run_is_told(more: list[str], message: str, given, tmp_path: Path) -> None:
    with pytest.raises(ValidationErrors, match=message):
        renders(given(*more), tmp_path)


def test_a_damaged_picture_is_told(given, capture: Capture, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(capture.folder, folder)
    with (folder / f"{VIEWS[0]}.rgb.npy").open("r+b") as file:
        file.seek(-5, 2)
        file.write(b"\x00\x01\x02\x03\x04")
    with pytest.raises(UserError, match=r"rgb\.npy of the capture .* is damaged"):
        renders(given(folder=folder), tmp_path)
    assert open_capture(capture.folder).frames == 11


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["scene.weather=Rainy"], "scene.weather=Rainy: scene=carla_live has the weather of its pictures"),
        (
            ["+scene.edits.gone={kind: drop, roles: [parked]}"],
            "scene.edits and scene.ego_edit change no captured picture",
        ),
        (["scene.time_factor=0"], "scene.time_factor=0: must be above 0"),
        (["scene.time_factor=2"], "scene.time_factor=2 is of a replay: give scene.log"),
        (["scene.port=0"], "scene.port=0: must be 1 to 65534"),
        (["scene.timeout=0"], "scene.timeout=0: must be above 0 s"),
        (["scene.ego=''"], "scene.ego is empty"),
        (["scene.duration=0"], "scene.duration=0: a time window must be longer"),
    ],
)
def test_values_that_no_capture_can_have_are_named(more: list[str], message: str, given) -> None:
    (problem,) = validate(given(*more))
    assert message in problem


def test_a_folder_that_holds_something_else_is_kept(given, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("kept")
    with pytest.raises(UserError, match="holds something else than a finished capture"):
        renders(given(folder=tmp_path / "mine"), tmp_path)
    assert (tmp_path / "mine" / "work.txt").read_text() == "kept"
