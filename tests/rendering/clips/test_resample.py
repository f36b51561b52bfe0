"""Sparse resampling and conversion against OpenCV and libswscale."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from cosmos_exp.rendering.clips.resample import Yuv420, center_crop, resize


def lines_and_noise(height: int, width: int) -> np.ndarray:
    """Black with some strokes, a filled area, and a patch of noise that touches the right and lower border."""
    image = np.zeros((height, width, 3), np.uint8)
    cv2.line(image, (3, height // 3), (width - 7, height // 2), (98, 183, 249), 5)
    cv2.rectangle(image, (width // 4, height // 2), (width // 3, height // 2 + 9), (245, 0, 0), -1)
    noise = np.random.default_rng(0).integers(0, 256, (height // 5, width // 6, 3), np.uint8)
    image[-noise.shape[0] :, -noise.shape[1] :] = noise
    return image


@pytest.mark.parametrize("height", [704, 720, 352, 1080, 719])
@pytest.mark.parametrize("source", [(720, 200), (718, 97), (180, 64)])
def test_rows_are_resampled_as_by_opencv(source: tuple[int, int], height: int) -> None:
    image = lines_and_noise(*source)
    expected = cv2.resize(image, (source[1], height), interpolation=cv2.INTER_LANCZOS4)
    assert np.array_equal(resize(image, source[1], height), expected)


def test_a_change_of_width_is_opencv_s_and_the_same_size_nothing() -> None:
    image = lines_and_noise(90, 157)
    expected = cv2.resize(image, (160, 88), interpolation=cv2.INTER_LANCZOS4)
    assert np.array_equal(resize(image, 160, 88), expected)
    assert resize(image, 157, 90) is image


def test_noncontiguous_images_are_taken() -> None:
    image = lines_and_noise(90, 200)[:, 20:180]
    assert np.array_equal(resize(image, 160, 88), resize(image.copy(), 160, 88))


@pytest.mark.parametrize("width", [1280, 94, 64])
def test_planes_are_those_of_libswscale(width: int) -> None:
    image = lines_and_noise(720, width)
    planes = Yuv420(width, 720, 704)(image)
    frame = av.VideoFrame.from_ndarray(resize(image, width, 704), format="rgb24")
    expected = frame.reformat(format="yuv420p", interpolation="BICUBIC").to_ndarray()
    assert np.array_equal(planes[:704], expected[:704])
    assert np.abs(planes[704:].astype(int) - expected[704:]).max() <= 1


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="703x64"):
        Yuv420(64, 720, 703)


def test_center_crop() -> None:
    image = lines_and_noise(720, 64)
    assert np.array_equal(center_crop(image, 64, 704), image[8:712])
