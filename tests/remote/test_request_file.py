"""Request files: both schemas, every mistake at once, before anything is sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.videos import encode, numbered

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.remote.request_file import Overrides, VideoRequest, read_request

SCALARS = """
prompt = "A street in the rain."
negative_prompt = "blurry"
input_video_path = "input.mp4"
guidance = 7
sigma_max = 70.0
num_steps = 35
seed = 5
"""
EDGE = """
[edge]
control_weight = 0.5
input_control = "edge.mp4"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("input", "edge", "depth"):
        encode(tmp_path / f"{name}.mp4", numbered(5))
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "rain.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str, overrides: Overrides | None = None) -> list[str]:
    with pytest.raises(ValidationErrors) as caught:
        read_request(write(folder, text), overrides or Overrides())
    return [error.partition("rain.toml: ")[2] for error in caught.value.errors]


def test_a_flat_file_is_sent_as_it_stands_with_the_names_that_the_server_gave_its_videos(folder):
    request = read_request(write(folder, SCALARS + EDGE))
    assert request.files == {"input": folder / "input.mp4", "edge": folder / "edge.mp4"}
    assert request.with_paths({"input": "/up/1.mp4", "edge": "/up/2.mp4"}) == {
        "prompt": "A street in the rain.",
        "negative_prompt": "blurry",
        "input_video_path": "/up/1.mp4",
        "guidance": 7,
        "sigma_max": 70.0,
        "num_steps": 35,
        "seed": 5,
        "edge": {"control_weight": 0.5, "input_control": "/up/2.mp4"},
    }


def test_controlnet_specs_is_the_same_request(folder):
    flat = read_request(write(folder, SCALARS + EDGE))
    nested = read_request(
        write(folder, "[controlnet_specs]" + SCALARS + EDGE.replace("[edge]", "[controlnet_specs.edge]"))
    )
    assert nested == flat
    assert nested.digest() == flat.digest()


def test_a_key_on_both_levels_is_refused(folder):
    with pytest.raises(UserError, match=r"rain\.toml: seed: given at the top and below controlnet_specs"):
        read_request(write(folder, SCALARS + "[controlnet_specs]\nseed = 1\n"))


def test_all_mistakes_are_told_at_once(folder):
    text = """
prompt = " "
input_video_path = "inptu.mp4"
guidance = true
sigma_max = 90
num_steps = 0
seed = -1
blur_strength = "meduim"
canny_threshold = 3
[edge]
control_weight = true
input_control = "edge.mp4"
[depth]
input_control = "depth.mp4"
[vis]
control_weight = -1
[sge]
control_weight = 1
"""
    assert problems(folder, text) == [
        "missing: negative_prompt",
        "prompt=' ': a text that is not empty",
        "guidance=True: a number of 0 or more",
        "sigma_max=90: a number of 0 to 80; nearest is 80",
        "num_steps=0: a whole number of 1 to 1000; nearest is 1",
        "seed=-1: a whole number of 0 to 9223372036854775807; nearest is 0",
        "blur_strength='meduim': unknown blur_strength 'meduim': did you mean 'medium'? "
        "allowed: very_low, low, medium, high, very_high",
        "canny_threshold=3: unknown canny_threshold 3: allowed: very_low, low, medium, high, very_high",
        f"input_video_path '{folder}/inptu.mp4' not found: did you mean '{folder}/input.mp4'?",
        "edge.control_weight=True: a number of 0 or more, or a file .pt",
        "missing: depth.control_weight",
        "vis.control_weight=-1: a number of 0 or more; nearest is 0, or a file .pt",
        "unknown control 'sge': did you mean 'seg'? "
        "allowed: edge, depth, seg, vis, hdmap, lidar, wsm, keypoint, upscale",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("guidance = nan", "guidance=nan: a number of 0 or more"),
        ("guidance = inf", "guidance=inf: a number of 0 or more"),
        ("num_steps = 35.0", "num_steps=35.0: a whole number of 1 to 1000"),
        ("seed = true", "seed=True: a whole number of 0 to 9223372036854775807"),
        ('sigma_max = "70"', "sigma_max='70': a number of 0 to 80"),
        ("prompt = 5", "prompt=5: a text"),
        ("edge = 0.5", "edge=0.5: a table, such as [edge] with control_weight = 0.5"),
        ("input_video_path = 5", "input_video_path=5: a path of a video"),
    ],
)
def test_a_value_of_another_type_is_no_value(folder, line, problem):
    key = line.partition(" =")[0]
    others = [other for other in SCALARS.splitlines() if not other.startswith(key)]
    assert problem in problems(folder, "\n".join([line, *others]))


def test_an_unknown_key_is_sent_with_a_note_that_names_the_nearest(folder):
    request = read_request(write(folder, SCALARS + "gudance = 3\n" + EDGE + "control_wight = 1\n"))
    assert request.values["gudance"] == 3
    assert request.notes == (
        "key 'gudance' is none that is known here: did you mean 'guidance'?; it is sent as it is",
        "key 'edge.control_wight' is none that is known here: did you mean 'edge.control_weight'?; it is sent as it is",
    )


def test_paths_are_relative_to_the_file_and_then_to_the_working_directory(folder, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    encode(elsewhere / "only_here.mp4", numbered(5))
    encode(elsewhere / "input.mp4", numbered(5))
    monkeypatch.chdir(elsewhere)
    request = read_request(write(folder, SCALARS + EDGE.replace("edge.mp4", "only_here.mp4")))
    assert request.files == {"input": folder / "input.mp4", "edge": Path("only_here.mp4")}


def test_below_sigma_max_80_an_input_video_is_needed(folder):
    without = SCALARS.replace('input_video_path = "input.mp4"', "")
    assert problems(folder, without + EDGE) == [
        "missing: input_video_path; sigma_max=70 starts from it, sigma_max=80 needs none"
    ]
    assert read_request(write(folder, without.replace("70.0", "80") + EDGE)).files == {"edge": folder / "edge.mp4"}


def test_a_control_without_a_video_is_made_from_the_input_video_or_not_at_all(folder):
    vis, depth = "[vis]\ncontrol_weight = 0.3\n", "[depth]\ncontrol_weight = 0.3\n"
    request = read_request(write(folder, SCALARS + vis + depth))
    assert request.values["vis"] == {"control_weight": 0.3}
    assert request.notes == ("depth has no input_control: the server makes it from the input video, if it can",)
    bare = SCALARS.replace('input_video_path = "input.mp4"', "").replace("70.0", "80")
    assert problems(folder, bare + vis) == [
        "vis: give input_control, or input_video_path, from which the server can make it"
    ]


# Values of the command line


def test_a_weight_may_be_a_file_with_that_of_every_pixel(folder):
    (folder / "map.pt").write_bytes(b"weights")
    seen = []
    text = SCALARS + EDGE.replace("0.5", '"map.pt"')
    request = read_request(write(folder, text), check_map=lambda path, frames: seen.append((path, frames)))
    assert seen == [(folder / "map.pt", 5)]
    assert list(request.files) == ["input", "edge.control_weight", "edge"]
    sent = request.with_paths({"edge": "/up/1.mp4", "edge.control_weight": "/up/2.pt"})
    assert sent["edge"] == {"input_control": "/up/1.mp4", "control_weight": "/up/2.pt"}


def test_such_a_file_is_checked_too(folder):
    def no_map(path, frames):
        raise UserError(f"{path.name} is no map")

    (folder / "map.pt").write_bytes(b"weights")
    with pytest.raises(ValidationErrors, match=r"edge.control_weight: map.pt is no map"):
        read_request(write(folder, SCALARS + EDGE.replace("0.5", '"map.pt"')), check_map=no_map)
    (told,) = problems(folder, SCALARS + EDGE.replace("0.5", '"mop.pt"'))
    assert told == f"edge.control_weight '{folder}/mop.pt' not found: did you mean '{folder}/map.pt'?"


def test_what_is_to_be_found_in_the_picture_is_a_text(folder):
    text = SCALARS + EDGE.replace("[edge]", "[seg]")
    assert read_request(write(folder, text + 'control_weight_prompt = "cars"\n')).notes == ()
    assert problems(folder, text + "control_weight_prompt = 3\n") == [
        "seg.control_weight_prompt=3: a text that is not empty"
    ]


def overridden(folder: Path, text: str, **videos: str) -> VideoRequest:
    return read_request(write(folder, text), Overrides({name: folder / path for name, path in videos.items()}, seed=9))


def test_the_command_line_stands_in_for_values_of_the_file(folder):
    encode(folder / "other.mp4", numbered(5))
    request = overridden(folder, SCALARS.replace("seed = 5", "") + EDGE, edge="other.mp4")
    assert request.seed == 9
    assert request.files["edge"] == folder / "other.mp4"
    assert request.values["edge"] == {"control_weight": 0.5}


def test_a_control_of_the_command_line_alone_has_a_weight_that_is_told(folder):
    request = overridden(folder, SCALARS, depth="depth.mp4")
    assert request.values["depth"] == {"control_weight": 0.5}
    assert request.notes == ("the file has no table [depth]: --depth-video has the weight 0.5",)


def test_values_of_the_command_line_are_checked_too(folder):
    given = Overrides({"seg": folder / "sge.mp4", "input": folder}, seed=-3)
    assert problems(folder, SCALARS, given)[:3] == [
        "seed=-3: a whole number of 0 to 9223372036854775807; nearest is 0",
        f"--input-video {str(folder)!r} is a folder, not a file",
        f"--seg-video '{folder}/sge.mp4' not found: did you mean '{folder}/edge.mp4'?",
    ]


# Videos


def test_videos_are_decoded_to_the_end(folder):
    whole = encode(
        folder / "edge.mp4", np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), np.uint8)
    ).read_bytes()
    (folder / "edge.mp4").write_bytes(whole[: len(whole) // 2])
    (found,) = problems(folder, SCALARS + EDGE)
    assert found.startswith("edge: ") and "edge.mp4" in found
    (folder / "edge.mp4").write_text("no video")
    (found,) = problems(folder, SCALARS + EDGE)
    assert found.startswith(f"edge: cannot read the video {folder}/edge.mp4")


def test_videos_have_one_length_and_one_rate(folder):
    encode(folder / "edge.mp4", numbered(7), fps=30)
    assert problems(folder, SCALARS + EDGE) == [
        "videos of unequal length: input 5, edge 7 frames; cut them to 5",
        "videos of unequal rate: input 24, edge 30 frames per second; give all the same",
    ]
    ignored = SCALARS.replace("70.0", "80")
    assert read_request(write(folder, ignored + EDGE)).files["edge"] == folder / "edge.mp4"


def test_a_digest_follows_from_values_and_contents_not_from_names(folder):
    first = read_request(write(folder, SCALARS + EDGE)).digest()
    (folder / "edge.mp4").rename(folder / "renamed.mp4")
    assert read_request(write(folder, SCALARS + EDGE.replace("edge.mp4", "renamed.mp4"))).digest() == first
    encode(folder / "renamed.mp4", numbered(5)[::-1])
    assert read_request(write(folder, SCALARS + EDGE.replace("edge.mp4", "renamed.mp4"))).digest() != first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"prompt = ", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"a = " + b"[" * 100_000, "is not TOML"),
        (b"#" * (1 << 21), "at most 1048576"),
    ],
)
def test_what_is_no_toml_is_refused(tmp_path, content, message):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_request(path)


def test_a_missing_file_is_told_with_the_nearest(folder):
    write(folder, SCALARS)
    with pytest.raises(UserError, match=r"rian.toml' not found: did you mean '.*rain.toml'"):
        read_request(folder / "rian.toml")
