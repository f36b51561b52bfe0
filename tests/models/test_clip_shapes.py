"""What a model config makes of a model's contract: frames, pixels, chunks."""

from __future__ import annotations

import pytest

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.models.checkpoints.released import MODELS
from cosmos_exp.models.clip_shapes import nearest_size, videos_of
from cosmos_exp.models.config import ModelConfig

WIDE = 16 / 9


def videos(name: str, views: int = 6, aspect: float = WIDE, **asked):
    known = {name: model.contract for name, model in MODELS.items()}
    return videos_of(ModelConfig(name=name, **asked), MODELS[name].contract, views, aspect, known=known)


def starts(video) -> list[int]:
    return [chunk.start for chunk in video.chunks]


def test_the_front_view_and_all_views_have_shapes_of_their_own() -> None:
    made = videos("single2multiview_t2w")
    assert made.single_view.shape == (121, 704, 1280)
    assert made.multi_view.shape == (57, 576, 1024)
    assert (starts(made.single_view), starts(made.multi_view)) == ([0], [0])
    assert videos("single2multiview_t2w", views=1).multi_view is None


@pytest.mark.parametrize(
    ("asked", "frames", "chunks"),
    [
        ({}, 113, [0, 56]),
        ({"overlap": 9}, 105, [0, 48]),
        ({"multi_view_frames": 57}, 57, [0]),
    ],
)
def test_all_views_are_continued_as_far_as_the_front_reaches(asked: dict, frames: int, chunks: list[int]) -> None:
    made = videos("single2multiview_v2w", **asked).multi_view
    assert made.shape.frames == frames
    assert starts(made) == chunks


def test_a_long_front_view() -> None:
    made = videos("transfer1_7b", views=1, num_frames=300).single_view
    assert (made.shape.frames, starts(made), made.overlap) == (300, [0, 120, 240], 1)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(WIDE, (704, 1280)), (1.0, (960, 960)), (4 / 3, (704, 960)), (3 / 4, (960, 704)), (9 / 16, (1280, 704))],
)
def test_the_size_follows_the_camera(aspect: float, size: tuple[int, int]) -> None:
    assert nearest_size(MODELS["transfer1_7b"].contract, aspect) == size


def test_one_side_asked_for() -> None:
    contract = MODELS["transfer1_7b"].contract
    assert nearest_size(contract, WIDE, height=960) == (960, 960)
    assert nearest_size(contract, WIDE, width=704) == (960, 704)
    with pytest.raises(UserError, match=r"model\.height=720: this model makes .* nearest is 704x1280"):
        nearest_size(contract, WIDE, height=720)


def test_every_problem_is_named() -> None:
    with pytest.raises(ValidationErrors) as caught:
        videos("single2multiview_t2w", num_frames=0, height=1, overlap=9)
    assert len(caught.value.errors) == 4
