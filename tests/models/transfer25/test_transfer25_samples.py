"""Sample files of NVIDIA's command: read, checked, written, and what they mean for a run of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.models.transfer25.sample_config import run_values
from cosmos_exp.models.transfer25.sample_json import write_samples
from cosmos_exp.models.transfer25.samples import read_samples
from cosmos_exp.models.transfer25.spec_file import with_values


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("front.mp4", "left.mp4", "front_in.mp4", "left_in.mp4"):
        (tmp_path / name).write_bytes(b"video")
    (tmp_path / "prompt.txt").write_text("  A rainy street.\n")
    return tmp_path


GIVEN = {
    "name": "drive",
    "prompt_path": "prompt.txt",
    "cross_left": {"control_path": "left.mp4", "input_path": "left_in.mp4"},
    "front_wide": {"control_path": "front.mp4", "input_path": "front_in.mp4"},
    "rear": {"input_path": "front_in.mp4"},
}


def written(folder: Path, *samples: dict, name: str = "samples.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(sample) for sample in samples))
    return path


def test_defaults_order_and_active_views(folder):
    (sample,) = read_samples([written(folder, GIVEN)])
    assert list(sample.views) == ["front_wide_120fov", "cross_left_120fov"]
    assert sample.prompt == "A rainy street."
    assert (sample.guidance, sample.num_steps, sample.fps, sample.num_frames()) == (3, 35, 10, 29)
    assert sample.given_frames() == {"front_wide_120fov": 1, "cross_left_120fov": 1}
    assert sample.views["front_wide_120fov"].input_path == folder / "front_in.mp4"


def test_null_is_left_out_where_nothing_is_the_default(folder):
    nulls = {"prompt": None, "negative_prompt": None, "rear_left": None, "rear": {"control_path": None}}
    assert read_samples([written(folder, GIVEN | nulls)]) == read_samples([written(folder, GIVEN)])
    with pytest.raises(ValidationErrors, match="seed is None: needed is a whole number"):
        read_samples([written(folder, GIVEN | {"seed": None})])


def test_a_long_clip_with_frames_of_each_view(folder):
    values = json.loads(json.dumps(GIVEN)) | {"enable_autoregressive": True, "num_chunks": 3, "chunk_overlap": 5}
    values["front_wide"]["num_conditional_frames_per_view"] = 5
    values["cross_left"]["num_conditional_frames_per_view"] = 1
    (sample,) = read_samples([written(folder, values)])
    assert sample.num_frames() == 29 + 2 * 24
    overrides = run_values(sample, 29)
    wanted = {"model.num_frames": 77, "model.overlap": 5, "model.given_frames": [5, 1], "scene.duration": 8.0}
    assert wanted.items() <= overrides.items()
    assert overrides["views.names"] == ["front_wide_120fov", "cross_left_120fov"]


def test_what_is_written_is_read_again(folder):
    (sample,) = read_samples([written(folder, GIVEN | {"seed": 7, "control_weight": 0.5})])
    path = folder / "again.json"
    write_samples(path, [sample])
    assert json.loads(path.read_text())["front_wide"]["control_path"] == "front.mp4"
    assert read_samples([path]) == [sample]
    write_samples(folder / "two.jsonl", [sample, with_values(sample, seed=8)])
    with pytest.raises(ValidationErrors, match="name names 'drive' more than once"):
        read_samples([folder / "two.jsonl"])
    with pytest.raises(UserError, match=r"one sample, not 2; name it two\.jsonl"):
        write_samples(folder / "two.json", [sample, sample])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"guidence": 3}, "unknown key 'guidence': did you mean 'guidance'"),
        ({"guidance": 2.5}, "guidance is 2.5: needed is a whole number, 0 to 7"),
        ({"guidance": True}, "guidance is True"),
        ({"num_conditional_frames": 2}, "needed is 0, 1 or 5"),
        ({"control_weight": 1.5}, "needed is a number above 0, at most 1"),
        ({"prompt": "  "}, "the prompt is empty"),
        ({"prompt": 3}, "prompt is 3: needed is a text"),
        ({"seed": 2**32}, "needed is a whole number, 0 to 4294967295"),
        ({"front_wide": {"control_path": "frnt.mp4"}}, "did you mean"),
        ({"chunk_overlap": 29}, "chunk_overlap is 29: needed is 1 or 5"),
        ({"front_wide": {"control_path": "nowhere.mp4"}}, "front_wide.control_path: no file"),
        ({"front_wide": {"control_path": "front.mp4"}}, "front_wide.input_path is missing: its first 1 frames"),
        ({"front_wide": {"controlpath": "front.mp4"}}, "front_wide: unknown key 'controlpath'"),
        ({"front_wide": {}, "cross_left": {}}, "no view has a control_path"),
        ({"prompt_path": "none.txt"}, "prompt_path: no file"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place(folder, change, message):
    path = written(folder, GIVEN | change)
    with pytest.raises(ValidationErrors) as raised:
        read_samples([path])
    (line,) = [line for line in str(raised.value).splitlines() if message in line]
    assert f"{path}:1: " in line


def test_all_mistakes_of_all_files_are_told_together(folder):
    good, broken = written(folder, GIVEN, name="good.jsonl"), folder / "broken.json"
    broken.write_text("{")
    lines = written(folder, GIVEN | {"sed": 1, "fps": 0}, GIVEN | {"name": "b", "seed": -1}, name="bad.jsonl")
    with pytest.raises(ValidationErrors) as raised:
        read_samples([lines, broken, folder / "nowhere.json", good])
    told = str(raised.value)
    assert "unknown key 'sed': did you mean 'seed'" in told and "fps is 0" in told and "bad.jsonl:2: seed is -1" in told
    assert "broken.json is not JSON" in told and "no file of samples" in told


def test_a_path_outside_the_folder_of_the_file_is_written_whole(folder, tmp_path):
    (sample,) = read_samples([written(folder, GIVEN)])
    write_samples(tmp_path / "below" / "again.json", [sample])
    values = json.loads((tmp_path / "below" / "again.json").read_text())
    assert values["front_wide"]["control_path"] == str(folder / "front.mp4")
    assert read_samples([tmp_path / "below" / "again.json"]) == [sample]


def test_per_view_counts_go_all_together(folder):
    values = json.loads(json.dumps(GIVEN)) | {"enable_autoregressive": True}
    values["front_wide"]["num_conditional_frames_per_view"] = 5
    with pytest.raises(ValidationErrors, match="all 0, or each 1 or 5; given are front_wide 5, cross_left 0"):
        read_samples([written(folder, values)])


def test_other_endings_and_no_file(folder):
    with pytest.raises(UserError, match=r"samples are in files \.json and \.jsonl, not \.yaml"):
        read_samples([folder / "samples.yaml"])
    with pytest.raises(UserError, match="no file of samples"):
        read_samples([folder / "none.json"])
