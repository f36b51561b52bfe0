"""`cosmos-exp samples` with a small model: what NVIDIA's command makes of the same files, as a run, and back."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers.command_line import run_here

from cosmos_exp.common.video import read_video, write_video

pytestmark = pytest.mark.slow

CHUNK, SIZE = 13, (32, 48)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files of two views at 20 Hz, one of twice the model's size."""
    folder, rng = tmp_path_factory.mktemp("samples"), np.random.default_rng(0)
    for name, scale, frames in (
        ("front", 2, 60),
        ("left", 1, 60),
        ("front_in", 1, 60),
        ("left_in", 1, 60),
        ("short", 1, 9),
    ):
        pattern = rng.integers(0, 256, (SIZE[0] * scale, SIZE[1] * scale, 3), dtype=np.uint8)
        write_video(folder / "in" / f"{name}.mp4", np.stack([np.roll(pattern, n, 1) for n in range(frames)]), 20)
    write_video(folder / "in" / "slow.mp4", np.zeros((60, *SIZE, 3), np.uint8), 24)
    (folder / "in" / "prompt.txt").write_text("  A rainy street: it's wet, 5 ${x} m.\n")
    return folder


GIVEN = {
    "name": "drive",
    "prompt_path": "prompt.txt",
    "num_steps": 2,
    "cross_left": {"control_path": "left.mp4", "input_path": "left_in.mp4"},
    "front_wide": {"control_path": "front.mp4", "input_path": "front_in.mp4"},
}


def given(folder: Path, name: str, **changes) -> str:
    (folder / "in" / name).write_text(json.dumps(GIVEN | changes))
    return f"in/{name}"


@pytest.fixture(scope="module")
def command(folder, model25_folder):
    def run(*arguments: str):
        return run_here("samples", *arguments, f"model.weights={model25_folder}", cwd=folder)

    return run


@pytest.fixture(scope="module")
def made(folder, command):
    done = command("run", given(folder, "drive.json", save_combined_views=False), "-o", "out", "--lossless")
    assert done.returncode == 0, done.stderr
    return folder / "out"


def test_the_views_have_the_names_of_the_original(made):
    videos = {path.stem: read_video(path) for path in made.glob("*.mp4")}
    assert set(videos) == {"drive_front_wide", "drive_cross_left", "drive_grid"}
    front, left, grid = (videos[f"drive_{name}"] for name in ("front_wide", "cross_left", "grid"))
    assert front.shape == left.shape == (CHUNK, *SIZE, 3)
    assert grid.shape == (CHUNK, 3 * SIZE[0], 3 * SIZE[1], 3)
    assert np.array_equal(grid[:, : SIZE[0], : 2 * SIZE[1]], np.concatenate([front, left], axis=2))
    assert not grid[:, SIZE[0] :].any() and front.std() > 1
    values = json.loads((made / "drive.json").read_text())
    assert values["prompt"] == "A rainy street: it's wet, 5 ${x} m." and values["seed"] == 0


def test_combined_views_follow_one_another_in_the_order_of_the_table(made, folder, command):
    assert command("run", given(folder, "drive.json"), "-o", "combined", "--lossless").returncode == 0
    parts = [read_video(made / f"drive_{name}.mp4") for name in ("front_wide", "cross_left")]
    assert np.array_equal(read_video(folder / "combined" / "drive.mp4"), np.concatenate(parts))


def test_options_of_the_original_count_for_every_sample(made, folder, command):
    path = given(folder, "drive.json", save_combined_views=False)
    done = command("run", path, "-o", "out", "--num_steps=3")
    assert done.returncode == 2 and "out/drive.json is of another sample: give --overwrite" in done.stderr
    assert command("run", path, "-o", "other", "--seed", "4").returncode == 0
    assert json.loads((folder / "other" / "drive.json").read_text())["seed"] == 4
    assert (folder / "other" / "drive_front_wide.mp4").read_bytes() != (made / "drive_front_wide.mp4").read_bytes()


def test_a_long_clip_has_as_many_chunks_as_its_videos_are_long_enough_for(folder, command):
    path = given(folder, "long.json", enable_autoregressive=True, num_chunks=9, chunk_overlap=5, negative_prompt="game")
    done = command("run", path, "-o", "long")
    assert done.returncode == 0
    assert "its videos have 30 frames at 10 Hz, so num_chunks=9 is 3" in done.stderr
    assert "negative_prompt counts; NVIDIA's command ignores it" in done.stderr
    assert len(read_video(folder / "long" / "drive.mp4")) == 2 * (CHUNK + 2 * (CHUNK - 5))


def test_all_mistakes_are_told_before_anything_is_made(folder, command):
    views = {
        "front_wide": {"control_path": "slow.mp4", "input_path": "front_in.mp4"},
        "cross_left": {"control_path": "short.mp4"},
    }
    path = given(folder, "bad.json", **views, num_conditional_frames=0)
    done = command("run", path, "-o", "nothing")
    assert done.returncode == 2 and not (folder / "nothing").exists()
    assert (
        "front_wide.control_path: in/slow.mp4 has 24 frames per second, which is no multiple of fps=10" in done.stderr
    )
    assert "cross_left.control_path: in/short.mp4 has 5 frames at 10 Hz, needed are 13 or more" in done.stderr
    done = command("run", given(folder, "drive.json"), "-o", "nothing", "--guidance", "9")
    assert done.returncode == 2 and "guidance is 9: needed is a whole number, 0 to 7" in done.stderr
    done = command("write", "-o", "x.json", "model=transfer25_auto_multiview", "controls=wsm", "sampler.guidance=2.5",
                   "views=seven", "sensors=nvidia_seven", "model.captions=each", "scene.duration=2")  # fmt: skip
    assert "a sample has a whole number, 0 to 7; nearest is 2" in done.stderr and "model.captions=each" in done.stderr
    done = command("write", "-o", "x.json", "nowhere")
    assert done.returncode == 2 and "one run folder, or overrides" in done.stderr


def test_a_run_with_the_overrides_makes_the_same_videos_and_is_written_as_a_sample_that_does(made, folder, command):
    done = command("overrides", given(folder, "drive.json"), "-o", "prepared")
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("cosmos-exp ")]
    more = ("name=one", "metrics.names=[]", "tracking=disabled", "scene.num_vehicles=1", "previews=none")
    assert run_here(*shlex.split(line)[1:], *more, cwd=folder).returncode == 0
    (views,) = (folder / "outputs" / "runs" / "one" / "multi_view").iterdir()
    plain = command("run", given(folder, "drive.json", save_combined_views=False), "-o", "plain")
    assert plain.returncode == 0
    for index, name in enumerate(("front_wide", "cross_left")):
        assert (views / f"{index}.mp4").read_bytes() == (folder / "plain" / f"drive_{name}.mp4").read_bytes()
    assert run_here("samples", "write", "outputs/runs/one", "-o", "back.json", "--lossless", cwd=folder).returncode == 0
    assert command("run", "back.json", "-o", "again", "--lossless", "--save-combined-views", "false").returncode == 0
    (again,) = (folder / "again").glob("*_front_wide.mp4")
    assert np.array_equal(read_video(again), read_video(made / "drive_front_wide.mp4"))


def test_the_noise_of_a_run_of_its_own_is_in_the_seed_of_its_sample(folder, command, model25_folder):
    base = ("model=transfer25_auto_multiview", "controls=wsm", "views=single", f"model.weights={model25_folder}",
            "sampler.num_steps=2", "scene.num_vehicles=1", "scene.duration=2", "captions.styles=[Night]")  # fmt: skip
    more = ("name=two", "metrics.names=[]", "tracking=disabled", "previews=none", "sampler.first_frames=rgb")
    assert run_here(*base, *more, cwd=folder).returncode == 0
    wrote = run_here(
        "samples", "write", *base, "sampler.first_frames=rgb", "-o", "night.json", "--lossless", cwd=folder
    )
    assert wrote.returncode == 0
    assert command("run", "night.json", "-o", "night_out").returncode == 0
    (video,) = (folder / "outputs" / "runs" / "two" / "single_view").glob("*_Night.mp4")
    (sample,) = (folder / "night_out").glob("*_Night.mp4")
    assert sample.read_bytes() == video.read_bytes()


def test_a_sample_that_a_guard_stops_does_not_stop_the_others(folder, command):
    lines = [GIVEN | {"name": "bad", "prompt": "A naked man."}, GIVEN | {"name": "good"}]
    (folder / "in" / "two.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = command("run", "in/two.jsonl", "-o", "two")
    assert done.returncode == 2 and "cosmos-exp: bad: stopped by guardrails" in done.stderr
    assert "1 of 2 samples failed" in done.stderr
    assert sorted(path.name for path in (folder / "two").iterdir()) == ["good.json", "good.mp4"]
