"""Areas as maps over a clip, weight maps and token masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.video import write_video
from cosmos_exp.controls.area import Area, WeightMap
from cosmos_exp.models.dit.area_maps import area_map, weight_values
from cosmos_exp.models.dit.map_files import check_map, read_map, resized
from cosmos_exp.models.transfer1.region_masks import token_mask
from cosmos_exp.rendering.palette import Tag
from tests.helpers.videos import encode, numbered

SIZE = (9, 32, 48)


@pytest.fixture
def semantic():
    """A street below a sky, a car on its left half."""
    tags = np.full(SIZE, Tag.SKY, np.uint8)
    tags[:, 16:] = Tag.ROAD
    tags[:, 16:, :24] = Tag.CAR
    return tags


def test_an_area_is_where_all_that_is_given_meets(semantic):
    values = area_map(Area(classes=("car", "sky"), box=(0, 0, 0.5, 0.75)), SIZE, semantic=semantic)
    expected = torch.zeros(SIZE)
    expected[:, :24, :24] = 1
    assert torch.equal(values, expected)
    assert torch.equal(area_map(Area(), SIZE), torch.ones(SIZE))


def test_the_sides_of_a_box_are_rounded_down():
    values = area_map(Area(box=(0.13, 0.3, 0.99, 1)), (1, 8, 10))[0]
    assert values[2:, 1:9].all() and values.sum() == 6 * 8


def test_a_weight_map_has_a_value_inside_and_one_outside(semantic):
    values = weight_values(WeightMap(Area(classes=("car",)), inside=2.0, outside=0.25), SIZE, semantic=semantic)
    assert (values[:, 16:, :24] == 2).all() and (values[:, :16] == 0.25).all() and (values[:, :, 24:] == 0.25).all()


def test_tokens_of_a_region(semantic):
    assert token_mask(Area(box=(0, 0, 0.34, 1)), SIZE).tolist() == [[[[[True, False, False]] * 2] * 2]]
    car = token_mask(Area(classes=("car",)), SIZE, semantic=semantic)
    assert car.tolist() == [[[[[False] * 3, [True, False, False]]] * 2]]  # the second column is half a car: not more


def test_the_first_frame_decides_for_its_own_tokens():
    frames = torch.zeros(17, 32, 32)
    frames[:5] = 1
    assert token_mask(Area(), (17, 32, 32)).all()
    semantic = np.where(frames.numpy() > 0, Tag.CAR, Tag.ROAD).astype(np.uint8)
    per_frame = (
        token_mask(Area(classes=("car",)), (17, 32, 32), semantic=semantic).flatten(3).all(-1).flatten().tolist()
    )
    assert per_frame == [True, False, False]  # in frames 1 to 8, 4 of 8 are no majority


def written(folder: Path, values: np.ndarray, suffix: str) -> Path:
    path = folder / f"map{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    elif suffix == ".pt":
        torch.save(torch.from_numpy(values), path)
    elif suffix == ".safetensors":
        save_file({"map": torch.from_numpy(values)}, path)
    elif suffix == ".png":
        cv2.imwrite(str(path), np.round(values[0] * 255).astype(np.uint8))
    else:
        write_video(path, np.repeat(np.round(values * 255).astype(np.uint8)[..., None], 3, axis=-1), 24)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".npy", ".safetensors", ".png", ".mp4"])
def test_every_kind_of_file_holds_the_same_map(suffix, tmp_path):
    values = np.zeros((9, 16, 24), np.float32)
    values[:, :, :12] = 0.6
    read = read_map(written(tmp_path, values, suffix), 9)
    assert read.shape == ((1 if suffix == ".png" else 9), 16, 24)
    np.testing.assert_allclose(resized(read, (9, 16, 24)), values, atol=0.02 if suffix == ".mp4" else 2e-3)


def test_a_map_from_a_video_of_another_rate_or_size(tmp_path):
    path = encode(tmp_path / "mask.mp4", numbered(12), fps=30)
    check_map(path, 9, 30)
    with pytest.raises(UserError, match="has 30 frames per second, the clip has 24"):
        check_map(path, 9, 24)
    check_map(encode(tmp_path / "still.mp4", numbered(1), fps=30), 9, 24)
    with pytest.raises(UserError, match="12 frames, the clip has 13"):
        check_map(path, 13, 30)
    assert read_map(path, 9).shape == (9, 32, 48)


def test_a_mask_that_is_cut_out_of_a_picture_is_refused(tmp_path):
    """White everywhere, and transparent outside: its grey would count everywhere."""
    cut_out = np.full((16, 24, 4), 255, np.uint8)
    cut_out[:, 12:, 3] = 0
    cv2.imwrite(str(tmp_path / "cut_out.png"), cut_out)
    with pytest.raises(UserError, match=r"map .*cut_out\.png has transparent pixels"):
        read_map(tmp_path / "cut_out.png", 9)


def test_a_map_of_other_sizes(tmp_path):
    longer = written(tmp_path, np.arange(12, dtype=np.float32)[:, None, None] * np.ones((1, 4, 4), np.float32), ".npy")
    assert read_map(longer, 9)[:, 0, 0].tolist() == list(range(9))
    flat = written(tmp_path, np.ones((4, 6), np.float32), ".npy")
    assert area_map(Area(mask=flat), SIZE, mask=read_map(flat, 9)).eq(1).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((5, 4, 4), np.float32), "has 5 frames, the clip has 9"),
        (-np.ones((4, 4), np.float32), "0 or more"),
        (np.full((4, 4), np.nan, np.float32), "0 or more"),
        (np.ones((2, 9, 4, 4), np.float32), r"shape \(2, 9, 4, 4\)"),
        (np.ones((0, 4), np.float32), r"shape \(1, 0, 4\)"),
    ],
)
def test_maps_that_do_not_fit(values, message, tmp_path):
    with pytest.raises(UserError, match=message):
        read_map(written(tmp_path, values, ".npy"), 9)


def test_files_that_are_no_maps(tmp_path):
    torch.save({"a": torch.ones(2, 2), "b": torch.ones(2, 2)}, tmp_path / "two.pt")
    (tmp_path / "broken.npy").write_bytes(b"nothing")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    (tmp_path / "map.txt").write_text("1 2 3")
    np.save(tmp_path / "pickled.npy", np.array([{}]), allow_pickle=True)
    for name, message in {
        "two.pt": "2 entries",
        "broken.npy": "not a readable .npy array",
        "broken.png": "as a picture",
        "map.txt": "one of .pt, .npy",
        "pickled.npy": "it holds object, not real numbers",
    }.items():
        with pytest.raises(UserError, match=message):
            read_map(tmp_path / name, 9)


@pytest.mark.parametrize(
    ("area", "message"),
    [
        (Area(classes=("cra",)), "did you mean 'car'"),
        (Area(box=(0.5, 0, 0.5, 1)), r"box=\[0.5, 0.0, 0.5, 1.0\]: give \[left, top, right, bottom\]"),
        (Area(box=(0, 0, 640, 480)), "shares of width and height"),
        (Area(box=(0, 0, 1)), "give .left"),
    ],
)
def test_impossible_areas(area, message):
    (problem,) = area.problems()
    with pytest.raises(UserError, match=message):
        raise UserError(problem)
